//! Worlds by hand: what went wrong once, here or in other servers, does not go wrong again.

use coldstart::server::Limits;
use coldstart::sim::{Heard, Scenario};

use super::{SECOND, ask, post};

#[test]
fn an_upload_that_pauses_behind_its_last_byte_is_answered_when_it_resumes() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, post("/1/pause/500", "", "hello"));
    assert_eq!(world.read(peer).text(), "");
    world.wait(SECOND);
    assert_eq!(world.read(peer).statuses(), [200]);
    assert_eq!(world.sleep(), None);
}

#[test]
fn the_last_request_of_a_turn_hears_100_continue_too() {
    let mut world = Scenario::new(Limits::new().pipeline_max(1));
    let peer = world.connect();
    let request = post("/1/echo", "Expect: 100-continue\r\n", "hello");
    let (head, body) = request.split_at(request.len() - 5);
    world.send(peer, head);
    assert_eq!(world.read(peer).statuses(), [100]);
    world.send(peer, body);
    assert_eq!(world.read(peer).statuses(), [200]);
}

#[test]
fn no_100_continue_follows_a_refusal_that_is_still_to_come() {
    let mut world = Scenario::default();
    let peer = world.connect();
    let request = post("/1/refuse-later/90000", "Expect: 100-continue\r\n", "hello");
    world.send(peer, &request[..request.len() - 5]);
    world.wait(89 * SECOND);
    assert_eq!(
        world.read(peer).text(),
        "",
        "neither 100 nor 408: the handler owes the answer"
    );
    world.wait(2 * SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [403]);
    assert!(!heard.is_open(), "the peer may never send the body");
}

#[test]
fn a_bad_chunk_behind_a_promised_early_answer_brings_no_second_answer() {
    let mut world = Scenario::default();
    let peer = world.connect();
    let head = "POST /1/refuse-later/100 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    world.send(peer, format!("{head}3\r\nabc\r\n"));
    world.run();
    world.send(peer, "xyz\r\n");
    world.wait(SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [403]);
    assert!(!heard.is_open());
}

#[test]
fn an_empty_part_of_a_file_is_an_answer_like_any_other() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/file/0/0") + &ask("/2/promise/10/0"));
    world.wait(SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [200, 200]);
    assert!(heard.is_open());
    assert_eq!(world.events(), [], "no handler is blamed");
}

#[test]
fn requests_that_came_before_the_stop_are_answered_and_the_last_answer_says_close() {
    let mut world = Scenario::new(Limits::new().pipeline_max(2));
    let peer = world.connect();
    world.send(peer, ask("/1/echo"));
    assert_eq!(world.read(peer).statuses(), [200]);
    let requests: Vec<String> = (2..=9).map(|id| ask(&format!("/{id}/echo"))).collect();
    world.send(peer, requests.concat());
    world.stop();
    let heard = world.read(peer);
    let answers: Vec<&str> = heard.text().split_inclusive("\r\n\r\n").collect();
    let (last, others) = answers.split_last().expect("an answer");
    assert!(last.contains("Connection: close\r\n"), "{last}");
    assert!(!others.concat().contains("Connection"));
    assert!(!heard.is_open());
    world.close(peer);
    world.run();
    assert!(world.is_stopped());
}

#[test]
fn a_pipeline_that_was_cut_short_goes_on_when_the_server_stops() {
    let mut world = Scenario::new(Limits::new().pipeline_max(1));
    let peer = world.connect();
    let requests: Vec<String> = (1..=9).map(|id| ask(&format!("/{id}/echo"))).collect();
    world.send(peer, requests.concat());
    world.turn();
    world.stop();
    let heard = world.read(peer);
    assert!(
        heard.text().contains("Connection: close\r\n"),
        "{}",
        heard.text()
    );
    assert!(!heard.is_open());
    world.wait(2 * SECOND);
    assert!(world.is_stopped(), "nothing is left to wait for");
}

#[test]
fn an_answer_on_its_way_is_whole_although_the_server_stops() {
    let mut world = Scenario::default();
    let peer = world.connect_with_room(100);
    world.send(peer, ask("/1/large/5000"));
    world.run();
    world.stop();
    world.run();
    world.send(peer, ask("/2/echo"));
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [200, 200]);
    assert!(
        heard.text().ends_with("Connection: close\r\n\r\n"),
        "{heard:?}"
    );
}

