//! What a fault came to: counted from what clients saw, and from the records afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use super::load::{End, Event, Known};

/// One fault's figures.
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// What was done.
    pub what: &'static str,
    /// Right answers, before, meanwhile and after.
    pub answered: usize,
    /// 503.
    pub refused: usize,
    /// No answer: the connection was refused or ended.
    pub lost: usize,
    /// When the first and the last request that was not answered rightly was sent, in seconds after the strike.
    pub troubled: Option<(f64, f64)>,
    /// How long the fault lasted, in seconds.
    pub lasted: f64,
    /// From its end until a whole second went as before, in seconds; `None`: it never did.
    pub recovered: Option<f64>,
    /// The slowest answer, in seconds.
    pub latest: f64,
    /// Memberships whose record was compared with what was acknowledged, and those of them of which every answer came.
    pub compared: (usize, usize),
    /// Resident memory of both replicas before, and at most since, in MiB.
    pub memory: (u64, u64),
    /// Answers that cannot be right.
    pub wrong: Vec<String>,
    /// Records that contradict what was acknowledged.
    pub forgotten: Vec<String>,
    /// What else was not as promised.
    pub problems: Vec<String>,
    /// What the strike has to tell.
    pub notes: Vec<String>,
    /// Why requests were answered with 5xx, and how often, as the replicas' logs say.
    pub causes: BTreeMap<String, usize>,
}

/// The times of one fault, after the start of the load.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The end of warming up.
    pub steady: Duration,
    /// The strike.
    pub struck: Duration,
    /// The fault's end.
    pub lifted: Duration,
    /// See [`super::lengths::Lengths::pace`].
    pub pace: f64,
}

/// How long all must go as before, to be called recovered.
pub const SECOND: Duration = Duration::from_secs(1);

impl Times {
    /// The first moment since the fault was lifted from which on, for a second, every request was answered rightly and at
    /// `pace`, a share of the steady rate, at least.
    pub fn recovered(&self, events: &[Event], now: Duration) -> Option<Duration> {
        let steady = events.iter().filter(|event| (self.steady..self.struck).contains(&event.sent)).count();
        let rate = steady as f64 / (self.struck - self.steady).as_secs_f64().max(0.1);
        let step = Duration::from_millis(100);
        let mut from = self.lifted;
        while from + SECOND <= now {
            let window: Vec<_> =
                events.iter().filter(|event| (from..from + SECOND).contains(&event.sent)).collect();
            let are_right = window.iter().all(|event| event.end == End::Right);
            if are_right && window.len() as f64 >= rate * self.pace {
                return Some(from);
            }
            from += step;
        }
        None
    }
}

impl Outcome {
    /// Counts.
    pub fn count(
        name: &'static str,
        what: &'static str,
        times: Times,
        events: &[Event],
        now: Duration,
    ) -> Self {
        let count = |fits: fn(&End) -> bool| events.iter().filter(|event| fits(&event.end)).count();
        let after = |moment: Duration| moment.as_secs_f64() - times.struck.as_secs_f64();
        let troubled: Vec<f64> =
            events.iter().filter(|event| event.end != End::Right).map(|event| after(event.sent)).collect();
        let bounds = troubled.iter().copied().reduce(f64::min).zip(troubled.iter().copied().reduce(f64::max));
        let answered = events.iter().filter(|event| !matches!(event.end, End::Lost(_)));
        let wrong = events.iter().filter_map(|event| match &event.end {
            End::Wrong(why) => Some(format!("{:.2} s after the strike: {why}", after(event.sent))),
            End::Right | End::Refused | End::Lost(_) => None,
        });
        Self {
            name,
            what,
            answered: count(|end| *end == End::Right),
            refused: count(|end| *end == End::Refused),
            lost: count(|end| matches!(end, End::Lost(_))),
            troubled: bounds,
            lasted: (times.lifted - times.struck).as_secs_f64(),
            recovered: times
                .recovered(events, now)
                .map(|moment| (moment.saturating_sub(times.lifted)).as_secs_f64()),
            latest: answered.map(|event| event.took.as_secs_f64()).fold(0.0, f64::max),
            compared: (0, 0),
            memory: (0, 0),
            wrong: wrong.collect(),
            forgotten: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            causes: BTreeMap::new(),
        }
    }

    /// Compares what was acknowledged with the records, rows of `image|member|status`.
    pub fn compare(&mut self, known: &[Known], rows: &[String]) {
        let row = |row: &String| {
            let mut columns = row.split('|').map(str::to_owned);
            Some(((columns.next()?, columns.next()?), columns.next()?))
        };
        let statuses: BTreeMap<(String, String), String> = rows.iter().filter_map(row).collect();
        for Known { image, project, belief } in known {
            let key = (image.trim_start_matches("/v2/images/").to_owned(), project.clone());
            let state = statuses.get(&key).map_or("absent", String::as_str);
            let possible = belief.possible();
            if !possible.iter().any(|one| one.word() == state) {
                let acknowledged =
                    format!("{project} on {image} is {state}, but it can only be {possible:?}");
                self.forgotten.push(acknowledged);
            }
            self.compared.0 += 1;
            self.compared.1 += usize::from(belief.is_certain());
        }
    }

    /// Everything that breaks a promise, as text; empty: none.
    pub fn broken(&self) -> Vec<String> {
        let wrong = self.wrong.iter().take(5).map(|why| format!("wrong answer: {why}"));
        let forgotten = self.forgotten.iter().take(5).map(|what| format!("lost write: {what}"));
        let mut broken: Vec<String> = wrong.chain(forgotten).chain(self.problems.iter().cloned()).collect();
        if !broken.is_empty() {
            broken.extend(self.causes.iter().map(|(cause, count)| format!("{count} × {cause}")));
        }
        broken
    }

    /// One line of the table in docs/reliability.md.
    pub fn row(&self) -> String {
        let troubled = self.troubled.map_or("–".to_owned(), |(from, to)| format!("{from:.1} – {to:.1}"));
        let recovered = self.recovered.map_or("never".to_owned(), |seconds| format!("{seconds:.1}"));
        format!(
            "| `{}` | {:.1} | {} | {} | {} | {troubled} | {recovered} | {:.2} | {} | {} of {} ({} certain) | {} → {} |",
            self.name,
            self.lasted,
            self.answered,
            self.refused,
            self.lost,
            self.latest,
            self.wrong.len(),
            self.forgotten.len(),
            self.compared.0,
            self.compared.1,
            self.memory.0,
            self.memory.1,
        )
    }

    /// The table's head.
    pub const HEAD: &'static str = "| fault | lasted, s | right answers | 503 | no answer | sent between, s after the strike | back \
        after, s | latest answer, s | wrong answers | lost writes | memory, MiB |\n|---|---|---|---|---|---|---|---|---|---|---|";
}
