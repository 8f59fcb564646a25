use std::collections::HashMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::config::{GuestFilter, GuestKind, GuestSelector};
use crate::metrics::labels::Identity;
use crate::sources::resources;
use crate::subjects::guest::GuestKey;
use crate::subjects::guest_config::GuestConfig;
use crate::subjects::guest_drive_config::GuestDriveConfig;
use crate::subjects::replication::JobId;

const GIB: u64 = 1 << 30;

/// A constructed cluster.
#[derive(Default)]
struct Cluster {
    rows: Vec<Value>,
    configurations: Values<Configuration>,
    jobs: Vec<ReplicationJob>,
    constraints: Constraints,
    groups: HashMap<GuestKey, Box<str>>,
    never_synced: BTreeSet<JobId>,
    maintenance: BTreeSet<Box<str>>,
}

impl Cluster {
    /// Nodes of so many GiB, of which so many are in use beside the reserve of 1 GiB.
    fn new(nodes: &[(&str, u64, u64)]) -> Self {
        let mut cluster = Self::default();
        for (node, size, usage) in nodes {
            cluster.rows.push(
                json!({"type": "node", "id": format!("node/{node}"), "node": node, "status": "online",
                "maxmem": (size + 1) * GIB, "mem": usage * GIB}),
            );
        }
        cluster
    }

    fn storage(mut self, name: &str, shared: bool, nodes: &[&str]) -> Self {
        for node in nodes {
            let id = format!("storage/{node}/{name}");
            self.rows.push(
                json!({"type": "storage", "id": id, "storage": name, "node": node, "shared": u8::from(shared),
                "status": "available"}),
            );
        }
        self
    }

    fn guest(mut self, vmid: u32, node: &str, memory: u64, status: &str) -> Self {
        let id = format!("qemu/{vmid}");
        self.rows.push(
            json!({"type": "qemu", "id": id, "vmid": vmid, "node": node, "status": status, "template": 0,
            "maxmem": memory * GIB}),
        );
        self
    }

    fn running(self, vmid: u32, node: &str, memory: u64, storages: &[&str]) -> Self {
        let mut cluster = self.guest(vmid, node, memory, "running");
        let drive = |storage: &&str| drive(storage, Media::Disk);
        cluster.configure(vmid, storages.iter().map(drive).collect());
        cluster
    }

    fn configure(&mut self, vmid: u32, drives: Vec<GuestDriveConfig>) {
        let configuration = Configuration {
            telemetry_port: false,
            guest: GuestConfig::unset(Identity::new(&[])),
            drives,
            damaged_rows: 0,
        };
        self.configurations.insert(machine(vmid), Arc::new(configuration));
    }

    fn job(mut self, vmid: u32, target: &str, enabled: bool) -> Self {
        self.jobs.push(ReplicationJob {
            identity: Identity::new(&[]),
            job: JobId { vmid, number: 0 },
            kind: Some(GuestKind::Qemu),
            source: "".into(),
            target: target.to_owned(),
            schedule: String::new(),
            plugin: "local".to_owned(),
            enabled,
        });
        self
    }

    fn rows(&self, filter: &GuestFilter) -> Arc<[NodeLoss]> {
        let body = json!({ "data": self.rows }).to_string();
        let resources = read(body.as_bytes(), filter);
        let evidence = Evidence {
            resources: &resources,
            configurations: &self.configurations,
            jobs: &self.jobs,
            constraints: Some(&self.constraints),
            groups: Some(&self.groups),
            never_synced: &self.never_synced,
            maintenance: &self.maintenance,
        };
        rows("main", evidence)
    }

    /// Of the node that comes first: guests, those without a place, their memory in GiB, and those of unknown storages.
    fn first(&self) -> (u64, u64, u64, u64) {
        summary(&self.rows(&GuestFilter::default())[0])
    }
}

fn read(body: &[u8], filter: &GuestFilter) -> Resources {
    resources::convert(body, "main", filter, &mut resources::Memory::default(), Instant::now()).unwrap()
}

fn machine(vmid: u32) -> GuestKey {
    (GuestKind::Qemu, vmid)
}

