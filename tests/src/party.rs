//! One side of a share: a project and somebody working in it.

use crate::client::Client;
use crate::keystone::{Keystone, Project, Scope, User};

/// A project of its own with one user and a token.
pub struct Party {
    /// The project.
    pub project: Project,
    /// Who works in it.
    pub user: User,
    /// A token for the project.
    pub token: String,
}

impl Party {
    /// A new project with a new user who has these roles there.
    pub fn new(keystone: &Keystone, name: &str, roles: &[&str]) -> Self {
        let project = keystone.project(name);
        let user = keystone.user(name, &project, roles);
        let token = keystone.token(&user, Scope::Project(&project));
        Self { project, user, token }
    }

    /// The cloud's administrator.
    pub fn administrator(keystone: &Keystone) -> Self {
        let (user, project) = keystone.administrator();
        let token = keystone.token(&user, Scope::Project(&project));
        Self { project, user, token }
    }

    /// The OpenStack clients, signed in as this party, finding services in `region`.
    pub fn client(&self, keystone: &Keystone, region: &str) -> Client {
        Client::new(keystone.client_settings(&self.user, &self.project, region))
    }
}
