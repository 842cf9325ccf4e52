//! Fault sweep: runs a workload once for each of its system calls and each fault that the call may have.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::draft::{EXPECT, Framing, RequestDraft, UPGRADE};
use super::faults::{FaultRates, Syscall};
use super::generator::Generator;
use super::kernel::Tracing;
use super::peer::{Pace, Peer, Step};
use super::plan::{Action, Completion, FutureEnd, SocketAction, UploadAction, WakeKind};
use super::prng::Prng;
use super::report::Report;
use super::run::{Run, message_of};
use super::workload::become_socket;
use super::writer_plan::{BodyForm, WriterEnd, WriterPlan};
use crate::os::Fault;

/// A body that waits for wakes and for room.
const WRITER: WriterPlan = WriterPlan {
    pieces: 2,
    len: 2000,
    room: 99,
    wake: Some(WakeKind::Several),
    end: WriterEnd::Trailers,
    form: BodyForm::Writer,
};

/// The same, from a function that stays on its thread.
const FRAMES: WriterPlan = WriterPlan {
    form: BodyForm::LocalFrames,
    ..WRITER
};

type Workload = fn(&mut Prng, &mut u64) -> Vec<Peer>;

/// The workloads, with the names that a failure gives.
const WORKLOADS: &[(&str, Workload)] = &[
    ("requests", requests),
    ("delayed responses", delayed_responses),
    ("request bodies", request_bodies),
    ("ends of connections", ends),
];

/// Runs every workload without a fault, then with each single fault; returns the number of runs, and what all of
/// them did.
///
/// # Errors
///
/// The first run that violated an invariant: its workload, the call, the fault and the violation.
pub fn sweep_single_faults() -> Result<(usize, Report), String> {
    let (mut runs, mut total) = (0, Report::default());
    for (name, workload) in WORKLOADS {
        let (calls, report) = run_workload(*workload, None)
            .map_err(|what| format!("{name} without a fault: {what}"))?;
        runs += 1;
        total = total.and(&report);
        for (number, call) in calls.iter().enumerate() {
            for fault in call.faults() {
                let (_, report) = run_workload(*workload, Some((number, *fault)))
                    .map_err(|what| format!("{name}, call {number}, {call:?} {fault:?}: {what}"))?;
                runs += 1;
                total = total.and(&report);
            }
        }
    }
    Ok((runs, total))
}

/// Runs a workload; returns its system calls in order, and what it did.
fn run_workload(
    workload: Workload,
    injection: Option<(usize, Fault)>,
) -> Result<(Vec<Syscall>, Report), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut prng = Prng::new(7);
        let mut ids = 0;
        let peers = workload(&mut prng, &mut ids);
        let mut run = Run::scripted(prng, FaultRates::NONE, Tracing::On);
        run.add_peers(peers, ids);
        run.inject(injection);
        let outcome = run.run_to_end();
        let report = outcome.map_err(|what| format!("{}\n{what}", run.take_trace().join("\n")))?;
        Ok((run.calls(), report))
    }));
    outcome.unwrap_or_else(|panic| Err(message_of(&*panic)))
}

/// A peer that sends these requests at once, waits for all responses and stays connected.
fn peer(prng: &mut Prng, ids: &mut u64, drafts: &[RequestDraft]) -> Peer {
    let mut generator = Generator::new("scripted", prng, ids);
    for draft in drafts {
        let (head, body) = generator.request(draft);
        generator.send(head);
        generator.send(body);
    }
    generator.await_all();
    generator.peer
}

fn requests(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let chunked = RequestDraft {
        framing: Framing::Chunked,
        ..RequestDraft::new(Action::Echo, 70)
    };
    let get = RequestDraft::new(Action::Echo, 0);
    let head = RequestDraft {
        method: "HEAD",
        ..RequestDraft::new(Action::Large(5000), 0)
    };
    let mut slow = peer(prng, ids, &[RequestDraft::new(Action::Large(9000), 0), get]);
    slow.outbound_len_max = 4000;
    slow.pace = Pace::Slow(3000, 100);
    vec![
        peer(
            prng,
            ids,
            &[get, RequestDraft::new(Action::Echo, 9), chunked, head],
        ),
        slow,
        peer(prng, ids, &[get, RequestDraft::new(Action::CloseAfter, 0)]),
    ]
}

