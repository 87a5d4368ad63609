//! Takes the statements of one request of each kind from the server's log.

use crate::{
    case::Case,
    cast::Cast,
    catalogue::{Catalogue, OWNERS, PLAIN, TAKERS, image_id, project_id},
    cluster::Cluster,
    failure::Result,
    service::{Launch, Service},
    statements::{STATUS, Script, Statement, Varying, reference, script, statements},
    wrk::path,
};

/// What one kind of request sends: the statements of one, and scripts that send the like.
#[derive(Clone, Default)]
pub(crate) struct Captured {
    pub(crate) statements: Vec<Statement>,
    pub(crate) scripts: Vec<Script>,
    /// Whether the scripts send what one request alone would need, because Vitrine sends something for several.
    pub(crate) is_reference: bool,
}

/// A service of its own, all of whose statements are logged.
pub(crate) struct Capture<'a> {
    cluster: &'a Cluster,
    cast: &'a Cast,
    catalogue: Catalogue,
    service: Service,
}

impl<'a> Capture<'a> {
    /// Starts it.
    pub(crate) fn start(
        cluster: &'a Cluster,
        cast: &'a Cast,
        launch: &Launch,
        catalogue: Catalogue,
        database: &str,
    ) -> Result<Self> {
        let url = format!("{}?options=-c%20log_statement%3Dall", cluster.url(database));
        Ok(Self { cluster, cast, catalogue, service: launch.start(&url, &cast.keystone)? })
    }

    /// The statements of a request of this kind.
    pub(crate) fn of(&self, case: Case) -> Result<Captured> {
        let n = self.catalogue.example();
        let image = image_id(n);
        let owner = self.catalogue.membership(n, 0).owner;
        let by_owner =
            |k: u64, path: String| self.by_image(case, Varying::of(self.catalogue, n, k), owner, &path);
        match case {
            Case::ShowMember => {
                let member = project_id(self.catalogue.membership(n, 1).member);
                by_owner(1, format!("/v2/images/{image}/members/{member}"))
            }
            Case::ListMembers => by_owner(1, format!("/v2/images/{image}/members")),
            Case::ShowImage => by_owner(1, format!("/v2/images/{image}")),
            Case::UpdateStatus => self.update(n),
            Case::AddRemove => self.add_remove(n),
            Case::List | Case::Inbox => self.by_projects(case, PLAIN, path(case)),
            Case::ListMany => self.by_projects(case, TAKERS, path(case)),
            Case::DeepMarker => {
                let marker = image_id(self.catalogue.old_public());
                self.by_projects(case, PLAIN, &format!("/v2/images?marker={marker}"))
            }
            Case::Schema | Case::TokenMiss | Case::UnknownPath | Case::Nothing => Ok(Captured::default()),
        }
    }

    fn by_image(&self, case: Case, varying: Varying, project: u64, path: &str) -> Result<Captured> {
        let token = self.cast.token(project)?;
        let statements = self.logged(&[("GET", path.to_owned(), token, None)])?;
        let compared = statements.clone();
        Ok(self.captured(case, statements, &compared, &varying))
    }

    /// All statements of a request, and a script of those that are compared.
    fn captured(
        &self,
        case: Case,
        statements: Vec<Statement>,
        compared: &[Statement],
        varying: &Varying,
    ) -> Captured {
        let reference = reference(case, self.catalogue, compared);
        let is_reference = reference.is_some();
        let script = reference.unwrap_or_else(|| script(case, self.catalogue, compared, varying, 0));
        Captured { statements, scripts: vec![script], is_reference }
    }

    /// The change of a status; of the statements of that request only the one that changes is compared, as the goal
    /// says.
    fn update(&self, n: u64) -> Result<Captured> {
        let taker = TAKERS.start + n / 40 % 8;
        let path = format!("/v2/images/{}/members/{}", image_id(n), project_id(taker));
        let body = "{\"status\": \"rejected\"}";
        let statements = self.logged(&[("PUT", path, self.cast.token(taker)?, Some(body.to_owned()))])?;
        let varying = Varying::of(self.catalogue, n, 0).and("rejected", STATUS);
        let changing: Vec<Statement> = statements.iter().filter(|one| changes(&one.sql)).cloned().collect();
        Ok(self.captured(Case::UpdateStatus, statements, &changing, &varying))
    }

    fn add_remove(&self, n: u64) -> Result<Captured> {
        let token = self.cast.token(OWNERS.start + n / 5 % 8)?;
        let members = format!("/v2/images/{}/members", image_id(n));
        let member = "added-to-look";
        let add = ("POST", members.clone(), token, Some(format!("{{\"member\": \"{member}\"}}")));
        let remove = ("DELETE", format!("{members}/{member}"), token, None);
        let statements = self.logged(&[add, remove])?;
        let varying = Varying::of(self.catalogue, n, 0).and(member, "('added-' || :added)");
        let compared = statements.clone();
        Ok(self.captured(Case::AddRemove, statements, &compared, &varying))
    }

    /// The same request by each of these projects: a script for each.
    fn by_projects(&self, case: Case, projects: std::ops::Range<u64>, path: &str) -> Result<Captured> {
        let mut captured = Captured::default();
        for (number, project) in projects.enumerate() {
            let statements = self.logged(&[("GET", path.to_owned(), self.cast.token(project)?, None)])?;
            let varying = Varying::default();
            captured.scripts.push(script(case, self.catalogue, &statements, &varying, number));
            captured.statements = statements;
        }
        Ok(captured)
    }

    /// What the server logged of these calls. They are made twice: the first time also opens connections and asks
    /// about tokens.
    fn logged(&self, calls: &[(&str, String, &str, Option<String>)]) -> Result<Vec<Statement>> {
        let mut before = 0;
        for _ in 0..2 {
            before += self.cluster.postgres.log(before).len() as u64;
            for (method, path, token, body) in calls {
                self.service.call(method, path, token, body.as_deref())?;
            }
        }
        Ok(statements(&self.cluster.postgres.log(before)))
    }
}

/// Whether a statement changes rows.
fn changes(sql: &str) -> bool {
    let upper = sql.to_uppercase();
    upper.starts_with("UPDATE") || (upper.starts_with("WITH") && upper.contains("UPDATE "))
}
