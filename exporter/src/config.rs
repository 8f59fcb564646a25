//! The configuration: defaults < file < environment < flags.
//!
//! Every message names the key, the place where it stands and what to write instead. `docs/configuration.md` is generated from
//! the table of keys in this module.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::compat;
use crate::compat::config::Modules;
use crate::compat::drop_in::Switches;
use crate::sources::name::SourceName;

mod cluster;
mod endpoint;
mod fingerprint;
mod guest_telemetry;
mod guests;
mod keys;
mod layers;
mod problem;
mod quantity;
mod reference;
mod resolve;
mod schema;
mod secret;
mod settings;
mod token_id;
mod user_id;

pub use cluster::Cluster;
pub use endpoint::{UrlError, parse_endpoint};
pub use fingerprint::{Fingerprint, FingerprintError};
pub(crate) use guest_telemetry::parse_vmid;
pub use guest_telemetry::{GuestTelemetry, SocketName};
pub use guests::{GuestFilter, GuestKind, GuestSelector, VmidRange, VmidRangeError};
pub use problem::{ConfigError, Place, Problem};
pub use reference::reference;
pub use secret::{Secret, SecretError, SecretFile, SecretSource};
pub use settings::{
    DEFAULT_PORT, GuestAgentSocket, Log, LogFormat, LogLevel, MOST_FAILED_TASKS, Metrics, Scrape, SourceSettings, Tls,
    Web,
};
pub use token_id::{TokenId, TokenIdError};
pub use user_id::{Caller, UserId, UserIdError};

/// The file that is read when none is named.
pub const DEFAULT_PATH: &str = "/etc/pve-exporter/config.toml";

/// The least that works.
pub const EXAMPLE: &str = r#"[clusters.main]
endpoints = ["https://pve1.example:8006", "https://pve2.example:8006"]
token_id = "exporter@pve!prometheus"
token_file = "/etc/pve-exporter/token"   # the secret alone, with chmod 600
fingerprints = ["AA:BB:..."]             # or ca_file = "...", or insecure_skip_verify = true
"#;

/// Everything that can be set.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where and how the exporter answers.
    pub web: Web,
    /// What is logged.
    pub log: Log,
    /// How long one scrape may take.
    pub scrape: Scrape,
    /// Which metrics are exposed.
    pub metrics: Metrics,
    /// How sources are read, for every cluster.
    pub sources: BTreeMap<SourceName, SourceSettings>,
    /// Guest agents that are asked without PVE.
    pub guest_agent_socket: GuestAgentSocket,
    /// Ports of guests on this node.
    pub guest_telemetry: GuestTelemetry,
    /// The clusters, by the value of the label `pve_cluster`.
    pub clusters: BTreeMap<String, Cluster>,
    /// The modules of a `pve.yml` or of the variables `PVE_*`, which take the place of clusters.
    pub modules: Option<Modules>,
    /// What the flags of prometheus-pve-exporter switch on and off for `/pve`.
    pub switches: Switches,
}

/// Where the configuration is read from.
///
/// The environment is passed in, so that nothing else in the program depends on it.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// The value of `--config.file`; [`DEFAULT_PATH`] when absent, which need not exist. A `.yml` or `.yaml` is that of
    /// prometheus-pve-exporter.
    pub file: Option<PathBuf>,
    /// The value of `--compat.config.file`, a configuration of prometheus-pve-exporter.
    pub compat_file: Option<PathBuf>,
    /// The environment, as names and values.
    pub environment: Vec<(String, String)>,
    /// The value of `--web.listen-address`.
    pub web_listen_address: Option<String>,
    /// The value of `--log.level`.
    pub log_level: Option<String>,
    /// The value of `--log.format`.
    pub log_format: Option<String>,
    /// The values of `--server.certfile` and `--server.keyfile`.
    pub tls: Option<Tls>,
    /// The values of `--collector.*`.
    pub switches: Switches,
}