#[test]
fn an_idle_connection_does_not_keep_the_server_from_stopping() {
    let mut world = Scenario::default();
    let silent = world.connect();
    let idle = world.connect();
    world.send(idle, ask("/1/echo"));
    assert_eq!(world.read(idle).statuses(), [200]);
    world.stop();
    world.run();
    assert!(world.is_stopped());
    assert_eq!(world.read(silent), Heard::Ended(String::new()));
    assert_eq!(world.read(idle), Heard::Ended(String::new()));
}

#[test]
fn a_first_byte_that_races_the_stop_is_served() {
    for turns in 0..3 {
        let mut world = Scenario::default();
        let peer = world.connect();
        for _ in 0..turns {
            world.turn();
        }
        world.send(peer, ask("/1/echo"));
        world.stop();
        let heard = world.read(peer);
        assert_eq!(heard.statuses(), [200], "after {turns} turns");
        assert!(!heard.is_open());
    }
}

#[test]
fn what_runs_past_the_time_to_drain_is_cut_and_counted() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/promise/60000/0"));
    world.run();
    world.stop();
    world.wait(9 * SECOND);
    assert!(!world.is_stopped());
    world.wait(2 * SECOND);
    assert!(world.is_stopped());
    assert!(
        world
            .events()
            .contains(&coldstart::server::ServerEvent::Stopped(1))
    );
}

#[test]
fn a_request_behind_a_stream_is_answered_although_the_server_stops() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/stream/9/10/99/0") + &ask("/2/echo"));
    world.run();
    world.stop();
    world.wait(SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [200, 200]);
    assert!(
        heard.text().ends_with("Connection: close\r\n\r\n"),
        "{heard:?}"
    );
}

#[test]
fn a_busy_peer_does_not_keep_another_from_its_time_out() {
    let mut world = Scenario::new(Limits::new().pipeline_max(1));
    let busy = world.connect();
    let slow = world.connect();
    world.send(slow, "GET / HT");
    world.run();
    let requests: Vec<String> = (1..1000).map(|id| ask(&format!("/{id}/echo"))).collect();
    world.send(busy, requests.concat());
    world.turn();
    world.freeze(31 * SECOND);
    for _ in 0..5 {
        world.turn();
    }
    assert_eq!(world.read_some(slow, 9_999).statuses(), [408]);
}

#[test]
fn a_request_that_waits_when_the_machine_thaws_is_answered_and_not_timed_out() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, "GET /1/echo HTTP/1.1\r\n");
    world.run();
    world.freeze(300 * SECOND);
    // As much behind the first request as before its end: what is kept is as long as it was.
    world.send(peer, "Host: a\r\n\r\nGET /2/echo HTTP/1.1\r\n");
    world.interrupt();
    world.turn();
    assert_eq!(world.read(peer).statuses(), [200]);
    world.send(peer, "Host: a\r\n\r\n");
    assert_eq!(world.read(peer).statuses(), [200]);
}

#[test]
fn an_answer_that_was_being_read_when_the_machine_froze_is_not_cut() {
    let mut world = Scenario::default();
    let peer = world.connect_with_room(1_000);
    world.send(peer, ask("/1/large/5000"));
    world.run();
    world.freeze(300 * SECOND);
    let mut text = world.read_some(peer, 900).text().to_owned();
    world.interrupt();
    world.turn();
    world.turn();
    let heard = world.read(peer);
    assert!(heard.is_open());
    text.push_str(heard.text());
    assert!(text.len() > 5_000, "{} bytes", text.len());
}

#[test]
fn a_refusal_is_not_lost_to_bytes_that_came_while_the_machine_was_frozen() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, "nonsense\r\n\r\n");
    world.run();
    world.send(peer, "more of it\r\n");
    world.freeze(300 * SECOND);
    world.interrupt();
    world.turn();
    world.turn();
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [400]);
    assert!(matches!(heard, Heard::Ended(_)), "{heard:?}");
}

