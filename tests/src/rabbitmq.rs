//! A RabbitMQ of a test's own, on loopback, and a listener built on oslo.messaging.
//!
//! `VITRINE_TEST_RABBITMQ` names another script than Debian's, such as another version's `rabbitmq-server`.

use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::patience;
use crate::postgres::{free_port, on_path};
use crate::python::Python;
use crate::supervised::{Program, Supervised};

const PROGRAM: &str = "VITRINE_TEST_RABBITMQ";
/// Debian's own, without the wrapper that wants to be root and then another user.
const DEBIAN: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const MISSING: &str = "RabbitMQ's rabbitmq-server is not in /usr/lib/rabbitmq/bin. Install it (Debian: `apt-get install \
    rabbitmq-server`; no service needs to run), or name the script in VITRINE_TEST_RABBITMQ";
/// How long a broker may take to start on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A running broker; dropping it stops it.
pub struct RabbitMq {
    directory: PathBuf,
    port: u16,
    distribution_port: u16,
    broker: Mutex<Option<Supervised>>,
    names: Mutex<Option<Supervised>>,
    names_port: u16,
    /// Where TLS is spoken, if it is.
    tls_port: Option<u16>,
}

/// What a broker needs to speak TLS, as PEM.
pub struct Tls {
    /// Its authority's certificate.
    pub authority: String,
    /// Its own, for `localhost`.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl RabbitMq {
    /// One that this test process shares among its tests; each takes an exchange or a virtual host of its own.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<RabbitMq> = LazyLock::new(RabbitMq::private);
        &SHARED
    }

    /// A new one.
    pub fn private() -> Self {
        Self::new(None)
    }

    /// A new one that speaks TLS as well.
    pub fn with_tls(tls: &Tls) -> Self {
        Self::new(Some(tls))
    }

    fn new(tls: Option<&Tls>) -> Self {
        let directory = tempfile::Builder::new().prefix("vitrine-rabbitmq-").tempdir();
        let directory = directory.expect("a temporary directory").keep();
        for name in ["home", "data", "log"] {
            fs::create_dir(directory.join(name)).expect("a directory");
        }
        fs::write(directory.join("enabled_plugins"), "[].").expect("a file");
        if let Some(tls) = tls {
            for (name, pem) in
                [("authority", &tls.authority), ("certificate", &tls.certificate), ("key", &tls.key)]
            {
                fs::write(directory.join(format!("{name}.pem")), pem).expect("a file");
            }
        }
        for _ in 0..5 {
            let broker = Self {
                tls_port: tls.map(|_| free_port()),
                directory: directory.clone(),
                port: free_port(),
                distribution_port: free_port(),
                broker: Mutex::new(None),
                names: Mutex::new(None),
                names_port: free_port(),
            };
            if broker.try_start() {
                return broker;
            }
        }
        panic!("RabbitMQ found no free ports in five tries");
    }

    /// `amqp://…` with the virtual host `/`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// `amqps://…`, by the name that the certificate is for.
    ///
    /// # Panics
    /// When it speaks no TLS.
    pub fn tls_url(&self) -> String {
        format!("amqps://guest:guest@localhost:{}/%2f", self.tls_port.expect("a broker that speaks TLS"))
    }

    /// The same for oslo.messaging.
    pub fn transport_url(&self) -> String {
        format!("rabbit://guest:guest@127.0.0.1:{}/", self.port)
    }

    /// Kills it at once; [`RabbitMq::start`] brings it back at the same address, with its durable queues.
    pub fn kill(&self) {
        let broker = self.broker.lock().expect("no panic while holding the broker").take();
        broker.expect("a broker that runs").end("KILL");
    }

    /// Starts it again.
    pub fn start(&self) {
        assert!(self.try_start(), "a port of the killed broker was taken by another");
    }

    /// The broker's process.
    pub fn signal(&self, name: &str) {
        let broker = self.broker.lock().expect("no panic while holding the broker");
        broker.as_ref().expect("a broker that runs").signal(name);
    }

    /// A listener of oslo.messaging for `TOPIC.info` of this exchange, which writes down what it is told.
    pub fn listener(&self, exchange: &str, topic: &str) -> Listener {
        Listener::start("notification_listener.py", &[&self.transport_url(), exchange, topic])
    }

    /// Whoever has a queue of its own at this exchange and sees every message as it is, oslo.messaging's filter apart.
    pub fn witness(&self, exchange: &str, topic: &str) -> Listener {
        let url = format!("amqp://guest:guest@127.0.0.1:{}//", self.port);
        Listener::start("notification_witness.py", &[&url, exchange, topic])
    }

    /// False when another has one of the ports.
    fn try_start(&self) -> bool {
        self.start_names();
        let log = self.directory.join("broker.log");
        let broker = self.program().removing(&self.directory).start(&log);
        let starts = patience::until("RabbitMQ to start", START, || {
            let said = broker.log();
            if let Some(status) = broker.exit_status() {
                assert!(
                    ["eaddrinuse", "could not bind"].iter().any(|words| said.contains(words)),
                    "RabbitMQ ended with {status}:\n{said}"
                );
                return Some(false);
            }
            said.contains("Server startup complete").then_some(true)
        });
        if starts {
            *self.broker.lock().expect("no panic while holding the broker") = Some(broker);
        } else {
            broker.end("KILL");
        }
        starts
    }

    /// Erlang's own name service, which would else be started in the background and stay for ever.
    fn start_names(&self) {
        let mut names = self.names.lock().expect("no panic while holding the name service");
        if names.is_some() {
            return;
        }
        let epmd = on_path("epmd").unwrap_or_else(|| panic!("{MISSING}"));
        let port = self.names_port.to_string();
        let program = Program::new(epmd).args(["-address", "127.0.0.1", "-port", &port]);
        *names = Some(program.start(&self.directory.join("epmd.log")));
    }

    fn program(&self) -> Program {
        let at = |name: &str| self.directory.join(name).into_os_string();
        let mut settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nlog.console = true\nlog.console.level = info\nlog.file = false\n",
            self.port
        );
        if let Some(port) = self.tls_port {
            let files = self.directory.display();
            settings.push_str(&format!(
                "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {files}/authority.pem\n\
                 ssl_options.certfile = {files}/certificate.pem\nssl_options.keyfile = {files}/key.pem\n"
            ));
        }
        fs::write(self.directory.join("rabbitmq.conf"), settings).expect("a file");
        // Without a shell the script is replaced by the server, so that what is killed is the server.
        let erlang = "-noinput +sbwt none -kernel inet_dist_use_interface {127,0,0,1}";
        let mut program = Program::new("env").args(["-i", "LC_ALL=C.UTF-8", "ERL_CRASH_DUMP_SECONDS=0"]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        for (name, value) in [
            ("PATH", path),
            ("HOME", at("home")),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", self.names_port.to_string().into()),
            ("RABBITMQ_ALLOW_INPUT", "1".into()),
            ("RABBITMQ_NODENAME", format!("vitrine{}@localhost", self.port).into()),
            ("RABBITMQ_DIST_PORT", self.distribution_port.to_string().into()),
            ("RABBITMQ_MNESIA_BASE", at("data")),
            ("RABBITMQ_LOG_BASE", at("log")),
            ("RABBITMQ_CONFIG_FILE", at("rabbitmq")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", at("none.config")),
            ("RABBITMQ_CONF_ENV_FILE", at("none.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang.into()),
        ] {
            let mut setting = std::ffi::OsString::from(name);
            setting.push("=");
            setting.push(value);
            program = program.arg(setting);
        }
        program.arg(script())
    }
}

/// A process that is told of notifications.
pub struct Listener {
    process: Supervised,
}

impl Listener {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("vitrine-listener-").tempdir();
        let directory = directory.expect("a temporary directory").keep();
        let python = Python::environment();
        let process = Program::new("env")
            .args(["-i", "LC_ALL=C.UTF-8", "PYTHONWARNINGS=ignore", "PYTHONUNBUFFERED=1"])
            .arg(python.program("python"))
            .arg(Python::script(script))
            .args(arguments)
            .removing(&directory)
            .start(&directory.join("log"));
        patience::until("the listener to listen", START, || {
            assert!(process.exit_status().is_none(), "the listener ended:\n{}", process.log());
            process.log().contains("listening").then_some(())
        });
        Self { process }
    }

    /// All it was told so far, in order.
    pub fn heard(&self) -> Vec<Value> {
        let log = self.process.log();
        // The last line may be half written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("heard ")?).ok()).collect()
    }

    /// Whether it is told of nothing for so long.
    pub fn is_quiet(&self, time: Duration) -> bool {
        let before = self.noise();
        std::thread::sleep(time);
        self.noise() == before
    }

    /// All it wrote.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Grows with whatever it is told.
    pub fn noise(&self) -> u64 {
        self.process.log_size()
    }

    /// Waits until it was told of so much, and gives all.
    ///
    /// # Panics
    /// When it is not in half a minute, with what it wrote.
    pub fn heard_at_least(&self, count: usize) -> Vec<Value> {
        let heard = patience::within(Duration::from_secs(30), || {
            let heard = self.heard();
            (heard.len() >= count).then_some(heard)
        });
        heard.unwrap_or_else(|| panic!("fewer than {count} notifications; it wrote:\n{}", self.process.log()))
    }
}

fn script() -> PathBuf {
    let named = std::env::var_os(PROGRAM).map(PathBuf::from);
    let usual = || Some(PathBuf::from(DEBIAN)).filter(|path| path.is_file());
    named.or_else(usual).unwrap_or_else(|| panic!("{MISSING}"))
}
