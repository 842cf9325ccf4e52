//! Queries and form bodies as values (WHATWG URL §5.1, `application/x-www-form-urlencoded`), by serde. Feature `form`.

use serde::de::DeserializeOwned;

use super::rejection::Rejection;
use super::request::{Head, Request};
use super::response::Status;

const FORM: &str = "application/x-www-form-urlencoded";

impl Head<'_> {
    /// The query as a value of a type that serde reads: a struct with a field for each name, or a `Vec<(String, String)>` for
    /// names that repeat. A missing query counts as an empty one.
    ///
    /// ```
    /// use coldstart::{Request, Response, TestRequest};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Page {
    ///     #[serde(default)]
    ///     number: u32,
    /// }
    ///
    /// fn list(request: &Request<'_>) -> Result<String, Response> {
    ///     let page: Page = request.parse_query()?;
    ///     Ok(format!("page {}\n", page.number))
    /// }
    ///
    /// assert_eq!(TestRequest::get("/?number=3").run(list).text(), "page 3\n");
    /// assert_eq!(TestRequest::get("/").run(list).text(), "page 0\n");
    /// let refused = TestRequest::get("/?number=x").run(list);
    /// assert_eq!(refused.status(), 400);
    /// assert_eq!(refused.text(), "the query is not valid: number: invalid digit found in string\n");
    /// ```
    ///
    /// # Errors
    ///
    /// 400 if a field is missing or does not parse. The text names it.
    pub fn parse_query<T: DeserializeOwned>(self) -> Result<T, Rejection> {
        read(self.query().unwrap_or_default().as_bytes())
            .map_err(|error| Rejection::bad_request("the query", &error))
    }
}

impl Request<'_> {
    /// The query as a value of a type that serde reads: see [`Head::parse_query`].
    ///
    /// ```
    /// use coldstart::message::Rejection;
    /// use coldstart::{Request, TestRequest};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Page {
    ///     limit: u32,
    /// }
    ///
    /// fn list(request: &Request<'_>) -> Result<String, Rejection> {
    ///     let page: Page = request.parse_query()?;
    ///     Ok(format!("{} at most\n", page.limit))
    /// }
    ///
    /// assert_eq!(TestRequest::get("/?limit=7").run(list).text(), "7 at most\n");
    /// assert_eq!(TestRequest::get("/?limit=all").run(list).status(), 400);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Head::parse_query`].
    pub fn parse_query<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        self.head().parse_query()
    }

    /// The body of an HTML form as a value of a type that serde reads.
    ///
    /// ```
    /// use coldstart::message::Rejection;
    /// use coldstart::{Request, TestRequest};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct SignUp {
    ///     name: String,
    /// }
    ///
    /// fn sign_up(request: &Request<'_>) -> Result<String, Rejection> {
    ///     let SignUp { name } = request.form()?;
    ///     Ok(format!("hello, {name}\n"))
    /// }
    ///
    /// let post = TestRequest::post("/").body("name=Ada+L.");
    /// assert_eq!(post.run(sign_up).status(), 415);
    /// let post = post.header("content-type", "application/x-www-form-urlencoded");
    /// assert_eq!(post.run(sign_up).text(), "hello, Ada L.\n");
    /// ```
    ///
    /// # Errors
    ///
    /// 415 if the `Content-Type` is not `application/x-www-form-urlencoded`; 422 if a field is missing or does not parse,
    /// which the text names.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        let value = self.header("content-type").unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case(FORM) {
            let text = format!("the body's Content-Type is not {FORM}");
            return Err(Rejection::new(Status::UNSUPPORTED_MEDIA_TYPE, text));
        }
        read(self.body()).map_err(|error| {
            let text = format!("the form is not valid: {error}");
            Rejection::new(Status::UNPROCESSABLE_CONTENT, text)
        })
    }
}

/// The error has the name of the field: a reader of a value does not know what it is called.
fn read<T: DeserializeOwned>(
    encoded: &[u8],
) -> Result<T, serde_path_to_error::Error<serde_urlencoded::de::Error>> {
    let fields = serde_urlencoded::Deserializer::new(form_urlencoded::parse(encoded));
    serde_path_to_error::deserialize(fields)
}

#[cfg(test)]
mod tests {
    use crate::{Request, Response, TestRequest};

    #[derive(serde::Deserialize)]
    struct Order {
        name: String,
        count: u8,
    }

    #[test]
    fn a_form_is_read_by_its_type_and_its_fields() {
        let read = |request: &Request<'_>| -> Result<String, Response> {
            let order: Order = request.form()?;
            Ok(format!("{} {}", order.count, order.name))
        };
        for (content_type, body, status, text) in [
            (super::FORM, "name=a+b%26&count=7", 200, "7 a b&"),
            (
                "Application/X-WWW-Form-URLencoded;charset=utf-8",
                "count=1&name=",
                200,
                "1 ",
            ),
            (
                super::FORM,
                "name=a",
                422,
                "the form is not valid: missing field `count`\n",
            ),
            (
                super::FORM,
                "name=a&count=256",
                422,
                "the form is not valid: count: number too large",
            ),
            (
                "text/plain",
                "name=a&count=7",
                415,
                "the body's Content-Type is not ",
            ),
        ] {
            let request = TestRequest::post("/").header("content-type", content_type);
            let response = request.body(body).run(read);
            assert_eq!(response.status(), status, "{body}");
            let said = response.text();
            assert!(said.starts_with(text), "{said}");
        }
    }

    #[test]
    fn a_query_may_repeat_a_name() {
        let read = |request: &Request<'_>| -> Result<String, Response> {
            let pairs: Vec<(String, String)> = request.parse_query()?;
            Ok(format!("{pairs:?}"))
        };
        let response = TestRequest::get("/?a=1&a=%C3%A9+").run(read);
        assert_eq!(response.text(), r#"[("a", "1"), ("a", "é ")]"#);
    }
}
