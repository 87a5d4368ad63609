//! The testbed itself: what the other stories stand on.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use testbed::keystone::{Options, Provider, Scope};
use testbed::postgres::Durability;
use testbed::python::{self, Python};
use testbed::supervised::Program;
use testbed::{Call, Keystone, Postgres, kept, patience};

#[test]
fn every_database_is_new_and_its_own() {
    let (one, other) = (Postgres::shared().database(), Postgres::shared().database());
    one.query("CREATE TABLE note (text TEXT)");
    one.query("INSERT INTO note VALUES ('here')");
    assert_eq!(one.query("SELECT text FROM note"), ["here"]);
    assert_eq!(
        other.query("SELECT count(*) FROM information_schema.tables WHERE table_name = 'note'"),
        ["0"]
    );
}

#[test]
fn a_durable_cluster_that_is_killed_comes_back_with_what_was_committed() {
    let postgres = Postgres::private(Durability::Kept);
    let database = postgres.database();
    database.query("CREATE TABLE note AS SELECT 'kept' AS text");
    postgres.kill();
    postgres.start();
    assert_eq!(database.query("SELECT text FROM note"), ["kept"]);
}

#[test]
fn a_killed_test_process_takes_its_postgres_and_its_files_with_it() {
    let mut holder = holder("postgres");
    let url = first_line(&mut holder);
    let port =
        url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port in the URL").to_owned();
    let (pid, directory) = postmaster(&port);
    assert!(Path::new(&directory).exists());

    holder.kill().expect("SIGKILL can be sent");
    holder.wait().expect("it ends");

    patience::until("Postgres to be gone", Duration::from_secs(60), || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    patience::until("its directory to be gone", Duration::from_secs(60), || {
        (!Path::new(&directory).exists()).then_some(())
    });
}

#[test]
fn a_program_that_ends_by_itself_gives_its_exit_status_and_output() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = Program::new("sh").args(["-c", "echo said; exit 7"]).start(&directory.path().join("log"));
    assert_eq!(program.ended_within(Duration::from_secs(60)), Some(7));
    assert_eq!(program.log(), "said\n");
}

#[test]
fn dropping_a_program_stops_it_and_removes_its_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory").keep();
    let log = directory.with_extension("log");
    let program = Program::new("sleep").arg("600").removing(&directory).start(&log);
    let pid = program.pid();
    drop(program);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the program still runs");
    assert!(!directory.exists(), "its directory is still there");
    std::fs::remove_file(log).expect("the log can go");
}

#[test]
fn keystone_knows_people_and_validates_their_tokens_for_the_service() {
    let keystone = Keystone::shared();
    let project = keystone.project("studio");
    let alice = keystone.user("alice", &project, &["member"]);
    let token = keystone.token(&alice, Scope::Project(&project));

    let settings = keystone.service_settings();
    let setting = |name| settings.iter().find(|(known, _)| *known == name).expect("a setting").1.clone();
    let domain = json!({"id": "default"});
    let user = json!({"name": setting("VITRINE_KEYSTONE__USERNAME"), "password": setting("VITRINE_KEYSTONE__PASSWORD"), "domain": domain});
    let project_scope =
        json!({"project": {"name": setting("VITRINE_KEYSTONE__PROJECT_NAME"), "domain": domain}});
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    let tokens = format!("{}/auth/tokens", keystone.auth_url());
    let signed_in = Call::new("POST", tokens.clone())
        .json(&json!({"auth": {"identity": identity, "scope": project_scope}}))
        .send()
        .expect(201);
    let service = signed_in.header("x-subject-token").expect("a token").to_owned();

    let validate = |status| {
        let call = Call::new("GET", tokens.clone()).token(&service).header("X-Subject-Token", &token);
        call.send().expect(status).json()
    };
    let subject = validate(200);
    assert_eq!(subject["token"]["project"]["id"], project.id.as_str());
    assert_eq!(subject["token"]["user"]["id"], alice.id.as_str());
    keystone.revoke(&token);
    validate(404);
}

