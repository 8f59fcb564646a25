//! The configuration: defaults < file < environment < flags.
//!
//! Every message names the key, the place where it stands and what to write instead. `docs/configuration.md` is generated from
//! the table of keys in this module.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

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

pub use cluster::Cluster;
pub use endpoint::{UrlError, parse_endpoint};
pub use fingerprint::{Fingerprint, FingerprintError};
pub(crate) use guest_telemetry::parse_vmid;
pub use guest_telemetry::{GuestTelemetry, SocketName};
pub use guests::{GuestFilter, GuestKind, GuestSelector, VmidRange, VmidRangeError};
pub use problem::{ConfigError, Place, Problem};
pub use reference::reference;
pub use secret::{Secret, SecretError, TokenFile, TokenSource};
pub use settings::{
    DEFAULT_PORT, GuestAgentSocket, Log, LogFormat, LogLevel, MOST_FAILED_TASKS, Metrics, Scrape, SourceSettings, Web,
};
pub use token_id::{TokenId, TokenIdError};

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
}

/// Where the configuration is read from.
///
/// The environment is passed in, so that nothing else in the program depends on it.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// The value of `--config.file`; [`DEFAULT_PATH`] when absent, which need not exist.
    pub file: Option<PathBuf>,
    /// The environment, as names and values.
    pub environment: Vec<(String, String)>,
    /// The value of `--web.listen-address`.
    pub web_listen_address: Option<String>,
    /// The value of `--log.level`.
    pub log_level: Option<String>,
    /// The value of `--log.format`.
    pub log_format: Option<String>,
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
        let layers = layers::Layers::read(options, &mut problems);
        ConfigError::unless_empty(problems)?;
        let (config, problems) = resolve::Resolver::new(&layers, options).resolve();
        ConfigError::unless_empty(problems)?;
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
            let (key, place) = match &cluster.token {
                TokenSource::File(file) => (file.key, file.place.clone()),
                TokenSource::Environment { variable, .. } => ("token", Place::Variable(variable.clone())),
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