#[test]
fn an_answer_that_is_cut_takes_no_answer_before_it_along() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(
        peer,
        ask("/1/echo") + &ask("/2/stream/3/10/99/1") + &ask("/3/echo"),
    );
    world.run();
    world.send(peer, ask("/4/echo").repeat(100));
    // The peer reads only when all is over.
    world.wait(SECOND / 2);
    world.send(peer, ask("/5/echo"));
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [200, 200]);
    assert!(matches!(heard, Heard::Ended(_)), "{heard:?}");
    assert!(
        !heard.text().ends_with("0\r\n\r\n"),
        "the peer can tell that it was cut"
    );
}

#[test]
fn what_a_slow_reader_has_read_is_held_no_longer() {
    for len in [3_000, 9_000] {
        let mut world = Scenario::new(Limits::new().pending_out_len_max(20_000));
        let peer = world.connect_with_room(1_000);
        let ids = 1..500;
        let requests: Vec<String> = ids.map(|id| ask(&format!("/{id}/large/{len}"))).collect();
        world.send(peer, requests.concat());
        world.run();
        // A little at a time, so that there is always something left to send.
        for _ in 0..300 {
            assert!(!world.read_some(peer, 900).text().is_empty());
            world.run();
        }
        let held = world.held_output_max();
        assert!(held < 100_000, "{held} bytes for answers of {len}");
    }
}

#[test]
fn a_peer_that_is_reset_while_its_upload_pauses_is_noticed_at_once() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, post("/1/pause-late", "", "hello"));
    world.run();
    world.reset(peer);
    world.run();
    assert_eq!(world.sessions(), (0, 0));
    assert_eq!(world.uploads_cut(), 1);
}

#[test]
fn a_peer_that_is_reset_while_its_answer_is_promised_is_noticed_at_once() {
    for path in ["/1/promise/0/2", "/1/stream/1/1/9/2"] {
        let mut world = Scenario::default();
        let peer = world.connect();
        world.send(peer, ask(path));
        world.run();
        world.reset(peer);
        world.run();
        assert_eq!(world.sessions(), (0, 0), "{path}");
    }
}

#[test]
fn a_half_close_behind_a_request_whose_answer_is_promised_cuts_nothing() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/promise/90000/0"));
    world.half_close(peer);
    world.wait(80 * SECOND);
    let turns = world.turns();
    world.wait(5 * SECOND);
    assert!(world.turns() <= turns + 4, "no busy loop");
    world.wait(9 * SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [200]);
    assert!(matches!(heard, Heard::Ended(_)));
    assert_eq!(world.sessions(), (0, 0));
}

#[test]
fn a_half_close_in_a_body_ends_the_connection_and_spins_nowhere() {
    for fields in ["", "Connection: close\r\n"] {
        let mut world = Scenario::default();
        let peer = world.connect();
        let request = post("/1/count", fields, "hello");
        world.send(peer, &request[..request.len() - 1]);
        world.run();
        world.half_close(peer);
        assert_eq!(world.read(peer), Heard::Ended(String::new()));
        assert_eq!(world.sessions(), (0, 0));
        assert_eq!(world.uploads_cut(), 1);
        assert!(world.turns() < 12);
    }
}

#[test]
fn room_that_comes_back_wakes_a_blocked_answer() {
    let mut world = Scenario::default();
    for len in [1, 90, 5_000] {
        let peer = world.connect_with_room(len);
        world.send(peer, ask(&format!("/{len}/large/20000")));
        let heard = world.read(peer);
        assert_eq!(heard.statuses(), [200]);
        assert!(heard.text().len() > 20_000 && heard.is_open());
    }
    assert_eq!(world.sleep(), None);
}

#[test]
fn a_channel_that_is_dropped_while_its_answer_is_blocked_is_cut_behind_what_was_sent() {
    let mut world = Scenario::default();
    let peer = world.connect_with_room(100);
    world.send(peer, ask("/1/stream/4/500/9999/1"));
    world.wait(SECOND);
    let heard = world.read(peer);
    assert!(matches!(heard, Heard::Ended(_)));
    assert_eq!(
        heard.text().matches("1f4\r\n").count(),
        4,
        "all that was sent"
    );
    assert!(!heard.text().contains("\r\n0\r\n\r\n"));
}

