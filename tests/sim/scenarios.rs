//! Scenarios: regressions, of this server and of others.

use coldstart::server::{Limits, ServerEvent};
use coldstart::sim::{Received, Scenario};

use super::{SECOND, get, post};

#[test]
fn an_upload_that_pauses_after_its_last_byte_responds_when_it_resumes() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, post("/1/pause/500", "", "hello"));
    assert_eq!(sim.read(peer).text(), "");
    sim.wait(SECOND);
    assert_eq!(sim.read(peer).statuses(), [200]);
    assert_eq!(sim.sleep(), None);
}

#[test]
fn the_last_request_of_a_turn_gets_100_continue_too() {
    let mut sim = Scenario::new(Limits::new().pipeline_max(1));
    let peer = sim.connect();
    let request = post("/1/echo", "Expect: 100-continue\r\n", "hello");
    let (head, body) = request.split_at(request.len() - 5);
    sim.send(peer, head);
    assert_eq!(sim.read(peer).statuses(), [100]);
    sim.send(peer, body);
    assert_eq!(sim.read(peer).statuses(), [200]);
}

#[test]
fn a_refusal_that_is_promised_is_not_preceded_by_100_continue() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    let request = post("/1/refuse-later/90000", "Expect: 100-continue\r\n", "hello");
    sim.send(peer, &request[..request.len() - 5]);
    sim.wait(89 * SECOND);
    assert_eq!(
        sim.read(peer).text(),
        "",
        "neither 100 nor 408: the handler still owes the response"
    );
    sim.wait(2 * SECOND);
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [403]);
    assert!(!received.is_open(), "the peer may never send the body");
}

#[test]
fn a_bad_chunk_after_a_promised_early_response_brings_no_second_response() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    let head = "POST /1/refuse-later/100 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    sim.send(peer, format!("{head}3\r\nabc\r\n"));
    sim.run();
    sim.send(peer, "xyz\r\n");
    sim.wait(SECOND);
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [403]);
    assert!(!received.is_open());
}

#[test]
fn an_empty_part_of_a_file_is_a_complete_response() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/file/0/0") + &get("/2/promise/10/0"));
    sim.wait(SECOND);
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [200, 200]);
    assert!(received.is_open());
    assert_eq!(sim.events(), [], "no handler error is reported");
}

#[test]
fn requests_that_came_before_the_stop_get_responses_and_the_last_one_says_close() {
    let mut sim = Scenario::new(Limits::new().pipeline_max(2));
    let peer = sim.connect();
    sim.send(peer, get("/1/echo"));
    assert_eq!(sim.read(peer).statuses(), [200]);
    let requests: Vec<String> = (2..=9).map(|id| get(&format!("/{id}/echo"))).collect();
    sim.send(peer, requests.concat());
    sim.stop();
    let received = sim.read(peer);
    let responses: Vec<&str> = received.text().split_inclusive("\r\n\r\n").collect();
    let (last, others) = responses.split_last().expect("a response");
    assert!(last.contains("Connection: close\r\n"), "{last}");
    assert!(!others.concat().contains("Connection"));
    assert!(!received.is_open());
    sim.close(peer);
    sim.run();
    assert!(sim.is_stopped());
}

#[test]
fn a_pipeline_over_its_limit_continues_when_the_server_stops() {
    let mut sim = Scenario::new(Limits::new().pipeline_max(1));
    let peer = sim.connect();
    let requests: Vec<String> = (1..=9).map(|id| get(&format!("/{id}/echo"))).collect();
    sim.send(peer, requests.concat());
    sim.turn();
    sim.stop();
    let received = sim.read(peer);
    assert!(
        received.text().contains("Connection: close\r\n"),
        "{}",
        received.text()
    );
    assert!(!received.is_open());
    sim.wait(2 * SECOND);
    assert!(sim.is_stopped(), "nothing is left to wait for");
}

