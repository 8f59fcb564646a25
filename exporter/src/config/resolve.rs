//! From merged layers to a [`Config`]: types, rules between keys, and where each secret comes from.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::cluster::{Cluster, ClusterTable};
use super::layers::Layers;
use super::problem::{Place, Problem};
use super::settings::SourceSettings;
use super::{Config, DEFAULT_PATH, EXAMPLE, LoadOptions, keys};
use crate::compat::config::Modules;
use crate::compat::drop_in::Switches;
use crate::sources::name::SourceName;

mod secrets;

const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Everything needed to turn merged values into settings and to say where a wrong one stands.
pub(super) struct Resolver<'a> {
    layers: &'a Layers,
    figment: Figment,
    root: Dict,
    credentials_directory: Option<PathBuf>,
    modules: Option<Modules>,
    problems: Vec<Problem>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(layers: &'a Layers, options: &LoadOptions, modules: Option<Modules>) -> Self {
        let figment = layers.merge();
        let (root, problems) = match figment.find_value("") {
            Ok(Value::Dict(_, root)) => (root, Vec::new()),
            Ok(_) => (Dict::new(), Vec::new()),
            Err(error) => (Dict::new(), vec![Problem::new(Place::Nowhere, "", error)]),
        };
        let credentials_directory = options
            .environment
            .iter()
            .find(|(name, value)| name == CREDENTIALS_DIRECTORY && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value));
        Self {
            layers,
            figment,
            root,
            credentials_directory,
            modules,
            problems,
        }
    }

    /// The configuration, and what is wrong with it.
    pub(super) fn resolve(mut self) -> (Config, Vec<Problem>) {
        let mut config = Config {
            web: self.section(&["web"]),
            log: self.section(&["log"]),
            scrape: self.section(&["scrape"]),
            metrics: self.section(&["metrics"]),
            sources: self.section(&["sources"]),
            guest_agent_socket: self.section(&["guest_agent_socket"]),
            guest_telemetry: self.section(&["guest_telemetry"]),
            clusters: BTreeMap::new(),
            modules: self.modules.take(),
            switches: Switches::default(),
        };
        self.check_sources(&["sources"], &config.sources);
        match self.root.get("clusters").cloned() {
            Some(_) if config.modules.is_some() => self.complain(
                &["clusters"],
                "excludes a configuration of prometheus-pve-exporter; leave one of the two out",
            ),
            None if config.modules.is_some() => {}
            Some(Value::Dict(_, clusters)) if !clusters.is_empty() => {
                for name in clusters.keys() {
                    if let Some(cluster) = self.cluster(name) {
                        self.check_sources(&["clusters", name, "sources"], &cluster.sources);
                        config.clusters.insert(name.clone(), cluster);
                    }
                }
            }
            None | Some(Value::Dict(..)) => self.no_cluster(),
            Some(_) => self.complain(
                &["clusters"],
                "is not a table; write one section [clusters.<name>] per cluster",
            ),
        }
        self.check_guest_agent_socket(&config);
        self.check_guest_telemetry(&config);
        (config, self.problems)
    }

    /// A VMID tells which guest a socket belongs to, but not of which cluster.
    fn check_guest_agent_socket(&mut self, config: &Config) {
        let source = SourceName::GuestAgentSocket;
        let clusters = config.clusters.keys();
        if clusters.filter(|name| config.source(name, source).enabled).count() > 1 {
            self.complain(
                &["guest_agent_socket", "enabled"],
                "holds for one cluster, that of this node; write enabled = false in [clusters.<name>.sources.guest_agent_socket] of the others",
            );
        }
    }

    /// A port tells which guest it belongs to, but not of which cluster.
    fn check_guest_telemetry(&mut self, config: &Config) {
        let telemetry = &config.guest_telemetry;
        let names = || config.clusters.keys().cloned().collect::<Vec<_>>().join(", ");
        match &telemetry.cluster {
            Some(name) if !config.clusters.contains_key(name) && !config.clusters.is_empty() => {
                let message = format!("{name:?} is no cluster; expected one of {}", names());
                self.complain(&["guest_telemetry", "cluster"], message);
            }
            None if telemetry.enabled && config.clusters.len() > 1 => {
                let message = format!(
                    "is missing; write which cluster this node belongs to, one of {}",
                    names()
                );
                self.complain(&["guest_telemetry", "cluster"], message);
            }
            Some(_) | None => {}
        }
    }

    /// Refuses what some sources must not be asked.
    fn check_sources(&mut self, path: &[&str], sources: &BTreeMap<SourceName, SourceSettings>) {
        for (source, settings) in sources {
            let least = source.least_max_age();
            if settings.max_age.is_some() && source.follows_events() {
                let path = [path, &[source.as_str(), "max_age"]].concat();
                self.complain(
                    &path,
                    "is not possible: the source is read when tasks have ended, whatever its age; leave it out",
                );
            } else if settings.max_age.is_some_and(|max_age| max_age < least) {
                let least = humantime::format_duration(least);
                let path = [path, &[source.as_str(), "max_age"]].concat();
                self.complain(&path, format!("must be at least {least}, to spare PVE"));
            }
        }
    }

    fn no_cluster(&mut self) {
        let place = self.layers.file.clone().map_or(Place::Nowhere, Place::File);
        let missing = if self.layers.file.is_none() {
            let theirs = crate::compat::config::DEFAULT_PATH;
            format!(" and {DEFAULT_PATH} does not exist, nor does {theirs} of prometheus-pve-exporter")
        } else {
            String::new()
        };
        let message = format!("no cluster is configured{missing}; the least that works:\n\n{EXAMPLE}");
        self.problems.push(Problem::new(place, "", message));
    }

    fn complain(&mut self, path: &[&str], message: impl std::fmt::Display) {
        let place = self.place(path);
        self.problems.push(Problem::new(place, keys::dotted(path), message));
    }

    /// Where the value at `path` was written, or the table in which it is missing.
    fn place(&self, path: &[&str]) -> Place {
        let mut tag = None;
        let mut table = &self.root;
        for (depth, name) in path.iter().enumerate() {
            let Some(value) = table.get(*name) else {
                // What a cluster lacks is missing in the file that names the cluster, even if a variable adds to it.
                if let (2, ["clusters", cluster, ..]) = (depth, path)
                    && let Some(file) = self.layers.cluster_files.get(*cluster)
                {
                    return Place::File(file.clone());
                }
                break;
            };
            tag = Some(value.tag());
            match value {
                Value::Dict(_, inner) => table = inner,
                _ => break,
            }
        }
        tag.and_then(|tag| self.figment.get_metadata(tag))
            .map_or(Place::Nowhere, Place::from_metadata)
    }

    fn value(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(self.root.get(*first)?, |value, name| value.as_dict()?.get(*name))
    }

    /// The section at `path`; its default where it is absent or wrong.
    fn section<T: DeserializeOwned + Default>(&mut self, path: &[&str]) -> T {
        self.extract(path).unwrap_or_default()
    }

    fn extract<T: DeserializeOwned>(&mut self, path: &[&str]) -> Option<T> {
        let error = match self.value(path)?.deserialize() {
            Ok(section) => return Some(section),
            Err(error) => error,
        };
        for error in error {
            self.translate(path, &error);
        }
        None
    }

    /// Says in the reader's terms what figment found wrong in the section at `path`.
    fn translate(&mut self, path: &[&str], error: &figment::Error) {
        let mut path = path.to_vec();
        path.extend(error.path.iter().map(String::as_str));
        if let Kind::MissingField(name) = &error.kind {
            path.push(name);
        }
        let key = keys::find(&path).or_else(|| keys::find(path.split_last()?.1));
        let remedy = key.map_or_else(|| "write a table with keys".to_owned(), |key| key.kind.remedy());
        let message = match &error.kind {
            Kind::Message(message) => message.clone(),
            Kind::MissingField(_) => format!("is missing; {remedy}"),
            Kind::InvalidType(found, _) => format!("wrong type, found {}; {remedy}", plainly(found)),
            Kind::UnknownVariant(found, words) => {
                format!("{found:?} is not allowed{}; {remedy}", keys::suggestion(found, words))
            }
            other => format!("{other}; {remedy}"),
        };
        self.complain(&path, message);
    }

    fn cluster(&mut self, name: &str) -> Option<Cluster> {
        let path = ["clusters", name];
        let table: ClusterTable = self.extract(&path)?;
        let below = |key| ["clusters", name, key];
        let before = self.problems.len();
        if table.endpoints.is_empty() {
            self.complain(
                &below("endpoints"),
                "holds no URL; write a list, such as [\"https://pve1.example:8006\"]",
            );
        }
        for (index, endpoint) in table.endpoints.iter().enumerate() {
            if table
                .endpoints
                .iter()
                .take(index)
                .any(|earlier| earlier.0 == endpoint.0)
            {
                self.complain(
                    &below("endpoints"),
                    format!("{:?} stands here twice; remove one", endpoint.0.as_str()),
                );
            }
        }
        if table.insecure_skip_verify && !(table.fingerprints.is_empty() && table.ca_file.is_none()) {
            self.complain(
                &below("insecure_skip_verify"),
                "excludes fingerprints and ca_file, which it would make meaningless; remove it to verify with those",
            );
        }
        if table.insecure_skip_verify && table.allow_targets.has_range() {
            self.complain(
                &below("allow_targets"),
                "holds a range of addresses, and insecure_skip_verify would give the token to anybody who takes one of them; list the hosts, or verify their certificates",
            );
        }
        let ca_file = table
            .ca_file
            .as_ref()
            .map(|path| self.relative_to_its_file(&below("ca_file"), path));
        if let Some(path) = &ca_file
            && let Err(error) = File::open(path)
        {
            let message = format!(
                "{}: {error}; name a PEM file that the exporter's user can read",
                path.display()
            );
            self.complain(&below("ca_file"), message);
        }
        let caller = self.caller(name, &table)?;
        let secret = self.secret(name, &table, &caller);
        if self.problems.len() > before {
            return None;
        }
        Some(table.asked_by(caller, secret?, ca_file))
    }

    /// A path as seen from the file that names it; one from a variable as it is.
    fn relative_to_its_file(&self, key: &[&str], path: &Path) -> PathBuf {
        match self.place(key) {
            Place::File(file) => file.parent().unwrap_or(Path::new("")).join(path),
            Place::Variable(_) | Place::Flag(_) | Place::Nowhere => path.to_owned(),
        }
    }
}

/// What was found instead, in words that know nothing of Rust.
fn plainly(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(number) => format!("the number {number}"),
        Actual::Signed(number) => format!("the number {number}"),
        Actual::Float(number) => format!("the number {number}"),
        Actual::Str(text) => format!("the text {text:?}"),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        Actual::Unit | Actual::Option => "nothing".to_owned(),
        other => other.to_string(),
    }
}
