//! A real Keystone on loopback, and the projects, people and tokens a story needs.
//!
//! Database and keys are prepared once per Python environment and copied, so that a start takes about three seconds.
//! Keystone's own setting `password_hash_rounds = 4` makes signing in cheap; everything else is as it ships.

mod prepared;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use self::prepared::{ADMIN, ADMIN_PASSWORD, SERVICE_PASSWORD, SERVICE_PROJECT, SERVICE_USER};
use crate::http::{Answer, Call};
use crate::patience;
use crate::python::Python;
use crate::supervised::{Program, Supervised};

/// How Keystone makes its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Encrypted, opaque to everybody but Keystone.
    Fernet,
    /// Signed with ES256, readable by everybody.
    Jws,
}

/// What may differ between one Keystone and another.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How tokens are made.
    pub provider: Provider,
    /// How long a token lives, in seconds.
    pub expiration: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { provider: Provider::Fernet, expiration: 3600 }
    }
}

/// A running Keystone.
pub struct Keystone {
    directory: PathBuf,
    port: OnceLock<u16>,
    server: Mutex<Option<Supervised>>,
    admin_token: Mutex<Option<String>>,
    roles: Mutex<Vec<(String, String)>>,
}

/// A project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Keystone's id: a UUID without dashes.
    pub id: String,
    /// Its name in the domain `default`.
    pub name: String,
}

/// Somebody who can sign in.
#[derive(Clone, Debug)]
pub struct User {
    /// Keystone's id.
    pub id: String,
    /// The name in the domain `default`.
    pub name: String,
    /// The password.
    pub password: String,
}

/// What a token is for.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// One project.
    Project(&'a Project),
    /// The domain `default`.
    Domain,
    /// The whole cloud.
    System,
    /// Nothing: it only says who somebody is.
    Unscoped,
}

