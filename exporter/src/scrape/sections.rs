//! The order in which a scrape exposes its rows, which is that of the catalogue.

use std::sync::Arc;

use crate::metrics::exposition::{Rows, Section};
use crate::metrics::table::Subject;
use crate::process;
use crate::sources::cluster;
use crate::sources::tasks::TaskRows;
use crate::telemetry::exposition::GuestRows;

/// The sections of a scrape, from the rows of its clusters and of the guests whose ports are read.
pub(super) fn of(rows: &[cluster::Rows], guests: GuestRows) -> Vec<Box<dyn Section>> {
    vec![
        Box::new(Rows::new(vec![Arc::from([process::read()])])),
        section(rows, |rows| &rows.cluster),
        section(rows, |rows| &rows.apis),
        section(rows, |rows| &rows.sources),
        section(rows, |rows| &rows.failures),
        section(rows, |rows| &rows.permissions),
        section(rows, |rows| &rows.census.votes),
        section(rows, |rows| &rows.census.inventory),
        section(rows, |rows| &rows.census.access),
        section(rows, |rows| &rows.ha.manager),
        section(rows, |rows| &rows.ha.fencing),
        section(rows, |rows| &rows.ha.rules),
        tasks(rows, |tasks| &tasks.finished),
        tasks(rows, |tasks| &tasks.types),
        tasks(rows, |tasks| &tasks.history),
        tasks(rows, |tasks| &tasks.failed),
        section(rows, |rows| &rows.backups.jobs),
        section(rows, |rows| &rows.backups.coverage),
        section(rows, |rows| &rows.backups.logs),
        section(rows, |rows| &rows.backups.failures),
        section(rows, |rows| &rows.volumes.orphans),
        section(rows, |rows| &rows.nodes),
        section(rows, |rows| &rows.node_losses),
        section(rows, |rows| &rows.machines.samplings),
        section(rows, |rows| &rows.machines.minutes),
        section(rows, |rows| &rows.machines.clocks),
        section(rows, |rows| &rows.machines.updates),
        section(rows, |rows| &rows.machines.packages),
        section(rows, |rows| &rows.machines.services),
        section(rows, |rows| &rows.machines.subscriptions),
        section(rows, |rows| &rows.machines.certificates),
        section(rows, |rows| &rows.machines.interfaces),
        section(rows, |rows| &rows.machines.pci_devices),
        section(rows, |rows| &rows.census.firewalls),
        section(rows, |rows| &rows.ha.nodes),
        section(rows, |rows| &rows.storages),
        section(rows, |rows| &rows.storage_health.configs),
        section(rows, |rows| &rows.storage_health.zfs_pools),
        section(rows, |rows| &rows.storage_health.zfs_details),
        section(rows, |rows| &rows.storage_health.thin_pools),
        section(rows, |rows| &rows.storage_health.volume_groups),
        section(rows, |rows| &rows.storage_health.ceph),
        section(rows, |rows| &rows.storage_health.ceph_checks),
        section(rows, |rows| &rows.storage_health.ceph_placement_groups),
        section(rows, |rows| &rows.storage_health.ceph_flags),
        section(rows, |rows| &rows.storage_health.ceph_osds),
        section(rows, |rows| &rows.storage_health.ceph_pools),
        section(rows, |rows| &rows.disks.disks),
        section(rows, |rows| &rows.disks.smart),
        section(rows, |rows| &rows.pools),
        section(rows, |rows| &rows.networks),
        section(rows, |rows| &rows.guests),
        section(rows, |rows| &rows.expected_up),
        section(rows, |rows| &rows.ha.guests),
        section(rows, |rows| &rows.ha.requests),
        sections(rows, |rows| [&rows.backups.recovery_points, &rows.replicas]),
        section(rows, |rows| &rows.backups.backups),
        section(rows, |rows| &rows.backups.uncovered),
        section(rows, |rows| &rows.volumes.volumes),
        section(rows, |rows| &rows.replication.jobs),
        section(rows, |rows| &rows.replication.states),
        section(rows, |rows| &rows.depth.machines),
        section(rows, |rows| &rows.depth.balloons),
        section(rows, |rows| &rows.depth.containers),
        sections(rows, |rows| {
            [&rows.depth.machine_pressures, &rows.depth.container_pressures]
        }),
        section(rows, |rows| &rows.depth.drives),
        section(rows, |rows| &rows.depth.interfaces),
        section(rows, |rows| &rows.agents.agents),
        section(rows, |rows| &rows.agents.systems),
        sections(rows, |rows| [&rows.agents.file_systems, &rows.direct.file_systems]),
        section(rows, |rows| &rows.agents.interfaces),
        section(rows, |rows| &rows.agents.addresses),
        section(rows, |rows| &rows.inventory.configs),
        section(rows, |rows| &rows.inventory.drives),
        section(rows, |rows| &rows.inventory.snapshots),
        section(rows, |rows| &rows.inventory.named),
        section(rows, |rows| &rows.direct.cpus),
        section(rows, |rows| &rows.direct.disks),
        section(rows, |rows| &rows.direct.loads),
        Box::new(Rows::new(vec![guests.collectors])),
        Box::new(Rows::new(vec![guests.dropped])),
        Box::new(Rows::new(vec![guests.systems])),
    ]
}

fn section<S: Subject>(rows: &[cluster::Rows], part: impl Fn(&cluster::Rows) -> &Arc<[S]>) -> Box<dyn Section> {
    sections(rows, |rows| [part(rows)])
}

/// A subject that comes in several parts.
fn sections<S: Subject, const N: usize>(
    rows: &[cluster::Rows],
    parts: impl Fn(&cluster::Rows) -> [&Arc<[S]>; N],
) -> Box<dyn Section> {
    Box::new(Rows::new(rows.iter().flat_map(parts).cloned().collect()))
}

fn tasks<S: Subject>(rows: &[cluster::Rows], part: impl Fn(&TaskRows) -> &Arc<[S]>) -> Box<dyn Section> {
    let tasks = rows.iter().filter_map(|rows| rows.tasks.as_ref());
    Box::new(Rows::new(tasks.map(|tasks| Arc::clone(part(tasks))).collect()))
}
