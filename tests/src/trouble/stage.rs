//! Where a fault strikes: two replicas of the real program, a real Keystone behind a proxy and a real Postgres.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::PATIENCE;
use super::front::Front;
use super::lengths::Lengths;
use super::load::Cast;
use super::proxy::Proxy;
use super::wire::{Ask, Reply, Wire};
use crate::keystone::Keystone;
use crate::patience;
use crate::postgres::{Database, Postgres, free_port};
use crate::vitrine::{Launch, Vitrine, executable, said};

/// What several faults in a row share.
pub struct Ground {
    /// Records that survive a power cut.
    pub postgres: Postgres,
    /// Who vouches.
    pub keystone: Keystone,
    /// Who asks.
    pub cast: Arc<Cast>,
}

impl Ground {
    /// With so many clients.
    pub fn new(clients: usize) -> Self {
        let keystone = Keystone::private(crate::keystone::Options::default());
        let cast = Cast::new(&keystone, clients);
        Self { postgres: Postgres::private(crate::postgres::Durability::Kept), keystone, cast }
    }
}

/// How the services of one fault are started.
#[derive(Default)]
pub struct Setting {
    /// Their settings, as environment variables.
    pub variables: Vec<(&'static str, String)>,
    /// The program that migrates and is started at first, if it is an older one.
    pub older: Option<PathBuf>,
    /// How many files they may have open, as a shell often starts them.
    pub descriptors: Option<u32>,
}

/// The servers of Postgres, where there is more to them than one.
#[derive(Default)]
pub struct Servers<'a> {
    /// A primary and its standby.
    pub pair: Option<(&'a Postgres, &'a Postgres)>,
    /// A server with a small disk.
    pub room: Option<&'a Postgres>,
    /// What stands before Postgres.
    pub proxy: Option<Proxy>,
    /// The services' address of the records, if it is not the database's own.
    pub url: Option<String>,
}

/// Two services that run.
pub struct Stage<'a> {
    /// What they share with others.
    pub ground: &'a Ground,
    /// Their records.
    pub database: &'a Database<'a>,
    /// Before Keystone.
    pub keystone: Proxy,
    /// Before the services.
    pub front: Arc<Front>,
    /// Of the records.
    pub servers: Servers<'a>,
    /// How long things take.
    pub lengths: Lengths,
    /// A directory for whatever the strike needs.
    pub directory: PathBuf,
    images: Mutex<Vec<String>>,
    records: Mutex<String>,
    setting: Setting,
    ended: Mutex<Vec<PathBuf>>,
    /// Whether replicas are started by the program under test, and not by an older one.
    is_new: AtomicBool,
    replicas: Vec<Mutex<Option<Vitrine>>>,
    addresses: Vec<SocketAddr>,
}

/// The body that makes a shared image.
fn poster() -> serde_json::Value {
    json!({"name": "poster", "visibility": "shared"})
}

impl<'a> Stage<'a> {
    /// Migrates and starts both.
    pub fn new(
        ground: &'a Ground,
        database: &'a Database<'a>,
        lengths: Lengths,
        setting: Setting,
        servers: Servers<'a>,
        directory: PathBuf,
    ) -> Self {
        let program = setting.older.as_deref().unwrap_or_else(|| executable());
        migrate(program, database.url());
        let (_, keystone) = ground.keystone.auth_url().split_once("://").map(owned).expect("a URL");
        let keystone = keystone.trim_end_matches("/v3").parse().expect("an address");
        let addresses: Vec<SocketAddr> =
            (0..2).map(|_| SocketAddr::from(([127, 0, 0, 1], free_port()))).collect();
        let stage = Self {
            ground,
            database,
            keystone: Proxy::before(keystone),
            front: Front::before(&addresses),
            servers,
            lengths,
            directory,
            images: Mutex::default(),
            records: Mutex::new(database.url().to_owned()),
            setting,
            ended: Mutex::default(),
            is_new: AtomicBool::new(false),
            replicas: (0..2).map(|_| Mutex::new(None)).collect(),
            addresses,
        };
        for number in 0..2 {
            stage.start(number);
        }
        stage
    }

    /// Starts a replica, at the address it always has, and waits until it is ready.
    pub fn start(&self, number: usize) {
        let replica = self.launch(number).start();
        *self.replica(number) = Some(replica);
    }

