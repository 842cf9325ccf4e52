//! A usual response, in one step.

use super::Connection;
use crate::h1::date::DateLine;
use crate::h1::encode::{BodyFraming, Due, RequestMethod, encode_usual};
use crate::h1::framing::UpgradeOffer;
use crate::h1::head::Version;
use crate::h1::state::{Recv, Send, SendFact};

impl Connection {
    /// Writes a 200 with this content type, if any, no other fields, and this content, as [`encode_head`](Self::encode_head) and what follows
    /// it would. False if the request, the connection or the content type is not usual: then nothing is written.
    pub(crate) fn encode_usual(
        &mut self,
        out: &mut Vec<u8>,
        content_type: Option<&[u8]>,
        content: &[u8],
        date: &DateLine,
    ) -> bool {
        debug_assert!(
            self.send == Send::Waiting,
            "a second response to one request"
        );
        let is_usual = self.recv == Recv::Done
            && self.method == RequestMethod::Other
            && self.version == Version::Http11
            && self.upgrade == UpgradeOffer::None
            && !self.close.is_set();
        if !is_usual || !encode_usual(out, content_type, content, date) {
            return false;
        }
        self.response = BodyFraming::Length(Due(0));
        self.send = self.send.on(SendFact::HeadAlone);
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::h1::connection::{Connection, Event};
    use crate::h1::date::DateLine;
    use crate::h1::encode::{ResponseHead, ResponseLength, put};
    use crate::h1::head::{HeadIndex, HeadLimits};

    const DATE: &DateLine = &DateLine::new(b"Sun, 06 Nov 1994 08:49:37 GMT");
    const LIMITS: HeadLimits = HeadLimits {
        head_len_max: 1024,
        target_len_max: 64,
        headers_max: 9,
    };

    /// A connection that has received this request.
    fn received(request: &str) -> Connection {
        let mut connection = Connection::new();
        let polled = connection.poll(request.as_bytes(), &mut HeadIndex::default(), &LIMITS);
        assert!(matches!(polled, Ok((_, Event::Head { .. }))), "{polled:?}");
        connection
    }

    #[test]
    fn a_usual_response_is_the_one_that_is_written_in_steps() {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let types = ["text/plain; charset=utf-8", "application/json", "text/html"];
        for content_type in types.map(Some).into_iter().chain([None]) {
            let content_type = content_type.map(str::as_bytes);
            for len in [0, 1, 9, 10, 15, 16, 99, 100, 129, 1000, 4096] {
                let content = vec![b'x'; len];
                let (mut at_once, mut in_steps) = (received(request), received(request));
                let mut usual = Vec::new();
                let is_usual = at_once.encode_usual(&mut usual, content_type, &content, DATE);
                assert_eq!(is_usual, content_type != Some(b"text/html"));
                if !is_usual {
                    assert_eq!(usual, b"", "nothing is written");
                    continue;
                }
                let head = ResponseHead {
                    status: 200,
                    length: ResponseLength::Known(len as u64),
                    content_type,
                    date: DATE,
                };
                let mut steps = Vec::new();
                in_steps.encode_head(&mut steps, &head, std::iter::empty());
                put(&mut steps, &content);
                in_steps.on_whole_body();
                assert_eq!(
                    usual.escape_ascii().to_string(),
                    steps.escape_ascii().to_string()
                );
                assert_eq!(format!("{at_once:?}"), format!("{in_steps:?}"));
            }
        }
    }

    #[test]
    fn a_response_is_not_usual_if_its_request_is_not() {
        for request in [
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: b\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        ] {
            let mut connection = received(request);
            let before = format!("{connection:?}");
            let mut out = Vec::new();
            let is_usual = connection.encode_usual(&mut out, None, b"content", DATE);
            assert!(!is_usual && out.is_empty(), "{request}");
            assert_eq!(format!("{connection:?}"), before, "{request}");
        }
    }
}
