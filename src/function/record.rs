//! Log lines and marker lines on stdout (contract §5): each record is written at once, before the response is sent.

use core::borrow::Borrow;
use core::fmt::Display;
use core::mem;
use std::thread;

use crate::current_request::{CurrentRequest, NAME_LEN_MAX};
use crate::h1::civil_from_days;
use crate::handler::outcome::{Awaited, Ending, Eventual, Outcome};
use crate::os::clock;
use crate::os::number::decimal;
use crate::output;

use super::call::Call;

/// The longest record that the platform does not split ([contract rule 9](crate::contract#1-the-rules)).
pub(super) const RECORD_LEN_MAX: usize = 32 * 1024;
/// Room for the number of a part, such as ` (1/3)`, and the line's end.
const TAIL_LEN_MAX: usize = 32;
/// `1970-01-01T00:00:00.000`
const TIMESTAMP_LEN: usize = 23;
/// The id of a call without one.
const NO_ID: &str = "-";

/// Writes `<UTC yyyy-MM-ddTHH:mm:ss.fff> <requestId> [<Level>] <message>`. A record begins where a line begins with a
/// date, so further lines of the message are indented by a tab, and a message that is too long continues in further records.
/// No text forges a record or commands a terminal: control characters are replaced.
pub(super) fn write(level: &str, request_id: Option<&str>, message: &dyn Display) {
    let now = clock::since_1970().as_millis();
    for record in records(level, request_id, &message.to_string(), now) {
        output::STDOUT.write(record.as_bytes());
    }
}

pub(super) fn records(
    level: &str,
    request_id: Option<&str>,
    message: &str,
    unix_milliseconds: u128,
) -> Vec<String> {
    let id = request_id.unwrap_or(NO_ID);
    let mut head = timestamp(unix_milliseconds);
    head.push(' ');
    push_id(&mut head, id);
    for piece in [" [", level, "] "] {
        head.push_str(piece);
    }
    let mut text = String::new();
    for letter in message.trim_ascii_end().chars() {
        match letter {
            '\n' => text.push_str("\n\t"),
            // It may stand before the other end of a line.
            '\r' => {}
            '\t' => text.push(letter),
            // Readers may take NEL and Unicode's separators for the end of a line, and terminals obey ESC and CSI.
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            _ => text.push(letter),
        }
    }
    let room = RECORD_LEN_MAX
        .saturating_sub(head.len())
        .saturating_sub(TAIL_LEN_MAX);
    let parts = split(&text, room);
    let mut records = Vec::with_capacity(parts.len());
    for (number, part) in (1..).zip(&parts) {
        let mut record = head.clone();
        record.push_str(part);
        if parts.len() > 1 {
            let (number, count) = (decimal(number), decimal(parts.len()));
            record.push_str(&format!(" ({number}/{count})"));
        }
        record.push('\n');
        records.push(record);
    }
    records
}

/// Appends an id as one word without brackets: anyone may have chosen it, and the level follows it.
#[inline(never)]
fn push_id(line: &mut String, id: &str) {
    for byte in id.bytes().take(NAME_LEN_MAX) {
        let is_shown = byte.is_ascii_graphic() && !matches!(byte, b'[' | b']');
        line.push(if is_shown { (byte & 0x7f).into() } else { '_' });
    }
}