#[test]
fn a_stop_does_not_cut_a_response_that_has_begun() {
    let mut sim = Scenario::default();
    let peer = sim.connect_with_room(100);
    sim.send(peer, get("/1/large/5000"));
    sim.run();
    sim.stop();
    sim.run();
    sim.send(peer, get("/2/echo"));
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [200, 200]);
    assert!(
        received.text().ends_with("Connection: close\r\n\r\n"),
        "{received:?}"
    );
}

#[test]
fn an_idle_connection_does_not_keep_the_server_from_stopping() {
    let mut sim = Scenario::default();
    let silent = sim.connect();
    let idle = sim.connect();
    sim.send(idle, get("/1/echo"));
    assert_eq!(sim.read(idle).statuses(), [200]);
    sim.stop();
    sim.run();
    assert!(sim.is_stopped());
    assert_eq!(sim.read(silent), Received::Ended(String::new()));
    assert_eq!(sim.read(idle), Received::Ended(String::new()));
}

#[test]
fn a_first_byte_that_races_the_stop_is_served() {
    for turns in 0..3 {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        for _ in 0..turns {
            sim.turn();
        }
        sim.send(peer, get("/1/echo"));
        sim.stop();
        let received = sim.read(peer);
        assert_eq!(received.statuses(), [200], "after {turns} turns");
        assert!(!received.is_open());
    }
}

#[test]
fn a_request_that_outlasts_the_drain_time_out_is_cut_and_counted() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/promise/60000/0"));
    sim.run();
    sim.stop();
    sim.wait(9 * SECOND);
    assert!(!sim.is_stopped());
    sim.wait(2 * SECOND);
    assert!(sim.is_stopped());
    assert!(sim.events().contains(&ServerEvent::Stopped(1)));
}

#[test]
fn a_request_after_a_stream_gets_a_response_although_the_server_stops() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/stream/9/10/99/0") + &get("/2/echo"));
    sim.run();
    sim.stop();
    sim.wait(SECOND);
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [200, 200]);
    assert!(
        received.text().ends_with("Connection: close\r\n\r\n"),
        "{received:?}"
    );
}

#[test]
fn a_busy_peer_does_not_delay_the_time_out_of_another() {
    let mut sim = Scenario::new(Limits::new().pipeline_max(1));
    let busy = sim.connect();
    let slow = sim.connect();
    sim.send(slow, "GET / HT");
    sim.run();
    let requests: Vec<String> = (1..1000).map(|id| get(&format!("/{id}/echo"))).collect();
    sim.send(busy, requests.concat());
    sim.turn();
    sim.freeze(31 * SECOND);
    for _ in 0..5 {
        sim.turn();
    }
    assert_eq!(sim.read_some(slow, 9_999).statuses(), [408]);
}

#[test]
fn a_request_that_came_while_the_machine_was_frozen_is_not_timed_out() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, "GET /1/echo HTTP/1.1\r\n");
    sim.run();
    sim.freeze(300 * SECOND);
    // As many bytes follow the first request as came before its end, so the input buffer keeps its length.
    sim.send(peer, "Host: a\r\n\r\nGET /2/echo HTTP/1.1\r\n");
    sim.interrupt();
    sim.turn();
    assert_eq!(sim.read(peer).statuses(), [200]);
    sim.send(peer, "Host: a\r\n\r\n");
    assert_eq!(sim.read(peer).statuses(), [200]);
}

#[test]
fn a_response_that_was_being_read_when_the_machine_froze_is_not_cut() {
    let mut sim = Scenario::default();
    let peer = sim.connect_with_room(1_000);
    sim.send(peer, get("/1/large/5000"));
    sim.run();
    sim.freeze(300 * SECOND);
    let mut text = sim.read_some(peer, 900).text().to_owned();
    sim.interrupt();
    sim.turn();
    sim.turn();
    let received = sim.read(peer);
    assert!(received.is_open());
    text.push_str(received.text());
    assert!(text.len() > 5_000, "{} bytes", text.len());
}

