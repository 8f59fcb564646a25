//! What the exporter counts of its own work, in a `prometheus-client` registry.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::exposition::Format;

/// One metric of the registry, for the documentation.
#[derive(Clone, Copy, Debug)]
pub struct OwnMetric {
    /// The exposed name, of a histogram without its suffixes.
    pub name: &'static str,
    /// The Prometheus type.
    pub kind: &'static str,
    /// The labels.
    pub labels: &'static [&'static str],
    /// The help text.
    pub help: &'static str,
}

const SCRAPES: OwnMetric = OwnMetric {
    name: "pve_exporter_scrapes_total",
    kind: "counter",
    labels: &[],
    help: "Scrapes answered.",
};
const REFUSED: OwnMetric = OwnMetric {
    name: "pve_exporter_scrapes_refused_total",
    kind: "counter",
    labels: &[],
    help: "Scrapes refused with 503 because as many as allowed were under way.",
};
const SCRAPE_DURATION: OwnMetric = OwnMetric {
    name: "pve_exporter_scrape_duration_seconds",
    kind: "histogram",
    labels: &[],
    help: "Time from a scrape's request to the first byte of its answer.",
};
const REQUESTS: OwnMetric = OwnMetric {
    name: "pve_exporter_api_requests_total",
    kind: "counter",
    labels: &["pve_cluster", "endpoint", "code"],
    help: "Requests to the PVE API, by HTTP status; code is none where no answer came.",
};
const REQUEST_DURATION: OwnMetric = OwnMetric {
    name: "pve_exporter_api_request_duration_seconds",
    kind: "histogram",
    labels: &["pve_cluster"],
    help: "Time that requests to the PVE API took, to the last byte of the body.",
};

const COLLECTION_DURATION: OwnMetric = OwnMetric {
    name: "pve_collection_duration_seconds",
    kind: "histogram",
    labels: &["module"],
    help: "Time that scrapes of /pve took.",
};
const REQUEST_ERRORS: OwnMetric = OwnMetric {
    name: "pve_request_errors_total",
    kind: "counter",
    labels: &["module"],
    help: "Scrapes of /pve in which something could not be read.",
};
const PVE_REFUSED: OwnMetric = OwnMetric {
    name: "pve_exporter_pve_refused_total",
    kind: "counter",
    labels: &["reason"],
    help: "Scrapes of /pve that were not answered: target is one that is not allowed, full one more than may be held, module and credentials are of the module, client is what cannot be set up; the log tells more.",
};
const API_DURATION: OwnMetric = OwnMetric {
    name: "pve_scrape_api_duration_seconds",
    kind: "histogram",
    labels: &["method", "url"],
    help: "Time that calls of PVE for /pve took; with --collector.pve-api-metrics.",
};
const API_ERRORS: OwnMetric = OwnMetric {
    name: "pve_scrape_api_errors_total",
    kind: "counter",
    labels: &["method", "url"],
    help: "Calls of PVE for /pve that failed; with --collector.pve-api-metrics.",
};
const TARGET_DURATION: OwnMetric = OwnMetric {
    name: "pve_scrape_target_duration_seconds",
    kind: "histogram",
    labels: &["target", "cluster", "node"],
    help: "Time that scrapes of /pve took, by what they asked for; with --collector.target-metrics.",
};
const TARGET_ERRORS: OwnMetric = OwnMetric {
    name: "pve_scrape_target_errors_total",
    kind: "counter",
    labels: &["target", "cluster", "node"],
    help: "Scrapes of /pve in which something could not be read, by what they asked for; with --collector.target-metrics.",
};

/// Every metric of the registry.
pub const OWN_METRICS: &[OwnMetric] = &[
    SCRAPES,
    REFUSED,
    SCRAPE_DURATION,
    REQUESTS,
    REQUEST_DURATION,
    COLLECTION_DURATION,
    REQUEST_ERRORS,
    PVE_REFUSED,
    API_DURATION,
    API_ERRORS,
    TARGET_DURATION,
    TARGET_ERRORS,
];

