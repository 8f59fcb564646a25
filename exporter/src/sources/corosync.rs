//! `/cluster/config/nodes` and `/cluster/config/qdevice`: the votes in the cluster.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::labels::Identity;
use crate::pve::api::cluster_config;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::cluster_status::ClusterStatus;
use crate::sources::plain_name::is_plain;
use crate::subjects::cluster_votes::ClusterVotes;

const NODES: &str = "/cluster/config/nodes";
const QDEVICE: &str = "/cluster/config/qdevice";

/// What corosync gives a node of which the configuration does not tell the votes.
const DEFAULT_VOTES: u64 = 1;

/// How long a QDevice is remembered that is told of no more.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Who votes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Corosync {
    /// The votes of each node; none for a standalone one.
    pub nodes: BTreeMap<Box<str>, u64>,
    /// The QDevice, where there is one.
    pub qdevice: Option<QDevice>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// A machine that votes without being a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QDevice {
    /// Whether the node that answers has a connection to it; not where its daemon does not run.
    pub connected: bool,
    /// How it votes: `ffsplit`, `lms` or `other`.
    pub algorithm: &'static str,
    /// Its votes, where its algorithm tells them.
    pub votes: Option<u64>,
    /// Its address and port.
    pub host: Box<str>,
}

/// The QDevice that was last told of, and when. A node without the daemon says the same as one of a cluster that has no QDevice.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Option<(QDevice, Instant)>>);

impl Memory {
    /// `told`, or the one that was told of within the last day, as not connected.
    fn recall(&self, told: Option<QDevice>, now: Instant) -> Option<QDevice> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = told {
            *last = Some((device.clone(), now));
            return Some(device);
        }
        last.take_if(|(_, seen)| now.saturating_duration_since(*seen) >= REMEMBERED);
        last.as_ref().map(|(device, _)| QDevice {
            connected: false,
            ..device.clone()
        })
    }
}

/// Reads both, at the time `now`. `memory` is that of the cluster, whoever answers.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, memory: &Memory, now: Instant) -> Result<Corosync, ApiError> {
    let nodes = client.get(&Request::entry(NODES)).await?;
    let mut corosync = nodes.decode(NODES, nodes_of)?;
    // A node that stands alone has no QDevice.
    if !corosync.nodes.is_empty() {
        let answer = client.get(&Request::entry(QDEVICE)).await?;
        let told = answer.decode(QDEVICE, |body| qdevice(body, &corosync.nodes))?;
        corosync.qdevice = memory.recall(told, now);
    }
    Ok(corosync)
}

fn nodes_of(body: &[u8]) -> Result<Corosync, DecodeError> {
    let mut corosync = Corosync::default();
    let mut unusable = 0;
    corosync.damaged_rows = cluster_config::nodes(body, |row| {
        if row.node.is_empty() {
            unusable += 1;
        } else {
            let votes = row.quorum_votes.unwrap_or(DEFAULT_VOTES);
            corosync.nodes.insert(row.node.into(), votes);
        }
    })?;
    corosync.damaged_rows += unusable;
    Ok(corosync)
}

fn qdevice(body: &[u8], nodes: &BTreeMap<Box<str>, u64>) -> Result<Option<QDevice>, DecodeError> {
    let told = cluster_config::qdevice(body)?;
    let is = |word: &str| told.algorithm.to_ascii_lowercase().contains(word);
    let there = [&told.state, &told.algorithm, &told.model]
        .iter()
        .any(|text| !text.is_empty());
    let (algorithm, votes) = match () {
        () if is("fifty") || is("ffsplit") => ("ffsplit", Some(1)),
        // The last node alone has quorum together with it.
        () if is("lms") || is("last man") => ("lms", (nodes.len() as u64).checked_sub(1)),
        () => ("other", None),
    };
    Ok(there.then(|| QDevice {
        connected: told.state.starts_with("Connected"),
        algorithm,
        votes,
        host: Some(&*told.host)
            .filter(|host| is_plain(host))
            .unwrap_or_default()
            .into(),
    }))
}

