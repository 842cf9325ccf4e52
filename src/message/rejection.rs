//! What a request lacks, as a response: why its body, its query or a part of its path is not what a handler wants.

use core::error::Error;
use core::fmt::{self, Display};

use super::request::{Head, Request};
use super::response::{Response, Status};

/// Why a part of a request is not what a handler wants: 400, 415 or 422 with one line of text.
///
/// It converts into a [`Response`] and into a [`Status`], so `?` in a handler that returns a `Result` with one of them sends it. A handler that wants another
/// response matches on [`status`](Self::status), or maps the error.
///
/// ```
/// use coldstart::{Request, Response, Router, TestRequest};
///
/// fn double(request: &Request<'_>) -> Result<String, Response> {
///     let number: u32 = request.parse_parameter("number")?;
///     Ok(format!("{}\n", number.saturating_mul(2)))
/// }
///
/// let mut router = Router::new().get("/double/{number}", double);
/// assert_eq!(TestRequest::get("/double/21").run_handler(&mut router).text(), "42\n");
/// let response = TestRequest::get("/double/x").run_handler(&mut router);
/// assert_eq!(response.status(), 400);
/// assert_eq!(response.text(), "the part \"number\" of the path is not valid: invalid digit found in string\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    status: Status,
    text: String,
}

impl Rejection {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    pub(crate) fn bad_request(part: &str, error: &dyn Display) -> Self {
        Self::new(Status::BAD_REQUEST, format!("{part} is not valid: {error}"))
    }

    /// The status of its response.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }
}

impl Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Error for Rejection {}

impl From<Rejection> for Response {
    fn from(rejection: Rejection) -> Self {
        let mut text = rejection.text;
        text.push('\n');
        Self::text(text).status(rejection.status)
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        rejection.status
    }
}

impl From<Status> for Response {
    fn from(status: Status) -> Self {
        Self::new(status)
    }
}

impl Head<'_> {
    /// The [`parameter`](Self::parameter) with this name as a value of a type that parses from text, such as a number.
    ///
    /// # Errors
    ///
    /// 400 if it does not parse; 500 if the route's pattern has no such parameter, a mistake in the program.
    pub fn parse_parameter<T: core::str::FromStr<Err: Display>>(
        self,
        name: &str,
    ) -> Result<T, Rejection> {
        let Some(value) = self.parameter(name) else {
            let text = format!("the route has no parameter {name:?}");
            return Err(Rejection::new(Status::INTERNAL_SERVER_ERROR, text));
        };
        value.parse().map_err(|error| {
            Rejection::bad_request(&format!("the part {name:?} of the path"), &error)
        })
    }
}

impl Request<'_> {
    /// A parameter as a value of a type that parses from text: see [`Head::parse_parameter`].
    ///
    /// ```
    /// use coldstart::message::Rejection;
    /// use coldstart::{Request, Router, TestRequest};
    ///
    /// fn double(request: &Request<'_>) -> Result<String, Rejection> {
    ///     let number: u32 = request.parse_parameter("number")?;
    ///     Ok(format!("{}\n", u64::from(number) * 2))
    /// }
    ///
    /// let mut router = Router::new().get("/double/{number}", double);
    /// assert_eq!(TestRequest::get("/double/21").run_handler(&mut router).text(), "42\n");
    /// assert_eq!(TestRequest::get("/double/many").run_handler(&mut router).status(), 400);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Head::parse_parameter`].
    pub fn parse_parameter<T: core::str::FromStr<Err: Display>>(
        &self,
        name: &str,
    ) -> Result<T, Rejection> {
        self.head().parse_parameter(name)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Request, Response, Router, TestRequest};

    #[test]
    fn a_parameter_that_the_pattern_does_not_have_is_the_programs_mistake() {
        let wrong = |request: &Request<'_>| -> Result<String, Response> {
            let id: u32 = request.parse_parameter("id")?;
            Ok(id.to_string())
        };
        let mut router = Router::new().get("/{name}", wrong);
        let response = TestRequest::get("/7").run_handler(&mut router);
        assert_eq!(response.status(), 500);
        assert_eq!(response.text(), "the route has no parameter \"id\"\n");
    }
}
