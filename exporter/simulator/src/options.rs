//! What a simulated cluster looks like when it starts.

use std::time::{Duration, SystemTime};

use crate::{AgentMix, Version, clock::Clock};

/// The cluster to simulate. The defaults are a small, quiet cluster with PVE's own delays.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many nodes: `pve1` and on.
    pub nodes: usize,
    /// How many guests, virtual machines and containers together, with ids from 100.
    pub guests: usize,
    /// Everything random follows from this number.
    pub seed: u64,
    /// The version of each node; cycled when there are more nodes.
    pub versions: Vec<Version>,
    /// Nodes that never joined a cluster: each knows only itself.
    pub standalone: bool,
    /// The name of the cluster.
    pub name: String,
    /// The API token, `USER@REALM!TOKENID`.
    pub token_id: String,
    /// The secret of the API token at the start.
    pub token_secret: String,
    /// The user, `USER@REALM`, who may log in with a password.
    pub user: String,
    /// The user's password at the start.
    pub password: String,
    /// The user has a second factor.
    pub second_factor: bool,
    /// How long PVE lets a refused login wait.
    pub unauthorized_delay: Duration,
    /// How long it takes until a node learns that another one cannot be reached (595).
    pub dead_node_delay: Duration,
    /// How long a node waits for another one that accepts the connection and says nothing (596).
    pub hung_node_delay: Duration,
    /// The same for one node of `/cluster/metrics/export`, which then goes on without it.
    pub export_node_delay: Duration,
    /// What every API call costs.
    pub call_delay: Duration,
    /// How long the other nodes still list a node as online after it went offline.
    pub stale_after: Duration,
    /// How long a connection may idle.
    pub idle_timeout: Duration,
    /// How many requests a connection serves before it is closed.
    pub requests_per_connection: usize,
    /// What moves the time.
    pub clock: Clock,
    /// The time at the start: by default now for [`Clock::Real`] and a fixed day for [`Clock::Manual`].
    pub starts_at: Option<SystemTime>,
    /// How many ended tasks a file of a node's archive holds; the newest file and the one before it are kept.
    pub archived_tasks: usize,
    /// How far the local time of the nodes is ahead of UTC: their logs and schedules are in local time.
    pub utc_offset_minutes: i32,
    /// The token may see backup volumes: `Datastore.Allocate`, or `Datastore.AllocateSpace` and `VM.Backup`, which no
    /// auditor has.
    pub sees_backups: bool,
    /// Which virtual machines have a guest agent, and of which kind.
    pub agents: AgentMix,
    /// How long PVE waits for an agent that does not answer a ping.
    pub agent_silence: Duration,
    /// How long PVE waits for the answer to a command of an agent.
    pub agent_timeout: Duration,
    /// The token has `VM.Monitor`, which no auditor has and without which versions before 9 ask no agent.
    pub monitors_guests: bool,
    /// A QDevice votes beside the nodes, and is connected.
    pub qdevice: bool,
    /// Ceph on up to three nodes, the last ones. One of its disks is down, unless the cluster is calm.
    pub ceph: bool,
    /// A lively cluster: guests start, stop and migrate, backups run, a storage fails now and then. Something is always
    /// wrong: a guest whose backup failed last night, one whose backups ended a week ago, one that is not frozen, a
    /// backup whose storage could not be reached, a user whose time soon ends, snapshots that fail, a guest whose disk is
    /// full and one that somebody has paused, a ZFS pool that has lost a disk, a thin pool that is nearly full, a disk
    /// that fails and one that is worn, a certificate that soon ends, a node that waits for updates and a restart, and
    /// one whose clock nothing sets and whose subscription has expired. Guests have the agents of [`AgentMix::lively`]
    /// unless [`agents`](Self::agents) says otherwise. Virtual machines have ports, and an odd number of nodes has a
    /// QDevice.
    pub events: bool,
    /// Nothing is wrong, in a lively cluster either.
    pub calm: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            guests: 24,
            seed: 1,
            versions: vec![Version::new(9, 2, 11)],
            standalone: false,
            name: "simulated".to_owned(),
            token_id: "prometheus@pve!exporter".to_owned(),
            token_secret: "3f2b6a94-5d1c-4e0e-9a57-70c1d2b8e6f4".to_owned(),
            user: "prometheus@pve".to_owned(),
            password: "battery +%41&=; stäple".to_owned(),
            second_factor: false,
            unauthorized_delay: Duration::from_secs(3),
            dead_node_delay: Duration::from_secs(3),
            hung_node_delay: Duration::from_secs(30),
            export_node_delay: Duration::from_secs(20),
            call_delay: Duration::ZERO,
            stale_after: Duration::ZERO,
            idle_timeout: Duration::from_secs(5),
            requests_per_connection: 100,
            clock: Clock::Real,
            starts_at: None,
            archived_tasks: 700,
            utc_offset_minutes: 120,
            sees_backups: false,
            agents: AgentMix::default(),
            agent_silence: Duration::from_secs(3),
            agent_timeout: Duration::from_secs(5),
            monitors_guests: false,
            qdevice: false,
            ceph: false,
            events: false,
            calm: false,
        }
    }
}

impl Options {
    /// Whether something is always wrong.
    pub(crate) fn is_troubled(&self) -> bool {
        self.events && !self.calm
    }

    /// Whether a machine that is no node votes. Among an odd number of nodes its one vote changes nothing about who has quorum.
    pub(crate) fn has_qdevice(&self) -> bool {
        self.qdevice || self.events && !self.standalone && self.nodes >= 3 && !self.nodes.is_multiple_of(2)
    }
}
