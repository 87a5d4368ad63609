//! `/v3/projects`, `/v3/auth/projects`, `/v3/users/{id}/projects`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::keystone::Identity;
use crate::listing::Kind;
use crate::realm::{Project, Scope};
use crate::refusal::Refusal;

const PROJECTS: Kind = Kind { many: "projects", one: "project" };

/// `GET /v3/projects`: for those who see everything.
pub(crate) async fn list(
    request: HttpRequest,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.sees_all(), "identity:list_projects")?;
    let projects = identity.realm.projects.iter().map(|project| body(&identity, project));
    Ok(identity.list(&PROJECTS, projects, &request))
}

/// `GET /v3/projects/{id}`: also for a token of that very project; others cannot tell whether it exists.
pub(crate) async fn show(
    id: web::Path<String>,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    let own = matches!(&caller.token.scope, Some(Scope::Project(project)) if *project == *id);
    Caller::permit(own || caller.sees_all(), "identity:get_project")?;
    let projects = identity.realm.projects.iter().map(|project| body(&identity, project));
    identity.show(&PROJECTS, projects, &id)
}

/// `GET /v3/auth/projects`: where the caller may have a token.
pub(crate) async fn of_caller(
    request: HttpRequest,
    caller: Caller,
    identity: web::Data<Identity>,
) -> HttpResponse {
    identity.list(&PROJECTS, with_roles(&identity, &caller.token.user_id), &request)
}

/// `GET /v3/users/{id}/projects`: the same for that user, for the user and for those who see everything.
pub(crate) async fn of_user(
    request: HttpRequest,
    id: web::Path<String>,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.is(&id) || caller.sees_all(), "identity:list_user_projects")?;
    identity.realm.user(&id).ok_or_else(|| Refusal::no_such("user", &id))?;
    Ok(identity.list(&PROJECTS, with_roles(&identity, &id), &request))
}

fn with_roles<'a>(identity: &'a Identity, user_id: &str) -> impl Iterator<Item = Value> + 'a {
    let user = identity.realm.user(user_id);
    let projects = identity.realm.projects.iter().filter(move |project| {
        user.is_some_and(|user| !user.roles(&Scope::Project(project.id.clone())).is_empty())
    });
    projects.map(|project| body(identity, project))
}

fn body(identity: &Identity, project: &Project) -> Value {
    json!({
        "id": project.id,
        "name": project.name,
        "domain_id": identity.realm.domain.id,
        "description": project.description,
        "enabled": true,
        "parent_id": identity.realm.domain.id,
        "is_domain": false,
        "tags": [],
        "options": {},
    })
}
