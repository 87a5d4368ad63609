//! The log: JSON for machines, short lines for people.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::{
    Failure,
    config::{BadConfig, Log, LogFormat},
    log_line::LogLine,
};

/// Who reads the log if the configuration does not say.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    Machine,
    Person,
}

/// Starts logging to standard output, or to standard error for a person.
///
/// # Errors
/// A level that is none.
pub(crate) fn start(log: &Log, reader: Reader) -> Result<(), Failure> {
    let filter = check(log)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let started = match (log.format, reader) {
        (LogFormat::Json, _) | (LogFormat::Auto, Reader::Machine) => builder.event_format(LogLine).try_init(),
        (LogFormat::Text, _) | (LogFormat::Auto, Reader::Person) => {
            builder.compact().with_writer(io::stderr).with_ansi(false).try_init()
        }
    };
    started.map_err(|error| Failure::other("cannot start the log", error))
}

/// Reads the level.
///
/// # Errors
/// A level that is none.
pub(crate) fn check(log: &Log) -> Result<EnvFilter, BadConfig> {
    // A word that is no level would be taken for the name of a part, and everything else would fall silent.
    let is_level = |word: &str| {
        ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_lowercase().as_str())
    };
    let levels = log.level.split(',').map(str::trim);
    if let Some(word) = levels.filter(|directive| !directive.contains('=')).find(|word| !is_level(word)) {
        return Err(BadConfig::new(
            "log.level",
            format!(
                "{word:?} is no level: there are off, error, warn, info, debug and trace, for a part as vitrine::request=warn"
            ),
        ));
    }
    // What the server library says of its threads is for those who ask for it.
    EnvFilter::try_new(format!("actix_server=warn,{}", log.level)).map_err(|error| {
        BadConfig::new(
            "log.level",
            format!("{error}; use a level such as \"info\" or \"info,vitrine::request=warn\""),
        )
    })
}
