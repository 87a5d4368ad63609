//! Who asks, and what every use case needs to know besides the call itself.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::{
    error::{Denied, Error, Result},
    event::Cause,
    image::ImageAccess,
    limits::Limits,
    policy::{Action, Policy},
    project::{ProjectId, UserId},
    store::Viewer,
};

/// Who asks, as Keystone vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// The project the token is scoped to. Tokens without one (unscoped, domain, system) belong to nobody.
    pub project: Option<ProjectId>,
    roles: Vec<String>,
}

impl Caller {
    /// A caller with these roles. Roles compare case-insensitively; Keystone has already expanded implied ones.
    pub fn new<R: AsRef<str>>(
        user: UserId,
        project: Option<ProjectId>,
        roles: impl IntoIterator<Item = R>,
    ) -> Self {
        let roles = roles.into_iter().map(|role| role.as_ref().to_lowercase()).collect();
        Self { user, project, roles }
    }

    /// Whether the caller has this role; `role` in lower case.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// The roles, in lower case, in no particular order.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// Whether the caller acts for this project. Nobody acts for «no project».
    #[must_use]
    pub fn is_in(&self, project: Option<&ProjectId>) -> bool {
        matches!((&self.project, project), (Some(own), Some(other)) if own == other)
    }
}

/// What the operator decided, once, for every call.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Who may do what.
    pub policy: Policy,
    /// How much of everything.
    pub limits: Limits,
    /// What adding a member to a private image does.
    pub private_images: PrivateImages,
}

/// What adding a member to a private image does (`sharing.private_images`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrivateImages {
    /// The image becomes shared and gets the member, at once: what the API was before 2.5.
    #[default]
    Share,
    /// Refused: what the API is since 2.5.
    Forbid,
}

/// The first parameter of every use case.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// What the operator decided.
    pub rules: &'a Rules,
    /// The time of the call, in whole microseconds: databases keep no more.
    pub now: DateTime<Utc>,
    /// The id of the request that the call came with: what it changes is told by that.
    pub request: &'a str,
}

impl<'a> Context<'a> {
    /// A call by `caller`, now.
    #[must_use]
    pub fn now(caller: &'a Caller, rules: &'a Rules, request: &'a str) -> Self {
        let now = Utc::now();
        Self { caller, rules, now: now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now), request }
    }

    /// Why the call changes the records.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause {
            user: self.caller.user.clone(),
            project: self.caller.project.clone(),
            request: self.request.to_owned(),
            at: self.now,
        }
    }

    /// Whether the caller administers the cloud: the policy `context_is_admin`, in any project but in one.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.caller.project.is_some() && self.rules.policy.makes_admin(self.caller)
    }

    /// The caller as a store knows it.
    #[must_use]
    pub fn viewer(&self) -> Viewer<'a> {
        Viewer { project: self.caller.project.as_ref(), admin: self.is_admin() }
    }

    /// Passes on whom the policy allows `action`; `member` as for [`Policy::allows`].
    ///
    /// # Errors
    /// [`Denied::Policy`] for everybody else.
    pub(crate) fn may(self, action: Action, image: &ImageAccess, member: Option<&ProjectId>) -> Result<()> {
        if self.rules.policy.allows(action, self.caller, image, member) {
            Ok(())
        } else {
            Err(Error::Denied(Denied::Policy(action)))
        }
    }
}