    /// How a replica is started.
    pub fn launch(&self, number: usize) -> Launch {
        let url = self.servers.url.as_deref().unwrap_or(self.database.url());
        let launch = Vitrine::serve_as_it_is(url, &self.ground.keystone)
            .with("VITRINE_LISTEN", &self.addresses[number].to_string())
            .with("VITRINE_KEYSTONE__AUTH_URL", &format!("http://{}/v3", self.keystone.address()))
            // Where nothing is wrong with Keystone it may be slow: one process of Python on a busy machine.
            .with("VITRINE_KEYSTONE__TIMEOUT", "20")
            .with("VITRINE_DEADLINE", &self.lengths.deadline.to_string())
            .with("VITRINE_LIMITS__MEMBERS_PER_IMAGE", "-1")
            // So long that the front asks several times, though the machine may keep it from asking for a while.
            .with("VITRINE_SHUTDOWN__DRAIN", "3")
            .with("VITRINE_LOG__LEVEL", "info,vitrine::request=error");
        let launch =
            self.setting.variables.iter().fold(launch, |launch, (name, value)| launch.with(name, value));
        // An older program does not know every key of this one, and stops at those that it does not know.
        let launch = match &self.setting.older {
            Some(older) if !self.is_new.load(Ordering::Relaxed) => {
                launch.of(older).without("VITRINE_SHUTDOWN__DRAIN").without("VITRINE_KEYSTONE__TIMEOUT")
            }
            Some(_) | None => launch,
        };
        match self.setting.descriptors {
            Some(number) => launch.with_descriptors(number),
            None => launch,
        }
    }

    /// The program under test migrates, and from now on it is the one that is started.
    pub fn upgrade(&self) {
        migrate(executable(), self.database.url());
        self.is_new.store(true, Ordering::Relaxed);
    }

    /// Takes a replica off the stage, to be ended by the caller.
    pub fn take(&self, number: usize) -> Vitrine {
        self.replica(number).take().expect("a replica that runs")
    }

    /// The process ids of the replicas that run.
    pub fn pids(&self) -> Vec<u32> {
        (0..self.replicas.len())
            .filter_map(|number| self.replica(number).as_ref().map(|one| one.process().pid()))
            .collect()
    }

    fn replica(&self, number: usize) -> std::sync::MutexGuard<'_, Option<Vitrine>> {
        self.replicas[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a replica listens.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.addresses[number]
    }

