//! What the parts tell of themselves, as figures of Prometheus: the build, the token cache, the pool, the replica, events.

use std::time::Duration;

use auth_keystone::{Figures as Tokens, Histogram, LATENCY_BOUNDS};
use prometheus::proto::{self, Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use relay::Figures as Sink;
use store_diesel::{Figures as Pool, ReplicaFigures};

/// Which build this is.
pub(crate) fn build(version: &str) -> MetricFamily {
    gauge("vitrine_build_info", "Which build this is.", [(vec![("version", version)], 1.0)])
}

/// What became of tokens.
pub(crate) fn tokens(of: &Tokens) -> Vec<MetricFamily> {
    vec![
        counts(
            ("vitrine_token_validations_total", "Token validations by what answered them."),
            "by",
            [
                ("cache", of.hits),
                ("negative_cache", of.negative_hits),
                ("keystone", of.misses.saturating_sub(of.coalesced)),
                ("another_s_call", of.coalesced),
                ("form", of.malformed),
            ],
        ),
        counts(
            ("vitrine_token_cache_events_total", "What became of remembered tokens besides being used."),
            "event",
            [("refreshed", of.refreshes), ("revoked", of.revoked), ("served_stale", of.stale)],
        ),
        counts(
            ("vitrine_good_tokens_refused_total", "Calls refused though Keystone vouched for the token."),
            "because",
            [("access_rules", of.outside_access_rules), ("no_service", of.not_services)],
        ),
        counts(
            ("vitrine_signed_tokens_refused_total", "Signed tokens refused without asking Keystone."),
            "because",
            [("signature", of.bad_signatures), ("expired", of.expired_signed)],
        ),
        gauge(
            "vitrine_token_cache_entries",
            "Tokens remembered.",
            [
                (vec![("verdict", "good")], size(of.good_entries)),
                (vec![("verdict", "rejected")], size(of.bad_entries)),
            ],
        ),
    ]
}

/// How Keystone does, and our standing with it.
pub(crate) fn keystone(of: &Tokens) -> Vec<MetricFamily> {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    vec![
        gauge(
            "vitrine_token_validations_in_flight",
            "Distinct tokens being asked about.",
            [(vec![], size(of.in_flight))],
        ),
        gauge(
            "vitrine_keystone_calls",
            "Validations that Keystone is asked for, and those that wait for a place.",
            [(vec![("state", "running")], size(of.calls)), (vec![("state", "waiting")], size(of.waiting))],
        ),
        gauge(
            "vitrine_keystone_away",
            "1 while Keystone is known to be away and nobody waits for it.",
            [(vec![], f64::from(u8::from(of.breaker_open)))],
        ),
        gauge(
            "vitrine_revocations_seconds_ago",
            "How long ago Keystone told what was revoked; NaN if it never did.",
            [(vec![], seconds(of.since_revocations).unwrap_or(f64::NAN))],
        ),
        counts(
            ("vitrine_own_token_sign_ins_total", "Tokens got, or not, for the service itself."),
            "outcome",
            [("done", of.sign_ins), ("failed", of.failed_sign_ins)],
        ),
        gauge(
            "vitrine_own_token_seconds_left",
            "How long the service's own token is good.",
            [(vec![], seconds(of.own_token_left).unwrap_or_default())],
        ),
        family(
            MetricType::HISTOGRAM,
            ("vitrine_keystone_seconds", "Time Keystone took, by outcome."),
            [("accepted", &of.accepted), ("rejected", &of.rejected), ("undecided", &of.undecided)]
                .map(|(outcome, times)| latency(outcome, times)),
        ),
    ]
}

/// Connections to Postgres.
pub(crate) fn pool(of: &Pool) -> MetricFamily {
    gauge(
        "vitrine_database_connections",
        "Connections of the pool.",
        [("open", of.open), ("idle", of.idle), ("allowed", of.size)]
            .map(|(state, count)| (vec![("state", state)], f64::from(count))),
    )
}

/// Who answers lists.
pub(crate) fn replica(of: &ReplicaFigures) -> Vec<MetricFamily> {
    let name = ("vitrine_lists_total", "Lists of images by who answered them.");
    let lists = [
        ("replica", "fresh", of.by_replica),
        ("primary", "not_fresh", of.not_fresh),
        ("primary", "failed", of.failed),
    ];
    vec![
        gauge(
            "vitrine_replica_age_seconds",
            "The replica is proven to show everything committed before so long ago.",
            [(vec![], of.age.map_or(f64::NAN, |age| age.as_secs_f64()))],
        ),
        family(
            MetricType::COUNTER,
            name,
            lists.map(|(by, because, count)| counter(&[("by", by), ("because", because)], count)),
        ),
    ]
}

/// How far the telling of events is, for each sink; nothing where there is none.
pub(crate) fn events(sinks: &[(String, Sink)]) -> Vec<MetricFamily> {
    if sinks.is_empty() {
        return Vec::new();
    }
    let gauges: [(&str, &str, Of<f64>); 4] = [
        ("vitrine_events_waiting", "Events that a sink was not told of yet.", |of| number(of.waiting)),
        ("vitrine_events_age_seconds", "How old the oldest of them is.", |of| of.age.as_secs_f64()),
        ("vitrine_events_dead_letters", "Events that a sink could not be told of.", |of| number(of.dead)),
        ("vitrine_events_leased", "1 while this process is who tells a sink.", |of| {
            f64::from(u8::from(of.leased))
        }),
    ];
    let counters: [(&str, &str, Of<u64>); 2] = [
        ("vitrine_events_told_total", "Events this process told a sink of.", |of| of.told),
        ("vitrine_events_failures_total", "Tries of this process to tell a sink that failed.", |of| {
            of.failures
        }),
    ];
    let gauges = gauges.into_iter().map(|(name, help, value)| {
        gauge(name, help, sinks.iter().map(|(sink, of)| (vec![("sink", sink.as_str())], value(of))))
    });
    let counters = counters.into_iter().map(|(name, help, value)| {
        counts((name, help), "sink", sinks.iter().map(|(sink, of)| (sink.as_str(), value(of))))
    });
    gauges.chain(counters).collect()
}

/// One figure of a sink.
type Of<T> = fn(&Sink) -> T;

type Labels<'a> = Vec<(&'a str, &'a str)>;

fn gauge<'a>(name: &str, help: &str, values: impl IntoIterator<Item = (Labels<'a>, f64)>) -> MetricFamily {
    let values = values.into_iter().map(|(labels, value)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(&labels);
        metric.set_gauge(gauge);
        metric
    });
    family(MetricType::GAUGE, (name, help), values)
}

