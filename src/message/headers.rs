//! Field names and values that cannot split a message.

use core::convert::Infallible;
use core::fmt;
use std::borrow::Cow;

use bytes::Bytes;

use crate::h1::{HeadView, Names, RawField, is_field_value, is_token};

/// A field name: a token (RFC 9110 §5.1).
///
/// A literal converts into it; text that is only known at run time is checked, by [`HeaderName::parse`] or by the method that
/// takes it.
///
/// ```
/// use coldstart::Response;
/// use coldstart::message::HeaderName;
///
/// assert!(HeaderName::parse("x-color").is_ok());
/// assert!(HeaderName::parse("two words").is_err());
/// let response = Response::text("").header("X-Color", "red");
/// assert_eq!(response.head().header("x-color"), Some("red"));
/// ```
#[derive(Clone)]
pub struct HeaderName(pub(super) Text);

#[derive(Clone)]
pub(super) enum Text {
    Written(&'static str),
    Parsed(Box<str>),
    /// Of the http crate, and never copied.
    #[cfg(feature = "http")]
    Http(http::HeaderName),
}

impl HeaderName {
    /// Takes a name that is only known at run time.
    ///
    /// # Errors
    ///
    /// `text` is empty or has a byte that is not a token character.
    pub fn parse(text: &str) -> Result<Self, InvalidHeader> {
        if is_token(text.as_bytes()) {
            Ok(Self(Text::Parsed(text.into())))
        } else {
            Err(InvalidHeader::Name)
        }
    }

    /// The name, in its original case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Written(text) => text,
            Text::Parsed(text) => text,
            #[cfg(feature = "http")]
            Text::Http(name) => name.as_str(),
        }
    }
}

/// By its text, in its case.
impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for HeaderName {}

impl fmt::Debug for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("HeaderName")
            .field(&self.as_str())
            .finish()
    }
}

impl From<&'static str> for HeaderName {
    /// # Panics
    ///
    /// The literal is not a token: a mistake in the program.
    fn from(text: &'static str) -> Self {
        assert!(
            is_token(text.as_bytes()),
            "the literal {text:?} is not a field name"
        );
        Self(Text::Written(text))
    }
}

impl TryFrom<String> for HeaderName {
    type Error = InvalidHeader;

    fn try_from(text: String) -> Result<Self, InvalidHeader> {
        Self::parse(&text)
    }
}

/// A field value: no CR, no LF, no NUL and no other control byte but HTAB (RFC 9110 §5.5).
///
/// A literal converts into it; text that is only known at run time is checked, by [`HeaderValue::parse`] or by the method that
/// takes it.
///
/// ```
/// use coldstart::message::HeaderValue;
///
/// assert!(HeaderValue::parse("attachment; filename=report.txt").is_ok());
/// assert!(HeaderValue::parse("two\r\nlines: never").is_err());
/// ```
#[derive(Clone)]
pub struct HeaderValue(pub(super) Value);

#[derive(Clone)]
pub(super) enum Value {
    Own(Bytes),
    /// Of the http crate, and never copied.
    #[cfg(feature = "http")]
    Http(http::HeaderValue),
}

impl HeaderValue {
    /// Takes a value that is only known at run time; white space around it is removed.
    ///
    /// ```
    /// use coldstart::message::HeaderValue;
    ///
    /// assert_eq!(HeaderValue::parse(" text/plain ")?.as_bytes(), b"text/plain");
    /// # Ok::<(), coldstart::message::InvalidHeader>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `value` has a control byte other than HTAB.
    pub fn parse(value: impl Into<Bytes>) -> Result<Self, InvalidHeader> {
        let value: Bytes = value.into();
        let trimmed = value.trim_ascii();
        if is_field_value(trimmed) {
            Ok(Self(Value::Own(value.slice_ref(trimmed))))
        } else {
            Err(InvalidHeader::Value)
        }
    }

    /// The value's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Value::Own(bytes) => bytes,
            #[cfg(feature = "http")]
            Value::Http(value) => value.as_bytes(),
        }
    }

    /// A literal of this crate, checked at compile time.
    pub(crate) const fn literal(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] >= b' ' && bytes[at] < 0x7f, "a plain literal");
            at += 1;
        }
        Self(Value::Own(Bytes::from_static(bytes)))
    }
}

impl PartialEq for HeaderValue {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for HeaderValue {}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl From<&'static str> for HeaderValue {
    /// # Panics
    ///
    /// The literal has a control byte: a mistake in the program.
    fn from(text: &'static str) -> Self {
        assert!(
            is_field_value(text.as_bytes()),
            "the literal {text:?} is not a field value"
        );
        Self(Value::Own(Bytes::from_static(text.as_bytes())))
    }
}

