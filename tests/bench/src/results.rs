//! All that was measured, as it is kept in a file.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    case::{Case, Load, Side},
    failure::{Failure, Result},
    machine::Machine,
    plan::{Plan, Step},
    processes::Memory,
    service::Start,
    statements::Statement,
    statistics::Spread,
    wrk::Answers,
};

/// A run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Results {
    /// Seconds since 1970 when it began.
    pub(crate) began: u64,
    pub(crate) plan: Plan,
    pub(crate) machine: Machine,
    /// What was measured and with what: a name and a version each.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) catalogues: Vec<Loaded>,
    pub(crate) starts: Vec<Start>,
    /// Vitrine's memory when it has just started.
    pub(crate) idle: Option<Memory>,
    /// From Glance's start to its first 200, in milliseconds.
    pub(crate) glance_start: Option<f64>,
    /// The statements of one request, on the main catalogue.
    pub(crate) statements: BTreeMap<Case, Vec<Statement>>,
    /// What to know about comparisons.
    pub(crate) remarks: Vec<String>,
    pub(crate) measurements: Vec<Measurement>,
}

/// A catalogue as it stood in the database.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Loaded {
    pub(crate) images: u64,
    pub(crate) members: u64,
    pub(crate) bytes: u64,
}

/// One measurement.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Measurement {
    pub(crate) images: u64,
    pub(crate) case: Case,
    pub(crate) side: Side,
    pub(crate) load: Load,
    pub(crate) repetition: u32,
    pub(crate) connections: u32,
    pub(crate) answers: Answers,
    /// Microseconds of processor time a request.
    pub(crate) cpu: Cpu,
    /// Of the server, while it was asked.
    pub(crate) memory: Option<Memory>,
    /// The share of the machine that others used.
    pub(crate) foreign: f64,
    /// Whether that was too much, in every try.
    pub(crate) disturbed: bool,
    /// The rate that was to be reached, where it is not «as many as it can».
    pub(crate) target: Option<f64>,
}

/// Microseconds of processor time a request.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) server: f64,
    pub(crate) postgres: f64,
    pub(crate) identity: f64,
    pub(crate) generator: f64,
}

impl Results {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| Failure::doing(path.display(), error))?;
        serde_json::from_str(&text).map_err(|error| Failure::doing(path.display(), error))
    }

    /// Writes a file, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::doing("results", error))?;
        let new = path.with_extension("new");
        fs::write(&new, text + "\n").map_err(|error| Failure::doing(new.display(), error))?;
        fs::rename(&new, path).map_err(|error| Failure::doing(path.display(), error))
    }

    /// The repetitions of a step.
    pub(crate) fn of(&self, step: Step) -> impl Iterator<Item = &Measurement> {
        self.measurements.iter().filter(move |one| {
            one.images == step.catalogue.images
                && (one.case, one.side, one.load) == (step.case, step.side, step.load)
        })
    }

    /// A figure of a step over its repetitions.
    pub(crate) fn spread(&self, step: Step, figure: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        Spread::of(self.of(step).map(figure))
    }

    /// A figure of a step by the same of another, repetition by repetition.
    pub(crate) fn ratio(&self, step: Step, to: Step, figure: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        let figure = &figure;
        let pairs = self.of(step).filter_map(|one| {
            let other = self.of(to).find(|other| other.repetition == one.repetition)?;
            Some(figure(one) / figure(other))
        });
        Spread::of(pairs)
    }

    /// Whether this repetition of a step was measured already.
    pub(crate) fn has(&self, step: Step, repetition: u32) -> bool {
        self.of(step).any(|one| one.repetition == repetition)
    }
}
