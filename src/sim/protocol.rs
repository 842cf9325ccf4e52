//! The protocol alone, for benchmarks: no socket, no loop, no handler.

use crate::h1::{Connection, DateLine, Event, HeadIndex, HeadLimits, ResponseHead, ResponseLength};
use crate::limits::Limits;

const DATE: &DateLine = &DateLine::new(b"Sun, 06 Nov 1994 08:49:37 GMT");

/// The protocol of one connection, with the default limits.
#[derive(Debug)]
pub struct Protocol {
    connection: Connection,
    index: HeadIndex,
    limits: HeadLimits,
}

impl Default for Protocol {
    fn default() -> Self {
        let limits = Limits::new();
        Self {
            connection: Connection::new(),
            index: HeadIndex::default(),
            limits: HeadLimits {
                head_len_max: limits.head_len_max,
                target_len_max: limits.target_len_max,
                headers_max: limits.headers_max,
            },
        }
    }
}

impl Protocol {
    /// Reads a head as the first one of a connection; returns its length.
    ///
    /// # Panics
    ///
    /// If the bytes are not the complete head of a valid request.
    pub fn read_head(&mut self, bytes: &[u8]) -> usize {
        self.connection = Connection::new();
        let polled = self.connection.poll(bytes, &mut self.index, &self.limits);
        let len = match polled {
            Ok((len, Event::Head { .. })) => len,
            Ok(_) | Err(_) => 0,
        };
        assert!(len > 0, "a valid head");
        len
    }

    /// Reads the body that the head announced; returns the length of its content.
    ///
    /// # Panics
    ///
    /// If the body is incomplete or its framing is invalid.
    pub fn read_body(&mut self, mut bytes: &[u8]) -> usize {
        let mut content_len = 0;
        loop {
            let polled = self.connection.poll(bytes, &mut self.index, &self.limits);
            if let Ok((taken, Event::Body(piece))) = polled {
                content_len += piece.len();
                bytes = &bytes[taken..];
                continue;
            }
            let is_end = matches!(polled, Ok((_, Event::End { .. })));
            assert!(is_end, "a complete, valid body");
            return content_len;
        }
    }

    /// Writes the head of a 200 with these additional fields, in response to the head that was read last.
    pub fn write_head(&mut self, out: &mut Vec<u8>, fields: &[(&str, &[u8])]) {
        let head = ResponseHead {
            status: 200,
            length: ResponseLength::Known(13),
            content_type: Some(b"text/plain; charset=utf-8"),
            date: DATE,
        };
        self.connection
            .encode_head(out, &head, fields.iter().copied());
    }
}