#[test]
fn bytes_that_came_while_the_machine_was_frozen_do_not_destroy_a_refusal() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, "nonsense\r\n\r\n");
    sim.run();
    sim.send(peer, "more of it\r\n");
    sim.freeze(300 * SECOND);
    sim.interrupt();
    sim.turn();
    sim.turn();
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [400]);
    assert!(matches!(received, Received::Ended(_)), "{received:?}");
}

#[test]
fn a_response_that_is_cut_does_not_destroy_those_before_it() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(
        peer,
        get("/1/echo") + &get("/2/stream/3/10/99/1") + &get("/3/echo"),
    );
    sim.run();
    sim.send(peer, get("/4/echo").repeat(100));
    // The peer reads only after the server has closed.
    sim.wait(SECOND / 2);
    sim.send(peer, get("/5/echo"));
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [200, 200]);
    assert!(matches!(received, Received::Ended(_)), "{received:?}");
    assert!(
        !received.text().ends_with("0\r\n\r\n"),
        "the peer can tell that it was cut"
    );
}

#[test]
fn the_output_that_a_slow_reader_has_read_is_freed() {
    for len in [3_000, 9_000] {
        let mut sim = Scenario::new(Limits::new().pending_out_len_max(20_000));
        let peer = sim.connect_with_room(1_000);
        let ids = 1..500;
        let requests: Vec<String> = ids.map(|id| get(&format!("/{id}/large/{len}"))).collect();
        sim.send(peer, requests.concat());
        sim.run();
        // In small reads, so that the output is never empty.
        for _ in 0..300 {
            assert!(!sim.read_some(peer, 900).text().is_empty());
            sim.run();
        }
        let held = sim.held_output_max();
        assert!(held < 100_000, "{held} bytes for responses of {len}");
    }
}

#[test]
fn a_reset_while_an_upload_pauses_is_noticed_at_once() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, post("/1/pause-late", "", "hello"));
    sim.run();
    sim.reset(peer);
    sim.run();
    assert_eq!(sim.sessions(), (0, 0));
    assert_eq!(sim.uploads_cut(), 1);
}

#[test]
fn a_reset_while_a_response_is_promised_is_noticed_at_once() {
    for path in ["/1/promise/0/2", "/1/stream/1/1/9/2"] {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        sim.send(peer, get(path));
        sim.run();
        sim.reset(peer);
        sim.run();
        assert_eq!(sim.sessions(), (0, 0), "{path}");
    }
}

#[test]
fn a_half_close_does_not_cut_a_promised_response() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/promise/90000/0"));
    sim.half_close(peer);
    sim.wait(80 * SECOND);
    let turns = sim.turns();
    sim.wait(5 * SECOND);
    assert!(sim.turns() <= turns + 4, "no busy loop");
    sim.wait(9 * SECOND);
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [200]);
    assert!(matches!(received, Received::Ended(_)));
    assert_eq!(sim.sessions(), (0, 0));
}

#[test]
fn a_half_close_in_a_body_ends_the_connection_without_a_busy_loop() {
    for fields in ["", "Connection: close\r\n"] {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        let request = post("/1/count", fields, "hello");
        sim.send(peer, &request[..request.len() - 1]);
        sim.run();
        sim.half_close(peer);
        assert_eq!(sim.read(peer), Received::Ended(String::new()));
        assert_eq!(sim.sessions(), (0, 0));
        assert_eq!(sim.uploads_cut(), 1);
        assert!(sim.turns() < 12);
    }
}

#[test]
fn room_in_the_socket_resumes_a_blocked_response() {
    let mut sim = Scenario::default();
    for len in [1, 90, 5_000] {
        let peer = sim.connect_with_room(len);
        sim.send(peer, get(&format!("/{len}/large/20000")));
        let received = sim.read(peer);
        assert_eq!(received.statuses(), [200]);
        assert!(received.text().len() > 20_000 && received.is_open());
    }
    assert_eq!(sim.sleep(), None);
}

