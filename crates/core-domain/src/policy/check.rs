//! The language of oslo.policy checks, as far as it makes sense for images:
//!
//! | check | holds when |
//! |---|---|
//! | `@` or nothing | always |
//! | `!` | never |
//! | `role:member` | the caller has the role |
//! | `rule:name` | that rule holds |
//! | `project_id:%(project_id)s`, `user_id:…` | the caller's project (user) is the image's owner |
//! | `project_id:%(member_id)s` | the caller's project is the member |
//! | `'public':%(visibility)s` | the image is public |
//! | `not`, `and`, `or`, `( … )` | as one expects, `not` first, `or` last |

use crate::{caller::Caller, project::ProjectId};

/// How deep checks may nest: far beyond any real file, far below the stack's end.
const MAX_DEPTH: usize = 64;

/// One check, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `@`
    Always,
    /// `!`
    Never,
    /// `not …`
    Not(Box<Check>),
    /// `… and …`
    And(Vec<Check>),
    /// `… or …`
    Or(Vec<Check>),
    /// `role:…`, in lower case
    Role(String),
    /// `rule:…`
    Rule(String),
    /// `left:right`, compared as text
    Equal(Left, Right),
}

/// The left side of a comparison: something about the caller, or a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// `project_id`
    Project,
    /// `user_id`
    User,
    /// `'…'`
    Literal(String),
}

/// The right side of a comparison: something about the image, or a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// `%(project_id)s` or `%(owner)s`
    Owner,
    /// `%(member_id)s`
    Member,
    /// `%(visibility)s`
    Visibility,
    /// anything else
    Literal(String),
}

/// What a check is held against. What is absent equals nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// The image's owner.
    pub owner: Option<&'a str>,
    /// The member the call is about.
    pub member: Option<&'a str>,
    /// The image's visibility.
    pub visibility: Option<&'a str>,
}

/// Why a text is no check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The text ends where something must follow.
    #[error("ends too early: a check such as role:member must follow")]
    Ends,
    /// A closing parenthesis is missing.
    #[error("a closing parenthesis is missing")]
    Unclosed,
    /// A word stands where none may.
    #[error("\"{0}\" is unexpected here: checks are joined by \"and\" or \"or\"")]
    Unexpected(String),
    /// A word that is no check.
    #[error(
        "\"{0}\" is no check: there are role:, rule:, project_id:, user_id:, 'literal':, \"@\" (always) and \"!\" (never)"
    )]
    Unknown(String),
    /// An attribute that images do not have.
    #[error(
        "\"{0}\" is no attribute of an image: there are %(project_id)s, %(owner)s, %(member_id)s and %(visibility)s"
    )]
    UnknownAttribute(String),
    /// A kind of check without what it is about.
    #[error("\"{0}\" names nothing: a name must follow the colon at once, as in role:member")]
    Unnamed(String),
    /// A name with letters that no name of a role or rule has.
    #[error(
        "\"{0}\" has no plain name after the colon: write role:member, without quotes, % and parentheses"
    )]
    NoName(String),
    /// A reference to an attribute that is written wrongly.
    #[error(
        "\"{0}\" is no attribute and no plain text: write %(project_id)s, with % before and s after the parentheses"
    )]
    BadReference(String),
    /// An attribute's name where the attribute was meant.
    #[error("\"{0}\" is compared with as a word and never equal: write %({0})s for the image's attribute")]
    BareAttribute(String),
    /// More nesting than any check needs.
    #[error("is nested more than 64 deep")]
    TooDeep,
}

impl CheckError {
    /// Whether the text may well be a check of oslo.policy, of a kind or about an attribute that there is not here.
    const fn is_of_another_service(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::UnknownAttribute(_))
    }
}

impl Check {
    /// Reads a check.
    ///
    /// # Errors
    /// What is wrong with it, in words for the operator.
    pub fn parse(text: &str) -> Result<Self, CheckError> {
        Self::read(text, false)
    }

    /// Reads a check that no call asks for: kinds of checks and attributes that there are not here are taken for
    /// [`Check::Never`].
    ///
    /// # Errors
    /// What is wrong with it in every oslo.policy file: parentheses, keywords, references that are written wrongly.
    pub fn parse_unused(text: &str) -> Result<Self, CheckError> {
        Self::read(text, true)
    }

    fn read(text: &str, is_unused: bool) -> Result<Self, CheckError> {
        let words = words(text);
        if words.is_empty() {
            return Ok(Self::Always);
        }
        let mut reader = Reader { words: &words, depth: 0, is_unused };
        let check = reader.any()?;
        match reader.words.first() {
            Some(word) => Err(CheckError::Unexpected((*word).to_owned())),
            None => Ok(check),
        }
    }