fn drive(storage: &str, media: Media) -> GuestDriveConfig {
    GuestDriveConfig {
        identity: Identity::new(&[]),
        storage: storage.into(),
        media,
        size: None,
        backup_excluded: false,
    }
}

fn summary(row: &NodeLoss) -> (u64, u64, u64, u64) {
    (
        row.guests,
        row.unplaced_guests,
        row.unplaced_memory / GIB,
        row.assumed_guests,
    )
}

fn pair() -> Cluster {
    Cluster::new(&[("a", 16, 8), ("b", 16, 8)])
}

#[test]
fn memory_decides_where_storages_are_shared() {
    let both = ["a", "b"];
    let cluster = pair()
        .storage("san", true, &both)
        .running(100, "a", 5, &["san"])
        .running(101, "a", 3, &["san"]);
    assert_eq!(cluster.first(), (2, 0, 0, 0));
    let cluster = cluster.running(102, "a", 1, &["san"]);
    assert_eq!(cluster.first(), (3, 1, 1, 0));
    let other = cluster.rows(&GuestFilter::default())[1].clone();
    assert_eq!(summary(&other), (0, 0, 0, 0), "nothing runs there");
    assert_eq!(
        str::from_utf8(other.identity.pairs()),
        Ok(r#"pve_cluster="main",id="node/b",node="b""#)
    );
}

#[test]
fn a_share_of_a_large_node_is_kept_back() {
    // A twentieth of 40 GiB, of which the first is the test's own reserve.
    let cluster = Cluster::new(&[("a", 8, 0), ("b", 39, 0)]).storage("san", true, &["a", "b"]);
    assert_eq!(cluster.running(100, "a", 39, &["san"]).first(), (1, 1, 39, 0));
    let cluster = Cluster::new(&[("a", 8, 0), ("b", 39, 0)]).storage("san", true, &["a", "b"]);
    assert_eq!(cluster.running(100, "a", 38, &["san"]).first(), (1, 0, 0, 0));
}

#[test]
fn a_disk_that_is_elsewhere_is_out_of_reach() {
    let shared = |nodes: &[&str]| pair().storage("san", true, nodes).storage("local", false, &["a", "b"]);
    let cluster = shared(&["a", "b"]);
    assert_eq!(cluster.running(100, "a", 1, &["san", "local"]).first(), (1, 1, 1, 0));
    assert_eq!(
        shared(&["a"]).running(100, "a", 1, &["san"]).first(),
        (1, 1, 1, 0),
        "not there"
    );
    assert_eq!(
        pair().running(100, "a", 1, &[""]).first(),
        (1, 1, 1, 0),
        "a device of the node"
    );
    let mut cluster = shared(&["a", "b"]).running(100, "a", 1, &[]);
    let media = [Media::Cdrom, Media::Cloudinit, Media::Unused];
    cluster.configure(100, media.map(|media| drive("local", media)).into());
    assert_eq!(cluster.first(), (1, 0, 0, 0), "only disks count");
    cluster.configure(100, vec![drive("", Media::Device)]);
    assert_eq!(cluster.first(), (1, 1, 1, 0), "a device of the node in a container");
}

#[test]
fn a_replica_is_a_place_too() {
    let cluster = || {
        Cluster::new(&[("a", 8, 0), ("b", 8, 0), ("c", 8, 0)])
            .storage("zfs", false, &["a", "b", "c"])
            .running(100, "a", 5, &["zfs"])
    };
    assert_eq!(cluster().job(100, "c", true).first(), (1, 0, 0, 0));
    assert_eq!(cluster().job(100, "c", false).first(), (1, 1, 5, 0));
    assert_eq!(cluster().job(101, "c", true).first(), (1, 1, 5, 0));
    let mut failing = cluster().job(100, "c", true);
    failing.never_synced.insert(JobId { vmid: 100, number: 0 });
    assert_eq!(failing.first(), (1, 1, 5, 0), "nothing has arrived there");
    let crowded = cluster()
        .running(102, "a", 5, &["zfs"])
        .job(100, "c", true)
        .job(102, "c", true);
    assert_eq!(crowded.first(), (2, 1, 5, 0), "both have it on the same node");
}

#[test]
fn what_is_not_known_is_taken_for_shared_and_counted() {
    let cluster = pair()
        .storage("local", false, &["a", "b"])
        .guest(100, "a", 1, "running")
        .running(101, "a", 1, &["hidden"])
        .running(102, "a", 1, &["hidden", "local"]);
    assert_eq!(cluster.first(), (3, 1, 1, 3));
}

#[test]
fn only_guests_that_run_need_a_place() {
    let mut cluster = pair()
        .guest(100, "a", 99, "stopped")
        .guest(101, "a", 99, "unknown")
        .guest(102, "a", 99, "paused");
    cluster
        .rows
        .push(json!({"type": "qemu", "id": "qemu/103", "node": "a", "status": "running", "template": 1, "maxmem": 99}));
    assert_eq!(cluster.first(), (1, 1, 99, 1));
}

#[test]
fn a_guest_goes_only_where_ha_lets_it() {
    let cluster = |node: &str| {
        let mut cluster = pair().storage("san", true, &["a", "b"]).running(100, "a", 1, &["san"]);
        cluster.constraints.bound.insert(machine(100), [node.into()].into());
        cluster
    };
    assert_eq!(cluster("b").first(), (1, 0, 0, 0));
    assert_eq!(cluster("a").first(), (1, 1, 1, 0));
    assert_eq!(cluster("gone").first(), (1, 1, 1, 0));
}

#[test]
fn before_pve_9_a_guest_goes_only_where_its_restricted_group_is() {
    let mut cluster = pair().storage("san", true, &["a", "b"]).running(100, "a", 1, &["san"]);
    cluster.constraints.groups.insert("a-only".into(), ["a".into()].into());
    assert_eq!(cluster.first(), (1, 0, 0, 0), "others are in it");
    cluster.groups.insert(machine(100), "a-only".into());
    assert_eq!(cluster.first(), (1, 1, 1, 0));
    cluster.groups.insert(machine(100), "preferred".into());
    assert_eq!(cluster.first(), (1, 0, 0, 0), "a preference");
}

#[test]
fn guests_that_ha_keeps_apart_do_not_meet() {
    let cluster = |second: &str| {
        let mut cluster = Cluster::new(&[("a", 8, 0), ("b", 8, 0), ("c", 8, 0)])
            .storage("san", true, &["a", "b", "c"])
            .running(100, "a", 1, &["san"])
            .running(101, second, 1, &["san"])
            .running(102, "c", 1, &["san"]);
        for vmid in [100, 101, 102] {
            cluster.constraints.apart.insert(machine(vmid), vec![1]);
        }
        cluster
    };
    assert_eq!(cluster("b").first(), (1, 1, 1, 0), "each of the others has one");
    assert_eq!(cluster("a").first(), (2, 1, 1, 0), "only b is left for two");
    let mut two = cluster("b");
    two.constraints.apart.remove(&machine(102));
    assert_eq!(two.first(), (1, 0, 0, 0));
}

#[test]
fn guests_that_ha_keeps_together_go_together() {
    let cluster = |third: &str| {
        let mut cluster = Cluster::new(&[("a", 8, 0), ("b", 4, 0), ("c", 5, 0)])
            .storage("san", true, &["a", "b", "c"])
            .storage("two", true, &["a", "b"])
            .running(100, "a", 3, &["san"])
            .running(101, "a", 2, &["san"])
            .running(102, third, 1, &["san"]);
        for vmid in [100, 101, 102] {
            cluster.constraints.together.insert(machine(vmid), 1);
        }
        cluster
    };
    assert_eq!(cluster("a").first(), (3, 3, 6, 0), "nobody has 6 GiB");
    assert_eq!(cluster("c").first(), (2, 0, 0, 0), "5 GiB are where the third one is");
    assert_eq!(cluster("b").first(), (2, 2, 5, 0), "there they are too few");
    let mut apart = cluster("c");
    apart.configure(101, vec![drive("two", Media::Disk)]);
    assert_eq!(apart.first(), (2, 2, 5, 0), "what one of them needs is not there");
}

#[test]
fn nodes_that_take_nobody() {
    for change in [
        json!({"status": "offline"}),
        json!({"status": "unknown"}),
        json!({"hastate": "maintenance"}),
    ] {
        let mut cluster = pair().guest(100, "a", 1, "running");
        for (key, value) in change.as_object().unwrap() {
            cluster.rows[1][key] = value.clone();
        }
        assert_eq!(cluster.first(), (1, 1, 1, 1), "{change}");
        let online = usize::from(change.get("hastate").is_some());
        assert_eq!(cluster.rows(&GuestFilter::default()).len(), 1 + online, "{change}");
    }
}

#[test]
fn a_node_that_only_the_manager_of_ha_knows_to_be_in_maintenance() {
    let mut cluster = pair().storage("san", true, &["a", "b"]).running(100, "a", 1, &["san"]);
    assert_eq!(cluster.first(), (1, 0, 0, 0));
    cluster.maintenance.insert("b".into());
    assert_eq!(cluster.first(), (1, 1, 1, 0));
}

#[test]
fn no_answer_where_it_would_be_for_a_part_or_for_nobody() {
    let alone = Cluster::new(&[("a", 8, 0)]).guest(100, "a", 1, "running");
    assert!(alone.rows(&GuestFilter::default()).is_empty());
    let filter = GuestFilter {
        include: GuestSelector {
            types: vec![GuestKind::Lxc],
            ..GuestSelector::default()
        },
        ..GuestFilter::default()
    };
    assert!(pair().guest(100, "a", 1, "running").rows(&filter).is_empty());
    let mut silent = pair().guest(100, "a", 1, "running");
    silent.rows[1].as_object_mut().unwrap().remove("mem");
    assert!(
        silent.rows(&GuestFilter::default()).is_empty(),
        "its memory is not ours to know"
    );
}

#[test]
fn the_recorded_cluster() {
    let body = include_bytes!("../../../tests/fixtures/pve-9.2/cluster__resources.json");
    let resources = read(body, &GuestFilter::default());
    let evidence = Evidence {
        resources: &resources,
        configurations: &Values::new(),
        jobs: &[],
        constraints: None,
        groups: None,
        never_synced: &BTreeSet::new(),
        maintenance: &BTreeSet::new(),
    };
    let rows = rows("main", evidence);
    assert_eq!(rows.len(), 2, "the third is offline");
    assert!(
        rows.iter()
            .all(|row| row.guests > 0 && row.assumed_guests == row.guests)
    );
    assert!(rows.iter().all(|row| row.unplaced_guests == 0), "{rows:?}");
}

/// 30 nodes with 10,000 guests on shared and local storages: what the largest cluster asks for with each list of resources.
#[test]
fn thousands_of_guests() {
    let names: Vec<String> = (0..30).map(|node| format!("n{node:02}")).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let nodes: Vec<_> = names.iter().map(|name| (*name, 1024, 700)).collect();
    let mut cluster = Cluster::new(&nodes).storage("local", false, &names);
    for storage in ["san", "nfs", "ceph"] {
        cluster = cluster.storage(storage, true, &names);
    }
    for (vmid, node) in (100..10_100).zip(names.iter().cycle()) {
        let storages: &[&str] = match vmid % 10 {
            0 => &["local"],
            1 => &["nfs", "san"],
            _ => &["ceph"],
        };
        cluster = cluster.running(vmid, node, 1 + u64::from(vmid % 7), storages);
    }
    let body = json!({ "data": cluster.rows }).to_string();
    let resources = read(body.as_bytes(), &GuestFilter::default());
    let evidence = Evidence {
        resources: &resources,
        configurations: &cluster.configurations,
        jobs: &[],
        constraints: Some(&cluster.constraints),
        groups: None,
        never_synced: &BTreeSet::new(),
        maintenance: &BTreeSet::new(),
    };
    let rows = rows("main", evidence);
    assert_eq!(rows.len(), 30);
    assert_eq!(rows.iter().map(|row| row.guests).sum::<u64>(), 10_000);
    assert_eq!(
        rows.iter().map(|row| row.unplaced_guests).sum::<u64>(),
        1000,
        "those on local storages"
    );
}
