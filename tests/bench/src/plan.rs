//! What a run measures, and for how long.

use serde::{Deserialize, Serialize};

use crate::{
    case::{Case, Load, Side},
    catalogue::{Catalogue, SIZES},
    failure::{Failure, Result},
};

/// What a run measures.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Plan {
    /// `quick` or `full`.
    pub(crate) form: String,
    /// The sizes of the catalogues, in images, ascending.
    pub(crate) images: Vec<u64>,
    /// How often everything is measured; every other time in the opposite order.
    pub(crate) repetitions: u32,
    /// How long one measurement takes.
    pub(crate) seconds: u64,
    /// Only these cases.
    pub(crate) only: Vec<Case>,
    /// Whether Glance is measured.
    pub(crate) glance: bool,
    /// How often a measurement is tried when others use the machine.
    pub(crate) tries: u32,
    /// How often a start is timed.
    pub(crate) starts: u32,
    /// Settings of Vitrine, `key=value`.
    pub(crate) settings: Vec<String>,
}

/// One thing to measure in each repetition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) catalogue: Catalogue,
    pub(crate) case: Case,
    pub(crate) side: Side,
    pub(crate) load: Load,
}

/// A measurement counts as disturbed when others use more of the machine than this.
pub(crate) const GATE: f64 = 0.08;
/// Glance is measured on a catalogue of at most so many images; more take it minutes a page.
const MOST_FOR_ALL: u64 = 200_000;

impl Plan {
    /// Refuses what cannot be measured.
    pub(crate) fn check(&self) -> Result<()> {
        if self.images.is_empty() || self.images.iter().any(|images| !SIZES.contains(images)) {
            return Err(Failure::new(format!(
                "--images: between {} and {} images can be measured",
                SIZES.start(),
                SIZES.end()
            )));
        }
        if self.images.iter().any(|images| !images.is_multiple_of(1000)) {
            return Err(Failure::new("--images: whole thousands only"));
        }
        if self.repetitions == 0 || self.seconds == 0 || self.tries == 0 {
            return Err(Failure::new("--repetitions, --seconds and --tries: at least 1"));
        }
        Ok(())
    }

    /// The catalogue on which everything is measured; on the others only what may depend on the size.
    pub(crate) fn main(&self) -> Catalogue {
        let fit = self.images.iter().copied().filter(|images| *images <= MOST_FOR_ALL).max();
        Catalogue { images: fit.or(self.images.first().copied()).unwrap_or(MOST_FOR_ALL) }
    }

    /// All catalogues.
    pub(crate) fn catalogues(&self) -> Vec<Catalogue> {
        self.images.iter().map(|images| Catalogue { images: *images }).collect()
    }

    /// What is measured in one repetition, in order. What is compared stands together.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for case in Case::ALL {
            if !self.only.is_empty() && !self.only.contains(&case) && case != Case::Nothing {
                continue;
            }
            for catalogue in self.catalogues() {
                let is_main = catalogue == self.main();
                for side in case.sides() {
                    let is_wanted = match side {
                        Side::Vitrine => is_main || depends_on_size(case),
                        Side::Pgbench => is_main || (depends_on_size(case) && !case.lists_images()),
                        Side::Glance | Side::GlanceIndexed => is_main && self.glance,
                        Side::Empty => is_main,
                    };
                    if is_wanted {
                        steps.push(Step { catalogue, case, side: *side, load: Load::Saturated });
                    }
                }
                if is_main && has_seventy(case) {
                    steps.push(Step { catalogue, case, side: Side::Vitrine, load: Load::Seventy });
                }
                if depends_on_size(case) && self.images.len() > 1 {
                    steps.push(Step { catalogue, case, side: Side::Vitrine, load: Load::Alone });
                }
            }
        }
        steps
    }

    /// How long a step is measured. Glance answers a few lists a second, Keystone a few tokens: that takes longer to
    /// count.
    pub(crate) fn seconds(&self, step: &Step) -> u64 {
        let is_slow = step.case == Case::TokenMiss && self.form == "full"
            || step.case.lists_images() && matches!(step.side, Side::Glance | Side::GlanceIndexed);
        if is_slow { self.seconds * 3 } else { self.seconds }
    }
}

/// Whether the size of the catalogue may matter.
fn depends_on_size(case: Case) -> bool {
    case.lists_images() || matches!(case, Case::ShowMember | Case::UpdateStatus)
}

/// Whether latency is looked at below saturation.
fn has_seventy(case: Case) -> bool {
    matches!(case, Case::ShowMember | Case::UpdateStatus | Case::List | Case::Inbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn plan() -> Plan {
        Plan {
            form: "full".to_owned(),
            images: vec![10_000, 200_000, 1_000_000],
            repetitions: 1,
            seconds: 1,
            only: Vec::new(),
            glance: true,
            tries: 1,
            starts: 1,
            settings: Vec::new(),
        }
    }

    #[test]
    fn glance_is_measured_on_the_main_catalogue_only() {
        let steps = plan().steps();
        assert_eq!(plan().main().images, 200_000);
        assert!(
            steps
                .iter()
                .filter(|step| step.side == Side::Glance)
                .all(|step| step.catalogue.images == 200_000)
        );
        assert!(steps.iter().any(|step| step.side == Side::GlanceIndexed && step.case == Case::List));
    }

    #[test]
    fn seventy_percent_comes_after_all_percent() {
        let steps = plan().steps();
        for (place, step) in steps.iter().enumerate().filter(|(_, step)| step.load == Load::Seventy) {
            let saturated = Step { load: Load::Saturated, ..*step };
            assert!(steps.iter().take(place).any(|earlier| *earlier == saturated), "{step:?}");
        }
    }

    #[test]
    fn without_glance_nobody_asks_it() {
        let plan = Plan { glance: false, only: vec![Case::List], ..plan() };
        assert!(plan.steps().iter().all(|step| !matches!(step.side, Side::Glance | Side::GlanceIndexed)
            && matches!(step.case, Case::List | Case::Nothing)));
        assert!(plan.check().is_ok());
        assert!(Plan { images: vec![10], ..plan }.check().is_err());
    }
}
