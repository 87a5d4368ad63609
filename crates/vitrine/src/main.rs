//! Vitrine: an OpenStack image sharing service. `vitrine --help` says what it can do.

mod config;
mod connections;
mod dead_letters;
mod dev;
mod escape;
mod figures;
mod log_line;
mod metrics;
mod migrate;
mod policy_file;
mod serve;
mod session;
mod signals;
mod telemetry;
mod telling;
mod tls;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Parser, Subcommand};

use crate::config::{
    BadConfig, Config,
    layers::{DEFAULT_FILE, Layers},
};

/// An OpenStack image sharing service: the Image API v2, exact under any load.
#[derive(Debug, Parser)]
#[command(name = "vitrine", version = env!("BUILD_VERSION"), max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API, with callers vouched for by Keystone and records in Postgres (or one SQLite file)
    ///
    /// Needs at least database.url, keystone.auth_url and the service's user: keystone.username, keystone.password and
    /// keystone.project_name, or keystone.application_credential_id and keystone.application_credential_secret. Secrets
    /// may be files: keystone.password_file and so on. `vitrine check-config` lists every key with its value and where
    /// that comes from; keys are set in the file, as VITRINE_KEYSTONE__AUTH_URL, or by --set. SIGTERM ends it: for
    /// shutdown.drain seconds it answers on, but is not ready; then it stops accepting, finishes what runs within
    /// shutdown.grace seconds and exits with 0.
    Serve(Settings),
    /// Bring the database's schema up to date; safe to run twice at once
    Migrate(Settings),
    /// Say what would be used and where each value comes from; exits with 2 if it cannot be used
    ///
    /// Reads files, but asks neither the database nor Keystone.
    CheckConfig {
        #[command(flatten)]
        settings: Settings,
        /// Print a configuration file with every key, its unit, its meaning and its default instead
        #[arg(long)]
        example: bool,
    },
    /// List events that somebody could not be told of, tell them again, or let them go
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Try it out on this machine: SQLite, a built-in identity with demo projects, no configuration
    ///
    /// Listens on loopback only. Prints a session to paste: share an image, accept it, list it.
    Dev(dev::Dev),
}

/// Where settings come from. Every key can be set in the file, in the environment (keystone.auth_url is
/// VITRINE_KEYSTONE__AUTH_URL) and by --set; later ones win. `vitrine check-config` lists every key with its value.
#[derive(Args, Debug)]
struct Settings {
    /// The configuration file [default: $VITRINE_CONFIG, else /etc/vitrine/vitrine.toml if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the API listens, such as 0.0.0.0:9292
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Any key, such as database.pool_size=8; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected KEY=VALUE, such as database.pool_size=8".to_owned()),
    }
}

impl Settings {
    fn layers(&self) -> Result<Layers, BadConfig> {
        let mut layers = Layers::default();
        let named = std::env::var_os("VITRINE_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        match self.config.as_ref().or(named.as_ref()) {
            Some(file) => layers.file(file)?,
            None if Path::new(DEFAULT_FILE).exists() => layers.file(Path::new(DEFAULT_FILE))?,
            None => {}
        }
        let variables = std::env::vars_os();
        layers.environment(
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )?;
        for (key, value) in &self.set {
            layers.flag("--set", key, value)?;
        }
        if let Some(listen) = self.listen {
            layers.flag("--listen", "listen", &listen.to_string())?;
        }
        Ok(layers)
    }

    fn config(&self) -> Result<Config, BadConfig> {
        self.layers()?.config()
    }
}

/// Why the program ends with a failure.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// What it was told makes no sense.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// What it needs is not there or fails.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    fn other(doing: &str, error: impl std::fmt::Display) -> Self {
        Self::Other(format!("{doing}: {error}"))
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "vitrine: {failure}");
            match failure {
                Failure::Config(_) => ExitCode::from(2),
                Failure::Other(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(settings) => {
            let config = settings.config()?;
            telemetry::start(&config.log, telemetry::Reader::Machine)?;
            serve::serve(&config)
        }
        Command::Migrate(settings) => migrate::migrate(&settings.config()?),
        Command::CheckConfig { example: true, .. } => print(&config::keys::example()),
        Command::CheckConfig { settings, example: false } => check_config(&settings),
        Command::DeadLetters(deed) => dead_letters::run(&deed),
        Command::Dev(dev) => dev::dev(&dev),
    }
}

fn check_config(settings: &Settings) -> Result<(), Failure> {
    let layers = settings.layers()?;
    let mut config = layers.config()?;
    // What «by the cores» comes to, on this machine.
    (config.workers, config.database.pool_size) = (config.workers(), config.pool_size());
    print(&layers.describe(&config))?;
    let rules = Arc::new(config.rules()?);
    let connections = config.store()?.max_connections();
    if !config.database.migrate_url.reveal().is_empty() {
        config.migration()?;
    }
    let tokens = config.tokens(&rules)?;
    // Reads the folder with public keys too; asks nobody.
    auth_keystone::Keystone::new(&tokens).map_err(|invalid| BadConfig::new(invalid.key, invalid.reason))?;
    config.api()?;
    config.metrics()?;
    config.sinks()?;
    tls::Tls::of(&config.tls)?;
    telemetry::check(&config.log)?;
    if let [_, ..] = rules.policy.without_effect() {
        let names = rules.policy.without_effect().join(", ");
        print(&format!(
            "\npolicy_file: rules for calls that Vitrine does not have, without effect: {names}\n"
        ))?;
    }
    print(&format!("\nconnections to the database: at most {}\n", connections.primary))?;
    if connections.replica > 0 {
        print(&format!("connections to the replica: at most {}\n", connections.replica))?;
    }
    print("\nThis can be used. Neither the database nor Keystone was asked.\n")
}

/// Writes to standard output; a reader that went away is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::other("cannot write to standard output", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