#[test]
fn trailers_cost_no_connection_its_keep_alive() {
    let mut world = Scenario::default();
    let peer = world.connect();
    let head = "POST /1/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    world.send(peer, format!("{head}2\r\nab\r\n0\r\nX-Sum: 1\r\n"));
    world.run();
    world.send(peer, "Y: 2\r\n\r\n".to_owned() + &ask("/2/echo"));
    assert_eq!(world.read(peer).statuses(), [200, 200]);
    world.send(peer, ask("/3/echo"));
    assert_eq!(world.read(peer).statuses(), [200]);
}

#[test]
fn those_kept_out_by_the_bound_on_connections_come_in_when_one_closes() {
    let mut world = Scenario::new(Limits::new().connections_max(1));
    let first = world.connect();
    let second = world.connect();
    world.send(second, ask("/2/echo"));
    assert_eq!(world.read(second).text(), "");
    assert_eq!(world.sleep(), None, "nobody spins over a full table");
    world.close(first);
    assert_eq!(world.read(second).statuses(), [200]);
}

#[test]
fn those_kept_out_for_want_of_descriptors_come_in_without_an_event() {
    let mut world = Scenario::default();
    let first = world.connect();
    world.run();
    world.exhaust_descriptors(SECOND);
    let second = world.connect();
    world.send(second, ask("/2/echo"));
    world.run();
    let turns = world.turns();
    world.wait(SECOND / 2);
    assert!(world.turns() < turns + 20, "it is tried now and then");
    world.wait(SECOND);
    assert_eq!(world.read(second).statuses(), [200]);
    assert_eq!(
        world.events(),
        [coldstart::server::ServerEvent::DescriptorsExhausted],
        "said once"
    );
    assert!(world.read(first).is_open());
}

#[test]
fn an_idle_connection_costs_no_memory_and_no_deadline() {
    let mut world = Scenario::default();
    let peers: Vec<_> = (0..300).map(|_| world.connect()).collect();
    for (id, peer) in peers.iter().enumerate() {
        world.send(*peer, ask(&format!("/{id}/large/9000")));
    }
    for peer in &peers {
        assert_eq!(world.read(*peer).statuses(), [200]);
    }
    world.run();
    assert_eq!(world.sessions(), (300, 0));
    assert_eq!(world.sleep(), None);
    world.wait(100_000 * SECOND);
    assert!(peers.iter().all(|peer| world.read_some(*peer, 1).is_open()));
}

#[test]
fn a_slow_head_of_a_head_request_is_told_408_without_content() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, "HEAD /1/echo HTTP/1.1\r\nHo");
    world.wait(30 * SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [408]);
    assert!(
        matches!(&heard, Heard::Ended(text) if text.ends_with("\r\n\r\n")),
        "{heard:?}"
    );
}

#[test]
fn a_slow_head_and_a_slow_body_are_told_408() {
    let begun = [
        "GET /1/ec",
        "POST /1/count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
    ];
    for bytes in begun {
        let mut world = Scenario::default();
        let peer = world.connect();
        world.send(peer, bytes);
        world.wait(29 * SECOND);
        assert_eq!(world.read(peer), Heard::Bytes(String::new()));
        world.wait(SECOND);
        let heard = world.read(peer);
        assert_eq!(heard.statuses(), [408]);
        assert!(matches!(heard, Heard::Ended(_)));
        world.wait(2 * SECOND);
        assert_eq!(world.sessions(), (0, 0));
    }
}

#[test]
fn a_byte_that_waits_at_the_deadline_counts_although_it_is_none_of_the_body() {
    let mut world = Scenario::default();
    let peer = world.connect();
    let head = "POST /1/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    world.send(peer, format!("{head}2;a"));
    world.run();
    world.freeze(300 * SECOND);
    world.send(peer, "b");
    for _ in 0..2 {
        world.interrupt();
        world.turn();
    }
    world.send(peer, "\r\nhi\r\n0\r\n\r\n");
    assert_eq!(world.read(peer).statuses(), [200]);
}

#[test]
fn a_stop_takes_one_backlog_and_runs_no_handler_before_the_listener_is_closed() {
    let mut world = Scenario::default();
    let waiting: Vec<_> = (0..40).map(|_| world.connect()).collect();
    for (id, peer) in waiting.iter().enumerate() {
        world.send(*peer, ask(&format!("/{id}/busy/20")));
    }
    world.stop();
    world.turn();
    assert!(!world.is_listening(), "later connects are refused");
    for peer in &waiting {
        let heard = world.read(*peer);
        assert_eq!(heard.statuses(), [200], "its handler had time");
        assert!(matches!(heard, Heard::Ended(_)));
        world.close(*peer);
    }
    world.run();
    assert!(world.is_stopped());
}