    /// Whether the check holds for this caller and target; `rule` answers for other rules.
    #[must_use]
    pub fn holds(&self, caller: &Caller, target: &Target<'_>, rule: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Not(check) => !check.holds(caller, target, rule),
            Self::And(checks) => checks.iter().all(|check| check.holds(caller, target, rule)),
            Self::Or(checks) => checks.iter().any(|check| check.holds(caller, target, rule)),
            Self::Role(role) => caller.has_role(role),
            Self::Rule(name) => rule(name),
            Self::Equal(left, right) => {
                let left = match left {
                    Left::Project => caller.project.as_ref().map(ProjectId::as_str),
                    Left::User => Some(caller.user.as_str()),
                    Left::Literal(text) => Some(text.as_str()),
                };
                let right = match right {
                    Right::Owner => target.owner,
                    Right::Member => target.member,
                    Right::Visibility => target.visibility,
                    Right::Literal(text) => Some(text.as_str()),
                };
                left.is_some() && left == right
            }
        }
    }

    /// The rules that this check refers to.
    #[must_use]
    pub fn references(&self) -> Vec<&str> {
        match self {
            Self::Rule(name) => vec![name],
            Self::Not(check) => check.references(),
            Self::And(checks) | Self::Or(checks) => checks.iter().flat_map(Self::references).collect(),
            Self::Always | Self::Never | Self::Role(_) | Self::Equal(..) => Vec::new(),
        }
    }
}

/// Splits at blanks, and parentheses off the words they touch, but for those of `%(…)s`.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for mut word in text.split_whitespace() {
        while let Some(rest) = word.strip_prefix('(') {
            words.push(&word[..1]);
            word = rest;
        }
        let opened = word.matches('(').count();
        let closed = word.matches(')').count();
        let trailing = word.len() - word.trim_end_matches(')').len();
        let core = word.len() - closed.saturating_sub(opened).min(trailing);
        if core > 0 {
            words.push(&word[..core]);
        }
        words.extend((core..word.len()).map(|at| &word[at..=at]));
    }
    words
}

struct Reader<'a> {
    words: &'a [&'a str],
    depth: usize,
    /// Whether what there is not here is let through.
    is_unused: bool,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn skip(&mut self, keyword: &str) -> bool {
        let found = self.words.first().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn any(&mut self) -> Result<Check, CheckError> {
        let first = self.all()?;
        let mut checks = vec![first];
        while self.skip("or") {
            checks.push(self.all()?);
        }
        Ok(joined(checks, Check::Or))
    }

    fn all(&mut self) -> Result<Check, CheckError> {
        let first = self.one()?;
        let mut checks = vec![first];
        while self.skip("and") {
            checks.push(self.one()?);
        }
        Ok(joined(checks, Check::And))
    }

    fn one(&mut self) -> Result<Check, CheckError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(CheckError::TooDeep);
        }
        let word = self.next().ok_or(CheckError::Ends)?;
        let check = if word.eq_ignore_ascii_case("not") {
            Check::Not(Box::new(self.one()?))
        } else if word == "(" {
            let inner = self.any()?;
            if self.next() != Some(")") {
                return Err(CheckError::Unclosed);
            }
            inner
        } else {
            match atom(word) {
                Err(error) if self.is_unused && error.is_of_another_service() => Check::Never,
                read => read?,
            }
        };
        self.depth -= 1;
        Ok(check)
    }
}

fn joined(mut checks: Vec<Check>, join: fn(Vec<Check>) -> Check) -> Check {
    match checks.pop() {
        Some(only) if checks.is_empty() => only,
        Some(last) => {
            checks.push(last);
            join(checks)
        }
        None => Check::Always,
    }
}

fn atom(word: &str) -> Result<Check, CheckError> {
    let unknown = || CheckError::Unknown(word.to_owned());
    match word {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        ")" | "(" => return Err(CheckError::Unexpected(word.to_owned())),
        _ => {}
    }
    let (left, right) = word.split_once(':').ok_or_else(unknown)?;
    if right.is_empty() {
        return Err(CheckError::Unnamed(word.to_owned()));
    }
    let left = match left {
        "role" => return Ok(Check::Role(plain_name(word, right)?.to_lowercase())),
        "rule" => return Ok(Check::Rule(plain_name(word, right)?.to_owned())),
        "project_id" | "tenant" | "tenant_id" => Left::Project,
        "user_id" | "user" => Left::User,
        _ => Left::Literal(quoted(left).filter(|text| is_plain(text)).ok_or_else(unknown)?.to_owned()),
    };
    Ok(Check::Equal(left, compared_with(right)?))
}

/// The right side of a comparison.
fn compared_with(text: &str) -> Result<Right, CheckError> {
    let bad = || CheckError::BadReference(text.to_owned());
    let Some(attribute) = text.strip_prefix("%(").and_then(|rest| rest.strip_suffix(")s")) else {
        let literal = quoted(text);
        return match literal.unwrap_or(text) {
            word if !is_plain(word) => Err(bad()),
            word if literal.is_none() && is_attribute(word) => {
                Err(CheckError::BareAttribute(word.to_owned()))
            }
            word => Ok(Right::Literal(word.to_owned())),
        };
    };
    match attribute {
        "project_id" | "owner" | "tenant" => Ok(Right::Owner),
        "member_id" | "member" => Ok(Right::Member),
        "visibility" => Ok(Right::Visibility),
        other if is_plain(other) && !other.is_empty() => Err(CheckError::UnknownAttribute(other.to_owned())),
        _ => Err(bad()),
    }
}

fn is_attribute(word: &str) -> bool {
    matches!(word, "project_id" | "owner" | "tenant" | "member_id" | "member" | "visibility")
}

/// Whether nothing in the text is of the notation.
fn is_plain(text: &str) -> bool {
    !text.contains(['%', '(', ')', '\'', '"'])
}

fn plain_name<'a>(word: &str, name: &'a str) -> Result<&'a str, CheckError> {
    if is_plain(name) { Ok(name) } else { Err(CheckError::NoName(word.to_owned())) }
}

fn quoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}
