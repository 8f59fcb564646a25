//! What a well-known dashboard for node_exporter asks of a Prometheus.

use crate::exceptions::{Listed, listed};

/// A query of the dashboard.
pub(crate) struct Query {
    /// The panel, or several that ask the same.
    pub(crate) panel: &'static str,
    /// In the notation of the file.
    text: &'static str,
}

/// All queries for what a guest's page is meant to have.
pub(crate) fn queries() -> impl Iterator<Item = Query> {
    let mut panel = "";
    include_str!("node-exporter-full.txt").lines().filter_map(move |line| {
        if let Some(name) = line.strip_suffix(':') {
            panel = name;
        }
        let text = line.strip_prefix("  ")?;
        Some(Query { panel, text })
    })
}

impl Query {
    /// As a Prometheus with this job understands it.
    pub(crate) fn promql(&self, job: &str) -> String {
        let long = match self.text.strip_prefix("rate ") {
            Some(name) => format!("rate({name}{{@}}[#])"),
            None if self.text.chars().all(is_of_name) => format!("{}{{@}}", self.text),
            None => self.text.to_owned(),
        };
        long.replace('@', &format!("job=\"{job}\"")).replace('#', "1m")
    }

    /// The metrics that it names.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &'static str> {
        let words = self.text.split(|c| !is_of_name(c));
        words.filter(|word| word.starts_with("node_"))
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Panels that stay empty, wholly or, where the reason says so, in part.
pub(crate) const EMPTY: &[Listed] = &[
    listed(
        &[
            "CPU Frequency Scaling",
            "Cooling Device Utilization",
            "Hardware Fan Speed",
            "Hardware Temperature Monitor",
            "Power Supply",
        ],
        "Sensors and frequencies are the host's.",
    ),
    listed(
        &[
            "Systemd Sockets Accepted",
            "Systemd Sockets Current",
            "Systemd Sockets Refused",
            "Systemd Units State",
        ],
        "They need D-Bus and a series per unit; node_exporter has them only when told so.",
    ),
    listed(
        &[
            "IRQ Detail",
            "Processes Detailed States",
            "TCP Socket Queue",
            "TCP Stat Persistent",
            "TCP Stat Transient",
        ],
        "node_exporter has them only when told so, because of what they cost.",
    ),
    listed(
        &["Network Saturation", "Speed"],
        "Empty for virtual cards without a speed, of which node_exporter says -125,000 bytes per second.",
    ),
    listed(&["Processes Status"], "Only the number of hung tasks is missing."),
    listed(
        &[
            "Exporter File Descriptor Usage",
            "Exporter Process CPU Usage",
            "Exporter Processes Memory",
            "Node Exporter Scrape",
            "Node Exporter Scrape Time",
        ],
        "There is no node_exporter.",
    ),
];

#[test]
fn a_query_is_written_out() {
    let written = |text| Query { panel: "", text }.promql("j");
    assert_eq!(written("a_b"), "a_b{job=\"j\"}");
    assert_eq!(written("rate a_b"), "rate(a_b{job=\"j\"}[1m])");
    assert_eq!(
        written("sum(rate(a{b=\"c\", @}[#]))"),
        "sum(rate(a{b=\"c\", job=\"j\"}[1m]))"
    );
}
