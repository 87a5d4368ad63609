//! The log: JSON for machines, short lines for people.

use std::io;

use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt,
    layer::{Layered, SubscriberExt},
    registry,
    util::SubscriberInitExt,
};

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
    let lines = fmt::layer();
    let started = match (log.format, reader) {
        (LogFormat::Json, _) | (LogFormat::Auto, Reader::Machine) => {
            filtered(lines.event_format(LogLine), filter).try_init()
        }
        (LogFormat::Text, _) | (LogFormat::Auto, Reader::Person) => {
            filtered(lines.compact().with_writer(io::stderr).with_ansi(false), filter).try_init()
        }
    };
    started.map_err(|error| Failure::other("cannot start the log", error))
}

/// Only the filter bounds the level, so that the libraries' finer events end at one comparison.
fn filtered<L: Layer<Registry>>(lines: L, filter: Targets) -> Layered<Targets, Layered<L, Registry>> {
    registry().with(lines).with(filter)
}

/// Reads the level.
///
/// # Errors
/// A level that is none.
pub(crate) fn check(log: &Log) -> Result<Targets, BadConfig> {
    // A word that is no level would be taken for the name of a part, and everything else would fall silent.
    let is_level = |word: &str| {
        ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_lowercase().as_str())
    };
    let directives: Vec<&str> = log.level.split(',').map(str::trim).collect();
    let mut words = directives.iter().filter(|directive| !directive.contains('='));
    if let Some(word) = words.find(|word| !is_level(word)) {
        return Err(BadConfig::new(
            "log.level",
            format!(
                "{word:?} is no level: there are off, error, warn, info, debug and trace, for a part as vitrine::request=warn"
            ),
        ));
    }
    // What the server library says of its threads is for those who ask for it.
    format!("actix_server=warn,{}", directives.join(",")).parse().map_err(|error| {
        BadConfig::new(
            "log.level",
            format!("{error}; use a level such as \"info\" or \"info,vitrine::request=warn\""),
        )
    })
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    #[test]
    fn finest_level_that_is_wanted_bounds_all_events() {
        for (level, finest) in [
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("info, vitrine::request=warn", LevelFilter::INFO),
            ("warn,vitrine=DEBUG", LevelFilter::DEBUG),
        ] {
            let log = Log { level: level.to_owned(), ..Log::default() };
            let subscriber = filtered(fmt::layer(), check(&log).unwrap());
            assert_eq!(tracing::Subscriber::max_level_hint(&subscriber), Some(finest), "{level}");
        }
    }
}
