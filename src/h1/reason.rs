//! The reason phrases of status lines, stored compactly.

/// The registered status codes with their phrases (RFC 9110 §15, RFC 6585). Not in the program itself: a pointer and a length
/// for each, or a comparison for each, would double the size. It only has the two tables made from this one.
const REASONS: [(u16, &str); 49] = [
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (203, "Non-Authoritative Information"),
    (204, "No Content"),
    (205, "Reset Content"),
    (206, "Partial Content"),
    (207, "Multi-Status"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (101, "Switching Protocols"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Content Too Large"),
    (414, "URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Range Not Satisfiable"),
    (417, "Expectation Failed"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Content"),
    (425, "Too Early"),
    (426, "Upgrade Required"),
    (428, "Precondition Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (451, "Unavailable For Legal Reasons"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (505, "HTTP Version Not Supported"),
    (507, "Insufficient Storage"),
    (511, "Network Authentication Required"),
];

/// Each status code, and the length of its phrase.
#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time, where an error stops the build"
)]
static STATUSES: [(u16, u8); REASONS.len()] = {
    let mut statuses = [(0, 0); REASONS.len()];
    let mut number = 0;
    while number < REASONS.len() {
        let (status, phrase) = REASONS[number];
        statuses[number] = (status, phrase.len() as u8);
        number += 1;
    }
    statuses
};

/// The length of all phrases together.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where an error stops the build"
)]
const PHRASES_LEN: usize = {
    let (mut number, mut len) = (0, 0);
    while number < REASONS.len() {
        len += REASONS[number].1.len();
        number += 1;
    }
    len
};

/// The phrases, one after another.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where an error stops the build"
)]
static PHRASES: [u8; PHRASES_LEN] = {
    let mut phrases = [0; PHRASES_LEN];
    let (mut number, mut end) = (0, 0);
    while number < REASONS.len() {
        let phrase = REASONS[number].1.as_bytes();
        let mut at = 0;
        while at < phrase.len() {
            phrases[end] = phrase[at];
            (at, end) = (at + 1, end + 1);
        }
        number += 1;
    }
    phrases
};

/// The reason phrase of a registered status code; empty for any other.
pub(crate) const fn reason_phrase(status: u16) -> &'static str {
    let mut statuses = STATUSES.as_slice();
    let mut phrases = PHRASES.as_slice();
    while let [(known, len), others @ ..] = statuses {
        let Some((phrase, rest)) = phrases.split_at_checked(*len as usize) else {
            return "";
        };
        if *known == status {
            return match core::str::from_utf8(phrase) {
                Ok(phrase) => phrase,
                Err(_) => "",
            };
        }
        (statuses, phrases) = (others, rest);
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::reason_phrase;

    #[test]
    fn exactly_the_registered_statuses_have_a_reason_phrase() {
        // The registry of RFC 9110 §15 and §16.2.1, and RFC 4918, 6585, 7725, 8470.
        let registered = [
            (101, "Switching Protocols"),
            (200, "OK"),
            (201, "Created"),
            (202, "Accepted"),
            (203, "Non-Authoritative Information"),
            (204, "No Content"),
            (205, "Reset Content"),
            (206, "Partial Content"),
            (207, "Multi-Status"),
            (300, "Multiple Choices"),
            (301, "Moved Permanently"),
            (302, "Found"),
            (303, "See Other"),
            (304, "Not Modified"),
            (307, "Temporary Redirect"),
            (308, "Permanent Redirect"),
            (400, "Bad Request"),
            (401, "Unauthorized"),
            (402, "Payment Required"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (405, "Method Not Allowed"),
            (406, "Not Acceptable"),
            (408, "Request Timeout"),
            (409, "Conflict"),
            (410, "Gone"),
            (411, "Length Required"),
            (412, "Precondition Failed"),
            (413, "Content Too Large"),
            (414, "URI Too Long"),
            (415, "Unsupported Media Type"),
            (416, "Range Not Satisfiable"),
            (417, "Expectation Failed"),
            (421, "Misdirected Request"),
            (422, "Unprocessable Content"),
            (425, "Too Early"),
            (426, "Upgrade Required"),
            (428, "Precondition Required"),
            (429, "Too Many Requests"),
            (431, "Request Header Fields Too Large"),
            (451, "Unavailable For Legal Reasons"),
            (500, "Internal Server Error"),
            (501, "Not Implemented"),
            (502, "Bad Gateway"),
            (503, "Service Unavailable"),
            (504, "Gateway Timeout"),
            (505, "HTTP Version Not Supported"),
            (507, "Insufficient Storage"),
            (511, "Network Authentication Required"),
        ];
        for (status, reason) in registered {
            assert_eq!(reason_phrase(status), reason, "{status}");
        }
        let named = (0..=999).filter(|status| !reason_phrase(*status).is_empty());
        assert_eq!(named.count(), registered.len());
    }
}