#[test]
fn a_dropped_stream_is_cut_after_all_that_was_sent() {
    let mut sim = Scenario::default();
    let peer = sim.connect_with_room(100);
    sim.send(peer, get("/1/stream/4/500/9999/1"));
    sim.wait(SECOND);
    let received = sim.read(peer);
    assert!(matches!(received, Received::Ended(_)));
    assert_eq!(
        received.text().matches("1f4\r\n").count(),
        4,
        "everything that was sent"
    );
    assert!(!received.text().contains("\r\n0\r\n\r\n"));
}

#[test]
fn trailers_do_not_end_keep_alive() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    let head = "POST /1/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    sim.send(peer, format!("{head}2\r\nab\r\n0\r\nX-Sum: 1\r\n"));
    sim.run();
    sim.send(peer, "Y: 2\r\n\r\n".to_owned() + &get("/2/echo"));
    assert_eq!(sim.read(peer).statuses(), [200, 200]);
    sim.send(peer, get("/3/echo"));
    assert_eq!(sim.read(peer).statuses(), [200]);
}

#[test]
fn a_connection_over_the_limit_is_accepted_when_another_closes() {
    let mut sim = Scenario::new(Limits::new().connections_max(1));
    let first = sim.connect();
    let second = sim.connect();
    sim.send(second, get("/2/echo"));
    assert_eq!(sim.read(second).text(), "");
    assert_eq!(sim.sleep(), None, "no busy loop over a full table");
    sim.close(first);
    assert_eq!(sim.read(second).statuses(), [200]);
}

#[test]
fn a_connection_refused_for_want_of_descriptors_is_accepted_without_a_new_event() {
    let mut sim = Scenario::default();
    let first = sim.connect();
    sim.run();
    sim.exhaust_descriptors(SECOND);
    let second = sim.connect();
    sim.send(second, get("/2/echo"));
    sim.run();
    let turns = sim.turns();
    sim.wait(SECOND / 2);
    assert!(sim.turns() < turns + 20, "accept is retried now and then");
    sim.wait(SECOND);
    assert_eq!(sim.read(second).statuses(), [200]);
    assert_eq!(
        sim.events(),
        [ServerEvent::DescriptorsExhausted],
        "reported once"
    );
    assert!(sim.read(first).is_open());
}

#[test]
fn an_idle_connection_costs_no_memory_and_no_deadline() {
    let mut sim = Scenario::default();
    let peers: Vec<_> = (0..300).map(|_| sim.connect()).collect();
    for (id, peer) in peers.iter().enumerate() {
        sim.send(*peer, get(&format!("/{id}/large/9000")));
    }
    for peer in &peers {
        assert_eq!(sim.read(*peer).statuses(), [200]);
    }
    sim.run();
    assert_eq!(sim.sessions(), (300, 0));
    assert_eq!(sim.sleep(), None);
    sim.wait(100_000 * SECOND);
    assert!(peers.iter().all(|peer| sim.read_some(*peer, 1).is_open()));
}

#[test]
fn a_slow_head_of_a_head_request_gets_a_408_without_content() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, "HEAD /1/echo HTTP/1.1\r\nHo");
    sim.wait(30 * SECOND);
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [408]);
    assert!(
        matches!(&received, Received::Ended(text) if text.ends_with("\r\n\r\n")),
        "{received:?}"
    );
}

#[test]
fn a_slow_head_and_a_slow_body_get_a_408() {
    let begun = [
        "GET /1/ec",
        "POST /1/count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
    ];
    for bytes in begun {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        sim.send(peer, bytes);
        sim.wait(29 * SECOND);
        assert_eq!(sim.read(peer), Received::Bytes(String::new()));
        sim.wait(SECOND);
        let received = sim.read(peer);
        assert_eq!(received.statuses(), [408]);
        assert!(matches!(received, Received::Ended(_)));
        sim.wait(2 * SECOND);
        assert_eq!(sim.sessions(), (0, 0));
    }
}

