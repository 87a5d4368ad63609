//! OpenStack's own judge: Tempest's member tests against a real Keystone and this service on Postgres.
//!
//! `cargo test -p testbed --test tempest` is the whole command.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::fs;
use std::path::Path;

use testbed::python::{self, Python};
use testbed::{Keystone, Party, Postgres, Vitrine};

/// Both modules, all tests: six and two in Tempest 47.
const SELECTED: &str = r"^tempest\.api\.image\.v2\.test_images_member(_negative)?\.";
const EXPECTED: usize = 8;

#[test]
fn every_member_test_of_tempest_passes_and_none_is_skipped() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let region = keystone.region(vitrine.url());
    let home = tempfile::tempdir().expect("a temporary directory");
    let workspace = home.path().join("tempest");
    let tempest = |arguments: &[&str]| {
        let mut command = Python::environment().command("tempest", home.path());
        command.args(arguments);
        command
    };
    python::run(tempest(&["init"]).arg(&workspace));
    fs::write(workspace.join("etc/tempest.conf"), configuration(keystone, &region, home.path()))
        .expect("a file");

    // It ends with 1 when a test fails; which one and why is in the results.
    let arguments = ["run", "--serial", "--regex", SELECTED];
    let ran = tempest(&arguments).current_dir(&workspace).output().expect("tempest starts");
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let results = outcomes(home.path(), &workspace);
    let other: Vec<_> = results.iter().filter(|(_, outcome)| outcome != "success").collect();
    assert!(other.is_empty(), "{other:#?}\n{said}\nthe service's log:\n{}", vitrine.log());
    assert_eq!(results.len(), EXPECTED, "{results:#?}\n{said}");
    assert!(ran.status.success(), "{said}");
    vitrine.stop();
}

/// Every test and what came of it (`success`, `fail`, `skip`, …), as the recorded stream says.
fn outcomes(home: &Path, workspace: &Path) -> Vec<(String, String)> {
    let mut last = Python::environment().command("stestr", home);
    let stream =
        last.args(["last", "--subunit"]).current_dir(workspace).output().expect("stestr starts").stdout;
    let recorded = home.join("results.subunit");
    fs::write(&recorded, stream).expect("a file");
    let table = python::run(
        Python::environment().command("subunit2csv", home).arg("--no-passthrough").arg(&recorded),
    );
    // test,status,start,stop: only the test's name may hold a comma, and is in quotes then.
    let rows = table.lines().skip(1).filter_map(|row| {
        let mut fields = row.rsplitn(4, ',').skip(2);
        let outcome = fields.next()?.to_owned();
        Some((fields.next()?.trim_matches('"').to_owned(), outcome))
    });
    rows.collect()
}

fn configuration(keystone: &Keystone, region: &str, home: &Path) -> String {
    let admin = Party::administrator(keystone);
    let (user, password, project) = (&admin.user.name, &admin.user.password, &admin.project.name);
    let (auth_url, home) = (keystone.auth_url(), home.display());
    format!(
        "[DEFAULT]\nlog_dir = {home}\nlog_file = tempest.log\n\
         [oslo_concurrency]\nlock_path = {home}/locks\n\
         [auth]\nuse_dynamic_credentials = true\nadmin_username = {user}\nadmin_password = {password}\n\
         admin_project_name = {project}\nadmin_domain_name = Default\n\
         [identity]\nauth_version = v3\nuri_v3 = {auth_url}\nregion = {region}\nv3_endpoint_type = public\n\
         [image]\nregion = {region}\nendpoint_type = public\n\
         [enforce_scope]\nglance = true\n\
         [service_available]\nglance = true\ncinder = false\nhorizon = false\nneutron = false\nnova = false\nswift = false\n"
    )
}
