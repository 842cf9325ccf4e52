//! RFC 9110 (HTTP semantics), one test per requirement on an origin server, without those on handlers.
//!
//! Left out, each with its reason:
//!
//! - §3.3 to §3.9, §7.3, §7.4, §7.6.2, §7.6.3, §7.7 (routing, Max-Forwards, Via, transformations): bind clients, proxies
//!   and caches.
//! - §4.2.2, §4.3 (https, authority and certificates): TLS is terminated before this server.
//! - §5.6.4 to §5.6.6 (quoted strings, comments, parameters), §8.1 to §8.5, §8.7, §8.8 (metadata of representations):
//!   fields that a handler reads and writes.
//! - §6.6.2 and §6.5.2 (Trailer, merging of trailers): this server merges none; those that handlers send are tested in `bodies.rs`.
//! - §7.8 and §9.3.6 (`101 Switching Protocols`, tunnels): a server may ignore the field, which is tested here; what happens
//!   to a handler that takes over the socket is tested in `upgrade.rs`.
//! - §9.1 (405 and 501 for methods), §9.2, §9.3.1 to §9.3.8 on what methods do, §10.2 (Allow, Location, Retry-After,
//!   Server), §11 (authentication), §12 (negotiation), §13 (conditions), §14 (ranges): left to router and
//!   handler; `405` with `Allow` is tested with the router.
//! - §10.1.2 to §10.1.6 (From, Referer, TE for codings, User-Agent): bind clients, or are left to the handler.
//! - §15 on statuses that only a handler can choose (401, 405, 407, 416, 426 …).
//! - §16 to §18 (extending, security, IANA): no requirements on bytes.

mod support;

use coldstart::sim::Ending;
use support::{
    bare, chunked, get, post, refusal, refuses, request, response, served, served_byte_by_byte,
    served_until, with,
};

#[test]
fn section_2_5_a_higher_minor_version_is_served_as_the_highest_known() {
    let message = request(with("GET / HTTP/1.7", &["Host: a"]));
    assert_eq!(message.version, "HTTP/1.1");
}

#[test]
fn section_2_5_a_response_has_the_server_s_own_version() {
    // The parser of responses requires HTTP/1.1.
    assert_eq!(response(with("GET / HTTP/1.0", &[])).status, 200);
}

#[test]
fn section_4_2_1_a_target_with_an_empty_host_is_refused() {
    refuses(
        400,
        ["http://", "http:///x", "http://:80/", "http://?x"],
        |target| bare(&format!("GET {target}")),
    );
}

#[test]
fn section_4_2_3_a_scheme_is_case_insensitive() {
    assert_eq!(
        request(bare("GET HTTP://b/")).authority.as_deref(),
        Some("b")
    );
}

#[test]
fn section_4_2_4_user_information_in_a_target_is_an_error() {
    refuses(
        400,
        ["http://u@b/", "http://u:p@b/", "http://b:80@c/"],
        |target| bare(&format!("GET {target}")),
    );
}

#[test]
fn section_5_1_names_have_no_case() {
    let fields = ["cOnTeNt-LeNgTh: 1", "CONNECTION: close"];
    let served = served(post(&fields, "x"));
    assert_eq!(served.requests[0].body, b"x");
    assert!(served.responses[0].closes());
    assert_eq!(response(with("GET / HTTP/1.1", &["hOST: a"])).status, 200);
}

#[test]
fn section_5_1_unknown_fields_are_accepted() {
    assert_eq!(request(get(&["X-Unheard-Of: y"])).fields.len(), 2);
}

#[test]
fn section_5_3_lines_of_one_name_keep_their_order() {
    let message = request(get(&["X: 1", "Y: 2", "x: 3"]));
    let values: Vec<_> = message
        .fields
        .iter()
        .map(|(_, value)| value.as_slice())
        .collect();
    assert_eq!(values, [&b"a"[..], b"1", b"2", b"3"]);
}

#[test]
fn section_5_3_no_request_is_served_before_its_header_section_is_complete() {
    let whole = get(&["X: y"]);
    for end in 0..whole.len() {
        let served = served(&whole[..end]);
        assert_eq!(
            (served.requests.len(), served.responses.len()),
            (0, 0),
            "{end} bytes"
        );
    }
}

#[test]
fn section_5_4_fields_that_are_too_large_get_431() {
    let long = format!("X: {}", "y".repeat(16 * 1024));
    assert_eq!(refusal(get(&[&long])), 431);
    assert_eq!(refusal(get(&["X: y"; 100])), 431);
}