#[test]
fn a_drain_ends_in_time_although_handlers_use_up_all_of_it() {
    let mut world = Scenario::default();
    let waiting: Vec<_> = (0..100).map(|_| world.connect()).collect();
    for (id, peer) in waiting.iter().enumerate() {
        world.send(*peer, ask(&format!("/{id}/busy/1000")));
    }
    let began = world.time();
    world.stop();
    world.run();
    assert!(world.is_stopped());
    // The handler that was running at the deadline is finished.
    assert!(world.time() - began <= 11 * SECOND);
}

#[test]
fn a_promise_that_is_due_within_the_drain_is_kept() {
    let mut world = Scenario::default();
    let waiting = world.connect();
    world.send(waiting, ask("/1/promise/50/0"));
    world.run();
    for id in 2..40 {
        let busy = world.connect();
        world.send(busy, ask(&format!("/{id}/busy/20")));
    }
    world.stop();
    world.wait(2 * SECOND);
    assert_eq!(world.read(waiting).statuses(), [200]);
    assert!(world.is_stopped());
}

#[test]
fn a_full_server_evicts_who_never_sent_anything_and_then_the_longest_idle() {
    let mut world = Scenario::evicting(Limits::new().connections_max(3));
    let first = world.connect();
    world.send(first, ask("/1/echo"));
    assert_eq!(world.read(first).statuses(), [200]);
    let second = world.connect();
    world.send(second, ask("/2/echo"));
    assert_eq!(world.read(second).statuses(), [200]);
    let silent = world.connect();
    world.run();
    let mut newcomer = |id: u32| {
        let peer = world.connect();
        world.send(peer, ask(&format!("/{id}/promise/90000/0")));
        world.run();
        peer
    };
    let third = newcomer(3);
    let fourth = newcomer(4);
    assert!(!world.read(silent).is_open(), "it never sent anything");
    assert!(!world.read(first).is_open(), "it has been idle for longest");
    assert!(world.read(second).is_open());
    world.wait(100 * SECOND);
    for peer in [third, fourth] {
        assert_eq!(world.read(peer).statuses(), [200], "it was not idle");
    }
}

#[test]
fn a_request_that_has_arrived_is_not_evicted() {
    let mut world = Scenario::evicting(Limits::new().connections_max(1));
    let idle = world.connect();
    world.send(idle, ask("/1/echo"));
    assert_eq!(world.read(idle).statuses(), [200]);
    let newcomer = world.connect();
    world.send(idle, ask("/2/echo"));
    world.send(newcomer, ask("/3/echo"));
    assert_eq!(world.read(idle).statuses(), [200]);
    // Idle again, it makes room.
    assert_eq!(world.read(newcomer).statuses(), [200]);
}

#[test]
fn idle_connections_are_never_closed_unless_that_is_wanted() {
    let mut world = Scenario::new(Limits::new().connections_max(1));
    let idle = world.connect();
    world.run();
    let newcomer = world.connect();
    world.send(newcomer, ask("/2/echo"));
    world.wait(100_000 * SECOND);
    assert!(world.read(idle).is_open());
    assert_eq!(world.read(newcomer).text(), "");
}

#[test]
fn a_stream_of_tiny_pieces_leaves_each_turn_to_others() {
    let mut world = Scenario::default();
    let stream = world.connect_with_room(1024 * 1024);
    world.send(stream, ask("/1/stream/4000/1/64000/0"));
    world.wait(SECOND);
    let upload = world.connect_with_room(1024 * 1024);
    let chunks = "1\r\na\r\n".repeat(4_000) + "0\r\n\r\n";
    let head = "POST /2/count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    world.send(upload, head.to_owned() + &chunks);
    let healthy = world.connect();
    world.send(healthy, ask("/3/echo"));
    world.turn();
    world.turn();
    assert_eq!(world.read_some(healthy, 9_999).statuses(), [200]);
    assert_eq!(
        world.read_some(upload, 9_999).text(),
        "",
        "4 000 pieces take more than two turns"
    );
    assert_eq!(world.read(upload).statuses(), [200]);
}