#[test]
fn a_byte_of_chunk_framing_that_came_before_the_deadline_prevents_the_time_out() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    let head = "POST /1/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    sim.send(peer, format!("{head}2;a"));
    sim.run();
    sim.freeze(300 * SECOND);
    sim.send(peer, "b");
    for _ in 0..2 {
        sim.interrupt();
        sim.turn();
    }
    sim.send(peer, "\r\nhi\r\n0\r\n\r\n");
    assert_eq!(sim.read(peer).statuses(), [200]);
}

#[test]
fn a_stop_accepts_the_backlog_once_and_closes_the_listener_before_any_handler_runs() {
    let mut sim = Scenario::default();
    let waiting: Vec<_> = (0..40).map(|_| sim.connect()).collect();
    for (id, peer) in waiting.iter().enumerate() {
        sim.send(*peer, get(&format!("/{id}/busy/20")));
    }
    sim.stop();
    sim.turn();
    assert!(!sim.is_listening(), "later connects are refused");
    for peer in &waiting {
        let received = sim.read(*peer);
        assert_eq!(received.statuses(), [200], "its handler had time");
        assert!(matches!(received, Received::Ended(_)));
        sim.close(*peer);
    }
    sim.run();
    assert!(sim.is_stopped());
}

#[test]
fn a_drain_ends_in_time_although_busy_handlers_use_all_of_it() {
    let mut sim = Scenario::default();
    let waiting: Vec<_> = (0..100).map(|_| sim.connect()).collect();
    for (id, peer) in waiting.iter().enumerate() {
        sim.send(*peer, get(&format!("/{id}/busy/1000")));
    }
    let began = sim.time();
    sim.stop();
    sim.run();
    assert!(sim.is_stopped());
    // The handler that was running at the deadline is finished.
    assert!(sim.time() - began <= 11 * SECOND);
}

#[test]
fn a_promise_that_is_due_within_the_drain_is_fulfilled() {
    let mut sim = Scenario::default();
    let waiting = sim.connect();
    sim.send(waiting, get("/1/promise/50/0"));
    sim.run();
    for id in 2..40 {
        let busy = sim.connect();
        sim.send(busy, get(&format!("/{id}/busy/20")));
    }
    sim.stop();
    sim.wait(2 * SECOND);
    assert_eq!(sim.read(waiting).statuses(), [200]);
    assert!(sim.is_stopped());
}

#[test]
fn a_full_server_evicts_a_silent_connection_first_and_then_the_longest_idle() {
    let mut sim = Scenario::evicting(Limits::new().connections_max(3));
    let first = sim.connect();
    sim.send(first, get("/1/echo"));
    assert_eq!(sim.read(first).statuses(), [200]);
    let second = sim.connect();
    sim.send(second, get("/2/echo"));
    assert_eq!(sim.read(second).statuses(), [200]);
    let silent = sim.connect();
    sim.run();
    let mut newcomer = |id: u32| {
        let peer = sim.connect();
        sim.send(peer, get(&format!("/{id}/promise/90000/0")));
        sim.run();
        peer
    };
    let third = newcomer(3);
    let fourth = newcomer(4);
    assert!(!sim.read(silent).is_open(), "it never sent anything");
    assert!(!sim.read(first).is_open(), "it has been idle for longest");
    assert!(sim.read(second).is_open());
    sim.wait(100 * SECOND);
    for peer in [third, fourth] {
        assert_eq!(sim.read(peer).statuses(), [200], "it was not idle");
    }
}

#[test]
fn a_request_that_has_arrived_is_not_evicted() {
    let mut sim = Scenario::evicting(Limits::new().connections_max(1));
    let idle = sim.connect();
    sim.send(idle, get("/1/echo"));
    assert_eq!(sim.read(idle).statuses(), [200]);
    let newcomer = sim.connect();
    sim.send(idle, get("/2/echo"));
    sim.send(newcomer, get("/3/echo"));
    assert_eq!(sim.read(idle).statuses(), [200]);
    // It is idle again, so it is evicted.
    assert_eq!(sim.read(newcomer).statuses(), [200]);
}

