//! Why a function failed, as the caller sees it.

use core::error::Error;
use core::fmt;
use std::any::Any;
use std::borrow::Cow;
use std::io;

use crate::current_request::CurrentRequest;
use crate::handler::outcome::IntoResponse;
use crate::limits::CAUSES_MAX;
use crate::message::response::{Response, Status};

use super::record;

/// The field that tells the platform how a call ended; without it each response counts as a success
/// ([contract §3](crate::contract#3-requests)).
pub(super) const STATUS_FIELD: &str = "x-fc-status";

/// Why a function failed. The caller gets it in the format of the built-in runtimes
/// ([contract §3](crate::contract#3-requests)): `{"errorMessage":…,"errorType":…,"stackTrace":[…]}`, with status 404
/// and `x-fc-status: 404`.
///
/// Any error converts into it by `?`: its text is the message, the name of its type is the type, and its causes take the
/// place of the stack trace. The caller and the logs see all of it, so an error must not contain a secret.
///
/// ```
/// use coldstart::function::FunctionError;
///
/// fn price(text: &str) -> Result<u32, FunctionError> {
///     let price = text.parse()?;
///     if price == 0 {
///         return Err(FunctionError::new("a price is not 0").error_type("FreeLunch"));
///     }
///     Ok(price)
/// }
///
/// assert_eq!(price("7").map_err(|error| error.to_string()), Ok(7));
/// assert_eq!(price("0").unwrap_err().to_string(), "FreeLunch: a price is not 0");
/// assert!(price("x").unwrap_err().to_string().ends_with("ParseIntError: invalid digit found in string"));
/// ```
#[derive(Debug)]
pub struct FunctionError {
    message: String,
    error_type: Cow<'static, str>,
    causes: Vec<String>,
}

impl FunctionError {
    /// A failure with this message and the type `FunctionError`.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            error_type: Cow::Borrowed("FunctionError"),
            causes: Vec::new(),
        }
    }

    /// Sets the type, by which callers distinguish failures.
    #[must_use]
    pub fn error_type(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.error_type = name.into();
        self
    }

    /// The panic hook has printed where; the caller gets the message.
    pub(super) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let literal = panic.downcast_ref::<&str>().copied();
        let message = literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::new(message.unwrap_or("the function panicked")).error_type("Panic")
    }

    pub(super) fn response(&self) -> Response {
        Response::json_text(self.json())
            .status(Status::NOT_FOUND)
            .header(STATUS_FIELD, "404")
    }

    fn json(&self) -> String {
        let mut json = String::from("{\"errorMessage\":");
        push_json_string(&mut json, &self.message);
        json.push_str(",\"errorType\":");
        push_json_string(&mut json, &self.error_type);
        json.push_str(",\"stackTrace\":[");
        for (place, cause) in self.causes.iter().enumerate() {
            if place > 0 {
                json.push(',');
            }
            push_json_string(&mut json, cause);
        }
        json.push_str("]}");
        json
    }
}

/// For HTTP calls: 500 with `x-fc-status: 404`. Their callers may be anyone, so the reason goes to the log alone.
impl IntoResponse for FunctionError {
    fn into_response(self) -> Response {
        let current = CurrentRequest::current();
        record::write(
            "ERROR",
            current.name(),
            &format_args!("Invoke failed: {self}"),
        );
        Response::new(Status::INTERNAL_SERVER_ERROR).header(STATUS_FIELD, "404")
    }
}

impl From<FunctionError> for Response {
    fn from(error: FunctionError) -> Self {
        error.into_response()
    }
}

/// 500. It may name files and addresses, so the reason goes to the log alone.
impl IntoResponse for io::Error {
    fn into_response(self) -> Response {
        record::write("ERROR", CurrentRequest::current().name(), &self);
        Response::new(Status::INTERNAL_SERVER_ERROR)
    }
}

impl From<io::Error> for Response {
    fn from(error: io::Error) -> Self {
        error.into_response()
    }
}

impl fmt::Display for FunctionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.error_type, self.message)?;
        let mut causes = self.causes.iter();
        causes.try_for_each(|cause| write!(formatter, "\n{cause}"))
    }
}

/// The reason why the type does not implement [`Error`] itself.
impl<E: Error> From<E> for FunctionError {
    fn from(error: E) -> Self {
        let causes = core::iter::successors(error.source(), |cause| (*cause).source());
        Self {
            message: error.to_string(),
            error_type: Cow::Borrowed(core::any::type_name::<E>()),
            causes: causes
                .take(CAUSES_MAX)
                .map(|cause| format!("caused by: {cause}"))
                .collect(),
        }
    }
}

/// A JSON string (RFC 8259 §7).
fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..=' ' if letter != ' ' => {
                json.push_str("\\u00");
                for shift in [4, 0] {
                    let digit = (u32::from(letter) >> shift) & 0xF;
                    json.extend(char::from_digit(digit, 16));
                }
            }
            _ => json.push(letter),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::{FunctionError, push_json_string};

    #[test]
    fn a_json_string_is_escaped_where_it_has_to_be() {
        for (text, json) in [
            ("", r#""""#),
            ("plain text", r#""plain text""#),
            ("\"\\/", r#""\"\\/""#),
            ("a\nb\r\tc", r#""a\nb\r\tc""#),
            (
                "\0\u{1}\u{8}\u{1f}\u{7f} ",
                "\"\\u0000\\u0001\\u0008\\u001f\u{7f} \"",
            ),
            ("é€😀\u{2028}", "\"é€😀\u{2028}\""),
        ] {
            let mut written = String::new();
            push_json_string(&mut written, text);
            assert_eq!(written, json, "{text:?}");
        }
    }

    #[test]
    fn the_causes_of_an_error_stand_in_the_place_of_a_trace() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl core::fmt::Display for Outer {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str("no \"price\"")
            }
        }
        impl core::error::Error for Outer {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = FunctionError::from(Outer("x".parse::<u8>().unwrap_err())).error_type("Outer");
        assert_eq!(
            error.json(),
            r#"{"errorMessage":"no \"price\"","errorType":"Outer","stackTrace":["caused by: invalid digit found in string"]}"#
        );
    }

    #[test]
    fn an_error_that_is_its_own_cause_has_a_last_one() {
        #[derive(Debug)]
        struct Circular;
        impl core::fmt::Display for Circular {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str("again")
            }
        }
        impl core::error::Error for Circular {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                Some(&Self)
            }
        }
        let text = FunctionError::from(Circular).to_string();
        assert_eq!(text.lines().count(), 17, "{text}");
    }

    #[test]
    fn a_panic_keeps_its_message_and_nothing_else() {
        for (panic, message) in [
            (
                Box::new("literal") as Box<dyn core::any::Any + Send>,
                "literal",
            ),
            (Box::new(String::from("formatted")), "formatted"),
            (Box::new(7), "the function panicked"),
        ] {
            let error = FunctionError::from_panic(&*panic);
            assert_eq!(error.to_string(), format!("Panic: {message}"));
        }
    }
}