#[test]
fn section_5_5_cr_lf_and_nul_in_a_value_are_refused() {
    refuses(400, ["\r", "\n", "\0", "\r\r"], |byte| {
        get(&[&format!("X: y{byte}z")])
    });
}

#[test]
fn section_5_5_other_control_bytes_in_a_value_are_refused() {
    let controls = (1..0x20)
        .chain([0x7f])
        .filter(|byte| !b"\t\r\n".contains(byte));
    refuses(400, controls, |byte| {
        get(&[&format!("X: y{}z", char::from(byte))])
    });
}

#[test]
fn section_5_5_bytes_above_ascii_in_a_value_are_opaque() {
    for byte in 0x80..=0xff_u8 {
        let input = [
            b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
            &[byte][..],
            b"\r\n\r\n",
        ]
        .concat();
        assert_eq!(request(input).fields[1].1, [byte]);
    }
}

#[test]
fn section_5_5_a_value_from_a_handler_cannot_split_a_response() {
    let response = response(bare("GET /fields"));
    let names: Vec<_> = response
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["X-Before", "X-After", "Content-Length", "Date"]);
}

#[test]
fn section_5_6_1_empty_elements_of_a_list_are_ignored() {
    assert!(response(get(&["Connection: , ,close,,"])).closes());
}

#[test]
fn section_5_6_2_each_byte_of_a_token_may_appear_in_method_and_name() {
    let token = "!#$%&'*+-.^_`|~09azAZ";
    let message = request(with(
        &format!("{token} / HTTP/1.1"),
        &["Host: a", &format!("{token}: y")],
    ));
    assert_eq!(
        (message.method.as_str(), message.fields[1].0.as_str()),
        (token, token)
    );
}

#[test]
fn section_5_6_2_no_other_byte_may_appear_in_a_method_or_a_name() {
    let others = || {
        (0x21..0x7f_u8)
            .map(char::from)
            .filter(|byte| "\"(),/;<=>?@[\\]{}".contains(*byte))
    };
    refuses(400, others(), |byte| bare(&format!("GE{byte}T /")));
    refuses(400, others(), |byte| get(&[&format!("X{byte}Y: z")]));
}

