//! Everything that runs while it is measured: Postgres, Keystone, Vitrine on each catalogue, the empty handler, Glance.

use std::collections::BTreeMap;

use crate::{
    agreement::must_agree,
    capture::{Capture, Captured},
    case::{Case, Load, Side},
    cast::Cast,
    catalogue::Catalogue,
    cluster::{Cluster, Records, scratch},
    empty::Empty,
    failure::{Failure, Result},
    glance::{Glance, Installation},
    pgbench::{self, Until},
    plan::{Plan, Step},
    processes::Groups,
    say::say,
    service::{Launch, Service, call},
    wrk::{self, Answers, Asked},
};

/// The stage. Fields are dropped in this order: who asks others goes before them.
pub(crate) struct Stage {
    glances: BTreeMap<Side, Glance>,
    empty: Empty,
    services: BTreeMap<u64, Service>,
    captured: BTreeMap<(u64, Case), Captured>,
    /// What to know about comparisons.
    pub(crate) remarks: Vec<String>,
    pub(crate) cast: Cast,
    pub(crate) cluster: Cluster,
    pub(crate) launch: Launch,
    pub(crate) installation: Option<Installation>,
    _scratch: tempfile::TempDir,
}

impl Stage {
    /// Prepares and starts everything.
    pub(crate) fn set(plan: &Plan, program: std::path::PathBuf) -> Result<Self> {
        let scratch = scratch()?;
        let directory = scratch.path().to_owned();
        let launch = Launch { program, settings: plan.settings.clone(), directory: directory.clone() };
        let installation = if plan.glance { Some(Installation::get()?) } else { None };
        let cluster = Cluster::prepare(&records(plan), &launch, installation.as_ref())?;
        let cast = Cast::gather()?;
        let mut stage = Self {
            glances: BTreeMap::new(),
            empty: Empty::start(&directory)?,
            services: BTreeMap::new(),
            captured: BTreeMap::new(),
            remarks: Vec::new(),
            cast,
            cluster,
            launch,
            installation,
            _scratch: scratch,
        };
        for catalogue in plan.catalogues() {
            stage.capture(plan, catalogue)?;
            let url = stage.cluster.url(&Records::Vitrine(catalogue).database());
            let service = stage.launch.start(&url, &stage.cast.keystone)?;
            stage.services.insert(catalogue.images, service);
        }
        if let Some(installation) = &stage.installation {
            for (side, records) in [
                (Side::Glance, Records::Glance(plan.main())),
                (Side::GlanceIndexed, Records::GlanceIndexed(plan.main())),
            ] {
                say(format!("starting {}", side.name()));
                let database = records.database();
                let directory = directory.join(&database);
                let url = stage.cluster.url(&database);
                let glance = installation.start(&directory, &url, &stage.cast.keystone)?;
                stage.glances.insert(side, glance);
            }
        }
        stage.introduce()?;
        if let Some(vitrine) = stage.services.get(&plan.main().images) {
            for glance in stage.glances.values() {
                must_agree(vitrine.host(), glance.host(), &stage.cast, plan.main())?;
            }
        }
        Ok(stage)
    }

    /// Takes the statements that pgbench will send, and tries each once.
    fn capture(&mut self, plan: &Plan, catalogue: Catalogue) -> Result<()> {
        let database = Records::Vitrine(catalogue).database();
        say(format!("looking at the statements Vitrine sends, on {} images", catalogue.images));
        let wanted = |case: &Case| {
            let step = |step: &Step| step.catalogue == catalogue && step.case == *case;
            plan.steps().iter().any(|one| one.side == Side::Pgbench && step(one))
        };
        let mut found = Vec::new();
        {
            let capture = Capture::start(&self.cluster, &self.cast, &self.launch, catalogue, &database)?;
            for case in Case::ALL.into_iter().filter(wanted) {
                found.push((case, capture.of(case)?));
            }
        }
        for (case, mut captured) in found {
            let url = self.cluster.url(&database);
            let pgbench = self.cluster.postgres.program("pgbench");
            if let Err(failure) = pgbench::ask(&pgbench, &url, &captured.scripts, 1, Until::Tried) {
                self.remark(case, catalogue, &format!("there is no pgbench to compare with: {failure}"));
                captured.scripts.clear();
            } else if captured.is_reference {
                self.remark(case, catalogue, "pgbench sends the statement that one request alone would need");
            }
            self.captured.insert((catalogue.images, case), captured);
        }
        Ok(())
    }

    fn remark(&mut self, case: Case, catalogue: Catalogue, remark: &str) {
        let remark = format!("{}, {} images: {remark}", case.name(), catalogue.images);
        say(&remark);
        self.remarks.push(remark);
    }

    /// Lets every server see every token once, so that none is looked up while others are counted.
    fn introduce(&self) -> Result<()> {
        let hosts = self.services.values().map(Service::host).chain(self.glances.values().map(Glance::host));
        for host in hosts {
            for token in self.cast.everybody() {
                call(host, "GET", "/v2/schemas/member", token, None)?;
            }
        }
        Ok(())
    }

