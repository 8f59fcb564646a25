//! Ceph as a whole: its health, its daemons, its placement groups.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The status; one row for each cluster that runs Ceph.
#[derive(Clone, Debug)]
pub struct Ceph {
    /// `pve_cluster`.
    pub identity: Identity,
    /// One of [`HEALTH`], or `other`.
    pub health: Option<&'static str>,
    /// OSDs.
    pub osds: Option<u64>,
    /// Those that run.
    pub osds_up: Option<u64>,
    /// Those that data is placed on.
    pub osds_in: Option<u64>,
    /// Monitors.
    pub monitors: Option<u64>,
    /// Those in the quorum.
    pub monitors_in_quorum: Option<u64>,
    /// Objects.
    pub objects: Option<u64>,
    /// Copies of objects that are missing.
    pub objects_degraded: Option<u64>,
    /// Their share of all copies.
    pub degraded_ratio: Option<f64>,
    /// Copies of objects that are elsewhere than they should be.
    pub objects_misplaced: Option<u64>,
    /// Their share of all copies.
    pub misplaced_ratio: Option<f64>,
    /// Objects of which no copy is found.
    pub objects_unfound: Option<u64>,
    /// Bytes of all OSDs.
    pub size: Option<u64>,
    /// Bytes in use.
    pub usage: Option<u64>,
    /// Bytes that are free.
    pub available: Option<u64>,
}

/// A health check that fails.
#[derive(Clone, Debug)]
pub struct CephCheck {
    /// `pve_cluster`, `check` and `severity`.
    pub identity: Identity,
}

/// The placement groups in one state.
#[derive(Clone, Debug)]
pub struct CephPlacementGroups {
    /// `pve_cluster` and `state`.
    pub identity: Identity,
    /// How many there are.
    pub count: u64,
}

/// A flag that is set.
#[derive(Clone, Debug)]
pub struct CephFlag {
    /// `pve_cluster` and `flag`.
    pub identity: Identity,
}

/// The states of health, which are also the severities of checks.
pub const HEALTH: &[&str] = &["HEALTH_OK", "HEALTH_WARN", "HEALTH_ERR"];

impl Subject for Ceph {
    const NAME: &'static str = "ceph";
    const ROWS: &'static str = "one per cluster that runs Ceph";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::state(
            "pve_ceph_health",
            &["status"],
            "Health of Ceph: HEALTH_OK, HEALTH_WARN, HEALTH_ERR or other; /nodes/{node}/ceph/status health.",
            |ceph| ceph.health,
        ),
        Metric::gauge(
            "pve_ceph_osds",
            Unit::None,
            "OSDs; /nodes/{node}/ceph/status osdmap num_osds.",
            |ceph| ceph.osds.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_osds_up",
            Unit::None,
            "OSDs that run; /nodes/{node}/ceph/status osdmap num_up_osds.",
            |ceph| ceph.osds_up.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_osds_in",
            Unit::None,
            "OSDs that data is placed on; /nodes/{node}/ceph/status osdmap num_in_osds.",
            |ceph| ceph.osds_in.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_monitors",
            Unit::None,
            "Monitors; /nodes/{node}/ceph/status monmap mons.",
            |ceph| ceph.monitors.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_monitors_in_quorum",
            Unit::None,
            "Monitors in the quorum; /nodes/{node}/ceph/status quorum.",
            |ceph| ceph.monitors_in_quorum.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_objects",
            Unit::None,
            "Objects, each counted once; /nodes/{node}/ceph/status pgmap num_objects.",
            |ceph| ceph.objects.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_objects_degraded",
            Unit::None,
            "Copies of objects that are missing; /nodes/{node}/ceph/status pgmap degraded_objects.",
            |ceph| ceph.objects_degraded.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_objects_degraded_ratio",
            Unit::Ratio,
            "Share of all copies of objects that are missing; /nodes/{node}/ceph/status pgmap degraded_ratio.",
            |ceph| ceph.degraded_ratio.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_objects_misplaced",
            Unit::None,
            "Copies of objects that are elsewhere than they should be; /nodes/{node}/ceph/status pgmap misplaced_objects.",
            |ceph| ceph.objects_misplaced.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_objects_misplaced_ratio",
            Unit::Ratio,
            "Share of all copies of objects that are elsewhere than they should be; /nodes/{node}/ceph/status pgmap misplaced_ratio.",
            |ceph| ceph.misplaced_ratio.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_objects_unfound",
            Unit::None,
            "Objects of which no copy is found; /nodes/{node}/ceph/status pgmap unfound_objects.",
            |ceph| ceph.objects_unfound.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_size_bytes",
            Unit::Bytes,
            "Size of all OSDs, before replication; /nodes/{node}/ceph/status pgmap bytes_total.",
            |ceph| ceph.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_usage_bytes",
            Unit::Bytes,
            "Bytes in use on all OSDs, all copies together; /nodes/{node}/ceph/status pgmap bytes_used.",
            |ceph| ceph.usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_available_bytes",
            Unit::Bytes,
            "Bytes that are free on all OSDs, before replication; /nodes/{node}/ceph/status pgmap bytes_avail.",
            |ceph| ceph.available.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for CephCheck {
    const NAME: &'static str = "ceph health check";
    const ROWS: &'static str = "one per health check of Ceph that fails and is not muted";
    const LABELS: &'static [&'static str] = &["pve_cluster", "check", "severity"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_ceph_health_check",
        Unit::None,
        "A health check of Ceph that fails, by its code, such as OSD_DOWN; absent when it does not; /nodes/{node}/ceph/status health checks.",
        |_| Some(true.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for CephPlacementGroups {
    const NAME: &'static str = "ceph placement groups";
    const ROWS: &'static str = "one per state, such as active+clean, in which there are placement groups";
    const LABELS: &'static [&'static str] = &["pve_cluster", "state"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_ceph_pgs",
        Unit::None,
        "Placement groups in the state; those in the 65th and further states are counted as other; /nodes/{node}/ceph/status pgmap pgs_by_state.",
        |groups| Some(groups.count.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for CephFlag {
    const NAME: &'static str = "ceph flag";
    const ROWS: &'static str = "one per flag of Ceph that is set, by an administrator or by Ceph itself";
    const LABELS: &'static [&'static str] = &["pve_cluster", "flag"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_ceph_flag",
        Unit::None,
        "A flag that is set, such as noout; absent when it is not; /nodes/{node}/ceph/osd flags.",
        |_| Some(true.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
