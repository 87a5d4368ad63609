//! Who exists: the domain, its projects, its users and what each of them may do where.

use std::collections::BTreeSet;

use crate::Error;

/// The one domain of a realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// As in `user_domain_id`; Keystone's first domain is `default`.
    pub id: String,
    /// As in `user_domain_name`; Keystone's first domain is `Default`.
    pub name: String,
}

/// A project of the realm's domain, always enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// A UUID without dashes, as Keystone writes it.
    pub id: String,
    /// Unique in the realm.
    pub name: String,
    /// One line for a person.
    pub description: String,
}

/// A user of the realm's domain, always enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// A UUID without dashes, as Keystone writes it.
    pub id: String,
    /// Unique in the realm.
    pub name: String,
    /// In the clear: whoever reaches loopback may know it.
    pub password: String,
    /// The project of a token asked for without a scope; without one, or without a role there, the token is unscoped.
    pub default_project_id: Option<String>,
    /// The roles given; what they imply is added when a token is read.
    pub grants: Vec<Grant>,
}

/// One role in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where.
    pub scope: Scope,
    /// What.
    pub role: Role,
}

/// What a token or a role is for. An unscoped token has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The project with this id.
    Project(String),
    /// The realm's domain.
    Domain,
    /// The whole deployment (`system: {"all": true}`).
    System,
}

/// The roles that `keystone-manage bootstrap` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Implies [`Role::Manager`].
    Admin,
    /// Implies [`Role::Member`].
    Manager,
    /// Implies [`Role::Reader`].
    Member,
    /// Implies nothing.
    Reader,
    /// For services that validate tokens; implies nothing and is implied by nothing.
    Service,
}

impl Role {
    /// The name in tokens and policies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Member => "member",
            Self::Reader => "reader",
            Self::Service => "service",
        }
    }

    /// The id in tokens, the same on every machine.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Admin => "0ed73d4f44ac4900b149b04a26dd1691",
            Self::Manager => "a0e61b340719403aa00e3f292f1a0b8c",
            Self::Member => "8ef50566444d4b23b4b127609d9dd789",
            Self::Reader => "618ffe1521874f6fa46d22b14c018b7f",
            Self::Service => "5d22d521d6714ba0a564d8f05d9a8e87",
        }
    }

    /// Itself and everything it implies: `admin`, then `manager`, then `member`, then `reader`.
    fn expanded(self) -> &'static [Self] {
        match self {
            Self::Admin => &[Self::Admin, Self::Manager, Self::Member, Self::Reader],
            Self::Manager => &[Self::Manager, Self::Member, Self::Reader],
            Self::Member => &[Self::Member, Self::Reader],
            Self::Reader => &[Self::Reader],
            Self::Service => &[Self::Service],
        }
    }
}

/// Everything the development identity knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm {
    /// The one domain.
    pub domain: Domain,
    /// Its projects.
    pub projects: Vec<Project>,
    /// Its users.
    pub users: Vec<User>,
}

impl Realm {
    /// The password of every user of [`Realm::demo`].
    pub const DEMO_PASSWORD: &str = "secret";

    /// The demo: the ids never change, so that `clouds.yaml` and pasted sessions stay good.
    ///
    /// | user | default project | roles |
    /// | --- | --- | --- |
    /// | `owner` | `demo-owner` | `member` |
    /// | `member` | `demo-member` | `member` |
    /// | `reader` | `demo-member` | `reader` there and in `demo-owner` |
    /// | `other` | `demo-other` | `member`; a third party, with whom nothing is shared |
    /// | `admin` | `admin` | `admin`, also on the domain and the system |
    /// | `vitrine` | `service` | `service`: the account with which the image service validates tokens |
    #[must_use]
    pub fn demo() -> Self {
        let owner = project("33009101a10a4cc5846222d23165d0d5", "demo-owner", "Owns images and shares them.");
        let member = project("977385abfe314d708d7ca8eb9607cf41", "demo-member", "Is given images to use.");
        let other = project("f0d5823b0e4c4debafbc643e0d250624", "demo-other", "Is given nothing.");
        let admin = project("8403a5a6a78149aa885caacaf63ffbf4", "admin", "For the administrator.");
        let service = project("30d1ff146b514fef9bf7a7924aaeefcc", "service", "For services.");
        let users = vec![
            user("7f9e90c6e32f4597affb2e99c3c34882", "owner", &owner, &[], Role::Member),
            user("bdcb1e1881bf4742bbaf22d59272dc51", "member", &member, &[], Role::Member),
            user("cc4f7ae5a2cd48d99f30227a2b6aacfc", "reader", &member, &[on(&owner)], Role::Reader),
            user("6c586c10d45b4c74ab06d663081b3de9", "other", &other, &[], Role::Member),
            user(
                "a2a54978f2e34d599416f20b3ac4d642",
                "admin",
                &admin,
                &[Scope::Domain, Scope::System],
                Role::Admin,
            ),
            user("5cb829e989ed4c3096d78eab622686ae", "vitrine", &service, &[], Role::Service),
        ];
        Self {
            domain: Domain { id: "default".to_owned(), name: "Default".to_owned() },
            projects: vec![owner, member, other, admin, service],
            users,
        }
    }