#[test]
fn idle_connections_are_not_closed_without_the_evict_policy() {
    let mut sim = Scenario::new(Limits::new().connections_max(1));
    let idle = sim.connect();
    sim.run();
    let newcomer = sim.connect();
    sim.send(newcomer, get("/2/echo"));
    sim.wait(100_000 * SECOND);
    assert!(sim.read(idle).is_open());
    assert_eq!(sim.read(newcomer).text(), "");
}

#[test]
fn a_stream_of_tiny_pieces_does_not_use_up_a_turn() {
    let mut sim = Scenario::default();
    let stream = sim.connect_with_room(1024 * 1024);
    sim.send(stream, get("/1/stream/4000/1/64000/0"));
    sim.wait(SECOND);
    let upload = sim.connect_with_room(1024 * 1024);
    let chunks = "1\r\na\r\n".repeat(4_000) + "0\r\n\r\n";
    let head = "POST /2/count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    sim.send(upload, head.to_owned() + &chunks);
    let healthy = sim.connect();
    sim.send(healthy, get("/3/echo"));
    sim.turn();
    sim.turn();
    assert_eq!(sim.read_some(healthy, 9_999).statuses(), [200]);
    assert_eq!(
        sim.read_some(upload, 9_999).text(),
        "",
        "4 000 pieces take more than two turns"
    );
    assert_eq!(sim.read(upload).statuses(), [200]);
}

#[test]
fn pauses_of_an_upload_do_not_lower_the_quota_of_its_peer() {
    let chunk = |len: usize| format!("{len:x}\r\n{}\r\n", "x".repeat(len));
    for (len, statuses) in [(1, vec![408]), (600, vec![])] {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        sim.send(
            peer,
            "POST /1/pause/100 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        let mut received = sim.read(peer);
        for _ in 0..6 {
            if received.is_open() {
                sim.send(peer, chunk(len));
            }
            sim.wait(20 * SECOND);
            if received.is_open() {
                received = sim.read(peer);
            }
        }
        assert_eq!(received.statuses(), statuses, "chunks of {len}");
        assert_eq!(sim.uploads_cut(), statuses.len() as u64);
    }
}

#[test]
fn requests_that_are_kept_do_not_give_their_peer_more_time_to_read() {
    let mut sim = Scenario::new(Limits::new().pipeline_max(1));
    let peer = sim.connect_with_room(100);
    let requests: String = (1..20).map(|id| get(&format!("/{id}/large/500"))).collect();
    sim.send(peer, requests);
    for _ in 0..2 {
        sim.wait(25 * SECOND);
        assert_eq!(sim.sessions().0, 1);
        // Each event has the next one handled.
        sim.send(peer, "x");
    }
    sim.wait(25 * SECOND);
    assert_eq!(sim.sessions(), (0, 0), "not a byte was read for 75 s");
}

#[test]
fn a_refused_peer_that_sends_on_reads_its_response() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(
        peer,
        "POST /1/limit/8 HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n",
    );
    for _ in 0..40 {
        sim.send(peer, vec![b'x'; 32 * 1024]);
        sim.run();
    }
    sim.wait(SECOND / 2);
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [413]);
    assert!(matches!(received, Received::Ended(_)), "{received:?}");
}

#[test]
fn a_refused_peer_that_never_ends_is_closed_in_the_end() {
    for (pause, longest) in [(SECOND / 2, 31 * SECOND), (2 * SECOND, 3 * SECOND)] {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        sim.send(
            peer,
            "POST /1/limit/8 HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n",
        );
        sim.run();
        let begun_at = sim.time();
        while sim.sessions().0 > 0 {
            sim.send(peer, "x");
            sim.wait(pause);
        }
        let lingered = sim.time() - begun_at;
        assert!(lingered <= longest, "{lingered:?} with pauses of {pause:?}");
    }
}
