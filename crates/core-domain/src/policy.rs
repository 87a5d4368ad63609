//! Who may do what: one table of rules, named as in oslo.policy files, which an operator may override.
//!
//! [`DEFAULTS`] is the whole of it (sharing API, section 5; the defaults of Glance 33). The language of the checks
//! is in [`check`].

pub mod check;
mod glance;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::LazyLock,
};

use check::{Check, Target};

use crate::{caller::Caller, image::ImageAccess, project::ProjectId};

/// The rules as they are when nobody overrides them: name, check.
pub const DEFAULTS: [(&str, &str); 21] = [
    ("context_is_admin", "role:admin"),
    ("owner_side", "project_id:%(project_id)s"),
    ("member_side", "project_id:%(member_id)s"),
    ("open", "'public':%(visibility)s or 'community':%(visibility)s or 'shared':%(visibility)s"),
    ("owner_member", "rule:context_is_admin or (role:member and rule:owner_side)"),
    ("get_images", "rule:context_is_admin or role:reader"),
    (
        "get_image",
        "rule:context_is_admin or (role:reader and (rule:owner_side or rule:member_side or rule:open))",
    ),
    ("add_image", "rule:owner_member"),
    ("modify_image", "rule:owner_member"),
    ("delete_image", "rule:owner_member"),
    ("publicize_image", "rule:context_is_admin"),
    ("communitize_image", "rule:owner_member"),
    ("get_member", "rule:context_is_admin or (role:reader and (rule:owner_side or rule:member_side))"),
    ("get_members", "rule:context_is_admin or (role:reader and (rule:owner_side or rule:member_side))"),
    ("add_member", "rule:owner_member"),
    ("modify_member", "rule:context_is_admin or (role:member and rule:member_side)"),
    ("delete_member", "rule:owner_member"),
    // Rules of calls about an image's bytes, which are not built.
    ("download_image", "rule:context_is_admin or (role:member and rule:get_image)"),
    ("upload_image", "rule:owner_member"),
    ("deactivate", "rule:owner_member"),
    ("reactivate", "rule:owner_member"),
];

/// How many checks one rule may come to with all it refers to: each is made anew for every request.
const MAX_CHECKS: usize = 1000;
/// How many rules may refer to one another in a row.
const MAX_PATH: usize = 64;

/// What a caller may or may not do. Prints as the rule's name in a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// List images at all; each image listed is then asked for with `GetImage`.
    GetImages,
    /// Read an image's record.
    GetImage,
    /// Make an image.
    AddImage,
    /// Change an image's record.
    ModifyImage,
    /// Delete an image.
    DeleteImage,
    /// Make an image public.
    PublicizeImage,
    /// Make an image a community one.
    CommunitizeImage,
    /// Read one membership.
    GetMember,
    /// List memberships.
    GetMembers,
    /// Share an image with a project.
    AddMember,
    /// Set a membership's status.
    ModifyMember,
    /// Take a project's membership away.
    DeleteMember,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 12] = [
        Self::GetImages,
        Self::GetImage,
        Self::AddImage,
        Self::ModifyImage,
        Self::DeleteImage,
        Self::PublicizeImage,
        Self::CommunitizeImage,
        Self::GetMember,
        Self::GetMembers,
        Self::AddMember,
        Self::ModifyMember,
        Self::DeleteMember,
    ];

    /// The rule's name in a policy file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetImages => "get_images",
            Self::GetImage => "get_image",
            Self::AddImage => "add_image",
            Self::ModifyImage => "modify_image",
            Self::DeleteImage => "delete_image",
            Self::PublicizeImage => "publicize_image",
            Self::CommunitizeImage => "communitize_image",
            Self::GetMember => "get_member",
            Self::GetMembers => "get_members",
            Self::AddMember => "add_member",
            Self::ModifyMember => "modify_member",
            Self::DeleteMember => "delete_member",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rules in force. `Policy::default()` is [`DEFAULTS`].
#[derive(Clone, Debug)]
pub struct Policy {
    rules: BTreeMap<String, Check>,
    without_effect: Vec<String>,
}

/// The one rule beside those of actions that is asked for.
const CONTEXT_IS_ADMIN: &str = "context_is_admin";

/// A rule that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule \"{rule}\": {reason}")]
pub struct BadRule {
    /// The rule's name.
    pub rule: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

impl Policy {
    /// [`DEFAULTS`] with some rules replaced and some added, as an oslo.policy file does it. An added rule must be
    /// used by another, or be one of Glance's for a call that is not built: otherwise its name is a slip of the pen, and
    /// the rule that was meant stayed as it was.
    ///
    /// Rules that no call asks for, directly or by way of another, have no effect: [`Policy::without_effect`]. They may
    /// use checks and attributes that there are not here, as the language of oslo.policy has more of them.
    ///
    /// # Errors
    /// The first rule whose check does not parse, refers to a rule that is not there or to itself, or that nobody
    /// uses.
    pub fn with_overrides<'a>(
        overrides: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, BadRule> {
        let overrides: Vec<(&str, &str)> = overrides.into_iter().collect();
        let texts: BTreeMap<&str, &str> = DEFAULTS.into_iter().chain(overrides.iter().copied()).collect();
        let read = |name: &str, parse: fn(&str) -> Result<Check, check::CheckError>| {
            parse(texts.get(name).copied().unwrap_or_default())
                .map_err(|error| BadRule { rule: name.to_owned(), reason: error.to_string() })
        };
        let mut rules = BTreeMap::new();
        for name in texts.keys() {
            rules.insert((*name).to_owned(), read(name, Check::parse_unused)?);
        }
        let used = used(&rules);
        for name in &used {
            rules.insert(name.clone(), read(name, Check::parse)?);
        }
        References { rules: &rules, used: &used }.check()?;
        let is_known =
            |name: &str| DEFAULTS.iter().any(|(known, _)| *known == name) || glance::is_rule_of_glance(name);
        let is_referred_to = |name: &str| rules.values().any(|check| check.references().contains(&name));
        if let Some((name, _)) = overrides.iter().find(|(name, _)| !is_known(name) && !is_referred_to(name)) {
            return Err(BadRule {
                rule: (*name).to_owned(),
                reason: "unknown rule: Vitrine has no rule of this name and no other rule refers to it"
                    .to_owned(),
            });
        }
        let without_effect = overrides
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .filter(|name| !used.contains(name))
            .collect();
        rules.retain(|name, _| used.contains(name));
        Ok(Self { rules, without_effect })
    }