    /// The project with this id.
    #[must_use]
    pub fn project(&self, id: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.id == id)
    }

    /// The project with this name.
    #[must_use]
    pub fn project_named(&self, name: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.name == name)
    }

    /// The user with this id.
    #[must_use]
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The user with this name.
    #[must_use]
    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Says what contradicts itself: doubled ids or names, or a grant in a project that does not exist.
    pub(crate) fn check(&self) -> Result<(), Error> {
        no_doubles("project id", self.projects.iter().map(|project| &project.id))?;
        no_doubles("project name", self.projects.iter().map(|project| &project.name))?;
        no_doubles("user id", self.users.iter().map(|user| &user.id))?;
        no_doubles("user name", self.users.iter().map(|user| &user.name))?;
        for user in &self.users {
            let granted = user.grants.iter().filter_map(|grant| match &grant.scope {
                Scope::Project(id) => Some(id),
                Scope::Domain | Scope::System => None,
            });
            if let Some(id) = granted.chain(&user.default_project_id).find(|id| self.project(id).is_none()) {
                return Err(Error::Realm(format!(
                    "user {:?} names the project {id:?}, which is not there",
                    user.name
                )));
            }
        }
        Ok(())
    }
}

impl User {
    /// The user's roles there, with what they imply; empty means that the user may not have a token for it.
    #[must_use]
    pub fn roles(&self, scope: &Scope) -> BTreeSet<Role> {
        let there = self.grants.iter().filter(|grant| grant.scope == *scope);
        there.flat_map(|grant| grant.role.expanded()).copied().collect()
    }
}

fn no_doubles<'a>(what: &str, values: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value) {
            return Err(Error::Realm(format!("the {what} {value:?} is there twice")));
        }
    }
    Ok(())
}

fn project(id: &str, name: &str, description: &str) -> Project {
    Project { id: id.to_owned(), name: name.to_owned(), description: description.to_owned() }
}

fn on(project: &Project) -> Scope {
    Scope::Project(project.id.clone())
}

fn user(id: &str, name: &str, home: &Project, elsewhere: &[Scope], role: Role) -> User {
    let scopes = std::iter::once(on(home)).chain(elsewhere.iter().cloned());
    User {
        id: id.to_owned(),
        name: name.to_owned(),
        password: Realm::DEMO_PASSWORD.to_owned(),
        default_project_id: Some(home.id.clone()),
        grants: scopes.map(|scope| Grant { scope, role }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_realm_fits_together() {
        Realm::demo().check().unwrap();
    }

    #[test]
    fn an_admin_has_every_role_that_admin_implies_but_not_service() {
        let realm = Realm::demo();
        let admin = realm.user_named("admin").unwrap();
        let home = on(realm.project_named("admin").unwrap());
        assert_eq!(
            Vec::from_iter(admin.roles(&home)),
            [Role::Admin, Role::Manager, Role::Member, Role::Reader]
        );
    }

    #[test]
    fn a_grant_in_a_missing_project_is_named() {
        let mut realm = Realm::demo();
        realm.users[0].grants[0].scope = Scope::Project("gone".to_owned());
        let said = realm.check().unwrap_err().to_string();
        assert!(said.contains("\"owner\"") && said.contains("\"gone\""), "{said}");
    }

    #[test]
    fn a_doubled_name_is_named() {
        let mut realm = Realm::demo();
        realm.projects[1].name = "demo-owner".to_owned();
        assert!(realm.check().unwrap_err().to_string().contains("demo-owner"));
    }
}
