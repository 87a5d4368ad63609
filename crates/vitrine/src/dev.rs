//! `vitrine dev`: the first minute. SQLite, the built-in identity, demo projects; on loopback and nowhere else.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use actix_web::rt::System;
use clap::Args;
use dev_keystone::{DevKeystone, Options, Realm};

use crate::{
    Failure,
    config::{Config, layers::Layers},
    migrate, print, serve,
    session::Session,
    telemetry,
};

#[derive(Args, Debug)]
pub(crate) struct Dev {
    /// Where records and keys are kept [default: vitrine in the user's data home, ~/.local/share]
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Keep nothing: everything is in a temporary directory and gone at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Where the API listens; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9292")]
    listen: SocketAddr,
    /// Where the built-in identity listens; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    keystone_listen: SocketAddr,
}

/// The user of the demo realm whose role is `service`, and its project.
const SERVICE: (&str, &str) = ("vitrine", "service");
/// The project that the session shares with.
const MEMBER: &str = "demo-member";

/// Runs until interrupted.
///
/// # Errors
/// An address that others can reach, a port that is taken, a directory that cannot be written.
pub(crate) fn dev(dev: &Dev) -> Result<(), Failure> {
    for (flag, address) in [("--listen", dev.listen), ("--keystone-listen", dev.keystone_listen)] {
        if !address.ip().is_loopback() {
            return Err(Failure::Other(format!(
                "{flag} {address}: the trial's passwords are public, so it listens on loopback addresses only, such as \
                 127.0.0.1:9292. For others to use it, run: vitrine serve"
            )));
        }
    }
    let (directory, _gone_at_the_end) = directory(dev)?;
    let listener = serve::listen("--listen", dev.listen)?;
    let api =
        format!("http://{}", listener.local_addr().map_err(|error| Failure::other("cannot listen", error))?);
    let realm = Realm::demo();
    let member =
        realm.projects.iter().find(|project| project.name == MEMBER).map(|project| project.id.clone());
    let member = member.unwrap_or_default();

    System::new().block_on(async {
        let options = Options { data_dir: Some(directory.clone()), ..Options::new(&api) };
        let keystone = DevKeystone::bind(dev.keystone_listen, realm, &options).map_err(|error| {
            Failure::other("--keystone-listen, the address of the built-in identity", error)
        })?;
        let clouds = directory.join("clouds.yaml");
        write(&clouds, &dev_keystone::clouds_yaml(keystone.url()))?;
        let keys = directory.join("public-keys");
        fs::create_dir_all(&keys).map_err(|error| cannot_write(&keys, &error))?;
        write(&keys.join("identity.pem"), keystone.public_key_pem())?;

        let config = config(&directory, &keys, keystone.url())?;
        telemetry::start(&config.log, telemetry::Reader::Person)?;
        migrate::migrate(&config)?;
        let session = Session {
            api: &api,
            identity: keystone.url(),
            clouds: &clouds,
            member: &member,
            password: Realm::DEMO_PASSWORD,
        };
        print(&welcome(&directory, dev.ephemeral, &session))?;
        serve::run(&config, listener, async { drop(keystone.run().await) }).await
    })
}

/// The directory to use, and what removes it if nothing is to be kept.
fn directory(dev: &Dev) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
    if dev.ephemeral {
        let temporary = tempfile::Builder::new().prefix("vitrine-").tempdir();
        let temporary =
            temporary.map_err(|error| Failure::other("cannot make a temporary directory", error))?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    }
    let directory = match &dev.data_dir {
        Some(directory) => std::path::absolute(directory).map_err(|error| cannot_write(directory, &error))?,
        None => data_home()?.join("vitrine"),
    };
    fs::create_dir_all(&directory).map_err(|error| cannot_write(&directory, &error))?;
    Ok((directory, None))
}

fn data_home() -> Result<PathBuf, Failure> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share"))).ok_or_else(|| {
        Failure::Other(
            "there is no home directory to keep records in: give --data-dir or --ephemeral".to_owned(),
        )
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::other("cannot write", format!("{}: {error}", path.display()))
}

/// The trial's settings; `VITRINE_LOG__LEVEL` and its like still count.
fn config(directory: &Path, keys: &Path, identity: &str) -> Result<Config, Failure> {
    let mut layers = Layers::default();
    let log_only = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("VITRINE_LOG__"))?;
        Some((name, value.into_string().ok()?))
    };
    layers.environment(std::env::vars_os().filter_map(log_only))?;
    let database = format!("sqlite://{}", escaped(&directory.join("vitrine.sqlite")));
    for (key, value) in [
        ("database.url", database.as_str()),
        ("keystone.auth_url", identity),
        ("keystone.username", SERVICE.0),
        ("keystone.password", Realm::DEMO_PASSWORD),
        ("keystone.project_name", SERVICE.1),
        ("keystone.jws_public_keys", &keys.display().to_string()),
        // Nobody else is sent here.
        ("shutdown.drain", "0"),
    ] {
        layers.flag("vitrine dev", key, value)?;
    }
    Ok(layers.config()?)
}

/// The path as it stands in a URL.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

fn welcome(directory: &Path, ephemeral: bool, session: &Session<'_>) -> String {
    let Session { api, identity, clouds, password, .. } = session;
    let kept = if ephemeral { "gone at the end" } else { "kept" };
    let indented = |text: String| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "
Vitrine is running for a trial on this machine.

  API        {api}
  identity   {identity}   users owner, member, reader, admin; password {password}
  records    {directory} ({kept})
  clouds     {clouds}

Share an image, accept it, list it. With curl:

{curl}
With the openstack client (pip install python-openstackclient):

{openstack}
Ctrl-C ends it.

",
        directory = directory.display(),
        clouds = clouds.display(),
        curl = indented(session.with_curl()),
        openstack = indented(session.with_openstack()),
    )
}
