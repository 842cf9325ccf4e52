//! RFC 9112 (HTTP/1.1), one test per requirement on an origin server.
//!
//! Left out, each with its reason:
//!
//! - §2.2 (no bare CR, no whitespace before the first field), §3.2 (Host first), §5.2 (no folding): as
//!   requirements on a *sender of requests* they bind clients; how to treat such requests is tested below.
//! - §3.2.2 and §3.3 (rewriting and reconstructing targets), §5.2 and §6.1 to §6.3 on forwarding, §7.1.2, §7.1.3,
//!   §9.6 on upstream connections: bind proxies and gateways.
//! - §3 (501 for a method longer than any that is implemented, a SHOULD): the router decides on methods of up to
//!   32 bytes; longer ones get 400, so that the limit does not depend on the handler.
//! - §6.1 (a server may send 411 if only a coding is given): a MAY that we do not use.
//! - §6.3 item 4 (400 where `chunked` is not last) and §6.1 (501 for an unknown coding): if no coding
//!   of the list is `chunked`, both apply, and 501 tells the sender more. The connection ends either way.
//! - §7.2, §7.3 (compression codings, their registry): we decode none and send none.
//! - §7.4 (TE), §8 on incomplete responses, §9.2 to §9.4 on retries and numbers of connections, §9.5 on clients
//!   that wait: bind clients.
//! - §9.5, §9.6 (closing in stages, timeouts): tested below as far as bytes show it (`next Linger` is the half-close); the
//!   rest is tested with the loop.
//! - §9.7, §9.8 (TLS), §10 (media types), §12 (IANA): not supported here.
//! - §11.1 (response splitting): the fields of responses are tested in `rfc9110.rs` §5.5.

mod support;

use coldstart::sim::Ending;
use support::{
    bare, chunked, get, post, refusal, refuses, request, response, served, served_byte_by_byte,
    served_until, with,
};

