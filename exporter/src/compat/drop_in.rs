//! Who may be asked with whose credentials, and what is held of each.
//!
//! With a `pve.yml` that is this machine and what a module allows; without one it is what the clusters of the exporter's own
//! configuration name. Everything else is refused before a name is resolved and before a credential is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use thiserror::Error;
use url::Url;

use crate::clock::Clock;
use crate::compat::collector::{Collector, Collectors};
use crate::compat::config::{DEFAULT_MODULE, Module, Modules};
use crate::compat::held::{HeldTarget, Wanted};
use crate::compat::parameters::{Nodes, Parameters};
use crate::compat::targets::{Allowed, PVE_PORT, Target};
use crate::compat::text::Page;
use crate::config::{Cluster, Config, Place};
use crate::metrics::own::{Own, PveRequests, RequestCounts};
use crate::pve::client::{Client, ClientError};
use crate::pve::transport::{self, Observer};
use crate::pve::trust::Learned;
use crate::sources::cluster::ClusterSources;

/// How many targets are held: whoever may ask for a whole range of addresses must not fill the memory with them.
pub const MOST_TARGETS: usize = 1024;

/// Of how many different scrapes the log tells why they were refused. Anybody can think of more.
const MOST_TOLD: usize = 64;

/// A scrape that is not answered. Whoever asks is told what is wrong, and no path of this machine, which stands in the log.
#[derive(Debug, Error)]
pub enum Refusal {
    /// There is no such module.
    #[error("Module '{0}' not found in config")]
    Module(String),
    /// Nobody can ask with this module.
    #[error("Module '{0}' cannot be used: {1}")]
    Credentials(String, &'static str),
    /// The target is none that the configuration names.
    #[error("target {target:?} is not allowed: {reason}")]
    Target {
        /// What was asked for.
        target: String,
        /// Why not, and what to write to allow it.
        reason: String,
        /// The same for who may read the log: with the file where to write it.
        told: String,
    },
    /// As many are held as may be, and all of them are scraped.
    #[error(
        "target {0:?} would be one of more than {MOST_TARGETS}, and each of the others was scraped within 15 minutes"
    )]
    Full(String),
    /// There cannot be a client for it.
    #[error("target {target:?} cannot be asked; the log tells why")]
    Client {
        /// What was asked for.
        target: String,
        /// What is wrong.
        problem: ClientError,
    },
}

impl Refusal {
    const REASONS: [&'static str; 5] = ["target", "full", "module", "credentials", "client"];

    const fn reason(&self) -> &'static str {
        match self {
            Self::Target { .. } => "target",
            Self::Full(_) => "full",
            Self::Module(_) => "module",
            Self::Credentials(..) => "credentials",
            Self::Client { .. } => "client",
        }
    }

    /// What the log tells of it.
    fn told(&self) -> String {
        match self {
            Self::Target { told, .. } => told.clone(),
            Self::Client { problem, .. } => problem.to_string(),
            other => other.to_string(),
        }
    }
}

/// Everything behind `/pve`.
pub struct DropIn {
    clock: Clock,
    own: Arc<Own>,
    switches: Switches,
    modules: Option<Modules>,
    clusters: BTreeMap<String, (Cluster, Arc<ClusterSources>)>,
    origins: BTreeMap<String, Arc<Origin>>,
    targets: Mutex<Targets>,
    /// The modules and targets, and why they were refused, that the log has told.
    told: Mutex<BTreeSet<(String, String, &'static str)>>,
}

/// What the flags of prometheus-pve-exporter switch on and off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// The collectors that are on.
    pub collectors: Collectors,
    /// Whether calls of PVE are counted by its URL.
    pub api_metrics: bool,
    /// Whether scrapes are counted by their target.
    pub target_metrics: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            collectors: Collector::ALL.into(),
            api_metrics: false,
            target_metrics: false,
        }
    }
}

/// By their titles.
type Targets = BTreeMap<String, Entry>;

/// What is held of a target, and what a scrape asked for that it is the answer to.
#[derive(Clone)]
struct Entry {
    asked: Parameters,
    origin: Arc<Origin>,
    target: Arc<HeldTarget>,
}

/// Whose credentials a target is asked with, and what all targets of it share. Another origin is another target, even at the same
/// address.
struct Origin {
    whose: Whose,
    /// Whom it trusts: certificate authorities are read once, and not for each target.
    tls: Mutex<Option<ClientConfig>>,
}

enum Whose {
    /// A module, whatever it allows.
    Module(Box<Module>),
    Cluster(Arc<ClusterSources>),
}

impl Whose {
    fn module(module: &Module) -> Self {
        Self::Module(Box::new(Module {
            allowed: Allowed::default(),
            ..module.clone()
        }))
    }
}

