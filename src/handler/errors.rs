//! The errors of this crate that a handler meets, as responses: `?` sends them.

use crate::handler::closure::Busy;
use crate::handler::outcome::IntoResponse;
use crate::message::incoming_error::IncomingError;
use crate::message::rejection::Rejection;
use crate::message::response::{Response, Status};
use crate::task::{Elapsed, JoinError, SpawnError};

/// 504 (RFC 9110 §15.6.5): what the handler waited for took too long.
impl IntoResponse for Elapsed {
    fn into_response(self) -> Response {
        Response::text("it took too long\n").status(Status::GATEWAY_TIMEOUT)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.into()
    }
}

/// 503 for too many tasks, as for too many requests on threads. 500 without a loop, a mistake in the program.
impl IntoResponse for SpawnError {
    fn into_response(self) -> Response {
        match self {
            Self::TooMany => Response::text("too many tasks run\n")
                .status(Status::SERVICE_UNAVAILABLE)
                .header("retry-after", "1"),
            Self::NoLoop => Response::new(Status::INTERNAL_SERVER_ERROR),
        }
    }
}

/// 500: a panic of a task has been reported already, and none of a program's tasks is aborted but by the program.
impl IntoResponse for JoinError {
    fn into_response(self) -> Response {
        match self {
            Self::Panicked | Self::Aborted => Response::new(Status::INTERNAL_SERVER_ERROR),
        }
    }
}

/// For `?` in handlers that return a `Result<_, Response>`, or a `Result<_, Status>`, which leaves out the rest of the response.
macro_rules! convert {
    ($($error:ty),* $(,)?) => {
        $(
            impl From<$error> for Response {
                fn from(error: $error) -> Self {
                    error.into_response()
                }
            }

            impl From<$error> for Status {
                fn from(error: $error) -> Self {
                    error.into_response().head().status()
                }
            }
        )*
    };
}

convert!(Busy, Elapsed, IncomingError, JoinError, SpawnError);

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use crate::TestRequest;
    use crate::function::FunctionError;
    use crate::handler::Blocking;
    use crate::message::{IncomingError, Rejection};
    use crate::task::{JoinError, SpawnError};
    use crate::{Response, Status};

    /// The response of a handler that ends with an error and `?`: its status, whether it says when to come again, its text.
    fn sent<E>(error: E) -> (u16, bool, String)
    where
        Response: From<E>,
    {
        let end = |error: E| -> Result<(), Response> { Err(error)? };
        let mut error = Some(error);
        let sent = TestRequest::get("/").run(|_| error.take().map(end));
        let again = sent.header("retry-after").is_some();
        (sent.status().code(), again, sent.text().to_owned())
    }

    /// The same in a handler whose error is a status.
    fn status<E>(error: E) -> u16
    where
        Status: From<E>,
    {
        let end = |error: E| -> Result<(), Status> { Err(error)? };
        end(error).err().map_or(200, Status::code)
    }

    #[test]
    fn an_error_of_ours_ends_a_handler_as_a_response_or_as_its_status() {
        for (error, code, text) in [
            (SpawnError::TooMany, 503, "too many tasks run\n"),
            (SpawnError::NoLoop, 500, ""),
        ] {
            assert_eq!(sent(error), (code, code == 503, text.to_owned()));
            assert_eq!(status(error), code);
        }
        for error in [JoinError::Panicked, JoinError::Aborted] {
            assert_eq!((sent(error).0, status(error)), (500, 500));
        }
        let large = IncomingError::TooLarge;
        assert_eq!((sent(large).0, status(large)), (413, 413));
        let wrong = Rejection::bad_request("it", &"why");
        assert_eq!((sent(wrong.clone()).0, status(wrong)), (400, 400));
    }

    #[test]
    fn two_question_marks_end_a_handler_whose_closure_fails() {
        async fn read(threads: Blocking, path: &'static str) -> Result<String, Response> {
            Ok(threads.run(move || fs::read_to_string(path)).await??)
        }
        let threads = Blocking::threads(1);
        let ask = |path| TestRequest::get("/").run(|_| read(threads.clone(), path));
        assert_eq!(ask("/proc/sys/kernel/ostype").text(), "Linux\n");
        assert_eq!(ask("/no/such/file").status(), 500);
    }

    #[test]
    fn what_the_system_and_a_function_say_stays_in_the_log() {
        let hidden = || io::Error::other("a path that the log alone may have");
        let nothing = (500, false, String::new());
        assert_eq!(sent(hidden()), nothing);
        assert_eq!(sent(FunctionError::from(hidden())), nothing);
    }
}