    /// The overrides that no call asks for, because it is not built, in the order in which they were given.
    #[must_use]
    pub fn without_effect(&self) -> &[String] {
        &self.without_effect
    }

    /// Whether `caller` may do `action` to an image. `member` is the project that the call names as a member, or the
    /// caller's own where the caller is on the member side.
    #[must_use]
    pub fn allows(
        &self,
        action: Action,
        caller: &Caller,
        image: &ImageAccess,
        member: Option<&ProjectId>,
    ) -> bool {
        let target = Target {
            owner: image.owner.as_ref().map(ProjectId::as_str),
            member: member.map(ProjectId::as_str),
            visibility: Some(image.visibility.as_str()),
        };
        self.holds(action.as_str(), caller, &target)
    }

    /// Whether `caller` may do `action` where no image is named yet: list, or make one for itself.
    #[must_use]
    pub fn allows_in_own_project(&self, action: Action, caller: &Caller) -> bool {
        let target =
            Target { owner: caller.project.as_ref().map(ProjectId::as_str), member: None, visibility: None };
        self.holds(action.as_str(), caller, &target)
    }

    /// Whether the rule `context_is_admin` makes `caller` an administrator.
    #[must_use]
    pub fn makes_admin(&self, caller: &Caller) -> bool {
        self.holds(CONTEXT_IS_ADMIN, caller, &Target::default())
    }

    fn holds(&self, rule: &str, caller: &Caller, target: &Target<'_>) -> bool {
        // A rule that is not there denies; `with_overrides` has seen to it that there is none.
        self.rules
            .get(rule)
            .is_some_and(|check| check.holds(caller, target, &|rule| self.holds(rule, caller, target)))
    }
}

/// The rules that calls ask for, and those that they refer to.
fn used(rules: &BTreeMap<String, Check>) -> BTreeSet<String> {
    let mut waiting: Vec<&str> =
        Action::ALL.iter().map(|action| action.as_str()).chain([CONTEXT_IS_ADMIN]).collect();
    let mut used = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if let Some(check) = rules.get(name)
            && used.insert(name.to_owned())
        {
            waiting.extend(check.references());
        }
    }
    used
}

/// What rules refer to: each other, without end or measure if nobody looks.
struct References<'a> {
    rules: &'a BTreeMap<String, Check>,
    used: &'a BTreeSet<String>,
}

impl<'a> References<'a> {
    fn check(&self) -> Result<(), BadRule> {
        let mut sizes = BTreeMap::new();
        for name in self.rules.keys() {
            self.size(name, &mut Vec::new(), &mut sizes)?;
        }
        Ok(())
    }

    /// Follows every reference from `name` and answers how many checks there are to make in all; `path` holds the
    /// rules on the way there, `sizes` what is known already.
    fn size(
        &self,
        name: &'a str,
        path: &mut Vec<&'a str>,
        sizes: &mut BTreeMap<&'a str, usize>,
    ) -> Result<usize, BadRule> {
        let bad = |rule: &str, reason: String| Err(BadRule { rule: rule.to_owned(), reason });
        if let Some(size) = sizes.get(name) {
            return Ok(*size);
        }
        let from = path.last().copied().unwrap_or(name);
        if path.contains(&name) {
            return bad(path[0], format!("refers to itself by way of rule:{name}"));
        }
        let Some(check) = self.rules.get(name) else {
            // Glance has rules of its own for calls that are not built, and a file may leave them as they are.
            if !self.used.contains(from) && glance::is_rule_of_glance(name) {
                return Ok(1);
            }
            return bad(from, format!("refers to the unknown rule \"{name}\""));
        };
        path.push(name);
        let mut size = 1;
        for reference in check.references() {
            size += self.size(reference, path, sizes)?;
        }
        if size > MAX_CHECKS || path.len() > MAX_PATH {
            return bad(name, format!("refers to so many rules that it makes more than {MAX_CHECKS} checks"));
        }
        path.pop();
        sizes.insert(name, size);
        Ok(size)
    }
}

impl Default for Policy {
    fn default() -> Self {
        static POLICY: LazyLock<Policy> = LazyLock::new(|| {
            Policy::with_overrides([])
                .unwrap_or_else(|_| Policy { rules: BTreeMap::new(), without_effect: Vec::new() })
        });
        POLICY.clone()
    }
}

#[cfg(test)]
mod tests;