    /// Keeps what a replica that has ended had written.
    pub fn keep_log(&self, replica: &Vitrine) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.directory.join(format!("log-{}", ended.len()));
        std::fs::write(&file, replica.log()).expect("a log");
        ended.push(file);
    }

    /// Why requests were answered with 5xx, as the replicas' logs say: each cause with its count.
    pub fn causes(&self) -> BTreeMap<String, usize> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = ended.into_iter().filter_map(|file| std::fs::read_to_string(file).ok());
        let running = (0..2).filter_map(|number| self.replica(number).as_ref().map(Vitrine::log));
        let mut causes = BTreeMap::<String, usize>::new();
        for line in ended.chain(running).flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>()) {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let fields = line.get("fields").unwrap_or(&line);
            if let Some(cause) = fields["cause"].as_str() {
                *causes.entry(cause.chars().take(160).collect()).or_default() += 1;
            }
        }
        causes
    }

    /// New shared images of the owner's, by path.
    ///
    /// # Panics
    /// When one cannot be made in a minute.
    pub fn make_images(&self, count: usize) -> Vec<String> {
        self.make_images_like(&poster(), count)
    }

    /// The same, as this body of a creation says.
    ///
    /// # Panics
    /// When one cannot be made in a minute.
    pub fn make_images_like(&self, body: &serde_json::Value, count: usize) -> Vec<String> {
        let limit = Duration::from_secs(60);
        (0..count).map(|_| patience::until("a new image", limit, || self.try_make_image(body))).collect()
    }

    fn try_make_image(&self, body: &serde_json::Value) -> Option<String> {
        let token = &self.ground.cast.owner.token;
        let made = self.ask(0, "POST", "/v2/images", token, Some(&body.to_string()));
        let made = made.ok().filter(|made| made.status == 201)?;
        let made: serde_json::Value = serde_json::from_str(&made.body).ok()?;
        let image = format!("/v2/images/{}", made["id"].as_str()?);
        self.images.lock().unwrap_or_else(PoisonError::into_inner).push(image.clone());
        Some(image)
    }

    /// The images that were made.
    pub fn images(&self) -> Vec<String> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One request on a connection of its own.
    ///
    /// # Errors
    /// No answer.
    pub fn ask(
        &self,
        number: usize,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&str>,
    ) -> std::io::Result<Reply> {
        let patience = Duration::from_secs(self.lengths.deadline + PATIENCE);
        Wire::to(self.addresses[number], patience).ask(&Ask { method, path, token, body })
    }

    /// From now on the records are read at this URL.
    pub fn records_are_at(&self, url: String) {
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    /// All memberships: rows of `image|member|status`.
    pub fn rows(&self) -> Vec<String> {
        let url = self.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.database.query_at(&url, "SELECT image_id, member_id, status FROM image_members")
    }

    /// What does not work though nothing is wrong any more: every kind of call, by more at once than there are connections
    /// to Postgres, at each replica.
    ///
    /// Soon, that is: a Keystone that has just started has much to do.
    pub fn unanswered(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        patience::within(Duration::from_secs(60), || {
            wrong = self.ask_everything();
            wrong.is_empty().then_some(())
        });
        wrong
    }

    fn ask_everything(&self) -> Vec<String> {
        let Some(image) = self.try_make_image(&poster()) else {
            return vec!["afterwards no image can be made".to_owned()];
        };
        let calls = |replica: usize, caller: usize| {
            let (owner, member) = (&self.ground.cast.owner.token, &self.ground.cast.members[0]);
            let guest = format!("caller-{replica}-{caller}");
            let (members, membership) = (format!("{image}/members"), format!("{image}/members/{guest}"));
            let offer = json!({"member": guest}).to_string();
            let own = json!({"status": "accepted"}).to_string();
            let mine = format!("{image}/members/{}", member.project.id);
            let expected: [(&str, &str, &str, Option<&str>, u16); 7] = [
                ("POST", &members, owner, Some(&offer), 200),
                ("GET", &membership, owner, None, 200),
                ("GET", &members, owner, None, 200),
                ("GET", &image, owner, None, 200),
                ("GET", "/v2/images", owner, None, 200),
                ("PUT", &mine, &member.token, Some(&own), 200),
                ("DELETE", &membership, owner, None, 204),
            ];
            let mut wrong = Vec::new();
            for (method, path, token, body, status) in expected {
                match self.ask(replica, method, path, token, body) {
                    Ok(reply) if reply.status == status => {}
                    Ok(reply) => wrong.push(format!("afterwards {method} is answered {}", reply.status)),
                    Err(error) => wrong.push(format!("afterwards {method} is not answered: {error}")),
                }
            }
            wrong
        };
        let offer = json!({"member": self.ground.cast.members[0].project.id}).to_string();
        let offered =
            self.ask(0, "POST", &format!("{image}/members"), &self.ground.cast.owner.token, Some(&offer));
        if !offered.as_ref().is_ok_and(|reply| reply.status == 200) {
            return vec![format!("afterwards an offer is answered {offered:?}")];
        }
        let mut wrong = std::thread::scope(|scope| {
            let all: Vec<_> = (0..16).map(|caller| scope.spawn(move || calls(caller % 2, caller))).collect();
            all.into_iter().flat_map(|one| one.join().expect("a caller")).collect::<Vec<_>>()
        });
        wrong.sort();
        wrong.dedup();
        wrong
    }
}

impl Drop for Stage<'_> {
    /// Both are told to end before anybody waits for one of them.
    fn drop(&mut self) {
        for replica in &self.replicas {
            if let Some(replica) = &*replica.lock().unwrap_or_else(PoisonError::into_inner) {
                replica.process().signal("TERM");
            }
        }
    }
}

/// `vitrine migrate` by this program.
fn migrate(program: &Path, database_url: &str) {
    let mut command = Command::new(program);
    let migrated = command.arg("migrate").env_clear().env("VITRINE_DATABASE__URL", database_url).output();
    let migrated = migrated.expect("vitrine can be started");
    assert!(migrated.status.success(), "vitrine migrate failed:\n{}", said(&migrated));
}

fn owned((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

/// Resident memory, threads and open files of a process, from `/proc`; nothing of one that has ended.
pub fn size(pid: u32) -> (u64, u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    (field("VmRSS:") / 1024, field("Threads:"), files)
}