#[test]
fn section_5_6_7_a_date_is_an_imf_fixdate() {
    let date = response(get(&[])).field("Date").map(str::to_owned);
    assert_eq!(date.as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
}

#[test]
fn section_6_5_1_framing_and_routing_fields_are_refused_in_trailers() {
    let fields = [
        "Content-Length: 1",
        "Transfer-Encoding: chunked",
        "Host: b",
        "Expect: x",
    ];
    refuses(400, fields, |field| {
        chunked(&format!("0\r\n{field}\r\n\r\n"))
    });
}

#[test]
fn section_6_6_1_each_final_response_has_a_date() {
    for status in [200, 201, 204, 205, 301, 304, 400, 404, 500, 503] {
        let response = response(bare(&format!("GET /status/{status}")));
        assert!(response.field("Date").is_some(), "{status}");
    }
    let refused = served("x\r\n\r\n").responses;
    assert!(refused[0].field("Date").is_some(), "a refusal, too");
}

#[test]
fn section_7_2_a_host_is_a_host_with_or_without_a_port() {
    for host in ["a", "a:80", "a:", "127.0.0.1", "[::1]", "[::1]:80", ""] {
        let input = with("GET / HTTP/1.1", &[&format!("Host: {host}")]);
        assert_eq!(response(input).status, 200, "{host}");
    }
}

#[test]
fn section_7_6_1_connection_options_have_no_case() {
    assert!(response(get(&["Connection: Close"])).closes());
    let kept = response(with("GET / HTTP/1.0", &["Connection: KEEP-ALIVE"]));
    assert_eq!(kept.field("Connection"), Some("keep-alive"));
}

#[test]
fn section_7_6_1_an_option_is_a_whole_element() {
    assert!(!response(get(&["Connection: closed, x-close, close-x"])).closes());
}

#[test]
fn section_7_8_an_upgrade_may_be_ignored() {
    let upgrade = get(&["Connection: Upgrade", "Upgrade: websocket"]);
    let served = served(upgrade + &get(&[]));
    let statuses: Vec<_> = served
        .responses
        .iter()
        .map(|response| response.status)
        .collect();
    assert_eq!(statuses, [200, 200]);
}

#[test]
fn section_7_8_an_upgrade_in_http_1_0_is_ignored() {
    let fields = ["Connection: Upgrade, keep-alive", "Upgrade: websocket"];
    assert_eq!(response(with("GET / HTTP/1.0", &fields)).status, 200);
}

#[test]
fn section_8_6_large_lengths_do_not_overflow() {
    let announce = |length: &str| post(&[&format!("Content-Length: {length}")], "x");
    refuses(
        400,
        [
            "18446744073709551616",
            "18446744073709551617",
            "99999999999999999999",
        ],
        announce,
    );
    refuses(
        413,
        ["18446744073709551615", "9223372036854775808", "4294967297"],
        announce,
    );
}

#[test]
fn section_8_6_a_list_of_lengths_is_refused() {
    refuses(400, ["1, 1", "1,1", "1,"], |length| {
        post(&[&format!("Content-Length: {length}")], "x")
    });
}

#[test]
fn section_8_6_head_has_the_length_that_get_would_have() {
    let length = |method: &str, path: &str| {
        let response = response(bare(&format!("{method} {path}")));
        response.field("Content-Length").map(str::to_owned)
    };
    for path in ["/", "/status/200", "/status/404", "/stream", "/status/204"] {
        assert_eq!(length("HEAD", path), length("GET", path), "{path}");
    }
}

#[test]
fn section_8_6_no_length_is_sent_with_1xx_and_204() {
    assert_eq!(
        response(bare("GET /status/204")).field("Content-Length"),
        None
    );
    // The parser of responses refuses fields with 100.
    let input = post(&["Expect: 100-continue", "Content-Length: 1"], "x");
    assert_eq!(served_byte_by_byte(input).responses[0].continues, 1);
}

#[test]
fn section_8_6_a_length_is_sent_where_it_is_known() {
    assert_eq!(
        response(bare("GET /status/200")).field("Content-Length"),
        Some("4")
    );
    assert_eq!(response(get(&[])).field("Content-Length"), Some("0"));
}

#[test]
fn section_9_1_a_method_is_case_sensitive() {
    assert_eq!(
        response(bare("head /status/200")).body,
        "text",
        "`head` is not HEAD"
    );
}

#[test]
fn section_9_3_1_a_body_of_get_is_not_a_request() {
    let hidden = get(&[]);
    let length = format!("Content-Length: {}", hidden.len());
    assert_eq!(served(get(&[&length]) + &hidden).responses.len(), 1);
}

#[test]
fn section_9_3_2_head_gets_no_content() {
    for path in ["/status/200", "/status/404", "/stream"] {
        // A byte of content would be parsed as the start of the second response.
        let served = served(bare(&format!("HEAD {path}")) + &bare("GET /status/200"));
        assert_eq!(served.responses.len(), 2, "{path}");
        assert_eq!(served.responses[1].body, "text", "{path}");
    }
}

#[test]
fn section_9_3_2_head_that_is_refused_gets_no_content() {
    for input in ["HEAD /# HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n"] {
        let response = response(input);
        assert_eq!((response.status, response.body.as_str()), (400, ""));
        assert_ne!(
            response.field("Content-Length"),
            Some("0"),
            "what GET would have had"
        );
    }
}

#[test]
fn section_9_3_6_connect_to_an_empty_or_invalid_port_is_refused() {
    refuses(400, ["a", "a:", "a:x", "a:0", "a:65536", ":80"], |target| {
        bare(&format!("CONNECT {target}"))
    });
}

#[test]
fn section_9_3_6_connect_is_not_implemented() {
    assert_eq!(
        refusal(with("CONNECT a:443 HTTP/1.1", &["Host: a:443"])),
        501
    );
}

#[test]
fn section_9_3_7_options_without_content_gets_a_length_of_0() {
    assert_eq!(
        response(bare("OPTIONS *")).field("Content-Length"),
        Some("0")
    );
}

#[test]
fn section_10_1_1_an_expectation_is_case_insensitive() {
    let input = post(&["Expect: 100-CONTINUE", "Content-Length: 1"], "x");
    assert_eq!(served_byte_by_byte(input).responses[0].continues, 1);
}

#[test]
fn section_10_1_1_any_other_expectation_gets_417() {
    refuses(
        417,
        ["x", "100-continue-x", "100-continue, x"],
        |expectation| {
            post(
                &[&format!("Expect: {expectation}"), "Content-Length: 1"],
                "x",
            )
        },
    );
}

#[test]
fn section_10_1_1_an_expectation_in_http_1_0_is_ignored() {
    for expectation in ["Expect: 100-continue", "Expect: x"] {
        let fields = [expectation, "Content-Length: 1"];
        let served = served_byte_by_byte(with("POST / HTTP/1.0", &fields) + "x");
        let response = &served.responses[0];
        assert_eq!(
            (response.status, response.continues),
            (200, 0),
            "{expectation}"
        );
    }
}

#[test]
fn section_10_1_1_the_server_sends_continue_before_any_content() {
    // The peer sends no byte of the body: without `100 Continue` both sides would wait forever.
    let head = post(&["Expect: 100-continue", "Content-Length: 1"], "");
    let served = served_until(head.as_bytes(), Ending::Timeout);
    assert_eq!(served.responses[0].continues, 1);
    assert_eq!(
        served.responses[0].status, 408,
        "and a final status follows"
    );
}

#[test]
fn section_10_1_1_continue_is_left_out_once_content_has_come() {
    for fields in [
        ["Expect: 100-continue", "Content-Length: 1"],
        ["Expect: 100-continue", "Transfer-Encoding: chunked"],
    ] {
        let served = served(post(&fields, "1\r\n1\r\n0\r\n\r\n"));
        assert_eq!(served.responses[0].continues, 0, "{fields:?}");
    }
}

#[test]
fn section_10_1_1_a_request_without_content_gets_no_continue() {
    for fields in [
        &["Expect: 100-continue"][..],
        &["Expect: 100-continue", "Content-Length: 0"],
    ] {
        assert_eq!(served_byte_by_byte(get(fields)).responses[0].continues, 0);
    }
}

#[test]
fn section_10_1_1_a_final_status_comes_instead_of_continue_and_ends_the_connection() {
    for (path, status) in [("/refuse", 403), ("/upload-limit", 413)] {
        let fields = ["Host: a", "Expect: 100-continue", "Content-Length: 99"];
        let served = served_byte_by_byte(with(&format!("POST {path} HTTP/1.1"), &fields));
        let response = &served.responses[0];
        assert_eq!((response.status, response.continues), (status, 0));
        assert!(response.closes(), "the body may or may not follow");
    }
}

#[test]
fn section_15_2_no_interim_response_is_sent_to_http_1_0() {
    let fields = ["Expect: 100-continue", "Content-Length: 1"];
    let input = with("POST / HTTP/1.0", &fields) + "x";
    assert_eq!(served_byte_by_byte(input).responses[0].continues, 0);
}

#[test]
fn section_15_3_5_204_ends_at_its_head() {
    let served = served(bare("GET /status/204") + &bare("GET /status/200"));
    assert_eq!(served.responses[1].body, "text");
}

#[test]
fn section_15_3_6_205_has_no_content_and_says_so() {
    let response = response(bare("GET /status/205"));
    assert_eq!(
        (response.field("Content-Length"), response.body.as_str()),
        (Some("0"), "")
    );
}

#[test]
fn section_15_4_5_304_ends_at_its_head() {
    let served = served(bare("GET /status/304") + &bare("GET /status/200"));
    assert_eq!(served.responses[1].body, "text");
}

#[test]
fn section_15_5_a_refusal_explains_itself_in_its_body() {
    for input in [
        "x\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        let response = response(input);
        assert!(response.body.contains(' '), "a sentence: {response:?}");
        assert!(!response.reason.is_empty());
    }
}

#[test]
fn section_15_5_a_refusal_repeats_nothing_that_the_peer_sent() {
    let response = response("GET /#<script> HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!response.body.contains("script"));
}

#[test]
fn section_15_5_9_408_says_that_the_connection_ends() {
    let served = served_until(
        post(&["Content-Length: 5"], "x").as_bytes(),
        Ending::Timeout,
    );
    assert_eq!(served.responses[0].status, 408);
    assert!(served.responses[0].closes());
}

#[test]
fn section_15_5_14_413_ends_a_connection_whose_body_is_not_read() {
    let large = with(
        "POST /upload-limit HTTP/1.1",
        &["Host: a", "Content-Length: 9"],
    );
    assert_eq!(refusal(large), 413);
}

#[test]
fn section_15_6_6_505_names_the_supported_version() {
    assert!(response("GET / HTTP/3.0\r\n\r\n").body.contains("HTTP/1.1"));
}
