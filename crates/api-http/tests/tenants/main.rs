//! A hundred thousand calls, by chance: who asks, about which image, for what. Each answer is compared with a model of the
//! rules that knows nothing of the code: it is written from the sharing API's own sentences, over records of its own.
//!
//! No answer tells a project of an image that is not its to see, every refusal is the one that the rules name, and what is
//! told is exactly what there is. The seed is printed; `VITRINE_TENANTS_SEED` repeats a run. The calls go to records in memory,
//! and to Postgres: there 10,000 of them, as `VITRINE_TENANTS_CALLS` says otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it was surprised")]
#![allow(clippy::print_stdout, reason = "the seed of a run is for whoever repeats it")]

mod model;

use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};

use actix_web::{
    dev::{Service, ServiceResponse},
    http::Method,
    test::{TestRequest, init_service, read_body},
    web,
};
use api_http::{App, Edge, Metrics, Settings, TrustedProxies};
use core_domain::{
    Caller, Rules,
    project::UserId,
    store::Store,
    testing::{builders, memory::MemoryStore},
    tokens::{Shown, TokenError, Tokens, Validation},
};
use serde_json::{Value, json};
use store_diesel::{Config, DieselStore, migrate};
use testbed::Postgres;

use self::model::{Call, Expected, Model, Role, Told, Who};

const CALLS: usize = 100_000;
/// Where each of them is a few statements, and a commit.
const CALLS_TO_POSTGRES: usize = 10_000;
/// Calls that may be at work on records at a time; they come one by one.
const CONNECTIONS: u32 = 2;
/// Each with records of its own, side by side.
const WORLDS: u64 = 4;

/// Tokens that say themselves whose they are: `project/role`.
struct Spoken(BTreeMap<String, Arc<Caller>>);

impl Spoken {
    fn new() -> Self {
        let vouched = Who::all().into_iter().map(|who| {
            let roles: &[&str] = match who.role {
                Role::Neither => &["service"],
                Role::Reader => &["reader"],
                Role::Member => &["member", "reader"],
                Role::Admin => &["admin", "manager", "member", "reader"],
            };
            let caller = Caller::new(UserId::new("someone"), who.project.map(builders::project), roles);
            (token_of(&who), Arc::new(caller))
        });
        Self(vouched.collect())
    }
}

impl Tokens for Spoken {
    fn validate<'a>(&'a self, shown: Shown<'a>) -> Validation<'a> {
        Box::pin(std::future::ready(self.0.get(shown.token).cloned().ok_or(TokenError::Rejected)))
    }

    fn is_ready(&self) -> bool {
        true
    }
}

fn token_of(who: &Who) -> String {
    format!("{}/{:?}", who.project.unwrap_or("none"), who.role)
}

/// Chance that can be repeated (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

fn asked(who: &Who, call: &Call) -> TestRequest {
    let (method, path, body) = call.request();
    let mut request = TestRequest::with_uri(&path)
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .insert_header(("X-Auth-Token", token_of(who)));
    if let Some(body) = body {
        let media = if method == "PATCH" {
            "application/openstack-images-v2.1-json-patch"
        } else {
            "application/json"
        };
        request = request.insert_header(("Content-Type", media)).set_payload(body.to_string());
    }
    request
}

/// What an answer tells, read as a client would.
fn told(call: &Call, body: &Value) -> Told {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members = |members: &Value| {
        members.as_array().unwrap().iter().map(|m| (text(&m["member_id"]), text(&m["status"]))).collect()
    };
    let image = |image: &Value| {
        let mut tags: Vec<String> = image["tags"].as_array().unwrap().iter().map(text).collect();
        tags.sort();
        (
            text(&image["id"]),
            image["owner"].as_str().map(str::to_owned),
            text(&image["visibility"]),
            text(&image["name"]),
            tags,
        )
    };
    match call {
        Call::ListImages { .. } => {
            let mut images: Vec<_> =
                body["images"].as_array().unwrap().iter().map(|image| text(&image["id"])).collect();
            images.sort();
            Told::Images(images)
        }
        Call::CreateImage { .. } | Call::ShowImage(_) | Call::ChangeImage { .. } => Told::Image(image(body)),
        Call::ListMembers(_) => Told::Members(members(&body["members"])),
        Call::ShowHistory(..) => Told::History(
            body["history"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| {
                    let text = |key: &str| entry[key].as_str().map(str::to_owned);
                    (text("project_id"), text("old_status"), text("new_status"))
                })
                .collect(),
        ),
        Call::AddMember(..) | Call::ShowMember(..) | Call::SetStatus(..) => {
            Told::Members(members(&json!([body])))
        }
        Call::DeleteImage(_) | Call::RemoveMember(..) | Call::AddTag(..) | Call::RemoveTag(..) => {
            Told::Nothing
        }
    }
}