    /// Whether there is somebody to ask this.
    pub(crate) fn has(&self, step: &Step) -> bool {
        match step.side {
            Side::Vitrine | Side::Empty => true,
            Side::Pgbench => self.scripts(step).is_some_and(|captured| !captured.scripts.is_empty()),
            Side::Glance | Side::GlanceIndexed => self.glances.contains_key(&step.side),
        }
    }

    /// Asks, for so many seconds.
    pub(crate) fn ask(&self, step: &Step, with: &With) -> Result<Answers> {
        if step.side == Side::Pgbench {
            return self.ask_postgres(step, with);
        }
        let asked = Asked {
            case: step.case,
            host: self.host(step)?,
            catalogue: step.catalogue,
            connections: with.connections,
            seconds: with.seconds,
            think: with.think,
            seed: with.seed,
        };
        wrk::ask(&asked, &self.cast).map_err(|failure| match self.service(step).ok().and_then(Service::end) {
            Some(end) if step.side == Side::Vitrine => Failure::doing(failure, end),
            Some(_) | None => failure,
        })
    }

    fn ask_postgres(&self, step: &Step, with: &With) -> Result<Answers> {
        let scripts = self.scripts(step).map(|captured| captured.scripts.as_slice()).unwrap_or_default();
        let url = self.cluster.url(&Records::Vitrine(step.catalogue).database());
        let pgbench = self.cluster.postgres.program("pgbench");
        let until = Until::Seconds(with.seconds);
        let mut answers = pgbench::ask(&pgbench, &url, scripts, with.connections, until)?;
        if step.case == Case::AddRemove {
            // One script does what takes two requests.
            answers.requests *= 2.0;
            answers.rate *= 2.0;
            answers.p50 /= 2.0;
        }
        Ok(answers)
    }

    /// Whose processor time is whose while this is asked.
    pub(crate) fn groups(&self, step: &Step) -> Result<Groups> {
        let mut identity = vec![self.cast.keystone.pid()];
        let server = match step.side {
            Side::Vitrine => Some(self.service(step)?.pid()),
            Side::Pgbench => None,
            Side::Empty => Some(self.empty.pid()),
            Side::Glance | Side::GlanceIndexed => {
                let glance = self.glance(step)?;
                identity.push(glance.memcached());
                Some(glance.pid())
            }
        };
        Ok(Groups { server, postgres: self.cluster.postgres.pid(), identity })
    }

    fn host(&self, step: &Step) -> Result<&str> {
        Ok(match step.side {
            Side::Vitrine | Side::Pgbench => self.service(step)?.host(),
            Side::Empty => self.empty.host(),
            Side::Glance | Side::GlanceIndexed => self.glance(step)?.host(),
        })
    }

    fn service(&self, step: &Step) -> Result<&Service> {
        let service = self.services.get(&step.catalogue.images);
        service.ok_or_else(|| Failure::new("no Vitrine on these records"))
    }

    fn glance(&self, step: &Step) -> Result<&Glance> {
        self.glances.get(&step.side).ok_or_else(|| Failure::new("no Glance was started"))
    }

    /// From Glance's start to its first 200, in milliseconds.
    pub(crate) fn glance_start(&self) -> Option<f64> {
        self.glances.get(&Side::Glance).map(|glance| glance.start)
    }

    /// Vitrine's process on these records.
    pub(crate) fn service_pid(&self, catalogue: Catalogue) -> Option<u32> {
        self.services.get(&catalogue.images).map(Service::pid)
    }

    /// The statements taken on these records.
    pub(crate) fn statements(
        &self,
        catalogue: Catalogue,
    ) -> BTreeMap<Case, Vec<crate::statements::Statement>> {
        let of = |((images, case), captured): (&(u64, Case), &Captured)| {
            (*images == catalogue.images).then(|| (*case, captured.statements.clone()))
        };
        self.captured.iter().filter_map(of).collect()
    }

    fn scripts(&self, step: &Step) -> Option<&Captured> {
        self.captured.get(&(step.catalogue.images, step.case))
    }
}

/// Loads what a plan needs, and keeps it.
pub(crate) fn load(plan: &Plan, program: std::path::PathBuf) -> Result<()> {
    let scratch = scratch()?;
    let launch = Launch { program, settings: Vec::new(), directory: scratch.path().to_owned() };
    let installation = if plan.glance { Some(Installation::get()?) } else { None };
    Cluster::prepare(&records(plan), &launch, installation.as_ref()).map(drop)
}

fn records(plan: &Plan) -> Vec<Records> {
    let mut records: Vec<Records> = plan.catalogues().into_iter().map(Records::Vitrine).collect();
    if plan.glance {
        records.extend([Records::Glance(plan.main()), Records::GlanceIndexed(plan.main())]);
    }
    records
}

/// How hard to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct With {
    pub(crate) connections: u32,
    pub(crate) seconds: u64,
    /// Mean milliseconds of thinking between two requests of a connection.
    pub(crate) think: f64,
    pub(crate) seed: u64,
}

impl With {
    /// As a step is asked if it does not say otherwise.
    pub(crate) fn step(step: &Step, seconds: u64, seed: u64) -> Self {
        let connections = match step.load {
            Load::Saturated | Load::Seventy => step.side.connections(step.case),
            Load::Alone => 1,
        };
        Self { connections, seconds, think: 0.0, seed }
    }
}
