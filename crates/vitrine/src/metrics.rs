//! `/metrics`, on a port of its own: the API's figures, the token cache's and the database pool's.

use std::{fmt::Write as _, net::TcpListener, sync::Arc};

use actix_web::{App, HttpResponse, HttpServer, dev::Server, http::header, web};
use auth_keystone::{Histogram, Keystone, LATENCY_BOUNDS};
use prometheus::{Registry, TextEncoder};
use relay::{Figures, Relay};
use store_diesel::{DieselStore, ReplicaFigures};

use crate::Failure;

/// What is shown.
pub(crate) struct Shown {
    pub(crate) registry: Registry,
    pub(crate) tokens: Keystone,
    pub(crate) store: Arc<DieselStore>,
    pub(crate) events: Arc<Relay>,
}

/// Serves `/metrics` on this port.
///
/// # Errors
/// A listener that cannot be used.
pub(crate) fn server(listener: TcpListener, shown: Shown) -> Result<Server, Failure> {
    let shown = web::Data::new(shown);
    let server = HttpServer::new(move || {
        let app = App::new().app_data(shown.clone());
        app.route("/metrics", web::get().to(metrics)).route("/metrics", web::head().to(metrics))
    });
    let server = server.workers(1).disable_signals().shutdown_timeout(1).listen(listener);
    Ok(server.map_err(|error| Failure::other("cannot serve metrics", error))?.run())
}

async fn metrics(shown: web::Data<Shown>) -> HttpResponse {
    let mut text = TextEncoder::new().encode_to_string(&shown.registry.gather()).unwrap_or_default();
    version(&mut text);
    tokens(&mut text, &shown.tokens);
    pool(&mut text, &shown.store);
    if let Some(figures) = shown.store.replica_figures() {
        replica(&mut text, figures);
    }
    events(&mut text, &shown.events.figures());
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(text)
}