/// Counts that differ by one label.
fn counts<'a>(
    name: (&str, &str),
    label: &str,
    values: impl IntoIterator<Item = (&'a str, u64)>,
) -> MetricFamily {
    let values = values.into_iter().map(|(value, count)| counter(&[(label, value)], count));
    family(MetricType::COUNTER, name, values)
}

fn counter(labels: &[(&str, &str)], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(number(count));
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

fn latency(outcome: &str, times: &Histogram) -> Metric {
    let mut so_far = 0;
    let buckets = LATENCY_BOUNDS.iter().zip(times.buckets).map(|(bound, count)| {
        so_far += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(so_far);
        bucket
    });
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(times.count());
    histogram.set_sample_sum(times.sum.as_secs_f64());
    let mut metric = labelled(&[("outcome", outcome)]);
    metric.set_histogram(histogram);
    metric
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

fn family(
    kind: MetricType,
    (name, help): (&str, &str),
    values: impl IntoIterator<Item = Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(values.into_iter().collect());
    family
}

#[expect(clippy::cast_precision_loss, reason = "no machine holds 2^53 of anything")]
fn size(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn text(families: &[MetricFamily]) -> String {
        TextEncoder::new().encode_to_string(families).unwrap()
    }

    #[test]
    fn times_are_told_by_buckets_that_hold_all_shorter_ones() {
        let mut times =
            Histogram { buckets: [0; LATENCY_BOUNDS.len() + 1], sum: Duration::from_millis(12_504) };
        times.buckets[0] = 3;
        times.buckets[LATENCY_BOUNDS.len()] = 1;
        let told = family(MetricType::HISTOGRAM, ("seconds", "Time."), [latency("accepted", &times)]);
        let told = text(&[told]);
        for line in [
            "# TYPE seconds histogram",
            "seconds_bucket{outcome=\"accepted\",le=\"0.005\"} 3",
            "seconds_bucket{outcome=\"accepted\",le=\"5\"} 3",
            "seconds_bucket{outcome=\"accepted\",le=\"+Inf\"} 4",
            "seconds_sum{outcome=\"accepted\"} 12.504",
            "seconds_count{outcome=\"accepted\"} 4",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\n{told}");
        }
    }

    #[test]
    fn a_sink_of_any_name_is_told_of_and_none_is_nothing() {
        assert_eq!(events(&[]), []);
        let sink =
            Sink { waiting: 2, age: Duration::from_secs(3), dead: 0, told: 5, failures: 1, leased: true };
        let told = text(&events(&[("a\"b".to_owned(), sink)]));
        for line in [
            "# TYPE vitrine_events_waiting gauge",
            "vitrine_events_waiting{sink=\"a\\\"b\"} 2",
            "vitrine_events_age_seconds{sink=\"a\\\"b\"} 3",
            "# TYPE vitrine_events_told_total counter",
            "vitrine_events_told_total{sink=\"a\\\"b\"} 5",
            "vitrine_events_leased{sink=\"a\\\"b\"} 1",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\n{told}");
        }
    }

    #[test]
    fn what_was_never_told_is_no_number() {
        let of = ReplicaFigures { age: None, by_replica: 7, not_fresh: 0, failed: 0 };
        let told = text(&replica(&of));
        assert!(told.contains("vitrine_replica_age_seconds NaN"), "{told}");
        assert!(told.contains("vitrine_lists_total{by=\"replica\",because=\"fresh\"} 7"), "{told}");
    }
}