fn delayed_responses(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let get = |action| RequestDraft::new(action, 0);
    let mut narrow = peer(
        prng,
        ids,
        &[
            get(Action::File(9000, 9000)),
            get(Action::File(20_000, 20_000)),
            get(Action::Stream(3, 2000, 99, Completion::Done)),
        ],
    );
    narrow.outbound_len_max = 2500;
    vec![
        narrow,
        peer(
            prng,
            ids,
            &[
                get(Action::Promise(50, Completion::Done)),
                get(Action::Burst(300)),
                get(Action::PromisedStream(99)),
                get(Action::Future(2, WakeKind::Several, FutureEnd::Response)),
                get(Action::Future(1, WakeKind::Own, FutureEnd::Panic)),
                get(Action::Writer(WRITER)),
                get(Action::Writer(FRAMES)),
                get(Action::Promise(50, Completion::Dropped)),
            ],
        ),
        peer(
            prng,
            ids,
            &[get(Action::Stream(2, 10, 99, Completion::Dropped))],
        ),
        // A file that is shorter than it was.
        peer(prng, ids, &[get(Action::File(90_000, 30_000))]),
    ]
}

fn request_bodies(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let mut expectant = Generator::new("expectant", prng, ids);
    let draft = RequestDraft {
        fields: EXPECT,
        ..RequestDraft::new(Action::Upload(UploadAction::Pause(Some(30))), 500)
    };
    let (head, body) = expectant.request(&draft);
    expectant.send(head);
    expectant.then(Step::AwaitContinue(60_000));
    expectant.send(body);
    expectant.await_all();
    let expectant = expectant.peer;
    vec![
        expectant,
        peer(
            prng,
            ids,
            &[
                RequestDraft::new(Action::Upload(UploadAction::Early(5)), 50),
                RequestDraft::new(Action::RefuseLater(40), 50),
                RequestDraft::new(Action::Limit(10), 50),
            ],
        ),
        peer(
            prng,
            ids,
            &[RequestDraft::new(
                Action::Upload(UploadAction::Panic(3)),
                50,
            )],
        ),
        peer(
            prng,
            ids,
            &[RequestDraft {
                framing: Framing::TinyChunks,
                ..RequestDraft::new(Action::Upload(UploadAction::Count), 300)
            }],
        ),
    ]
}

fn ends(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let mut peers = Vec::new();
    let mut garbage = Generator::new("garbage", prng, ids);
    let bytes = garbage.garbage();
    garbage.send(bytes);
    peers.push(garbage.peer);
    let mut half = peer(
        prng,
        ids,
        &[RequestDraft::new(Action::Promise(30, Completion::Done), 0)],
    );
    half.script.pop_back();
    half.script.push_back(Step::HalfClose);
    peers.push(half);
    let mut slow = Generator::new("slow head", prng, ids);
    let (head, _) = slow.request(&RequestDraft::new(Action::Echo, 0));
    slow.send(head[..20].to_vec());
    peers.push(slow.peer);
    let mut upgrader = Generator::new("upgrader", prng, ids);
    let draft = RequestDraft {
        fields: UPGRADE,
        ..RequestDraft::new(Action::Upgrade, 0)
    };
    let (mut bytes, _) = upgrader.request(&draft);
    bytes.extend([b'u'; 50]);
    upgrader.send(bytes);
    peers.push(upgrader.peer);
    let mut socket = Generator::new("socket", prng, ids);
    become_socket(&mut socket, SocketAction::Echo, 300);
    socket.then(Step::AwaitBody(300));
    socket.then(Step::HalfClose);
    peers.push(socket.peer);
    let mut half = Generator::new("half socket", prng, ids);
    become_socket(&mut half, SocketAction::Close(50), 300);
    // The server has ended its side by then.
    half.then(Step::Pause(100));
    half.then(Step::HalfClose);
    peers.push(half.peer);
    let mut resetter = peer(prng, ids, &[RequestDraft::new(Action::Large(9000), 0)]);
    resetter.script.pop_back();
    resetter.script.push_back(Step::Reset);
    peers.push(resetter);
    peers
}
