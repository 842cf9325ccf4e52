//! JSON bodies, by serde. Feature `json`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::rejection::Rejection;
use super::request::{Head, Request};
use super::response::{Response, Status};

/// A value that becomes a response with its JSON: 200, `application/json`. For handlers that return values; [`Response::json`]
/// is the same for those that return responses.
///
/// ```
/// use coldstart::message::Json;
/// use coldstart::{Status, TestRequest};
///
/// let response = TestRequest::get("/").run(|_| (Status::CREATED, Json(["a", "b"])));
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.text(), r#"["a","b"]"#);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is made and taken apart by its field"
)]
pub struct Json<T>(pub T);

impl Response {
    /// 200 with `application/json`: `value` as serde writes it. If it cannot be written as JSON (a map whose keys are no texts, an
    /// error of its own implementation), the response is 500 and says why.
    ///
    /// ```
    /// use coldstart::{Response, TestRequest};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Note {
    ///     text: &'static str,
    /// }
    ///
    /// let response = TestRequest::get("/").run(|_| Response::json(&Note { text: "milk" }));
    /// assert_eq!(response.text(), r#"{"text":"milk"}"#);
    /// ```
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::json_text(json),
            Err(error) => {
                let text = format!("the response cannot be written as JSON: {error}");
                Rejection::new(Status::INTERNAL_SERVER_ERROR, text).into()
            }
        }
    }
}

impl Request<'_> {
    /// The body as a value of a type that serde reads.
    ///
    /// ```
    /// use coldstart::{Request, Response, TestRequest};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Note {
    ///     text: String,
    /// }
    ///
    /// fn store(request: &Request<'_>) -> Result<String, Response> {
    ///     let note: Note = request.json()?;
    ///     Ok(note.text)
    /// }
    ///
    /// let post = |body: &'static str| {
    ///     TestRequest::post("/").header("content-type", "application/json").body(body).run(store)
    /// };
    /// assert_eq!(post(r#"{"text":"milk"}"#).text(), "milk");
    /// assert_eq!(post(r#"{"text":7}"#).status(), 422);
    /// assert_eq!(post(r#"{"text""#).status(), 400);
    /// assert_eq!(TestRequest::post("/").body("{}").run(store).status(), 415);
    /// ```
    ///
    /// # Errors
    ///
    /// 415 if the `Content-Type` is neither `application/json` nor ends in `+json` (RFC 6839); 400 if the body is not JSON; 422
    /// if it is, but not of this type. The text says where.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        if !is_json(self.head()) {
            let text = "the body's Content-Type is not application/json";
            return Err(Rejection::new(Status::UNSUPPORTED_MEDIA_TYPE, text));
        }
        from_json(self.body())
    }
}

pub(crate) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => {
            let text = format!("the body's JSON has another form: {error}");
            Rejection::new(Status::UNPROCESSABLE_CONTENT, text)
        }
        Category::Syntax | Category::Eof | Category::Io => Rejection::new(
            Status::BAD_REQUEST,
            format!("the body is not JSON: {error}"),
        ),
    })
}

/// Parameters such as `charset` do not matter: JSON is UTF-8 (RFC 8259 §8.1).
pub(crate) fn is_json(head: Head<'_>) -> bool {
    let value = head.header("content-type").unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let has_suffix = || {
        let suffix = essence.len().checked_sub("+json".len());
        suffix
            .and_then(|at| essence.get(at..))
            .is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
    };
    essence.eq_ignore_ascii_case("application/json") || has_suffix()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Json;
    use crate::{Request, Response, TestRequest};

    #[test]
    fn only_types_of_json_are_read() {
        for (content_type, status) in [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("application/problem+json", 200),
            ("text/json", 415),
            ("application/jsonp", 415),
            ("+jso", 415),
            ("", 415),
        ] {
            let read = |request: &Request<'_>| -> Result<Json<u32>, Response> {
                Ok(Json(request.json()?))
            };
            let request = TestRequest::post("/").body(" 7 ");
            let response = request.header("content-type", content_type).run(read);
            assert_eq!(response.status(), status, "{content_type}");
        }
    }

    #[test]
    fn a_value_without_a_form_in_json_is_an_error_and_no_panic() {
        let value = BTreeMap::from([((1, 2), 3)]);
        let response = TestRequest::get("/").run(move |_| Response::json(&value));
        assert_eq!(response.status(), 500);
        let said = response.text();
        assert!(said.contains("key must be a string"), "{said}");
    }
}
