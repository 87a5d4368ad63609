//! The only file that knows error status codes: what went wrong, as an answer.

use std::fmt;

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderMap},
    },
};
use core_domain::{Error, error::Source, tokens::TokenError};

/// Why a request is not answered as it wished.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// A use case refused or failed.
    Domain(Error),
    /// Nobody vouches for the caller. Holds the address of the identity service.
    Token(TokenError, String),
    /// Nothing has this path.
    NoSuchPath,
    /// The path is known, the method is not; holds those that are.
    Method(&'static str),
    /// The image id in the path is blank; holds the methods of the path without that.
    BlankImage(&'static str),
    /// The request itself cannot be read; the text says what would be right.
    Request(String),
    /// The body is of a type that is not read here; holds those that are.
    MediaType(&'static str),
    /// As above, for a patch.
    PatchMediaType(&'static str),
    /// The body is larger than so many bytes.
    TooLarge(usize),
    /// The body and what is made of it would take more than so many bytes of memory.
    TooManyValues(usize),
    /// The body did not arrive in time.
    SlowBody,
    /// The caller's project asks too often; holds the seconds until it may again.
    TooManyRequests(u64),
    /// The path or the whole URL is longer than so many bytes.
    LongUrl(&'static str, usize),
    /// The server has no room for this; says what it holds.
    Overloaded(&'static str),
    /// What came is no HTTP/1.1.
    NotHttp,
    /// A request's head did not arrive in time.
    SlowHead,
    /// A request's head is too large.
    LargeHead,
    /// The first line of a request's head is too large for the head.
    LongTarget,
}

/// How long to wait before asking again, in seconds, where nobody knows better.
const RETRY_AFTER: u64 = 1;

/// The longest message, in bytes.
const MESSAGE_BYTES: usize = 4 << 10;

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Domain(error) => match error {
                Error::NotFound(_) => StatusCode::NOT_FOUND,
                Error::Denied(_) => StatusCode::FORBIDDEN,
                Error::Conflict(_) => StatusCode::CONFLICT,
                Error::Invalid(_) => StatusCode::BAD_REQUEST,
                Error::LimitExceeded(_) => StatusCode::PAYLOAD_TOO_LARGE,
                Error::Contention(_) | Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
                Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Token(TokenError::Rejected, _) => StatusCode::UNAUTHORIZED,
            Self::Token(TokenError::Unavailable { .. }, _) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Method(_) | Self::BlankImage(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::MediaType(_) | Self::PatchMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) | Self::TooManyValues(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::LongUrl(..) | Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotHttp => StatusCode::BAD_REQUEST,
            Self::SlowHead => StatusCode::REQUEST_TIMEOUT,
            Self::LargeHead => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    /// The cause that is for the log only.
    pub(crate) fn cause(&self) -> Option<&Source> {
        match self {
            Self::Domain(Error::Contention(cause) | Error::Unavailable(cause) | Error::Internal(cause))
            | Self::Token(TokenError::Unavailable { source: cause, .. }, _) => Some(cause),
            Self::Domain(
                Error::NotFound(_)
                | Error::Denied(_)
                | Error::Conflict(_)
                | Error::Invalid(_)
                | Error::LimitExceeded(_),
            )
            | Self::Token(TokenError::Rejected, _)
            | Self::NoSuchPath
            | Self::Method(_)
            | Self::BlankImage(_)
            | Self::Request(_)
            | Self::MediaType(_)
            | Self::PatchMediaType(_)
            | Self::TooLarge(_)
            | Self::TooManyValues(_)
            | Self::SlowBody
            | Self::TooManyRequests(_)
            | Self::LongUrl(..)
            | Self::Overloaded(_)
            | Self::NotHttp
            | Self::SlowHead
            | Self::LargeHead
            | Self::LongTarget => None,
        }
    }

    /// When asking again makes sense, in seconds.
    fn retry_after(&self) -> u64 {
        if let Self::Token(TokenError::Unavailable { again_in, .. }, _) = self {
            again_in.as_secs().max(RETRY_AFTER)
        } else {
            RETRY_AFTER
        }
    }

    /// What is said of it. It may name what the client sent, which may be a megabyte: an answer that is not read must not hold
    /// that.
    fn message(&self) -> String {
        let mut message = self.to_string();
        if message.len() > MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
            message.push('…');
            message.shrink_to_fit();
        }
        message
    }

    /// The answer, with a body of the form the client asked for (sharing API, section 6).
    pub(crate) fn response(&self, asked: &HeaderMap) -> HttpResponse {
        let status = self.status();
        let mut response = HttpResponseBuilder::new(status);
        if let Self::Token(TokenError::Rejected, uri) = self {
            response.insert_header((header::WWW_AUTHENTICATE, format!("Keystone uri=\"{uri}\"")));
        }
        if let Self::Method(allow) | Self::BlankImage(allow) = self {
            response.insert_header((header::ALLOW, *allow));
        }
        if let Self::PatchMediaType(types) = self {
            response.insert_header(("Accept-Patch", *types));
        }
        if let Self::TooManyRequests(seconds) = self {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, self.retry_after()));
        }
        let (code, title) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
        match Form::asked(asked) {
            Form::Json => {
                let message = serde_json::Value::String(self.message());
                let body = format!(r#"{{"error":{{"code":{code},"message":{message},"title":"{title}"}}}}"#);
                response.insert_header((header::CONTENT_TYPE, "application/json")).body(body)
            }
            Form::Plain => response
                .insert_header((header::CONTENT_TYPE, "text/plain; charset=UTF-8"))
                .body(format!("{code} {title}\n\n{}\n", self.message())),
            Form::Html => {
                response.insert_header((header::CONTENT_TYPE, "text/html; charset=UTF-8")).body(format!(
                    "<html>\n<head>\n<title>{code} {title}</title>\n</head>\n<body>\n<h1>{code} {title}</h1>\n{}\n</body>\n</html>\n",
                    escaped(&self.message())
                ))
            }
        }
    }
}

/// The form of an error's body.
enum Form {
    Json,
    Plain,
    Html,
}

impl Form {
    fn asked(headers: &HeaderMap) -> Self {
        let names = |wanted: &str| {
            headers.get_all(header::ACCEPT).filter_map(|accept| accept.to_str().ok()).any(|accept| {
                accept.split(',').any(|range| {
                    let mut parts = range.split(';').map(str::trim);
                    let named = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(wanted));
                    let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
                    named && !refused
                })
            })
        };
        if names("text/html") {
            Self::Html
        } else if names("text/plain") && !names("application/json") {
            Self::Plain
        } else {
            Self::Json
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(error) => error.fmt(f),
            Self::Token(error, _) => error.fmt(f),
            Self::NoSuchPath => f.write_str("The resource could not be found."),
            Self::Method(allow) => {
                write!(f, "The method is not allowed for this resource: there are {allow}.")
            }
            Self::BlankImage(_) => f.write_str(
                "The image id in the path is blank, and nothing can be done to no image: put an id there.",
            ),
            Self::Request(reason) => f.write_str(reason),
            Self::MediaType(types) | Self::PatchMediaType(types) => {
                write!(f, "The media type of the body is not supported here: send {types}.")
            }
            Self::TooManyValues(most) => write!(
                f,
                "The request body has too many values: it may take {most} bytes of memory. Send fewer in one request."
            ),
            Self::TooLarge(limit) => {
                write!(f, "The request body is too large: at most {limit} bytes are read.")
            }
            Self::SlowBody => f.write_str("The request body did not arrive in time."),
            Self::TooManyRequests(seconds) => {
                write!(f, "Your project sends more requests than it may: try again in {seconds} s.")
            }
            Self::LongUrl(part, limit) => {
                write!(f, "The {part} is too long: at most {limit} bytes are read.")
            }
            Self::Overloaded(holds) => write!(f, "{holds}: try again in {RETRY_AFTER} s."),
            Self::NotHttp => f.write_str("The request is not well-formed HTTP/1.1."),
            Self::SlowHead => f.write_str("The request's line and headers did not arrive in time."),
            Self::LargeHead => f.write_str("The request's headers are too large."),
            Self::LongTarget => f.write_str("The request's URL is too long."),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

// Actix asks for an answer as soon as there is an error; `answer` puts one in its place that has the form the client asked
// for, so that this one, which nobody sees, is bare.
impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status())
    }
}
