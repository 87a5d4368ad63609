//! The API on a port of its own, over records in memory, with bearers that a test admits.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use actix_web::{
    dev::{Server, ServerHandle},
    rt::System,
    web,
};
use api_http::{App, Edge, Metrics, Settings, TrustedProxies};
use core_domain::{
    Caller, Rules,
    image::{Image, ImageId},
    member::{Member, MemberStatus},
    project::UserId,
    store::Store,
    testing::{builders, memory::MemoryStore},
    tokens::{Shown, TokenError, Tokens, Validation},
};

use crate::{
    client::Client,
    openapi,
    wire::{Reply, Wire},
};

/// Whom tokens speak for. What is not here is refused, as Keystone refuses the unknown, the expired and the revoked
/// alike.
#[derive(Default)]
pub(crate) struct Bearers {
    callers: Mutex<BTreeMap<String, Arc<Caller>>>,
    /// What was shown last: intent, method, path, and the token of a service.
    last: Mutex<String>,
    /// The client that showed it.
    peer: Mutex<Option<IpAddr>>,
}

/// The token for which Keystone cannot be asked.
pub(crate) const UNDECIDED: &str = "keystone-is-down";
const UNDECIDED_FOR: Duration = Duration::from_secs(2);

impl Bearers {
    fn admit(&self, token: &str, caller: Caller) {
        self.callers.lock().unwrap().insert(token.to_owned(), Arc::new(caller));
    }
}

impl Tokens for Bearers {
    fn validate<'a>(&'a self, shown: Shown<'a>) -> Validation<'a> {
        let Shown { token, service_token, intent, method, path, peer, .. } = shown;
        *self.peer.lock().unwrap() = peer;
        *self.last.lock().unwrap() = format!("{intent:?} {method} {path} {service_token:?}");
        let verdict = if token == UNDECIDED {
            let source = "connecting to keystone.internal:5000 as vitrine/secret".into();
            Err(TokenError::Unavailable { source, again_in: UNDECIDED_FOR })
        } else {
            self.callers.lock().unwrap().get(token).cloned().ok_or(TokenError::Rejected)
        };
        Box::pin(std::future::ready(verdict))
    }

    fn is_ready(&self) -> bool {
        !self.callers.lock().unwrap().is_empty()
    }
}

/// What a test may want otherwise.
pub(crate) struct Setup {
    pub(crate) rules: Rules,
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
}