impl Corosync {
    /// Its row, where there is a cluster. `status` tells which nodes are online.
    #[must_use]
    pub fn row(&self, cluster: &str, status: Option<&ClusterStatus>) -> Option<ClusterVotes> {
        // A row that could not be read may be a node.
        let known = self.damaged_rows == 0;
        let device = self.qdevice.as_ref();
        let of_device = device.map_or(Some(0), |device| device.votes);
        let expected = of_device.filter(|_| known).map(|device| {
            self.nodes
                .values()
                .fold(device, |sum, votes| sum.saturating_add(*votes))
        });
        let connected = device.is_some_and(|device| device.connected);
        let reached = if connected { of_device } else { Some(0) };
        let online = status.filter(|_| known).and_then(|status| {
            let mut sum = reached?;
            for (node, votes) in &self.nodes {
                let online = status.nodes.get(&**node).and_then(|member| member.online)?;
                sum = sum.saturating_add(if online { *votes } else { 0 });
            }
            Some(sum)
        });
        (!self.nodes.is_empty()).then(|| ClusterVotes {
            identity: Identity::new(&[("pve_cluster", cluster)]),
            expected,
            online,
            qdevice_connected: device.map(|device| device.connected),
            qdevice_algorithm: device.map_or("", |device| device.algorithm),
            qdevice_host: device.map(|device| device.host.clone()).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::cluster_status::Member;

    fn recorded() -> Corosync {
        nodes_of(include_bytes!(
            "../../tests/fixtures/pve-9.2/cluster__config__nodes.json"
        ))
        .unwrap()
    }

    /// The recorded cluster with these nodes offline.
    fn without(offline: &[&str]) -> ClusterStatus {
        let member = |node: &str| Member {
            nodeid: None,
            ip: "".into(),
            online: Some(!offline.contains(&node)),
        };
        ClusterStatus {
            nodes: ["pve1", "pve2", "pve3"].map(|node| (node.into(), member(node))).into(),
            ..ClusterStatus::default()
        }
    }

    /// Votes in all, votes online, and those that make a quorum.
    fn votes(corosync: &Corosync, status: Option<&ClusterStatus>) -> [Option<u64>; 3] {
        let row = corosync.row("main", status).unwrap();
        [row.expected, row.online, row.quorum()]
    }

    fn device(body: &str) -> Option<QDevice> {
        let body = format!(r#"{{"data":{body}}}"#);
        qdevice(body.as_bytes(), &recorded().nodes).unwrap()
    }

    #[test]
    fn recorded_votes() {
        let corosync = recorded();
        assert_eq!(votes(&corosync, Some(&without(&["pve3"]))), [Some(5), Some(4), Some(3)]);
        assert_eq!(votes(&corosync, Some(&without(&["pve1"]))), [Some(5), Some(2), Some(3)]);
        assert_eq!(votes(&corosync, None), [Some(5), None, Some(3)]);
        assert_eq!(
            votes(&corosync, Some(&ClusterStatus::default())),
            [Some(5), None, Some(3)]
        );
        let none = include_bytes!("../../tests/fixtures/pve-9.2/cluster__config__qdevice.json");
        assert_eq!(qdevice(none, &corosync.nodes).unwrap(), None);
    }

    #[test]
    fn a_qdevice_votes_as_its_algorithm_says() {
        let split =
            r#"{"Model":"Net","State":"Connected","Algorithm":"Fifty-Fifty split","QNetd host":"192.0.2.9:5403"}"#;
        let cases = [
            (split, true, Some(1), "ffsplit", "192.0.2.9:5403"),
            (
                r#"{"State":"Connect failed","Algorithm":"LMS","QNetd host":"a b"}"#,
                false,
                Some(2),
                "lms",
                "",
            ),
            (r#"{"State":"Connected","Algorithm":"Test"}"#, true, None, "other", ""),
        ];
        for (body, connected, votes, algorithm, host) in cases {
            let expected = QDevice {
                connected,
                algorithm,
                votes,
                host: host.into(),
            };
            assert_eq!(device(body), Some(expected), "{body}");
        }
        let mut corosync = recorded();
        corosync.qdevice = device(cases[0].0);
        assert_eq!(votes(&corosync, Some(&without(&["pve3"]))), [Some(6), Some(5), Some(4)]);
        corosync.qdevice = device(cases[1].0);
        assert_eq!(votes(&corosync, Some(&without(&["pve3"]))), [Some(7), Some(4), Some(4)]);
        corosync.qdevice = device(cases[2].0);
        assert_eq!(votes(&corosync, Some(&without(&[]))), [None; 3]);
    }

    #[test]
    fn a_qdevice_whose_daemon_stops_is_missed_for_a_day() {
        let (memory, start) = (Memory::default(), Instant::now());
        let mut corosync = recorded();
        let mut votes_when = |body: &str, hours: u64| {
            corosync.qdevice = memory.recall(device(body), start + Duration::from_secs(hours * 3600));
            let row = corosync.row("main", Some(&without(&[]))).unwrap();
            (row.qdevice_connected, row.expected, row.online)
        };
        let there = r#"{"State":"Connected","Algorithm":"Fifty-Fifty split"}"#;
        assert_eq!(votes_when("{}", 0), (None, Some(5), Some(5)), "never seen");
        assert_eq!(votes_when(there, 1), (Some(true), Some(6), Some(6)));
        assert_eq!(votes_when("{}", 2), (Some(false), Some(6), Some(5)));
        assert_eq!(votes_when(there, 3), (Some(true), Some(6), Some(6)), "another endpoint");
        assert_eq!(votes_when("{}", 26), (Some(false), Some(6), Some(5)));
        assert_eq!(votes_when("{}", 27), (None, Some(5), Some(5)), "forgotten");
    }

    #[test]
    fn a_damaged_row_leaves_the_sum_unknown_and_a_standalone_node_has_none() {
        let damaged = nodes_of(br#"{"data":[{"node":"pve1"},7,{"quorum_votes":"1"}]}"#).unwrap();
        assert_eq!((damaged.nodes.len(), damaged.damaged_rows), (1, 2));
        assert_eq!(damaged.nodes["pve1"], 1, "corosync's default");
        assert_eq!(votes(&damaged, Some(&without(&[]))), [None; 3]);
        assert_eq!(nodes_of(br#"{"data":[]}"#).unwrap().row("main", None), None);
        assert!(nodes_of(br#"{"data":null}"#).is_err());
    }
}