impl Keystone {
    /// The Keystone this test process shares among its tests; stopped when the process ends.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Keystone> = LazyLock::new(|| Keystone::private(Options::default()));
        &SHARED
    }

    /// A Keystone of the caller's own, to be stopped and started at will.
    pub fn private(options: Options) -> Self {
        let directory = temporary();
        prepared::copy(&prepared::directory(), &directory);
        Self::serve(directory, options)
    }

    /// Serves the database and keys in `directory`.
    fn serve(directory: PathBuf, options: Options) -> Self {
        fs::write(directory.join("keystone.conf"), prepared::configuration(&directory, options))
            .expect("a configuration file");
        let keystone = Self {
            directory,
            port: OnceLock::new(),
            server: Mutex::new(None),
            admin_token: Mutex::new(None),
            roles: Mutex::default(),
        };
        keystone.start();
        keystone
    }

    /// Starts a stopped Keystone again, at the same address.
    pub fn start(&self) {
        let port_file = self.directory.join("port");
        let _ = fs::remove_file(&port_file);
        let server = Program::new(Python::environment().program("python"))
            .args(["-W", "ignore"])
            .arg(Python::script("keystone_serve.py"))
            .arg(self.directory.join("keystone.conf"))
            .arg(self.directory.join("keystone.db"))
            .arg(self.port.get().unwrap_or(&0).to_string())
            .arg(&port_file)
            .removing(&self.directory)
            .start(&self.directory.join("log"));
        patience::until("Keystone to listen", Duration::from_secs(90), || {
            assert!(server.exit_status().is_none(), "Keystone ended:\n{}", server.log());
            port_file.exists().then_some(())
        });
        *self.server.lock().expect("no panic while holding the server") = Some(server);
        self.port.get_or_init(|| {
            let port = fs::read_to_string(&port_file).expect("the port it listens on");
            port.parse().expect("a port")
        });
        // Keystone loads its policy and its ways of signing in with the first request that needs them, and refuses
        // others that come meanwhile: so that first one comes alone.
        *self.admin_token.lock().expect("no panic while holding the token") = None;
        let token = self.admin_token();
        self.admin("GET", "/roles", None).expect(200);
        let validate = Call::new("GET", format!("{}/auth/tokens", self.auth_url())).token(&token);
        validate.header("X-Subject-Token", &token).send().expect(200);
    }

    /// Stops it; [`Keystone::start`] brings it back at the same address with all it knew.
    pub fn stop(&self) {
        let server = self.server.lock().expect("no panic while holding the server").take();
        server.expect("a Keystone that runs").end("TERM");
    }

    /// Ends it without notice; [`Keystone::start`] brings it back.
    pub fn kill(&self) {
        let server = self.server.lock().expect("no panic while holding the server").take();
        server.expect("a Keystone that runs").end("KILL");
    }

    /// Leaves it listening but answering nobody, until [`Keystone::resume`].
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets a paused Keystone answer again.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let server = self.server.lock().expect("no panic while holding the server");
        server.as_ref().expect("a Keystone that runs").signal(name);
    }

    /// The address clients are given: `http://127.0.0.1:PORT/v3`.
    pub fn auth_url(&self) -> String {
        format!("http://127.0.0.1:{}/v3", self.port.get().expect("a Keystone that was started"))
    }

    /// The folder with the public keys of JWS tokens.
    pub fn jws_public_keys(&self) -> PathBuf {
        self.directory.join("keys/jws/public")
    }

    /// The folder with the keys of Fernet tokens.
    pub fn fernet_keys(&self) -> PathBuf {
        self.directory.join("keys/fernet")
    }

    /// Rotates the keys of Fernet tokens, as `keystone-manage fernet_rotate` does: the staged key, number 0, becomes the
    /// primary, the highest number, and another is staged. Tokens by the last primary key stay good.
    pub fn rotate_fernet_key(&self) {
        let keys = self.fernet_keys();
        let numbers = fs::read_dir(&keys).expect("the folder of keys").flatten();
        let last = numbers.filter_map(|key| key.file_name().to_str()?.parse::<u32>().ok()).max();
        fs::rename(keys.join("0"), keys.join((last.expect("a key") + 1).to_string()))
            .expect("a new primary key");
        let script = "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode(), end='')";
        let made =
            std::process::Command::new(Python::environment().program("python")).args(["-c", script]).output();
        // Keystone may look at any moment, and at no half of a key.
        let staged = keys.with_file_name("staged");
        fs::write(&staged, made.expect("Python can be started").stdout).expect("a key");
        fs::rename(staged, keys.join("0")).expect("a staged key");
    }

    /// Its database, a SQLite file.
    pub fn database(&self) -> PathBuf {
        self.directory.join("keystone.db")
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        let server = self.server.lock().expect("no panic while holding the server");
        server.as_ref().expect("a Keystone that runs").pid()
    }

    /// The settings with which Vitrine asks this Keystone, as environment variables.
    pub fn service_settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("VITRINE_KEYSTONE__AUTH_URL", self.auth_url()),
            ("VITRINE_KEYSTONE__USERNAME", SERVICE_USER.to_owned()),
            ("VITRINE_KEYSTONE__PASSWORD", SERVICE_PASSWORD.to_owned()),
            ("VITRINE_KEYSTONE__PROJECT_NAME", SERVICE_PROJECT.to_owned()),
            ("VITRINE_KEYSTONE__USER_DOMAIN_ID", "default".to_owned()),
            ("VITRINE_KEYSTONE__PROJECT_DOMAIN_ID", "default".to_owned()),
        ]
    }

    /// The settings with which an OpenStack client signs in, as environment variables.
    pub fn client_settings(
        &self,
        user: &User,
        project: &Project,
        region: &str,
    ) -> Vec<(&'static str, String)> {
        vec![
            ("OS_AUTH_URL", self.auth_url()),
            ("OS_IDENTITY_API_VERSION", "3".to_owned()),
            ("OS_USERNAME", user.name.clone()),
            ("OS_PASSWORD", user.password.clone()),
            ("OS_USER_DOMAIN_ID", "default".to_owned()),
            ("OS_PROJECT_ID", project.id.clone()),
            ("OS_PROJECT_DOMAIN_ID", "default".to_owned()),
            ("OS_REGION_NAME", region.to_owned()),
        ]
    }

    /// A new project; others may ask for the same name.
    pub fn project(&self, name: &str) -> Project {
        let name = unique(name);
        let body = json!({"project": {"name": name, "domain_id": "default"}});
        let made = self.admin("POST", "/projects", Some(&body)).expect(201).json();
        Project { id: text(&made["project"]["id"]), name }
    }

    /// A new user with these roles in a project; others may ask for the same name.
    pub fn user(&self, name: &str, project: &Project, roles: &[&str]) -> User {
        let name = unique(name);
        let password = format!("not-a-secret-{name}");
        let body = json!({"user": {"name": name, "domain_id": "default", "password": password}});
        let made = self.admin("POST", "/users", Some(&body)).expect(201).json();
        let user = User { id: text(&made["user"]["id"]), name, password };
        for role in roles {
            self.assign(&user, Scope::Project(project), role);
        }
        user
    }

    /// The cloud's administrator, with the project it administers from.
    pub fn administrator(&self) -> (User, Project) {
        let found = self.admin("GET", "/projects?name=admin", None).expect(200).json();
        let project = Project { id: text(&found["projects"][0]["id"]), name: ADMIN.to_owned() };
        let found = self.admin("GET", "/users?name=admin", None).expect(200).json();
        let id = text(&found["users"][0]["id"]);
        (User { id, name: ADMIN.to_owned(), password: ADMIN_PASSWORD.to_owned() }, project)
    }

    /// Gives a user a role (`admin`, `manager`, `member`, `reader`, `service`).
    pub fn assign(&self, user: &User, scope: Scope<'_>, role: &str) {
        self.assignment("PUT", user, scope, role);
    }

    /// Takes a role away.
    pub fn withdraw(&self, user: &User, scope: Scope<'_>, role: &str) {
        self.assignment("DELETE", user, scope, role);
    }

    fn assignment(&self, method: &str, user: &User, scope: Scope<'_>, role: &str) {
        let target = match scope {
            Scope::Project(project) => format!("/projects/{}", project.id),
            Scope::Domain => "/domains/default".to_owned(),
            Scope::System => "/system".to_owned(),
            Scope::Unscoped => panic!("a role is for something"),
        };
        let path = format!("{target}/users/{}/roles/{}", user.id, self.role_id(role));
        self.admin(method, &path, None).expect(204);
    }

    fn role_id(&self, name: &str) -> String {
        let mut roles = self.roles.lock().expect("no panic while holding the roles");
        if roles.is_empty() {
            let all = self.admin("GET", "/roles", None).expect(200).json();
            let all = all["roles"].as_array().expect("a list of roles").iter();
            roles.extend(all.map(|role| (text(&role["name"]), text(&role["id"]))));
        }
        let found = roles.iter().find(|(known, _)| known == name);
        found.map(|(_, id)| id.clone()).unwrap_or_else(|| panic!("Keystone has no role {name:?}"))
    }

    /// A new token.
    pub fn token(&self, user: &User, scope: Scope<'_>) -> String {
        let scope = match scope {
            Scope::Project(project) => json!({"project": {"id": project.id}}),
            Scope::Domain => json!({"domain": {"id": "default"}}),
            Scope::System => json!({"system": {"all": true}}),
            Scope::Unscoped => json!("unscoped"),
        };
        let named = json!({"name": user.name, "domain": {"id": "default"}, "password": user.password});
        sign_in(&self.auth_url(), &named, &scope)
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        let url = format!("{}/auth/tokens", self.auth_url());
        Call::new("DELETE", url)
            .token(&self.admin_token())
            .header("X-Subject-Token", token)
            .send()
            .expect(204);
    }

    /// Puts a service at `image_url` into the catalog and gives the region a client has to choose to find it.
    ///
    /// Each service has a region of its own, so that stories running side by side do not see each other.
    pub fn region(&self, image_url: &str) -> String {
        let region = unique("region");
        self.admin("POST", "/regions", Some(&json!({"region": {"id": region}}))).expect(201);
        for (kind, url) in [("image", image_url), ("identity", &self.auth_url())] {
            let services = self.admin("GET", &format!("/services?type={kind}"), None).expect(200).json();
            let service = &services["services"][0]["id"];
            let endpoint = json!({"endpoint": {"service_id": service, "interface": "public", "region_id": region, "url": url}});
            self.admin("POST", "/endpoints", Some(&endpoint)).expect(201);
        }
        region
    }

    /// A call as the cloud's administrator; `path` comes after `/v3`.
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let call = || {
            let call = Call::new(method, format!("{}{path}", self.auth_url())).token(&self.admin_token());
            match body {
                Some(body) => call.json(body).send(),
                None => call.send(),
            }
        };
        let answer = call();
        if answer.status != 401 {
            return answer;
        }
        // Ours has expired: some stories make tokens that live for seconds.
        *self.admin_token.lock().expect("no panic while holding the token") = None;
        call()
    }

    fn admin_token(&self) -> String {
        let mut token = self.admin_token.lock().expect("no panic while holding the token");
        token
            .get_or_insert_with(|| {
                let domain = json!({"id": "default"});
                let user = json!({"name": ADMIN, "domain": domain, "password": ADMIN_PASSWORD});
                sign_in(&self.auth_url(), &user, &json!({"project": {"name": ADMIN, "domain": domain}}))
            })
            .clone()
    }
}

fn sign_in(auth_url: &str, user: &Value, scope: &Value) -> String {
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    let body = json!({"auth": {"identity": identity, "scope": scope}});
    let answer =
        Call::new("POST", format!("{auth_url}/auth/tokens?nocatalog=1")).json(&body).send().expect(201);
    answer.header("x-subject-token").expect("a token in the answer").to_owned()
}

fn temporary() -> PathBuf {
    tempfile::Builder::new().prefix("vitrine-keystone-").tempdir().expect("a temporary directory").keep()
}

/// A name nobody else in this test process uses.
fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string where Keystone said {value}")).to_owned()
}