impl LoadOptions {
    /// The configuration of prometheus-pve-exporter that is to be read, if it is that and not the exporter's own: because a flag
    /// says so, or because where no flag names a file, there is only that one.
    fn pve_yml(&self) -> Option<PathBuf> {
        let is_yaml = |path: &PathBuf| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("yml" | "yaml"))
        };
        if let Some(file) = self.compat_file.as_ref().or(self.file.as_ref()) {
            return (self.compat_file.is_some() || is_yaml(file)).then(|| file.clone());
        }
        let variable = |matches: fn(&str) -> bool| self.environment.iter().any(|(name, _)| matches(name));
        let own = layers::any_default_file() || variable(|name| name.starts_with("PVE_EXPORTER_CLUSTERS"));
        let default = PathBuf::from(compat::config::DEFAULT_PATH);
        let theirs = variable(|name| name == compat::config::USER) || default.exists();
        (!own && theirs).then_some(default)
    }
}

/// How one source is read at one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePolicy {
    /// Whether it is read at all.
    pub enabled: bool,
    /// Whether the configuration says so in as many words.
    pub insisted: bool,
    /// The age at which its data is read again.
    pub max_age: Duration,
}

impl Config {
    /// Reads every layer and checks all of it but the secrets, which [`Self::check_secrets`] reads.
    ///
    /// # Errors
    ///
    /// Everything that is wrong. Structural faults (files that cannot be read, unknown keys, misplaced secrets) come alone,
    /// because what they conceal would cause misleading further ones.
    pub fn load(options: &LoadOptions) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let pve_yml = options.pve_yml();
        let mut options = options.clone();
        if pve_yml.is_some()
            && let Some(address) = options
                .web_listen_address
                .as_deref()
                .and_then(compat::config::named_address)
        {
            options.web_listen_address = Some(address.to_string());
        }
        let options = &options;
        let layers = layers::Layers::read(options, pve_yml.is_none(), &mut problems);
        ConfigError::unless_empty(problems)?;
        let modules = pve_yml
            .map(|path| Modules::load(&path, &options.environment))
            .transpose()?;
        let (mut config, problems) = resolve::Resolver::new(&layers, options, modules).resolve();
        ConfigError::unless_empty(problems)?;
        config.web.tls.clone_from(&options.tls);
        config.switches = options.switches.clone();
        Ok(config)
    }

    /// Reads the secret of every cluster once, so that a missing or exposed one is told at start.
    ///
    /// # Errors
    ///
    /// One problem for each cluster whose secret cannot be used.
    pub fn check_secrets(&self) -> Result<(), ConfigError> {
        let problems = self.clusters.iter().filter_map(|(name, cluster)| {
            let error = cluster.secret().err()?;
            let kind = match cluster.caller {
                Caller::Token(_) => "token",
                Caller::User(_) => "password",
            };
            let (key, place) = match &cluster.secret {
                SecretSource::File(file) => (file.key, file.place.clone()),
                SecretSource::Environment { variable, .. } => (kind, Place::Variable(variable.clone())),
                SecretSource::Given { .. } => (kind, Place::Nowhere),
            };
            Some(Problem::new(place, keys::dotted(&["clusters", name, key]), error))
        });
        ConfigError::unless_empty(problems.collect())
    }

    /// The cluster that guests on this node belong to.
    #[must_use]
    pub fn cluster_of_this_node(&self) -> Option<&str> {
        let told = self.guest_telemetry.cluster.as_deref();
        told.or_else(|| self.clusters.keys().next().map(String::as_str))
    }

    /// How `source` is read at `cluster`: as the cluster says, else as `[sources]` says, else as is built in.
    #[must_use]
    pub fn source(&self, cluster: &str, source: SourceName) -> SourcePolicy {
        let general = self.sources.get(&source).cloned().unwrap_or_default();
        let own = self
            .clusters
            .get(cluster)
            .and_then(|cluster| cluster.sources.get(&source));
        let settings = own.map_or(general.clone(), |own| own.or(&general));
        let (shown, by_default) = match source {
            SourceName::Netstat => (self.metrics.guest_interfaces, true),
            SourceName::GuestAgentSocket => (self.guest_agent_socket.enabled, true),
            _ => (true, source.enabled_by_default()),
        };
        SourcePolicy {
            // Nobody is asked for what is not shown.
            insisted: settings.enabled == Some(true),
            enabled: shown && settings.enabled.unwrap_or(by_default),
            max_age: settings.max_age.unwrap_or(source.default_max_age()),
        }
    }
}
