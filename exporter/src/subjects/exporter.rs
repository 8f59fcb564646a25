//! The exporter itself.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The one row of the exporter.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// No labels.
    pub identity: Identity,
    /// Whether the newest configuration is in use.
    pub configuration_ok: bool,
    /// When the configuration in use was loaded, in Unix seconds.
    pub configuration_loaded: f64,
    /// How many samples this exposition has.
    pub series: u64,
    /// The budget, where there is one.
    pub series_budget: Option<u64>,
    /// Families left out of this exposition for the budget's sake.
    pub families_dropped: u64,
}

impl Subject for Exporter {
    const NAME: &'static str = "exporter";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_exporter_build_info",
            &["version"],
            "Version of the exporter.",
            |_, labels| {
                labels.label("version", env!("CARGO_PKG_VERSION"));
                true
            },
        ),
        Metric::gauge(
            "pve_exporter_configuration_ok",
            Unit::None,
            "Whether the last reload of the configuration succeeded; on 0 the configuration before it is still in use.",
            |exporter| Some(exporter.configuration_ok.into()),
        ),
        Metric::gauge(
            "pve_exporter_configuration_loaded_timestamp_seconds",
            Unit::Seconds,
            "When the configuration in use was loaded.",
            |exporter| Some(exporter.configuration_loaded.into()),
        ),
        Metric::gauge(
            "pve_exporter_series",
            Unit::None,
            "Series in this answer.",
            |exporter| Some(exporter.series.into()),
        ),
        Metric::gauge(
            "pve_exporter_series_budget",
            Unit::None,
            "The configured budget of series in one answer; absent without one.",
            |exporter| exporter.series_budget.map(Into::into),
        ),
        Metric::gauge(
            "pve_exporter_families_dropped",
            Unit::None,
            "Families left out of this answer because the budget of series was used up.",
            |exporter| Some(exporter.families_dropped.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