/// One figure in the text format of Prometheus. Writing to a string does not fail.
fn figure(text: &mut String, kind: &str, name: &str, help: &str, values: &[(&str, f64)]) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in values {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

fn version(text: &mut String) {
    let labels = concat!("{version=\"", env!("BUILD_VERSION"), "\"}");
    figure(text, "gauge", "vitrine_build_info", "Which build this is.", &[(labels, 1.0)]);
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn tokens(text: &mut String, keystone: &Keystone) {
    let figures = keystone.figures();
    figure(
        text,
        "counter",
        "vitrine_token_validations_total",
        "Token validations by what answered them.",
        &[
            ("{by=\"cache\"}", figures.hits as f64),
            ("{by=\"negative_cache\"}", figures.negative_hits as f64),
            ("{by=\"keystone\"}", figures.misses.saturating_sub(figures.coalesced) as f64),
            ("{by=\"another_s_call\"}", figures.coalesced as f64),
            ("{by=\"form\"}", figures.malformed as f64),
        ],
    );
    figure(
        text,
        "counter",
        "vitrine_token_cache_events_total",
        "What became of remembered tokens besides being used.",
        &[
            ("{event=\"refreshed\"}", figures.refreshes as f64),
            ("{event=\"revoked\"}", figures.revoked as f64),
            ("{event=\"served_stale\"}", figures.stale as f64),
        ],
    );
    figure(
        text,
        "counter",
        "vitrine_good_tokens_refused_total",
        "Calls refused though Keystone vouched for the token.",
        &[
            ("{because=\"access_rules\"}", figures.outside_access_rules as f64),
            ("{because=\"no_service\"}", figures.not_services as f64),
        ],
    );
    figure(
        text,
        "counter",
        "vitrine_signed_tokens_refused_total",
        "Signed tokens refused without asking Keystone.",
        &[
            ("{because=\"signature\"}", figures.bad_signatures as f64),
            ("{because=\"expired\"}", figures.expired_signed as f64),
        ],
    );
    figure(
        text,
        "gauge",
        "vitrine_token_validations_in_flight",
        "Distinct tokens being asked about.",
        &[("", figures.in_flight as f64)],
    );
    figure(
        text,
        "gauge",
        "vitrine_keystone_calls",
        "Validations that Keystone is asked for, and those that wait for a place.",
        &[("{state=\"running\"}", figures.calls as f64), ("{state=\"waiting\"}", figures.waiting as f64)],
    );
    figure(
        text,
        "gauge",
        "vitrine_keystone_away",
        "1 while Keystone is known to be away and nobody waits for it.",
        &[("", f64::from(u8::from(figures.breaker_open)))],
    );
    let ago = figures.since_revocations.map_or(f64::NAN, |ago| ago.as_secs_f64());
    figure(
        text,
        "gauge",
        "vitrine_revocations_seconds_ago",
        "How long ago Keystone told what was revoked; NaN if it never did.",
        &[("", ago)],
    );
    figure(
        text,
        "gauge",
        "vitrine_token_cache_entries",
        "Tokens remembered.",
        &[
            ("{verdict=\"good\"}", figures.good_entries as f64),
            ("{verdict=\"rejected\"}", figures.bad_entries as f64),
        ],
    );
    figure(
        text,
        "counter",
        "vitrine_own_token_sign_ins_total",
        "Tokens got, or not, for the service itself.",
        &[
            ("{outcome=\"done\"}", figures.sign_ins as f64),
            ("{outcome=\"failed\"}", figures.failed_sign_ins as f64),
        ],
    );
    let left = figures.own_token_left.map_or(0.0, |left| left.as_secs_f64());
    figure(
        text,
        "gauge",
        "vitrine_own_token_seconds_left",
        "How long the service's own token is good.",
        &[("", left)],
    );
    let name = "vitrine_keystone_seconds";
    let _ = writeln!(text, "# HELP {name} Time Keystone took, by outcome.\n# TYPE {name} histogram");
    for (outcome, histogram) in
        [("accepted", &figures.accepted), ("rejected", &figures.rejected), ("undecided", &figures.undecided)]
    {
        latency(text, name, outcome, histogram);
    }
}

fn latency(text: &mut String, name: &str, outcome: &str, histogram: &Histogram) {
    let mut so_far = 0;
    for (bucket, count) in histogram.buckets.iter().enumerate() {
        so_far += count;
        let bound = LATENCY_BOUNDS.get(bucket).map_or_else(|| "+Inf".to_owned(), f64::to_string);
        let _ = writeln!(text, "{name}_bucket{{outcome=\"{outcome}\",le=\"{bound}\"}} {so_far}");
    }
    let _ = writeln!(text, "{name}_sum{{outcome=\"{outcome}\"}} {}", histogram.sum.as_secs_f64());
    let _ = writeln!(text, "{name}_count{{outcome=\"{outcome}\"}} {so_far}");
}

fn pool(text: &mut String, store: &DieselStore) {
    let figures = store.figures();
    figure(
        text,
        "gauge",
        "vitrine_database_connections",
        "Connections of the pool.",
        &[
            ("{state=\"open\"}", f64::from(figures.open)),
            ("{state=\"idle\"}", f64::from(figures.idle)),
            ("{state=\"allowed\"}", f64::from(figures.size)),
        ],
    );
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn replica(text: &mut String, figures: ReplicaFigures) {
    figure(
        text,
        "gauge",
        "vitrine_replica_age_seconds",
        "The replica is proven to show everything committed before so long ago.",
        &[("", figures.age.map_or(f64::NAN, |age| age.as_secs_f64()))],
    );
    figure(
        text,
        "counter",
        "vitrine_lists_total",
        "Lists of images by who answered them.",
        &[
            ("{by=\"replica\",because=\"fresh\"}", figures.by_replica as f64),
            ("{by=\"primary\",because=\"not_fresh\"}", figures.not_fresh as f64),
            ("{by=\"primary\",because=\"failed\"}", figures.failed as f64),
        ],
    );
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn events(text: &mut String, sinks: &[(String, Figures)]) {
    type Value = fn(&Figures) -> f64;
    let shown: [(&str, &str, &str, Value); 6] = [
        ("gauge", "vitrine_events_waiting", "Events that a sink was not told of yet.", |of| {
            of.waiting as f64
        }),
        ("gauge", "vitrine_events_age_seconds", "How old the oldest of them is.", |of| of.age.as_secs_f64()),
        ("gauge", "vitrine_events_dead_letters", "Events that a sink could not be told of.", |of| {
            of.dead as f64
        }),
        ("counter", "vitrine_events_told_total", "Events this process told a sink of.", |of| of.told as f64),
        (
            "counter",
            "vitrine_events_failures_total",
            "Tries of this process to tell a sink that failed.",
            |of| of.failures as f64,
        ),
        ("gauge", "vitrine_events_leased", "1 while this process is who tells a sink.", |of| {
            f64::from(u8::from(of.leased))
        }),
    ];
    if sinks.is_empty() {
        return;
    }
    for (kind, name, help, value) in shown {
        let labels: Vec<_> =
            sinks.iter().map(|(sink, of)| (format!("{{sink=\"{sink}\"}}"), value(of))).collect();
        let values: Vec<_> = labels.iter().map(|(labels, value)| (labels.as_str(), *value)).collect();
        figure(text, kind, name, help, &values);
    }
}
