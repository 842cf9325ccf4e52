//! Step sweep: runs a program of requests once for each of its steps and each thing that may happen there: a peer resets its
//! connection, ends its side or closes, or the server is asked to stop.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::async_peers::random_async_peer;
use super::disturbance::{AtStep, Disturbance};
use super::draft::{EXPECT, Framing, RequestDraft};
use super::faults::FaultRates;
use super::generator::Generator;
use super::kernel::Tracing;
use super::peer::{Pace, Peer, Step};
use super::plan::{Action, FutureEnd, PullAction, SocketAction, WakeKind};
use super::prng::Prng;
use super::report::Report;
use super::run::{Run, message_of};
use super::volatile_plan::{InResponse, VolatileIn, VolatilePlan};
use super::workload::become_socket;
use super::writer_plan::{BodyForm, WriterEnd, WriterPlan};

type Program = fn(&mut Prng, &mut u64) -> Vec<Peer>;

/// The programs, with the names that a failure gives.
const PROGRAMS: &[(&str, Program)] = &[
    ("pulled bodies", pulled_bodies),
    ("bodies of code", bodies_of_code),
    ("timers and tasks", timers_and_tasks),
    ("sockets", sockets),
    ("files", files),
];

/// Runs every program without a disturbance, then with each one at each step; returns the number of runs, and what all of
/// them did. A program with more than `steps_max` steps is disturbed at as many, spread over all of it.
///
/// # Errors
///
/// The first run that violated an invariant: its program, the step, what happened there, and the violation.
pub fn sweep_programs(steps_max: usize) -> Result<(usize, Report), String> {
    let (mut runs, mut total) = (0, Report::default());
    for (name, program) in PROGRAMS {
        let make = |tracing| {
            let (mut prng, mut ids) = (Prng::new(7), 0);
            let peers = program(&mut prng, &mut ids);
            begin(prng, FaultRates::NONE, peers, ids, tracing)
        };
        let (swept, report) = sweep(&make, steps_max).map_err(|what| format!("{name}, {what}"))?;
        runs += swept;
        total = total.and(&report);
    }
    Ok((runs, total))
}

/// The same with a random program. Half of the seeds add faults that excuse nothing, such as short reads and writes.
///
/// # Errors
///
/// As [`sweep_programs`].
pub fn sweep_seed(seed: u64, steps_max: usize) -> Result<(usize, Report), String> {
    let make = |tracing| {
        let (mut prng, mut ids) = (Prng::new(seed), 0);
        let rates = FaultRates {
            accept: 0,
            transfer: 0,
            watch: 0,
            freeze: 0,
            ..FaultRates::random(&mut prng)
        };
        let rates = prng.choose(&[rates, FaultRates::NONE]);
        let count = prng.between(1, 3);
        let peers = (0..count).map(|_| random_async_peer(&mut prng, &mut ids));
        let peers = peers.collect();
        begin(prng, rates, peers, ids, tracing)
    };
    sweep(&make, steps_max).map_err(|what| format!("seed {seed}, {what}"))
}

fn begin(prng: Prng, rates: FaultRates, peers: Vec<Peer>, ids: u64, tracing: Tracing) -> Run {
    let mut run = Run::scripted(prng, rates, tracing);
    run.add_peers(peers, ids);
    run
}

/// What a run was like: the peers that could be disturbed before each step, and what it did.
type Course = (Vec<Vec<usize>>, Report);

/// Runs the program with nothing and with each disturbance; at `steps_max` of its steps, if it has more.
fn sweep(make: &dyn Fn(Tracing) -> Run, steps_max: usize) -> Result<(usize, Report), String> {
    let (present, mut total) =
        run_with(make, &[]).map_err(|what| format!("undisturbed: {what}"))?;
    let mut runs = 1;
    let stride = present.len().div_ceil(steps_max);
    // Odd strides, so that no kind of call is left out.
    for (step, peers) in present.iter().enumerate().step_by(stride | 1) {
        let of_peer = |peer: usize| Disturbance::ALL.map(|what| AtStep::Peer(peer, what));
        let of_peers = peers.iter().flat_map(|peer| of_peer(*peer));
        for what in of_peers.chain([AtStep::Stop]) {
            let (_, report) = run_with(make, &[(step, what)])
                .map_err(|why| format!("step {step}, {what:?}: {why}"))?;
            runs += 1;
            total = total.and(&report);
        }
    }
    Ok((runs, total))
}

/// Runs the program; once more with a trace if that fails.
fn run_with(make: &dyn Fn(Tracing) -> Run, due: &[(usize, AtStep)]) -> Result<Course, String> {
    let run = |tracing| {
        let mut trace = Vec::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut run = make(tracing);
            run.disturb(due);
            let outcome = run.run_to_end();
            trace = run.take_trace();
            outcome.map(|report| (run.take_present(), report))
        }));
        let outcome = outcome.unwrap_or_else(|panic| Err(message_of(&*panic)));
        outcome.map_err(|what| format!("{}\n{what}", trace.join("\n")))
    };
    run(Tracing::Off).or_else(|untraced| run(Tracing::On).and(Err(untraced)))
}

