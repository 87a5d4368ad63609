//! Who asks: a real Keystone, the projects of the catalogue that need tokens, and those.

use std::{collections::BTreeMap, process::Command, time::Instant};

use testbed::{
    Call, Keystone,
    keystone::{Options, Project, Scope, User},
    python::{self, Python},
};

use crate::{
    catalogue::{OWNERS, PLAIN, TAKERS, project_id},
    failure::{Failure, Result},
    say::say,
};

/// Keystone, and a token for each project that asks; all are one user's.
pub(crate) struct Cast {
    pub(crate) keystone: Keystone,
    tokens: BTreeMap<u64, String>,
    home: Project,
    user: User,
}

/// Longer than any run.
const TOKEN_SECONDS: u32 = 24 * 3600;

impl Cast {
    /// Starts Keystone and signs in everywhere.
    pub(crate) fn gather() -> Result<Self> {
        say("starting Keystone (from PyPI; the first time this takes a minute or two)");
        let keystone = Keystone::private(Options { expiration: TOKEN_SECONDS, ..Options::default() });
        let numbers: Vec<u64> = OWNERS.chain(TAKERS).chain(PLAIN).collect();
        let ids: Vec<String> = numbers.iter().map(|number| project_id(*number)).collect();
        let home = keystone.project("measured");
        let user = keystone.user("measured", &home, &["member"]);
        let mut insert = python("insert_projects.py");
        python::run(insert.arg(keystone.database()).arg(&user.id).args(&ids));
        let first = keystone.token(&user, Scope::Project(&home));
        let mut mint = python("mint_tokens.py");
        let minted = python::run(mint.arg(keystone.fernet_keys()).args([&first, "-"]).args(&ids));
        let tokens: BTreeMap<u64, String> =
            numbers.into_iter().zip(minted.lines().map(str::to_owned)).collect();
        Ok(Self { keystone, tokens, home, user })
    }

    /// The token of a project, by its number.
    pub(crate) fn token(&self, project: u64) -> Result<&str> {
        let token = self.tokens.get(&project).map(String::as_str);
        token.ok_or_else(|| Failure::new(format!("nobody has a token for project {project}")))
    }

    /// Every token.
    pub(crate) fn everybody(&self) -> impl Iterator<Item = &str> {
        self.tokens.values().map(String::as_str)
    }

    /// The tokens of these projects, in order.
    pub(crate) fn all(&self, projects: std::ops::Range<u64>) -> Result<Vec<&str>> {
        projects.map(|project| self.token(project)).collect()
    }

    /// Milliseconds that Keystone takes for what every start asks of it: a token for the service, and looking at the
    /// first caller's.
    pub(crate) fn questions(&self) -> f64 {
        let started = Instant::now();
        let token = self.keystone.token(&self.user, Scope::Project(&self.home));
        let url = format!("{}/auth/tokens?nocatalog=1", self.keystone.auth_url());
        Call::new("GET", url).token(&token).header("X-Subject-Token", &token).send().expect(200);
        started.elapsed().as_secs_f64() * 1000.0
    }

    /// As many valid tokens of one user and project that nobody has used yet, one a line.
    pub(crate) fn unused_tokens(&self, count: u64) -> Result<String> {
        let mut mint = python("mint_tokens.py");
        mint.arg(self.keystone.fernet_keys()).arg(self.token(PLAIN.start)?).arg(count.to_string());
        Ok(python::run(&mut mint))
    }
}

/// A script of ours, in Keystone's environment.
fn python(script: &str) -> Command {
    let path = testbed::kept::repository().join("tests/bench/python").join(script);
    let mut command = Command::new(Python::environment().program("python"));
    command.arg(path);
    command
}
