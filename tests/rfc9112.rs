//! RFC 9112, requirement by requirement.
use coldstart::sim::{Cuts, exchange};

#[test]
fn section_9_3_two_pipelined_requests_are_answered_in_order() {
    let input = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n2";
    let whole = exchange(input, Cuts::Whole);
    assert_eq!(whole, exchange(input, Cuts::Every(1)));
    let text = String::from_utf8_lossy(&whole.output);
    assert!(text.find("\r\n\r\n1").unwrap() < text.find("\r\n\r\n2").unwrap());
}
