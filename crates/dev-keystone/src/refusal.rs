//! Every answer that is not a success, in Keystone's shape: `{"error": {"code", "message", "title"}}`.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

/// Why a request is not done. A 401 gets its `WWW-Authenticate` where every answer gets its headers (`answer.rs`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400: the body, or what it lacks.
    Malformed(Cow<'static, str>),
    /// 401, always with the same words, so that nobody learns which part was wrong.
    Unauthenticated,
    /// 401 for an authentication method that is not served.
    UnsupportedMethod,
    /// 403; the action as policies name it, e.g. `identity:validate_token`.
    Forbidden(Option<&'static str>),
    /// 404; never with a token in it.
    NotFound(Cow<'static, str>),
    /// 500: the token could not be signed.
    Broken,
}

impl Refusal {
    /// 400 in the words that Keystone uses for what a body lacks.
    pub(crate) fn missing(attribute: &str, target: &str) -> Self {
        Self::Malformed(Cow::Owned(format!(
            "Expecting to find {attribute} in {target}. The server could not comply with the request since it is either \
             malformed or otherwise incorrect. The client is assumed to be in error."
        )))
    }

    /// 404 for a thing with an id.
    pub(crate) fn no_such(kind: &str, id: &str) -> Self {
        Self::NotFound(Cow::Owned(format!("Could not find {kind}: {id}.")))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(message) | Self::NotFound(message) => f.write_str(message),
            Self::Unauthenticated => f.write_str("The request you have made requires authentication."),
            Self::UnsupportedMethod => f.write_str("Attempted to authenticate with an unsupported method."),
            Self::Forbidden(None) => f.write_str("You are not authorized to perform the requested action."),
            Self::Forbidden(Some(action)) => {
                write!(f, "You are not authorized to perform the requested action: {action}.")
            }
            Self::Broken => f.write_str("The token could not be signed."),
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated | Self::UnsupportedMethod => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut error = json!({
            "code": status.as_u16(),
            "message": self.to_string(),
            "title": status.canonical_reason(),
        });
        if *self == Self::UnsupportedMethod {
            error["identity"] = json!({"methods": ["password", "token"]});
        }
        HttpResponse::build(status).json(json!({"error": error}))
    }
}