/// Those of the Python client, in seconds.
const PYTHON_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// From a cached scrape to a cluster of many thousand guests over a slow link, in seconds.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How many names of targets and their endpoints are counted by. Those of a range of addresses would never end.
const MOST_NAMES: usize = 2048;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    pve_cluster: String,
    endpoint: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabel {
    pve_cluster: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModuleLabel {
    module: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UrlLabels {
    method: &'static str,
    url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: String,
    cluster: u8,
    node: u8,
}

/// The exporter's own counters and histograms.
pub struct Own {
    registry: Registry,
    /// Scrapes answered.
    scrapes: Counter<u64, AtomicU64>,
    refused: Counter<u64, AtomicU64>,
    scrape_duration: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<ClusterLabel, Histogram>,
    collection_duration: Family<ModuleLabel, Histogram>,
    request_errors: Family<ModuleLabel, Counter>,
    pve_refused: Family<ReasonLabel, Counter>,
    api_duration: Family<UrlLabels, Histogram>,
    api_errors: Family<UrlLabels, Counter>,
    target_duration: Family<TargetLabels, Histogram>,
    target_errors: Family<TargetLabels, Counter>,
    names: Mutex<BTreeSet<String>>,
}

impl Default for Own {
    fn default() -> Self {
        let mut registry = Registry::default();
        let own = Self {
            scrapes: Counter::default(),
            refused: Counter::default(),
            scrape_duration: Histogram::new(BUCKETS),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            collection_duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            request_errors: Family::default(),
            pve_refused: Family::default(),
            api_duration: Family::new_with_constructor(|| Histogram::new(PYTHON_BUCKETS)),
            api_errors: Family::default(),
            target_duration: Family::new_with_constructor(|| {
                Histogram::new(PYTHON_BUCKETS.map(|bucket| bucket * 10.0))
            }),
            target_errors: Family::default(),
            names: Mutex::default(),
            registry: Registry::default(),
        };
        // The registry puts the full stop, the unit and `_total` behind what it is given.
        let help = |metric: &OwnMetric| metric.help.trim_end_matches('.').to_owned();
        let stem = |metric: &OwnMetric| metric.name.trim_end_matches("_total").trim_end_matches("_seconds");
        registry.register(stem(&SCRAPES), help(&SCRAPES), own.scrapes.clone());
        registry.register(stem(&REFUSED), help(&REFUSED), own.refused.clone());
        registry.register_with_unit(
            stem(&SCRAPE_DURATION),
            help(&SCRAPE_DURATION),
            Unit::Seconds,
            own.scrape_duration.clone(),
        );
        registry.register(stem(&REQUESTS), help(&REQUESTS), own.requests.clone());
        registry.register_with_unit(
            stem(&REQUEST_DURATION),
            help(&REQUEST_DURATION),
            Unit::Seconds,
            own.request_duration.clone(),
        );
        registry.register(stem(&REQUEST_ERRORS), help(&REQUEST_ERRORS), own.request_errors.clone());
        registry.register(stem(&PVE_REFUSED), help(&PVE_REFUSED), own.pve_refused.clone());
        registry.register(stem(&API_ERRORS), help(&API_ERRORS), own.api_errors.clone());
        registry.register(stem(&TARGET_ERRORS), help(&TARGET_ERRORS), own.target_errors.clone());
        let seconds = Unit::Seconds;
        registry.register_with_unit(
            stem(&COLLECTION_DURATION),
            help(&COLLECTION_DURATION),
            seconds.clone(),
            own.collection_duration.clone(),
        );
        registry.register_with_unit(
            stem(&API_DURATION),
            help(&API_DURATION),
            seconds.clone(),
            own.api_duration.clone(),
        );
        registry.register_with_unit(
            stem(&TARGET_DURATION),
            help(&TARGET_DURATION),
            seconds,
            own.target_duration.clone(),
        );
        Self { registry, ..own }
    }
}

impl Own {
    /// A scrape was answered after `took`.
    pub fn scraped(&self, took: Duration) {
        self.scrapes.inc();
        self.scrape_duration.observe(took.as_secs_f64());
    }

    /// A scrape was refused.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// What counts the requests to the cluster `name`.
    #[must_use]
    pub fn request_counts(&self, name: &str) -> RequestCounts {
        RequestCounts {
            cluster: name.to_owned(),
            requests: self.requests.clone(),
            durations: self.request_duration.clone(),
        }
    }

    /// There is a module: what is counted by modules is 0 for it.
    pub fn module(&self, name: &str) {
        let label = ModuleLabel {
            module: name.to_owned(),
        };
        drop(self.request_errors.get_or_create(&label));
        drop(self.collection_duration.get_or_create(&label));
    }

    /// Scrapes of `/pve` may be refused for these reasons.
    pub fn may_refuse_pve(&self, reasons: &[&'static str]) {
        for &reason in reasons {
            drop(self.pve_refused.get_or_create(&ReasonLabel { reason }));
        }
    }

    /// One was.
    pub fn pve_refused(&self, reason: &'static str) {
        self.pve_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A scrape of `/pve` with `module` was answered after `took`; something could not be read where it `failed`.
    pub fn collected(&self, module: &str, failed: bool, took: Duration) {
        let label = ModuleLabel {
            module: module.to_owned(),
        };
        self.request_errors.get_or_create(&label).inc_by(failed.into());
        self.collection_duration
            .get_or_create(&label)
            .observe(took.as_secs_f64());
    }

    /// The same, by what was asked for.
    pub fn target_scraped(&self, target: &str, cluster: bool, node: bool, failed: bool, took: Duration) {
        let labels = TargetLabels {
            target: target.to_owned(),
            cluster: cluster.into(),
            node: node.into(),
        };
        self.target_errors.get_or_create(&labels).inc_by(failed.into());
        self.target_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The name that a target of `/pve`, or its endpoint, is counted by, whatever configuration allows it.
    #[must_use]
    pub fn counted(&self, name: &str) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(name) || names.len() < MOST_NAMES {
            names.insert(name.to_owned());
            return name.to_owned();
        }
        "other".to_owned()
    }

    /// What counts calls of PVE by its URL.
    #[must_use]
    pub fn pve_requests(&self) -> PveRequests {
        PveRequests {
            durations: self.api_duration.clone(),
            errors: self.api_errors.clone(),
        }
    }

    /// The families of the registry that `wanted` admits by their exposed names, as text without the end mark. Of samples that
    /// belong to a cluster, those of `clusters`.
    #[must_use]
    pub fn text(&self, format: Format, wanted: impl Fn(&str) -> bool, clusters: &[&str]) -> String {
        let mut openmetrics = String::new();
        // Writing to a String does not fail.
        text::encode_registry(&mut openmetrics, &self.registry).unwrap_or_default();
        let mut text = String::with_capacity(openmetrics.len());
        for family in openmetrics.split("# HELP ").skip(1) {
            let name = family.split(' ').next().unwrap_or_default();
            let counter = family.contains(&format!("# TYPE {name} counter\n"));
            let total = if counter { "_total" } else { "" };
            if !wanted(&format!("{name}{total}")) {
                continue;
            }
            let family = family.strip_suffix("# EOF\n").unwrap_or(family);
            let of_others = |line: &str| {
                let cluster = line
                    .split_once("pve_cluster=\"")
                    .and_then(|(_, rest)| rest.split('"').next());
                cluster.is_some_and(|cluster| !clusters.contains(&cluster))
            };
            let lines: String = family.split_inclusive('\n').filter(|line| !of_others(line)).collect();
            if lines.lines().skip(1).all(|line| line.starts_with('#')) {
                continue;
            }
            match format {
                Format::OpenMetrics => text.extend(["# HELP ", &lines]),
                Format::Classic => text += &classic(name, total, &lines),
            }
        }
        text
    }
}

/// Counts calls of PVE by its URL.
pub struct PveRequests {
    durations: Family<UrlLabels, Histogram>,
    errors: Family<UrlLabels, Counter>,
}

impl PveRequests {
    /// A request to `endpoint` ended with an HTTP status, or without one.
    pub fn count(&self, endpoint: &str, status: Option<u16>, took: Duration) {
        let labels = UrlLabels {
            method: "GET",
            url: format!("{endpoint}/api2/json"),
        };
        let failed = status.is_none_or(|status| status >= 400);
        self.errors.get_or_create(&labels).inc_by(failed.into());
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// Counts the requests to one cluster.
pub struct RequestCounts {
    cluster: String,
    requests: Family<RequestLabels, Counter>,
    durations: Family<ClusterLabel, Histogram>,
}

impl RequestCounts {
    /// A request to `endpoint` ended with an HTTP status, or without one.
    pub fn count(&self, endpoint: &str, status: Option<u16>, took: Duration) {
        let labels = RequestLabels {
            pve_cluster: self.cluster.clone(),
            endpoint: endpoint.to_owned(),
            code: status.map_or_else(|| "none".to_owned(), |status| status.to_string()),
        };
        self.requests.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&ClusterLabel {
                pve_cluster: self.cluster.clone(),
            })
            .observe(took.as_secs_f64());
    }
}

/// A family in classic text, where it is called like its samples and has no unit. `family` begins behind `# HELP `.
fn classic(name: &str, total: &str, family: &str) -> String {
    let mut text = String::with_capacity(family.len() + 16);
    for (number, line) in family.lines().enumerate() {
        if number == 0 {
            text.extend([
                "# HELP ",
                name,
                total,
                line.strip_prefix(name).unwrap_or_default(),
                "\n",
            ]);
        } else if let Some(kind) = line.strip_prefix("# TYPE ").and_then(|line| line.strip_prefix(name)) {
            text.extend(["# TYPE ", name, total, kind, "\n"]);
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}