#[test]
fn a_stopped_keystone_comes_back_at_the_same_address_with_signed_tokens_still_valid() {
    let keystone = Keystone::private(Options { provider: Provider::Jws, expiration: 600 });
    let project = keystone.project("studio");
    let alice = keystone.user("alice", &project, &["reader"]);
    let token = keystone.token(&alice, Scope::Project(&project));
    assert_eq!(token.split('.').count(), 3, "a JWS has three parts: {token}");
    assert!(keystone.jws_public_keys().join("1.pem").is_file());

    keystone.stop();
    assert!(Call::new("GET", keystone.auth_url()).try_send().is_none(), "a stopped Keystone answers nobody");
    keystone.start();
    let tokens = format!("{}/auth/tokens", keystone.auth_url());
    Call::new("GET", tokens).token(&token).header("X-Subject-Token", &token).send().expect(200);
}

#[test]
fn the_real_client_signs_in_and_finds_a_service_in_its_own_region() {
    let keystone = Keystone::shared();
    let project = keystone.project("studio");
    let alice = keystone.user("alice", &project, &["member"]);
    let region = keystone.region("http://127.0.0.1:9/");
    let home = tempfile::tempdir().expect("a temporary directory");
    let said = python::run(
        Python::environment()
            .command("openstack", home.path())
            .args(["catalog", "show", "image", "-f", "value", "-c", "endpoints"])
            .envs(keystone.client_settings(&alice, &project, &region)),
    );
    assert!(said.contains(&region) && said.contains("http://127.0.0.1:9/"), "{said}");
}

/// A clone with what was built in it, at another place than it was built: its programs find themselves there.
#[test]
fn the_programs_of_a_moved_clone_find_its_files() {
    let place = tempfile::tempdir().expect("a directory");
    // Without a symbolic link in it, as a program sees its own path.
    let clone = place.path().canonicalize().expect("its path").join("clone");
    let (programs, scripts) = (clone.join("target/debug"), clone.join("tests/python"));
    for directory in [&programs.join("deps"), &scripts] {
        std::fs::create_dir_all(directory).expect("a directory");
    }
    std::fs::write(clone.join("Cargo.lock"), "").expect("a file");
    let said = |program: &Path, at: &Path, package: Option<&Path>| {
        let mut moved = Command::new(program);
        moved.arg("where").current_dir(at).env_remove("CARGO_MANIFEST_DIR");
        moved.envs(package.map(|package| ("CARGO_MANIFEST_DIR", package)));
        python::run(&mut moved)
    };
    let expected = format!("{}\n{}\n", clone.display(), clone.join("target").display());
    for name in ["testbed", "deps/testbed"] {
        let program = programs.join(name);
        std::fs::copy(kept::program("testbed"), &program).expect("a copy");
        // Started by hand, from anywhere; and as cargo does.
        assert_eq!(said(&program, Path::new("/"), None), expected);
        assert_eq!(said(&program, Path::new("/"), Some(&clone.join("tests"))), expected);
    }
    // With a target directory elsewhere: by the current directory, or as cargo says.
    let elsewhere = place.path().canonicalize().expect("its path").join("elsewhere");
    std::fs::create_dir_all(elsewhere.join("debug")).expect("a directory");
    let program = elsewhere.join("debug/testbed");
    std::fs::copy(kept::program("testbed"), &program).expect("a copy");
    let expected = format!("{}\n{}\n", clone.display(), elsewhere.display());
    assert_eq!(said(&program, &clone.join("tests"), None), expected);
    assert_eq!(said(&program, Path::new("/"), Some(&clone.join("tests"))), expected);
}

/// The `testbed` program holding a server, as a test process would.
fn holder(server: &str) -> Child {
    Command::new(kept::program("testbed"))
        .arg(server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the testbed program starts")
}

fn first_line(holder: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    line.trim().to_owned()
}

/// The pid and data directory of the Postgres that has this port, as its command line says them.
fn postmaster(port: &str) -> (u32, String) {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(process.path().join("cmdline")).ok()?;
            let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            let is_postgres = words.first()?.ends_with("/postgres") && words.iter().any(|word| word == port);
            let data = words.iter().position(|word| word == "-D").map(|at| words[at + 1].to_string());
            is_postgres.then_some((pid, data?))
        })
        .next()
        .expect("a running Postgres with that port")
}