impl PartialEq for Whose {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Module(one), Self::Module(other)) => one == other,
            (Self::Cluster(one), Self::Cluster(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Origin {
    /// Whom a target that is asked as `config` says is to be trusted by.
    fn tls(&self, config: &Cluster) -> Result<ClientConfig, ClientError> {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = &*tls {
            return Ok(tls.clone());
        }
        Ok(tls.insert(transport::tls(config, &Learned::default())?).clone())
    }
}

/// A target that may be asked.
struct Permit {
    /// What tells it from others, and what log lines call it.
    title: String,
    /// The module or cluster.
    name: String,
    /// What it is counted by: one name for all spellings.
    shown: String,
    asks: Asks,
}

/// How it is asked.
enum Asks {
    /// As the rest of the exporter asks the cluster; of several endpoints this one alone.
    As(Arc<ClusterSources>, Box<Cluster>, Option<usize>),
    /// By itself.
    Alone(Box<Cluster>),
}

impl DropIn {
    /// What `config` and its `clusters` allow. Targets that are asked as `before` keep what is held of them.
    #[must_use]
    pub fn new(
        config: &Config,
        clusters: &BTreeMap<String, Arc<ClusterSources>>,
        clock: &Clock,
        own: &Arc<Own>,
        before: Option<&Self>,
    ) -> Self {
        let with_config = |(name, sources): (&String, &Arc<ClusterSources>)| {
            Some((name.clone(), (config.clusters.get(name)?.clone(), Arc::clone(sources))))
        };
        let clusters: BTreeMap<_, _> = clusters.iter().filter_map(with_config).collect();
        let modules = config.modules.iter().flat_map(|modules| &modules.modules);
        let modules = modules.map(|(name, module)| (name, Whose::module(module)));
        let of_clusters = clusters.iter().filter(|_| config.modules.is_none());
        let of_clusters = of_clusters.map(|(name, (_, sources))| (name, Whose::Cluster(Arc::clone(sources))));
        let origin = |(name, whose): (&String, Whose)| {
            let kept = before.and_then(|before| before.origins.get(name));
            let fresh = |whose| {
                Arc::new(Origin {
                    whose,
                    tls: Mutex::default(),
                })
            };
            let origin = kept.filter(|kept| kept.whose == whose).map(Arc::clone);
            (name.clone(), origin.unwrap_or_else(|| fresh(whose)))
        };
        let drop_in = Self {
            clock: clock.clone(),
            own: Arc::clone(own),
            switches: config.switches.clone(),
            modules: config.modules.clone(),
            origins: modules.chain(of_clusters).map(origin).collect(),
            clusters,
            targets: Mutex::default(),
            told: Mutex::default(),
        };
        for module in drop_in.module_names() {
            own.module(&module);
        }
        if let Some(modules) = &drop_in.modules {
            own.may_refuse_pve(&Refusal::REASONS);
            if modules.modules.values().all(|module| module.allowed.is_empty()) {
                tracing::warn!(
                    "no module allows a target but this machine: a scrape of any other is answered with 403, and what to write into {}",
                    modules.place
                );
            }
        }
        let kept = before.map(|before| before.lock().clone()).unwrap_or_default();
        // What is no longer allowed is not asked again to find out whether it is back.
        let is_current = |title: &str, entry: &Entry| {
            let permit = drop_in.permit(&entry.asked).ok().filter(|permit| permit.title == title);
            let origin = permit.and_then(|permit| drop_in.origins.get(&permit.name));
            origin.is_some_and(|origin| Arc::ptr_eq(origin, &entry.origin))
        };
        let kept = kept
            .into_iter()
            .filter(|(title, entry)| is_current(title, entry))
            .collect();
        *drop_in.lock() = kept;
        drop_in
    }

    fn lock(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The modules of a `pve.yml`; none without one.
    #[must_use]
    pub fn module_names(&self) -> Vec<String> {
        let modules = self.modules.iter().flat_map(|modules| modules.modules.keys());
        modules.cloned().collect()
    }

    /// Answers a scrape, waiting for PVE no longer than `wait`.
    ///
    /// # Errors
    /// When the parameters name what there is not, or what may not be asked. That PVE cannot be reached is no error.
    pub async fn scrape(&self, parameters: &Parameters, wait: Duration) -> Result<Page, Refusal> {
        let (started, deadline) = (Instant::now(), tokio::time::Instant::now() + wait);
        let permitted = self.permit(parameters).and_then(|permit| {
            let shown = permit.shown.clone();
            Ok((shown, self.target(parameters, permit)?))
        });
        let (shown, target) = permitted.inspect_err(|refusal| self.note_refusal(parameters, refusal))?;
        let is_wanted = |collector: &Collector| {
            if collector.is_of_node() {
                parameters.nodes != Nodes::None
            } else {
                parameters.cluster
            }
        };
        let collectors = self.switches.collectors.iter().copied().filter(is_wanted);
        let wanted = Wanted {
            collectors: collectors.collect(),
            nodes: parameters.nodes,
        };
        let view = target.scrape(&wanted, deadline).await;
        let failed = view.outcomes.iter().any(|outcome| !outcome.success);
        self.own.collected(&parameters.module, failed, started.elapsed());
        if self.switches.target_metrics {
            let nodes = parameters.nodes != Nodes::None;
            self.own.target_scraped(
                &self.own.counted(&shown),
                parameters.cluster,
                nodes,
                failed,
                started.elapsed(),
            );
        }
        Ok(Page::new(view))
    }

    /// Tries again what has failed, and forgets what nobody scrapes any more. To be called about once a second.
    pub fn retry(&self) {
        let mut targets = self.lock();
        targets.retain(|_, entry| !entry.target.is_idle());
        for entry in targets.values() {
            entry.target.retry();
        }
    }

    /// Counts it, and logs it the first time.
    fn note_refusal(&self, parameters: &Parameters, refusal: &Refusal) {
        let reason = refusal.reason();
        self.own.pve_refused(reason);
        let [module, target] =
            [&parameters.module, &parameters.target].map(|text| text.chars().take(100).collect::<String>());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD || !told.insert((module.clone(), target.clone(), reason)) {
            return;
        }
        tracing::warn!(
            ?module,
            ?target,
            reason,
            problem = refusal.told(),
            "a scrape of /pve is refused"
        );
        if told.len() == MOST_TOLD {
            tracing::warn!("more of them are counted in pve_exporter_pve_refused_total and not logged");
        }
    }

    fn target(&self, parameters: &Parameters, permit: Permit) -> Result<Arc<HeldTarget>, Refusal> {
        let origin = self.origins.get(&permit.name);
        let origin = origin.ok_or_else(|| Refusal::Module(permit.name.clone()))?;
        let held = |targets: &Targets| match targets.get(&permit.title) {
            Some(entry) if Arc::ptr_eq(&entry.origin, origin) => Ok(Some(Arc::clone(&entry.target))),
            None if targets.len() >= MOST_TARGETS => Err(Refusal::Full(parameters.target.clone())),
            _ => Ok(None),
        };
        if let Some(target) = held(&self.lock())? {
            return Ok(target);
        }
        // Nobody else waits for that, which reads files.
        let target = self.build(&permit, origin).map_err(|problem| Refusal::Client {
            target: parameters.target.clone(),
            problem,
        })?;
        let mut targets = self.lock();
        if let Some(target) = held(&targets)? {
            return Ok(target);
        }
        let target = Arc::new(target);
        let entry = Entry {
            asked: parameters.clone(),
            origin: Arc::clone(origin),
            target: Arc::clone(&target),
        };
        targets.insert(permit.title, entry);
        Ok(target)
    }

    fn build(&self, permit: &Permit, origin: &Origin) -> Result<HeldTarget, ClientError> {
        let (config, client, home) = match &permit.asks {
            Asks::As(sources, config, home) => (&**config, Arc::clone(sources.client()), *home),
            Asks::Alone(config) => {
                let endpoint = config.endpoints.first().map_or("", Url::as_str);
                let observer = Arc::new(Counts {
                    endpoint: self.own.counted(endpoint.trim_end_matches('/')),
                    requests: self.own.request_counts(&permit.name),
                    by_url: self.switches.api_metrics.then(|| self.own.pve_requests()),
                });
                let client = Client::trusting(config, origin.tls(config)?, self.clock.clone(), observer)?;
                (&**config, Arc::new(client), None)
            }
        };
        Ok(HeldTarget::new(permit.title.clone(), client, home, config, &self.clock))
    }

    /// Whether the target may be asked at all.
    fn permit(&self, parameters: &Parameters) -> Result<Permit, Refusal> {
        let refused = |reason: String| Refusal::Target {
            target: parameters.target.clone(),
            told: reason.clone(),
            reason,
        };
        let name = &parameters.module;
        let Some(modules) = &self.modules else {
            if name != DEFAULT_MODULE {
                return Err(Refusal::Module(name.clone()));
            }
            return self.permit_of_clusters(&parameters.target).map_err(refused);
        };
        let module = modules.modules.get(name).ok_or_else(|| Refusal::Module(name.clone()))?;
        let target: Target = parameters.target.parse().map_err(|error| refused(format!("{error}")))?;
        let is_local = target.is_local() && target.port_or(module.port) == module.port;
        if !is_local && !module.allowed.allows(&target, module.port) {
            let reason = match modules.place {
                Place::Variable(_) => modules.remedy(name, &target),
                _ => format!("add it to module {name} in pve.yml, as in allow_targets: [\"{target}\"]"),
            };
            return Err(Refusal::Target {
                target: parameters.target.clone(),
                reason,
                told: modules.remedy(name, &target),
            });
        }
        let url = target
            .url(module.port)
            .ok_or_else(|| refused("it makes no URL".to_owned()))?;
        let mut cluster = module
            .cluster(name, url.clone())
            .map_err(|problem| Refusal::Credentials(name.clone(), problem))?;
        // Whoever gives an answer more time than usual has a slow way there.
        cluster.connect_timeout = module.timeout.unwrap_or(cluster.connect_timeout);
        Ok(Permit {
            title: title(name, &url),
            name: name.clone(),
            shown: target.to_string(),
            asks: Asks::Alone(Box::new(cluster)),
        })
    }

    fn permit_of_clusters(&self, text: &str) -> Result<Permit, String> {
        let whole = |name: &str, (cluster, sources): &(Cluster, Arc<ClusterSources>), home: Option<usize>| Permit {
            title: format!(
                "pve/{name}{}",
                home.map(|index| format!("#{index}")).unwrap_or_default()
            ),
            name: name.to_owned(),
            shown: home
                .and_then(|index| cluster.endpoints.get(index))
                .map_or_else(|| name.to_owned(), host),
            asks: Asks::As(Arc::clone(sources), Box::new(cluster.clone()), home),
        };
        if let Some(entry) = self.clusters.get(text) {
            return Ok(whole(text, entry, None));
        }
        let target: Target = text.parse().map_err(|error| format!("{error}"))?;
        for (name, entry) in &self.clusters {
            let endpoints = &entry.0.endpoints;
            if let Some(index) = endpoints.iter().position(|url| target.is_at(url)) {
                return Ok(whole(name, entry, (endpoints.len() > 1).then_some(index)));
            }
        }
        let names = || self.clusters.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        if target.is_local() && target.port_or(PVE_PORT) == PVE_PORT {
            return match self.clusters.iter().next() {
                Some((name, entry)) if self.clusters.len() == 1 => Ok(whole(name, entry, None)),
                _ => Err(format!("name one of the clusters: {}", names())),
            };
        }
        let allowed = |(_, (cluster, _)): &(&String, &(Cluster, _))| cluster.allow_targets.allows(&target, PVE_PORT);
        let mut allowed = self.clusters.iter().filter(allowed);
        match (allowed.next(), allowed.next()) {
            (Some((name, (cluster, _))), None) => {
                let url = target.url(PVE_PORT).ok_or("it makes no URL")?;
                Ok(Permit {
                    title: title(name, &url),
                    name: name.clone(),
                    shown: target.to_string(),
                    asks: Asks::Alone(Box::new(Cluster {
                        endpoints: vec![url],
                        ..cluster.clone()
                    })),
                })
            }
            (Some((one, _)), Some((other, _))) => Err(format!("both {one} and {other} allow it; let one of them do")),
            (None, _) => Err(format!(
                "it is neither a cluster ({}) nor an endpoint of one; write allow_targets = [\"{target}\"] into the section of the cluster that it belongs to",
                names()
            )),
        }
    }
}

fn title(name: &str, url: &Url) -> String {
    format!("pve/{name}@{}", host(url))
}

fn host(url: &Url) -> String {
    url[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
}

/// What counts the calls of a target.
struct Counts {
    endpoint: String,
    requests: RequestCounts,
    by_url: Option<PveRequests>,
}

impl Observer for Counts {
    fn request(&self, _: &Url, status: Option<u16>, took: Duration) {
        self.requests.count(&self.endpoint, status, took);
        if let Some(by_url) = &self.by_url {
            by_url.count(&self.endpoint, status, took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_gets_the_time_of_the_module() {
        let variables = [("PVE_USER", "a@pve"), ("PVE_PASSWORD", "x")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut modules = Modules::load("".as_ref(), &variables).unwrap();
        for (timeout, expected) in [(None, 3), (Some(1), 1), (Some(20), 20)] {
            let module = modules.modules.get_mut(DEFAULT_MODULE).unwrap();
            module.timeout = timeout.map(Duration::from_secs);
            let config = Config {
                modules: Some(modules.clone()),
                ..Config::default()
            };
            let drop_in = DropIn::new(&config, &BTreeMap::new(), &Clock::default(), &Arc::default(), None);
            let permit = drop_in.permit(&Parameters::parse("")).unwrap();
            let Asks::Alone(cluster) = permit.asks else {
                panic!("it is asked as a cluster");
            };
            assert_eq!(cluster.connect_timeout.as_secs(), expected);
        }
    }
}