/// What came of one world's calls.
#[derive(Default, Debug)]
struct Count {
    told: usize,
    hidden: usize,
    refused: usize,
}

fn run(seed: u64, calls: usize, store: Arc<dyn Store>) -> Count {
    actix_web::rt::System::new().block_on(async move {
        let settings = Settings {
            public_endpoint: None,
            identity_uri: "https://identity.example.org/v3".into(),
            body_bytes: 1 << 20,
            deadline: Duration::from_secs(30),
            connections: CONNECTIONS as usize,
            rate: None,
            edge: Edge::default(),
            trusted_proxies: TrustedProxies::default(),
        };
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let app = App::new(store, Arc::new(Spoken::new()), Arc::new(Rules::default()), settings, metrics);
        let app = init_service(api_http::application(web::Data::new(app))).await;
        let (mut chance, mut model, mut count) = (Chance(seed), Model::default(), Count::default());
        let callers = Who::all();
        for number in 0..calls {
            let (who, call) =
                (chance.of(&callers).clone(), model.some_call(&mut |bound| chance.below(bound)));
            let case = || format!("seed {seed}, call {number}: {who:?} {call:?}");
            let response: ServiceResponse<_> = app.call(asked(&who, &call).to_request()).await.unwrap();
            let status = response.status().as_u16();
            let body = read_body(response).await;
            let body: Value =
                if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
            match model.expected(&who, &call) {
                Expected::Refused(codes) => {
                    assert!(codes.contains(&status), "{}: {status} instead of {codes:?}: {body}", case());
                    if codes.contains(&404) { count.hidden += 1 } else { count.refused += 1 }
                }
                Expected::Done(code) => {
                    assert_eq!(status, code, "{}: {body}", case());
                    let told = told(&call, &body);
                    let id = body["id"].as_str().unwrap_or_default();
                    assert_eq!(told, model.done(&who, &call, id), "{}", case());
                    count.told += 1;
                }
            }
        }
        count
    })
}

/// Makes the calls, in as many worlds at once as there are stores.
fn run_all(calls: usize, stores: Vec<Arc<dyn Store>>) {
    let seed = given("VITRINE_TENANTS_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 8);
    println!("VITRINE_TENANTS_SEED={seed}");
    let each = calls / stores.len();
    let worlds: Vec<_> = (seed..)
        .zip(stores)
        .map(|(seed, store)| std::thread::spawn(move || run(seed, each, store)))
        .collect();
    let counts: Vec<Count> = worlds.into_iter().map(|world| world.join().unwrap()).collect();
    println!("{counts:?}");
    // Chance that only ever knocks at closed doors would show nothing, and neither would one that meets no door.
    for count in counts {
        let are_many = count.told > each / 5 && count.hidden > each / 12 && count.refused > each / 12;
        assert!(are_many, "{count:?}");
    }
}

fn given<T: FromStr<Err: std::fmt::Debug>>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

#[test]
fn a_hundred_thousand_calls_by_anybody_about_anything_are_answered_as_the_rules_say() {
    run_all(CALLS, (0..WORLDS).map(|_| Arc::new(MemoryStore::default()) as _).collect());
}

#[test]
fn calls_by_anybody_about_anything_are_answered_from_postgres_as_the_rules_say() {
    let databases: Vec<_> = (0..WORLDS).map(|_| Postgres::shared().database()).collect();
    let stores = databases.iter().map(|database| {
        let mut config = Config::parse(database.url()).expect("a URL");
        config.pool_size = CONNECTIONS;
        migrate(&config, &mut |_| ()).expect("a schema");
        Arc::new(DieselStore::open(&config).expect("a store")) as _
    });
    run_all(given("VITRINE_TENANTS_CALLS").unwrap_or(CALLS_TO_POSTGRES), stores.collect());
}