/// Pieces of at most `len_max` bytes, cut between two characters; at least one.
fn split(text: &str, len_max: usize) -> Vec<&str> {
    let mut parts = Vec::with_capacity(1);
    let mut rest = text;
    while rest.len() > len_max {
        let (part, after) = rest.split_at(rest.floor_char_boundary(len_max.max(4)));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

/// `yyyy-MM-ddTHH:mm:ss.fff`, without std's formatting of numbers; see [`decimal`].
fn timestamp(unix_milliseconds: u128) -> String {
    let milliseconds = u64::try_from(unix_milliseconds).unwrap_or(u64::MAX);
    let seconds = milliseconds / 1000;
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    let (second, fraction) = (seconds % 60, milliseconds % 1000);
    let month = month.saturating_add(1) as u64;
    let mut text = String::with_capacity(TIMESTAMP_LEN);
    for (before, number, power) in [
        ("", year, 1000),
        ("-", month, 10),
        ("-", day, 10),
        ("T", hour, 10),
        (":", minute, 10),
        (":", second, 10),
        (".", fraction, 100),
    ] {
        text.push_str(before);
        push_digits(&mut text, number, power);
    }
    text
}

/// The digits of a number from the one for this power of ten down.
fn push_digits(text: &mut String, number: u64, mut power: u64) {
    while power > 0 {
        let digit = u8::try_from(number / power % 10).unwrap_or(0);
        text.push(b'0'.wrapping_add(digit).into());
        power /= 10;
    }
}

/// Whether each call has marker lines around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markers {
    Off,
    On,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CallEnd {
    Success,
    Failure,
}

/// The span of a call: a marker line at its beginning and one at its end, however it ends.
pub(super) struct Mark<T: Borrow<CurrentRequest>> {
    pub(super) call: Call,
    pub(super) current: T,
    pub(super) markers: Markers,
    pub(super) outcome: CallEnd,
}

impl<T: Borrow<CurrentRequest>> Mark<T> {
    pub(super) fn begin(&self) {
        if self.markers == Markers::On {
            mark(self.call, self.current.borrow(), "Start", "");
        }
    }
}

impl Mark<&CurrentRequest> {
    /// The rest of the span, which another owner ends; `None` without marker lines.
    pub(super) fn take_over(&mut self) -> Option<Mark<CurrentRequest>> {
        let markers = mem::replace(&mut self.markers, Markers::Off);
        (markers == Markers::On).then(|| Mark {
            call: self.call,
            current: *self.current,
            markers,
            outcome: self.outcome,
        })
    }
}

impl<T: Borrow<CurrentRequest>> Drop for Mark<T> {
    fn drop(&mut self) {
        if self.markers == Markers::On {
            let ending = if self.outcome == CallEnd::Failure || thread::panicking() {
                Ending::Panicked
            } else {
                Ending::Regular
            };
            mark_end(self.call, self.current.borrow(), ending);
        }
    }
}

/// If an HTTP call goes on in a future, the end of that is marked in place of the call's.
#[inline(never)]
pub(super) fn follow(outcome: &mut Outcome, markers: &mut Markers) {
    if *markers == Markers::On
        && let Eventual::Awaited(Some(Awaited::Future(future))) = &mut outcome.eventual
    {
        *markers = Markers::Off;
        future.at_end(mark_end_of_http);
    }
}

/// Marks the begin of an HTTP call, and returns what marks its end; `None` without marker lines.
pub(super) fn begin_noted(
    markers: Markers,
    current: &CurrentRequest,
) -> Option<fn(&CurrentRequest, Ending)> {
    match markers {
        Markers::On => {
            mark(Call::Http, current, "Start", "");
            Some(mark_end_of_http)
        }
        Markers::Off => None,
    }
}

fn mark_end_of_http(current: &CurrentRequest, ending: Ending) {
    mark_end(Call::Http, current, ending);
}

fn mark_end(call: Call, current: &CurrentRequest, ending: Ending) {
    let error = match ending {
        Ending::Regular => "",
        Ending::Panicked => ", Error: Unhandled function error",
    };
    mark(call, current, "End", error);
}

/// One function for every kind of mark, not inlined into calls without marker lines.
#[cold]
fn mark(call: Call, current: &CurrentRequest, end: &str, error: &str) {
    let mut line = format!("FC {} {end} RequestId: ", call.name());
    push_id(&mut line, current.name().unwrap_or(NO_ID));
    for piece in [error, "\n"] {
        line.push_str(piece);
    }
    output::STDOUT.write(line.as_bytes());
}

/// The `log` crate's records as the platform's log lines.
#[cfg(feature = "log")]
struct StdoutLog;

#[cfg(feature = "log")]
impl log::Log for StdoutLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let current = CurrentRequest::current();
        write(record.level().as_str(), current.name(), record.args());
    }

    fn flush(&self) {}
}

/// Makes the `log` crate's macros write the platform's log lines ([contract §5](crate::contract#5-logs)), each with the
/// id of the request that its thread works on: on the loop, on threads of the pool, and
/// [`in_request`](crate::function::in_request). Returns whether this logger was installed: the first one stays. The level is
/// set from the variable `LOG_LEVEL`, else to `Info`; `log::set_max_level` changes it. Lines never wait for a reader of stdout;
/// see [`Context`](crate::Context).
///
/// ```
/// use coldstart::TestRequest;
/// use coldstart::function::log_to_stdout;
///
/// assert!(log_to_stdout());
/// assert!(!log_to_stdout(), "the first one stays");
/// let request = TestRequest::get("/").header("x-fc-request-id", "1-2-3");
/// let response = request.run(|request| {
///     log::info!("a call of {}", request.path()); // … 1-2-3 [INFO] a call of /
///     "hello\n"
/// });
/// assert_eq!(response.text(), "hello\n");
/// ```
#[cfg(feature = "log")]
pub fn log_to_stdout() -> bool {
    log::set_max_level(log_level(super::environment::variable));
    log::set_logger(&StdoutLog).is_ok()
}

#[cfg(feature = "log")]
pub(super) fn log_level(variable: impl Fn(&str) -> Option<String>) -> log::LevelFilter {
    let level = variable("LOG_LEVEL").and_then(|level| level.parse().ok());
    level.unwrap_or(log::LevelFilter::Info)
}

#[cfg(test)]
mod tests {
    use super::{split, timestamp};

    #[test]
    fn a_timestamp_has_its_milliseconds_and_no_zone() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000"),
            (951_782_400_007, "2000-02-29T00:00:00.007"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999"),
        ] {
            assert_eq!(timestamp(milliseconds), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters_and_nothing_is_lost() {
        assert_eq!(split("", 8), [""]);
        assert_eq!(split("12345678", 8), ["12345678"]);
        let text = "aé€😀".repeat(50);
        let parts = split(&text, 8);
        assert!(parts.iter().all(|part| part.len() <= 8));
        assert_eq!(parts.concat(), text);
    }
}
