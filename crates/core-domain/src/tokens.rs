//! The seam to whoever vouches for callers.

use std::{pin::Pin, sync::Arc};

use crate::{caller::Caller, error::Source};

/// Vouches for the bearers of tokens.
///
/// Implementations say [`TokenError::Rejected`] only when it was *decided* that the token is not good, and
/// [`TokenError::Unavailable`] whenever that could not be decided.
pub trait Tokens: Send + Sync {
    /// Who bears `token`. `request` is the id of the request this is for, to be handed on where that helps an
    /// operator to follow it.
    fn validate<'a>(&'a self, token: &'a str, request: &'a str) -> Validation<'a>;

    /// Whether the one who vouches has answered at least once: part of being ready.
    fn is_ready(&self) -> bool;
}

/// A validation under way.
pub type Validation<'a> = Pin<Box<dyn Future<Output = Result<Arc<Caller>, TokenError>> + Send + 'a>>;

/// Why nobody vouches for the bearer of a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token is malformed, unknown, expired or revoked.
    #[error("The request you have made requires authentication.")]
    Rejected,
    /// It cannot be known now.
    #[error("The identity service cannot be asked at the moment; try again.")]
    Unavailable(#[source] Source),
}