#[test]
fn section_2_2_a_message_is_octets_and_not_characters() {
    let message = request(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\xc3\x28\r\n\r\n");
    assert_eq!(message.fields[1].1, b"\xff\xc3\x28");
}

#[test]
fn section_2_2_a_multibyte_line_end_is_not_one() {
    // In UTF-16 and in some multibyte encodings a byte 0x0a is half of another character.
    assert_eq!(refusal("GET /\u{560a} HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn section_2_2_a_bare_lf_is_not_a_line_end() {
    assert_eq!(refusal("GET / HTTP/1.1\nHost: a\n\n"), 400);
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"), 400);
}

#[test]
fn section_2_2_a_bare_cr_makes_an_element_invalid() {
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"), 400);
    assert_eq!(refusal("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(refusal(chunked("1\rx\r\n0\r\n\r\n")), 400);
}

#[test]
fn section_2_2_one_empty_line_before_a_request_line_is_ignored() {
    assert_eq!(response(format!("\r\n{}", get(&[]))).status, 200);
    let behind_a_body = post(&["Content-Length: 1"], "x") + "\r\n" + &get(&[]);
    assert_eq!(served(behind_a_body).responses.len(), 2);
}

#[test]
fn section_2_2_whitespace_before_the_first_field_is_refused() {
    refuses(400, [" Host: a", "\tX: y"], |line| {
        with("GET / HTTP/1.1", &[line, "Host: b"])
    });
}

#[test]
fn section_2_2_other_protocols_get_400() {
    assert_eq!(refusal(b"\x16\x03\x01\x02\x00\x01\x00\x01"), 400);
    assert_eq!(refusal("SSH-2.0-OpenSSH\r\n"), 400);
    assert_eq!(refusal("{\"jsonrpc\": 2}\r\n"), 400);
}

#[test]
fn section_2_3_the_name_of_the_protocol_is_case_sensitive() {
    assert_eq!(refusal("GET / http/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(refusal("GET / HTTP/1.01\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn section_2_3_another_major_version_gets_505() {
    assert_eq!(refusal("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
    assert_eq!(refusal("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), 505);
}

#[test]
fn section_3_an_invalid_request_line_is_refused_and_never_corrected() {
    refuses(
        400,
        [
            "GET  / HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / ",
            "GET /",
            " GET / HTTP/1.1",
        ],
        |line| with(line, &["Host: a"]),
    );
}

#[test]
fn section_3_a_target_that_is_too_long_gets_414() {
    let line = format!("GET /{} HTTP/1.1", "a".repeat(8192));
    assert_eq!(refusal(with(&line, &["Host: a"])), 414);
}

#[test]
fn section_3_a_request_line_of_8000_octets_is_served() {
    let line = format!("GET /{} HTTP/1.1", "a".repeat(8000 - 14));
    assert_eq!(line.len(), 8000);
    assert_eq!(response(with(&line, &["Host: a"])).status, 200);
}

#[test]
fn section_3_1_a_method_is_case_sensitive() {
    assert_eq!(request(bare("get /")).method, "get");
}

#[test]
fn section_3_2_a_target_with_whitespace_is_refused() {
    refuses(
        400,
        ["/a b", "/a\tb", "/a\u{b}b", "/\r", "/a\0"],
        |target| bare(&format!("GET {target}")),
    );
}

#[test]
fn section_3_2_a_request_without_host_is_refused() {
    assert_eq!(refusal(with("GET / HTTP/1.1", &[])), 400);
    assert_eq!(refusal(with("GET http://a/ HTTP/1.1", &[])), 400);
}

#[test]
fn section_3_2_an_empty_host_is_served() {
    assert_eq!(response(with("GET / HTTP/1.1", &["Host:"])).status, 200);
}

#[test]
fn section_3_2_several_hosts_are_refused() {
    assert_eq!(refusal(get(&["Host: a"])), 400);
    assert_eq!(refusal(get(&["host: b"])), 400);
}

#[test]
fn section_3_2_an_invalid_host_is_refused() {
    refuses(400, ["a b", "a/b", "u@a", "a:b", "[::1", "a, b"], |host| {
        with("GET / HTTP/1.1", &[&format!("Host: {host}")])
    });
}

#[test]
fn section_3_2_2_absolute_form_is_served_in_each_request() {
    let message = request(bare("GET http://b:80/x?y"));
    assert_eq!(message.target, "http://b:80/x?y");
    assert_eq!(message.authority.as_deref(), Some("b:80"));
    assert_eq!(message.path, "/x?y");
}

#[test]
fn section_3_2_3_authority_form_is_for_connect_alone() {
    assert_eq!(refusal(bare("GET a:80")), 400);
    assert_eq!(refusal(bare("CONNECT /")), 400);
    assert_eq!(refusal(bare("CONNECT a")), 400);
    assert_eq!(refusal(bare("CONNECT a:80")), 501);
}

#[test]
fn section_3_2_4_asterisk_form_is_for_options_alone() {
    assert_eq!(request(bare("OPTIONS *")).target, "*");
    assert_eq!(refusal(bare("GET *")), 400);
}

#[test]
fn section_4_the_space_after_the_status_is_there_without_a_reason() {
    // The parser of responses requires it.
    let response = response(bare("GET /status/299"));
    assert_eq!((response.status, response.reason.as_str()), (299, ""));
}

#[test]
fn section_5_1_whitespace_before_a_colon_is_refused() {
    assert_eq!(refusal(get(&["X : y"])), 400);
    assert_eq!(refusal(get(&["X\t: y"])), 400);
}

#[test]
fn section_5_1_whitespace_around_a_value_is_not_part_of_it() {
    assert_eq!(request(get(&["X:\t  y z \t "])).fields[1].1, b"y z");
    assert_eq!(request(get(&["X:y"])).fields[1].1, b"y");
}

#[test]
fn section_5_2_a_folded_line_is_refused() {
    assert_eq!(refusal(get(&["X: y", " z"])), 400);
    assert_eq!(refusal(get(&["X: y", "\tz"])), 400);
    assert_eq!(refusal(get(&["X: y", " "])), 400);
}

#[test]
fn section_6_a_body_is_signalled_by_length_or_coding_and_by_nothing_else() {
    let input = with("POST / HTTP/1.1", &["Host: a", "Content-Type: text/plain"]) + &get(&[]);
    let served = served(input);
    assert_eq!(served.responses.len(), 2);
    assert!(served.requests[0].body.is_empty());
}

#[test]
fn section_6_a_body_is_read_whatever_the_method() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "UNHEARD-OF"] {
        let line = format!("{method} / HTTP/1.1");
        let message = request(with(&line, &["Host: a", "Content-Length: 5"]) + "GET /");
        assert_eq!(message.body, b"GET /", "{method}");
    }
}

#[test]
fn section_6_1_a_coding_is_case_insensitive() {
    let input = post(&["Transfer-Encoding: CHUNKED"], "1\r\nx\r\n0\r\n\r\n");
    assert_eq!(request(input).body, b"x");
}

#[test]
fn section_6_1_an_unknown_coding_gets_501() {
    refuses(
        501,
        ["gzip", "gzip, chunked", "identity", "xchunked"],
        |coding| post(&[&format!("Transfer-Encoding: {coding}")], "0\r\n\r\n"),
    );
}

/// Recipients differ in which of several lines they read, so such a list has no one meaning, whatever its codings are.
#[test]
fn section_6_1_codings_in_two_lines_are_refused_whatever_they_are() {
    for codings in [
        ["gzip", "chunked"],
        ["chunked", "gzip"],
        ["chunked", "chunked"],
    ] {
        let lines = codings.map(|coding| format!("Transfer-Encoding: {coding}"));
        assert_eq!(refusal(post(&[&lines[0], &lines[1]], "0\r\n\r\n")), 400);
    }
}

#[test]
fn section_6_1_transfer_encoding_in_http_1_0_is_refused() {
    let fields = ["Connection: keep-alive", "Transfer-Encoding: chunked"];
    assert_eq!(refusal(with("POST / HTTP/1.0", &fields) + "0\r\n\r\n"), 400);
}

#[test]
fn section_6_1_length_and_coding_together_are_refused_and_the_connection_ends() {
    let fields = ["Content-Length: 5", "Transfer-Encoding: chunked"];
    assert_eq!(refusal(post(&fields, "0\r\n\r\n")), 400);
}

#[test]
fn section_6_1_no_coding_is_sent_to_http_1_0() {
    let response = response(with("GET /stream HTTP/1.0", &["Connection: keep-alive"]));
    assert_eq!(response.field("Transfer-Encoding"), None);
    assert!(response.closes(), "nothing else ends the body");
    assert_eq!(response.body, "first second ");
}

#[test]
fn section_6_1_no_coding_is_sent_with_204() {
    let response = response(bare("GET /status/204"));
    assert_eq!(response.field("Transfer-Encoding"), None);
}

#[test]
fn section_6_2_no_length_is_sent_beside_a_coding() {
    let response = response(bare("GET /stream"));
    assert_eq!(response.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.field("Content-Length"), None);
}

#[test]
fn section_6_3_a_message_without_a_body_ends_at_its_empty_line() {
    let fetch = |path| bare(&format!("GET {path}"));
    let head = bare("HEAD /status/200");
    let input = head + &fetch("/status/204") + &fetch("/status/304") + &fetch("/status/200");
    let bodies: Vec<_> = served(input)
        .responses
        .into_iter()
        .map(|response| response.body)
        .collect();
    assert_eq!(bodies, ["", "", "", "text"]);
}

#[test]
fn section_6_3_chunked_that_is_not_the_last_coding_is_refused() {
    refuses(
        400,
        ["chunked, gzip", "chunked, chunked", "chunked,"],
        |coding| post(&[&format!("Transfer-Encoding: {coding}")], "0\r\n\r\n"),
    );
}

#[test]
fn section_6_3_an_invalid_length_is_refused() {
    refuses(
        400,
        ["+1", "-1", "1 1", "1,1", "0x1", "", "18446744073709551616"],
        |length| post(&[&format!("Content-Length: {length}")], "x"),
    );
    let two = ["Content-Length: 1", "Content-Length: 2"];
    assert_eq!(refusal(post(&two, "x")), 400);
}

#[test]
fn section_6_3_a_body_shorter_than_its_length_is_not_complete() {
    let served = served(post(&["Content-Length: 5"], "1234"));
    assert!(!served.requests[0].is_whole);
    assert_eq!(served.responses, [], "no response");
}

#[test]
fn section_6_3_a_body_of_unknown_length_does_not_end_the_connection() {
    let input = bare("GET /stream") + &get(&[]);
    let served = served(input);
    assert_eq!(served.responses[0].body, "first second ");
    assert_eq!(served.responses.len(), 2);
}

#[test]
fn section_7_1_chunked_bodies_are_decoded() {
    let message = request(chunked("00a\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\n"));
    assert_eq!(message.body, b"0123456789abc");
    let upper_case = request(chunked("A\r\n0123456789\r\n0\r\n\r\n"));
    assert_eq!(upper_case.body, b"0123456789");
}

#[test]
fn section_7_1_large_chunk_sizes_do_not_overflow() {
    refuses(
        400,
        ["10000000000000001", "ffffffffffffffff", "8000000000000001"],
        |size| chunked(&format!("{size}\r\nx\r\n0\r\n\r\n")),
    );
    assert_eq!(refusal(chunked("100000001\r\nx\r\n0\r\n\r\n")), 413);
}

#[test]
fn section_7_1_a_malformed_chunk_is_refused() {
    refuses(
        400,
        ["x\r\n", "1 \r\nx\r\n", "1\r\nxy\r\n", "1\r\nx0"],
        chunked,
    );
}

#[test]
fn section_7_1_1_unknown_extensions_are_ignored() {
    let body = "3;a;b=c;d=\"e;f\"\r\nabc\r\n0;g\r\n\r\n";
    assert_eq!(request(chunked(body)).body, b"abc");
}

#[test]
fn section_7_1_1_bad_whitespace_before_an_extension_is_parsed_and_elsewhere_refused() {
    let body = "3 ;a\r\nabc\r\n0\t ; b = c\r\n\r\n";
    assert_eq!(request(chunked(body)).body, b"abc");
    let bad = [" 1;a", "1 ", "1\t", "1 a", "1 1;a", "1\u{b};a"];
    refuses(400, bad, |size| {
        chunked(&format!("{size}\r\nx\r\n0\r\n\r\n"))
    });
}

#[test]
fn section_7_1_1_the_length_of_extensions_is_limited_over_all_chunks() {
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(999));
    let chunks = |number| chunked(&(chunk.repeat(number) + "0\r\n\r\n"));
    assert_eq!(request(chunks(4)).body, b"xxxx");
    assert_eq!(refusal(chunks(5)), 400);
}

#[test]
fn section_7_1_2_trailers_stay_apart_from_the_header_section() {
    let message = request(chunked("0\r\nX: y\r\n\r\n"));
    assert_eq!(message.trailers, [("X".to_owned(), b"y".to_vec())]);
    assert!(message.fields.iter().all(|(name, _)| name != "X"));
}

#[test]
fn section_8_a_chunked_body_without_its_last_chunk_is_not_complete() {
    for body in [
        "",
        "3\r\nab",
        "3\r\nabc\r\n",
        "3\r\nabc\r\n0\r\n",
        "3\r\nabc\r\n0\r\nX: y\r\n",
    ] {
        let served = served(chunked(body));
        assert!(!served.requests[0].is_whole, "{body:?}");
        assert_eq!(served.responses, [], "{body:?}");
    }
}

#[test]
fn section_8_an_incomplete_response_ends_the_connection() {
    for path in ["/short", "/long"] {
        let input = bare(&format!("GET {path}")) + &get(&[]);
        let served = served(input);
        assert_eq!(served.responses.len(), 1, "{path}");
        let length = served.responses[0]
            .field("Content-Length")
            .unwrap_or_default();
        assert_ne!(
            length,
            served.responses[0].body.len().to_string(),
            "the peer notices"
        );
        assert!(served.is_closed_by_server, "{path}");
    }
}

#[test]
fn section_9_3_a_connection_persists_by_version_and_options() {
    let two = |version: &str, connection: &str| {
        let one = with(&format!("GET / {version}"), &["Host: a", connection]);
        served(one.repeat(2)).responses.len()
    };
    assert_eq!(two("HTTP/1.1", "Connection: close"), 1);
    assert_eq!(two("HTTP/1.1", "X: y"), 2);
    assert_eq!(two("HTTP/1.0", "Connection: keep-alive"), 2);
    assert_eq!(two("HTTP/1.0", "Connection: keep-alive, close"), 1);
    assert_eq!(two("HTTP/1.0", "X: y"), 1);
}

#[test]
fn section_9_3_a_persistent_http_1_0_connection_is_announced() {
    let kept = response(with("GET / HTTP/1.0", &["Connection: Keep-Alive"]));
    assert_eq!(kept.field("Connection"), Some("keep-alive"));
}

#[test]
fn section_9_3_a_body_that_is_not_read_ends_the_connection() {
    let refuse = |fields: &[&str], body: &str| {
        let fields = [&["Host: a"], fields].concat();
        served(with("POST /refuse HTTP/1.1", &fields) + body + &get(&[]))
    };
    let read = refuse(&["Content-Length: 5"], "hello");
    assert_eq!(read.responses.len(), 2, "a short rest is read to its end");
    let unread = refuse(&["Content-Length: 99999999"], "hello");
    assert_eq!(unread.responses.len(), 1);
    assert!(unread.responses[0].closes() && unread.is_closed_by_server);
}

#[test]
fn section_9_3_2_pipelined_requests_are_answered_in_order() {
    let numbered = |number: u32| post(&["Content-Length: 1"], &number.to_string());
    let served = served((1..=9).map(numbered).collect::<String>());
    let bodies: String = served
        .responses
        .into_iter()
        .map(|response| response.body)
        .collect();
    assert_eq!(bodies, "123456789");
}

#[test]
fn section_9_3_2_a_late_response_delays_those_after_it() {
    let later = with("POST /later HTTP/1.1", &["Host: a", "Content-Length: 4"]) + "late";
    let served = served(later + &post(&["Content-Length: 5"], "early"));
    let bodies: Vec<_> = served
        .responses
        .into_iter()
        .map(|response| response.body)
        .collect();
    assert_eq!(bodies, ["late", "early"]);
}

#[test]
fn section_9_5_a_request_that_times_out_gets_408_and_close() {
    let served = served_until(b"GET / HTTP/1.1\r\nHost:", Ending::Timeout);
    assert_eq!(served.responses[0].status, 408);
    assert!(served.responses[0].closes() && served.is_closed_by_server);
}

#[test]
fn section_9_6_close_is_honoured_announced_and_final() {
    let input = get(&["Connection: close"]) + &get(&[]);
    let served = served(input);
    assert_eq!(served.responses.len(), 1, "what follows is not processed");
    assert!(served.responses[0].closes(), "the response announces it");
    assert!(served.is_closed_by_server);
}

#[test]
fn section_9_6_a_close_of_ours_is_announced_and_final() {
    let input = bare("GET /close") + &get(&[]);
    let served = served(input);
    assert_eq!(served.responses.len(), 1);
    assert!(served.responses[0].closes() && served.is_closed_by_server);
}

#[test]
fn section_9_6_a_half_closed_peer_gets_its_response() {
    let served = served_byte_by_byte(bare("GET /status/200"));
    assert_eq!(served.responses[0].body, "text");
}

#[test]
fn section_11_2_a_request_hidden_in_another_is_never_answered() {
    let hidden = "GET /after HTTP/1.1\r\nHost: a\r\n\r\n";
    refuses(
        400,
        [
            &["Content-Length: 35", "Transfer-Encoding: chunked"][..],
            &["Content-Length: 35", "Content-Length: 0"],
            &["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
            &["Transfer-Encoding: \u{b}chunked"],
            &["Transfer-Encoding : chunked"],
            &["X: y", " Transfer-Encoding: chunked"],
        ],
        |fields| post(fields, &format!("0\r\n\r\n{hidden}")),
    );
}