/// The API, served until dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) figures: prometheus::Registry,
    bearers: Arc<Bearers>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// As it is by default.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// As `change` wants it.
    pub(crate) fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup {
            rules: Rules::default(),
            settings: Settings {
                public_endpoint: None,
                identity_uri: "https://identity.example.org/v3".into(),
                body_bytes: 1 << 20,
                deadline: Duration::from_secs(30),
                connections: 8,
                rate: None,
                edge: Edge::default(),
                trusted_proxies: TrustedProxies::default(),
            },
            store: Arc::new(MemoryStore::default()),
        };
        change(&mut setup);
        let bearers = Arc::new(Bearers::default());
        let figures = prometheus::Registry::new();
        let app = web::Data::new(App::new(
            Arc::clone(&setup.store),
            Arc::clone(&bearers) as Arc<dyn Tokens>,
            Arc::new(setup.rules),
            setup.settings,
            Metrics::new(&figures).unwrap(),
        ));
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            System::new().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                let builder = Server::build().disable_signals();
                let server = api_http::listen(builder, 1, listener, &app, None).unwrap().run();
                tell.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = told.recv().unwrap();
        Self { address, store: setup.store, figures, bearers, handle, thread: Some(thread) }
    }

    /// Somebody with a project-scoped token and the roles that Keystone gives an ordinary user.
    pub(crate) fn member_of(&self, project: &str) -> Client<'_> {
        self.somebody(Some(project), &["member", "reader"])
    }

    /// Somebody who may only look.
    pub(crate) fn reader_in(&self, project: &str) -> Client<'_> {
        self.somebody(Some(project), &["reader"])
    }

    /// An administrator, in a project that owns nothing.
    pub(crate) fn admin(&self) -> Client<'_> {
        self.somebody(Some("operations"), &["admin", "manager", "member", "reader"])
    }

    /// What was asked about the last token that was shown.
    pub(crate) fn last_shown(&self) -> String {
        self.bearers.last.lock().unwrap().clone()
    }

    /// The client that showed it.
    pub(crate) fn last_peer(&self) -> Option<IpAddr> {
        *self.bearers.peer.lock().unwrap()
    }

    /// Somebody in this project, or none, with these roles and a token of its own.
    pub(crate) fn somebody(&self, project: Option<&str>, roles: &[&str]) -> Client<'_> {
        static TOKENS: AtomicUsize = AtomicUsize::new(0);
        let token = format!("token-{}", TOKENS.fetch_add(1, Ordering::Relaxed));
        self.bearer(&token, project, roles)
    }

    /// As above, with a token of the test's choosing.
    pub(crate) fn bearer(&self, token: &str, project: Option<&str>, roles: &[&str]) -> Client<'_> {
        let caller = Caller::new(UserId::new("someone"), project.map(builders::project), roles);
        self.bearers.admit(token, caller);
        self.with_token(token)
    }

    /// Somebody with this token, admitted or not.
    pub(crate) fn with_token(&self, token: &str) -> Client<'_> {
        Client::new(self, Some(token.to_owned()))
    }

    /// Somebody without a token.
    pub(crate) fn nobody(&self) -> Client<'_> {
        Client::new(self, None)
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::open(self.address)
    }

    /// The answer to one request, as bytes, on a connection of its own.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> Reply {
        let mut wire = self.connect();
        wire.send(bytes);
        // This one's body is told of, and does not follow.
        let reply = if bytes.starts_with(b"HEAD ") { wire.head() } else { wire.reply() };
        let reply = reply.unwrap_or_else(|| panic!("no answer to {}", String::from_utf8_lossy(bytes)));
        openapi::describes(bytes, &reply);
        reply
    }

    /// Keeps a shared image of `owner` with these changes, and gives its id.
    pub(crate) fn image(&self, owner: &str, change: impl FnOnce(&mut Image)) -> ImageId {
        let mut image = builders::an_image(owner);
        change(&mut image);
        self.store.write(image.id, &builders::cause(0), |tx| tx.insert_image(&image)).unwrap();
        image.id
    }

    /// Keeps a membership made at the beginning of 2026.
    pub(crate) fn share(&self, image: ImageId, project: &str, status: MemberStatus) {
        let mut member = Member::offered(image, builders::project(project), builders::at(0));
        member.status = status;
        self.store.write(image, &builders::cause(0), |tx| tx.insert_member(&member)).unwrap();
    }

    /// What lists in progress hold of their budget, in bytes.
    pub(crate) fn list_memory(&self) -> i64 {
        self.gauge("vitrine_list_memory_bytes")
    }

    /// What answers about one large image hold of theirs.
    pub(crate) fn image_memory(&self) -> i64 {
        self.gauge("vitrine_image_memory_bytes")
    }

    fn gauge(&self, name: &str) -> i64 {
        let families = self.figures.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        #[allow(clippy::cast_possible_truncation, reason = "it is a whole number of bytes")]
        let bytes = family.get_metric()[0].get_gauge().get_value() as i64;
        bytes
    }

    /// Every record there is, as an admin reads it over HTTP.
    pub(crate) fn dump(&self) -> Vec<String> {
        let admin = self.admin();
        let mut records = Vec::new();
        for hidden in ["false", "true"] {
            let page = admin.get(&format!("/v2/images?visibility=all&limit=1000&os_hidden={hidden}")).json();
            for image in page["images"].as_array().unwrap() {
                records.push(image.to_string());
                let members = admin.get(&format!("/v2/images/{}/members", image["id"].as_str().unwrap()));
                records.push(members.text().to_owned());
            }
        }
        records
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The order to stop is given at once; the thread ends with the server.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
