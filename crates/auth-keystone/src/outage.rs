//! Why a token could not be decided about.

use std::{sync::Arc, time::Duration};

/// Why Keystone did not decide. Texts are for the operator's log; none contains anything Keystone said.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Outage {
    /// No connection, or one that broke.
    #[error("Keystone cannot be reached: {0}")]
    Unreachable(Arc<str>),
    /// It took too long.
    #[error("Keystone did not answer within {0:?}")]
    Late(Duration),
    /// An answer that says nothing about the token.
    #[error("Keystone answered with status {0}")]
    Failing(u16),
    /// A good status with a body that is not Identity v3's.
    #[error("Keystone's answer is not one of the Identity API v3: {0}")]
    Unreadable(&'static str),
    /// Somebody else lives at the address.
    #[error(
        "what answers at keystone.auth_url is not the Identity API v3 (status {0}); the address should be the one before /v3/auth/tokens"
    )]
    WrongAddress(u16),
    /// The service's user lacks the role.
    #[error(
        "Keystone does not let the service's own user validate tokens: give it the role \"service\" in its project"
    )]
    NotAllowed,
    /// The service's credential is wrong.
    #[error(
        "Keystone refuses the service's own credential (status {0}): check user name, password, domains and project, or the application credential, and that the user has a role in the project"
    )]
    CredentialRefused(u16),
    /// A token just given out is not accepted.
    #[error("Keystone does not accept the token it has just given to the service itself")]
    OwnTokenRefused,
    /// The next sign-in is not due yet.
    #[error("the service waits {}s before it signs in to Keystone again; the last time: {reason}", wait.as_secs())]
    Waiting {
        /// How much longer.
        wait: Duration,
        /// What went wrong the last time.
        reason: Arc<Outage>,
    },
    /// More wait for Keystone already than ever get an answer in time.
    #[error("too many tokens wait for Keystone's word already")]
    Busy,
    /// The breaker is open.
    #[error("Keystone is away; it is probed until it is back")]
    Away,
    /// An answer nobody can have meant.
    #[error("Keystone's answer is longer than 1 MiB")]
    TooLong,
    /// The process is stopping.
    #[error("the question to Keystone was given up while the service was stopping")]
    GivenUp,
}

impl Outage {
    /// Whether only the operator can end it.
    pub(crate) fn is_misconfiguration(&self) -> bool {
        match self {
            Self::WrongAddress(_) | Self::NotAllowed | Self::CredentialRefused(_) => true,
            Self::Unreachable(_)
            | Self::Late(_)
            | Self::Failing(_)
            | Self::Unreadable(_)
            | Self::OwnTokenRefused
            | Self::Waiting { .. }
            | Self::Busy
            | Self::Away
            | Self::TooLong
            | Self::GivenUp => false,
        }
    }

    /// Whether it is Keystone, or the way there, that fails: enough of these, and nobody waits for it.
    pub(crate) fn is_keystones(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late(_) | Self::Failing(500..) => true,
            Self::Waiting { reason, .. } => reason.is_keystones(),
            Self::Failing(_)
            | Self::WrongAddress(_)
            | Self::NotAllowed
            | Self::CredentialRefused(_)
            | Self::Unreadable(_)
            | Self::OwnTokenRefused
            | Self::Busy
            | Self::Away
            | Self::TooLong
            | Self::GivenUp => false,
        }
    }

    /// Whether what was known a while ago may stand in. Not when all that fails is patience: whoever floods the queue
    /// must not gain time for a token that is revoked.
    pub(crate) fn lets_the_old_word_stand(&self) -> bool {
        !matches!(self, Self::Busy | Self::GivenUp)
    }

    /// When asking again makes sense.
    pub(crate) fn again_in(&self) -> Duration {
        Duration::from_secs(if matches!(self, Self::Away) { 2 } else { 1 })
    }
}
