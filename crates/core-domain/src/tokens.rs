//! The seam to whoever vouches for callers.

use std::{fmt, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use crate::{caller::Caller, error::Source};

/// Vouches for the bearers of tokens.
///
/// Implementations say [`TokenError::Rejected`] only when it was *decided* that the token is not good, and
/// [`TokenError::Unavailable`] whenever that could not be decided.
pub trait Tokens: Send + Sync {
    /// Who bears the token that is shown, if it is good for the call it is shown for.
    fn validate<'a>(&'a self, shown: Shown<'a>) -> Validation<'a>;

    /// Whether the one who vouches has answered at least once: part of being ready.
    fn is_ready(&self) -> bool;
}

/// A token and the call it is shown for.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The token of who asks.
    pub token: &'a str,
    /// The token of a service that asks on behalf of `token`'s bearer. It never changes who asks and what they may;
    /// it only lets a long chain of calls outlive `token`.
    pub service_token: Option<&'a str>,
    /// What the call does.
    pub intent: Intent,
    /// The call as it was made, such as `GET`: some tokens are good for some calls only.
    pub method: &'a str,
    /// Its path, such as `/v2/images`, without a query.
    pub path: &'a str,
    /// The id of the request this is for, to be handed on where that helps an operator to follow it.
    pub request: &'a str,
    /// The address of the client, if it is known. Implementations share what is scarce fairly among addresses; it
    /// never decides whether a token is good.
    pub peer: Option<IpAddr>,
}

/// What a call does to the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// It only looks.
    Look,
    /// It may change them.
    Change,
}

impl fmt::Debug for Shown<'_> {
    /// Without the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { intent, method, path, request, .. } = self;
        write!(f, "Shown({method} {path}, {intent:?}, {request})")
    }
}

/// A validation under way.
pub type Validation<'a> = Pin<Box<dyn Future<Output = Result<Arc<Caller>, TokenError>> + Send + 'a>>;

/// Why nobody vouches for the bearer of a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token is malformed, unknown, expired, revoked, or not good for this call.
    #[error("The request you have made requires authentication.")]
    Rejected,
    /// It cannot be known now.
    #[error("The identity service cannot be asked at the moment; try again.")]
    Unavailable {
        /// Why, for the log.
        source: Source,
        /// When asking again makes sense.
        again_in: Duration,
    },
}
