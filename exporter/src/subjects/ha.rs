//! High availability of a cluster: its manager, its fencing, its rules.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The manager; one row for each cluster, nearly empty where HA is not used.
#[derive(Clone, Debug)]
pub struct HaManager {
    /// `pve_cluster`.
    pub identity: Identity,
    /// Whether the node that answers has quorum.
    pub quorate: Option<bool>,
    /// The node on which the manager is active; empty where HA is not used.
    pub node: String,
    /// Unix seconds of its last round.
    pub timestamp: Option<u64>,
}

/// Fencing; one row for each cluster that uses HA and has PVE 9.2 or later.
#[derive(Clone, Debug)]
pub struct HaFencing {
    /// `pve_cluster`.
    pub identity: Identity,
    /// One of [`FENCING_STATES`], or `other`.
    pub state: &'static str,
}

/// Rules, or the groups that were there before them; one row for each cluster.
#[derive(Clone, Debug)]
pub struct HaRules {
    /// `pve_cluster`.
    pub identity: Identity,
    /// How many rules there are; absent before PVE 9.
    pub rules: Option<u64>,
    /// How many groups there are; absent from PVE 9 on.
    pub groups: Option<u64>,
}

/// The states of fencing.
pub const FENCING_STATES: &[&str] = &["armed", "standby", "disarming", "disarmed"];

/// The one of `states` that `word` is, or `other`; `None` where PVE says nothing.
#[must_use]
pub fn fold(word: &str, states: &[&'static str]) -> Option<&'static str> {
    let known = states.iter().copied().find(|state| *state == word);
    (!word.is_empty()).then(|| known.unwrap_or("other"))
}

impl Subject for HaManager {
    const NAME: &'static str = "ha manager";
    const ROWS: &'static str = "one per cluster; only the quorum where HA has never been used";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_ha_quorate",
            Unit::None,
            "Whether the node that answers for HA has quorum: without it the states of HA are those from before; /cluster/ha/status/manager_status quorum.",
            |manager| manager.quorate.map(Into::into),
        ),
        Metric::info(
            "pve_ha_manager_info",
            &["node"],
            "The node on which the HA manager is active; /cluster/ha/status/manager_status master_node.",
            |manager, labels| {
                labels.label("node", &manager.node);
                !manager.node.is_empty()
            },
        ),
        Metric::gauge(
            "pve_ha_manager_timestamp_seconds",
            Unit::Seconds,
            "When the HA manager did its last round, which it does every 10 s; /cluster/ha/status/manager_status timestamp.",
            |manager| manager.timestamp.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for HaFencing {
    const NAME: &'static str = "ha fencing";
    const ROWS: &'static str = "one per cluster that uses HA, PVE 9.2 and later";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[Metric::state(
        "pve_ha_fencing_state",
        &["state"],
        "Whether HA fences nodes: armed, standby, disarming, disarmed or other; /cluster/ha/status/current armed-state.",
        |fencing| Some(fencing.state),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for HaRules {
    const NAME: &'static str = "ha rules";
    const ROWS: &'static str = "one per cluster";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_ha_rules",
            Unit::None,
            "HA rules, disabled ones among them; PVE 9 and later; /cluster/ha/rules.",
            |rules| rules.rules.map(Into::into),
        ),
        Metric::gauge(
            "pve_ha_groups",
            Unit::None,
            "HA groups, which PVE 9 makes rules of; /cluster/ha/groups.",
            |rules| rules.groups.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