/// A peer that sends these requests at once, each body in a few pieces, and stays connected.
fn peer(kind: &'static str, prng: &mut Prng, ids: &mut u64, drafts: &[RequestDraft]) -> Peer {
    let mut generator = Generator::new(kind, prng, ids);
    for draft in drafts {
        let (head, body) = generator.request(draft);
        generator.send(head);
        for piece in body.chunks(body.len().div_ceil(3).max(1)) {
            generator.then(Step::Pause(5));
            generator.send(piece.to_vec());
        }
    }
    generator.await_all();
    generator.peer
}

fn pull(action: PullAction, body_len: usize) -> RequestDraft {
    RequestDraft {
        framing: Framing::Chunked,
        ..RequestDraft::new(Action::Pull(action), body_len)
    }
}

fn files(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let get = |len, has| RequestDraft::new(Action::File(len, has), 0);
    let drafts = [get(40_000, 40_000), get(9000, 9000), get(20_000, 20_000)];
    let mut narrow = peer("narrow", prng, ids, &drafts);
    narrow.outbound_len_max = 15_000;
    narrow.pace = Pace::Slow(7000, 10);
    vec![
        narrow,
        peer("reader", prng, ids, &[get(700_000, 700_000), get(1, 1)]),
        // Shorter than it was when its length was announced.
        peer("reader", prng, ids, &[get(90_000, 30_000)]),
    ]
}

fn pulled_bodies(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let waiting = PullAction::Count(Some(WakeKind::Several));
    let counted = RequestDraft {
        framing: Framing::Length,
        ..pull(PullAction::Count(None), 200)
    };
    let mut narrow = peer(
        "narrow",
        prng,
        ids,
        &[pull(PullAction::Echo(300), 3000), counted],
    );
    narrow.outbound_len_max = 700;
    narrow.pace = Pace::Slow(500, 10);
    let mut expectant = Generator::new("expectant", prng, ids);
    let (head, body) = expectant.request(&RequestDraft {
        fields: EXPECT,
        ..pull(PullAction::Collect(900), 90)
    });
    expectant.send(head);
    expectant.then(Step::AwaitContinue(60_000));
    expectant.send(body);
    expectant.await_all();
    let expectant = expectant.peer;
    vec![
        narrow,
        expectant,
        peer(
            "puller",
            prng,
            ids,
            &[
                pull(waiting, 300),
                pull(PullAction::Leave(20), 20),
                pull(PullAction::EchoSome(50), 50),
                pull(PullAction::Panic(10), 9),
            ],
        ),
    ]
}

fn bodies_of_code(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let plan = |form, end| WriterPlan {
        pieces: 3,
        len: 900,
        room: 1000,
        wake: Some(WakeKind::Several),
        end,
        form,
    };
    let get = |form, end| RequestDraft::new(Action::Writer(plan(form, end)), 0);
    let mut narrow = peer(
        "narrow",
        prng,
        ids,
        &[
            get(BodyForm::LocalFrames, WriterEnd::Trailers),
            get(BodyForm::Writer, WriterEnd::Trailers),
        ],
    );
    narrow.outbound_len_max = 1000;
    let reader = peer(
        "reader",
        prng,
        ids,
        &[
            get(BodyForm::Pieces, WriterEnd::Exact),
            get(BodyForm::LocalWriter, WriterEnd::Finish),
            get(BodyForm::LocalPieces, WriterEnd::PanicInDrop),
        ],
    );
    let timed = WriterPlan {
        wake: Some(WakeKind::Timer),
        ..plan(BodyForm::Writer, WriterEnd::PanicInDrop)
    };
    let timed = RequestDraft::new(Action::Writer(timed), 0);
    // Its body is dropped before it is begun.
    let head = RequestDraft {
        method: "HEAD",
        ..get(BodyForm::LocalFrames, WriterEnd::Return)
    };
    vec![narrow, reader, peer("timed", prng, ids, &[head, timed])]
}

fn timers_and_tasks(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let future = |wake, end| RequestDraft::new(Action::Future(2, wake, end), 0);
    // It runs on after the response.
    let task = VolatilePlan {
        place: VolatileIn::Response(InResponse::Task),
        waits: 3,
    };
    let task = RequestDraft::new(Action::Volatile(task), 0);
    vec![
        peer("spawner", prng, ids, &[task]),
        peer(
            "timers",
            prng,
            ids,
            &[
                future(WakeKind::Timer, FutureEnd::Response),
                future(WakeKind::Tick, FutureEnd::Response),
                future(WakeKind::Task, FutureEnd::Response),
                future(WakeKind::Several, FutureEnd::Response),
                future(WakeKind::Own, FutureEnd::Another),
                future(WakeKind::Several, FutureEnd::Informed),
            ],
        ),
        peer(
            "panics",
            prng,
            ids,
            &[
                future(WakeKind::Task, FutureEnd::PanicInDrop),
                future(WakeKind::Own, FutureEnd::Panic),
            ],
        ),
    ]
}

fn sockets(prng: &mut Prng, ids: &mut u64) -> Vec<Peer> {
    let actions = [
        SocketAction::Echo,
        SocketAction::Wait(WakeKind::Several),
        SocketAction::Close(100),
        SocketAction::Stop,
    ];
    let socket = |action| {
        let mut socket = Generator::new("socket", prng, ids);
        become_socket(&mut socket, action, 300);
        socket.then(Step::Pause(40));
        socket.then(Step::HalfClose);
        socket.peer
    };
    actions.map(socket).into()
}