macro_rules! value_from_text {
    ($($text:ty),*) => {$(
        impl TryFrom<$text> for HeaderValue {
            type Error = InvalidHeader;

            fn try_from(text: $text) -> Result<Self, InvalidHeader> {
                Self::parse(text)
            }
        }
    )*};
}
value_from_text!(String, Vec<u8>, Bytes);

impl TryFrom<Cow<'static, str>> for HeaderValue {
    type Error = InvalidHeader;

    fn try_from(text: Cow<'static, str>) -> Result<Self, InvalidHeader> {
        match text {
            Cow::Borrowed(text) => Self::parse(text),
            Cow::Owned(text) => Self::parse(text),
        }
    }
}

macro_rules! value_from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for HeaderValue {
            fn from(number: $integer) -> Self {
                Self(Value::Own(Bytes::from(number.to_string())))
            }
        }
    )*};
}
value_from_integer!(u16, u32, u64, usize, i64);

/// A text that cannot be part of a header section.
///
/// ```
/// use coldstart::message::{HeaderName, HeaderValue, InvalidHeader};
///
/// assert_eq!(HeaderName::parse("two words").map(drop), Err(InvalidHeader::Name));
/// assert_eq!(HeaderValue::parse("two\nlines").map(drop), Err(InvalidHeader::Value));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// It is not a token (RFC 9110 §5.1).
    Name,
    /// It has a control byte (RFC 9110 §5.5).
    Value,
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Name => "a field name is one or more letters, digits or !#$%&'*+-.^_`|~",
            Self::Value => "a field value has no control bytes",
        })
    }
}

impl core::error::Error for InvalidHeader {}

impl From<Infallible> for InvalidHeader {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The field lines of a request, borrowed from the bytes that the peer sent. Names compare case-insensitively.
///
/// ```
/// use coldstart::{Request, TestRequest};
///
/// fn cookies(request: &Request<'_>) -> String {
///     let headers = request.headers();
///     let cookies = headers.all("cookie").filter_map(|value| str::from_utf8(value).ok());
///     format!("{} of {}: {}\n", headers.all("cookie").count(), headers.len(), cookies.collect::<Vec<_>>().join("; "))
/// }
///
/// let request = TestRequest::get("/").header("Cookie", "a=1").header("cookie", "b=2");
/// assert!(request.run(cookies).text().ends_with(": a=1; b=2\n"));
/// ```
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    head: HeadView<'a>,
}

impl<'a> Headers<'a> {
    pub(crate) const fn new(head: HeadView<'a>) -> Self {
        Self { head }
    }

    /// The value of the first line with this name.
    #[must_use]
    pub fn bytes(self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The value of the first line with this name, if it is UTF-8.
    #[must_use]
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.bytes(name)
            .and_then(|value| core::str::from_utf8(value).ok())
    }

    /// The values of all lines with this name, in their order.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.raw()
            .filter(move |field| field.name_len() == name.len())
            .filter(move |field| field.name().eq_ignore_ascii_case(name.as_bytes()))
            .map(RawField::value)
    }

    /// All lines in their order: the name as it was sent, the value without white space around it.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + Clone {
        self.head.fields()
    }

    /// The same, for callers that look at few of them.
    pub(crate) fn raw(self) -> impl Iterator<Item = RawField<'a>> {
        self.head.raw_fields()
    }

    /// Whether a line may have one of these names.
    pub(crate) const fn may_have(self, names: Names) -> bool {
        self.head.may_have(names)
    }

    /// The lines with these names, in their order, and perhaps others.
    pub(crate) fn with_names(self, names: Names) -> impl Iterator<Item = RawField<'a>> {
        self.head.fields_with(names)
    }

    /// The number of field lines.
    #[must_use]
    pub fn len(self) -> usize {
        self.iter().len()
    }

    /// Whether there are no field lines.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Headers<'_> {
    /// Names only: values may be credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.iter().map(|field| field.0))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderName, HeaderValue, InvalidHeader};

    #[test]
    fn run_time_text_is_checked() {
        assert_eq!(HeaderValue::parse("a\r\nb: c"), Err(InvalidHeader::Value));
        assert_eq!(HeaderValue::parse("a\0"), Err(InvalidHeader::Value));
        assert_eq!(
            HeaderValue::parse(" a\tb ").map(|value| value.as_bytes().to_vec()),
            Ok(b"a\tb".to_vec())
        );
        for name in ["", "a b", "a:", "é"] {
            assert_eq!(
                HeaderName::parse(name),
                Err(InvalidHeader::Name),
                "{name:?}"
            );
        }
        assert_eq!(
            HeaderName::parse("X-a").as_ref().map(HeaderName::as_str),
            Ok("X-a")
        );
    }

    #[test]
    #[should_panic(expected = "not a field value")]
    fn a_literal_with_a_line_end_is_the_programs_mistake() {
        drop(HeaderValue::from("a\nb"));
    }
}
