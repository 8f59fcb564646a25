//! The handle of a running simulator.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    CallCounts, Clock, Fault, FaultId, GuestKind, GuestSettings, GuestSnapshot, LastRequest, Options,
    clock::{Milliseconds, SimulatedTime},
    cluster::Cluster,
    model::{Guest, Model, Replication},
    tls::Authority,
    transport::Listener,
};

mod agents;
mod tasks;

pub use tasks::NewBackup;

/// The day on which manual clocks start.
const MANUAL_START: Duration = Duration::from_secs(1_786_800_000);

/// A running cluster. Dropping it closes its ports and connections.
#[derive(Debug)]
pub struct Simulator {
    pub(crate) cluster: Arc<Cluster>,
    authority: String,
    addresses: Vec<SocketAddr>,
    listening: Vec<watch::Receiver<bool>>,
    // The tasks end when this is dropped.
    _tasks: JoinSet<()>,
}

/// A guest in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestSummary {
    /// Its id.
    pub vmid: u32,
    /// What runs it.
    pub kind: GuestKind,
    /// The node it is on.
    pub node: String,
    /// Whether it runs, in whatever run state.
    pub running: bool,
    /// Everything that can be set.
    pub settings: GuestSettings,
}

/// A guest to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGuest {
    /// What runs it.
    pub kind: GuestKind,
    /// The node it is on.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Whether it is started at once.
    pub running: bool,
}

impl Simulator {
    /// Starts a cluster: one endpoint per node, on ports that the system chooses.
    ///
    /// # Errors
    ///
    /// Fails without nodes, or if a certificate or a socket cannot be made.
    pub async fn start(options: Options) -> io::Result<Self> {
        if options.nodes == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a cluster needs at least one node",
            ));
        }
        let start = options.starts_at.unwrap_or_else(|| match options.clock {
            Clock::Real => SystemTime::now(),
            Clock::Manual => UNIX_EPOCH + MANUAL_START,
        });
        let time = SimulatedTime::new(options.clock, start);
        let authority = Authority::new()?;
        let (mut listeners, mut fingerprints) = (Vec::new(), Vec::new());
        for index in 0..options.nodes {
            let identity = authority.identity(&format!("pve{}", index + 1))?;
            listeners.push(Listener::reserve(index, &identity)?);
            fingerprints.push(identity.fingerprint);
        }
        let cluster = Arc::new(Cluster::new(options, time, fingerprints));
        let addresses = listeners.iter().map(Listener::address).collect();
        let listening = listeners.iter().map(Listener::listening).collect();
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(listener.serve(Arc::clone(&cluster)));
        }
        let simulator = Self {
            cluster,
            authority: authority.pem().to_owned(),
            addresses,
            listening,
            _tasks: tasks,
        };
        simulator.settled().await;
        Ok(simulator)
    }

    /// The base URL of every node.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.addresses
            .iter()
            .map(|address| format!("https://{address}"))
            .collect()
    }

    /// The base URL of a node.
    #[must_use]
    pub fn endpoint(&self, node: &str) -> Option<String> {
        let index = self.cluster.node_named(node)?;
        self.addresses.get(index).map(|address| format!("https://{address}"))
    }

    /// The names of the nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        (0..self.addresses.len())
            .map(|node| self.cluster.node_name(node).to_owned())
            .collect()
    }

    /// The certificate of the cluster's authority.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.authority
    }

    /// SHA-256 of a node's certificate, as `AA:BB:..`.
    #[must_use]
    pub fn fingerprint(&self, node: &str) -> Option<String> {
        self.cluster.fingerprints.get(self.cluster.node_named(node)?).cloned()
    }

    /// The API token, `USER@REALM!TOKENID`.
    #[must_use]
    pub fn token_id(&self) -> &str {
        &self.cluster.options.token_id
    }

    /// The secret of the API token.
    #[must_use]
    pub fn token_secret(&self) -> String {
        self.cluster.token_secret()
    }

    /// Gives the API token another secret; the old one is refused from now on.
    pub fn set_token_secret(&self, secret: impl Into<String>) {
        self.cluster.set_token_secret(secret.into());
    }

    /// The user who may log in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.cluster.options.user
    }

    /// The user's password.
    #[must_use]
    pub fn password(&self) -> String {
        self.cluster.password()
    }

    /// Gives the user another password. Tickets hold as long as before.
    pub fn set_password(&self, password: impl Into<String>) {
        self.cluster.set_password(password.into());
    }

    /// Refuses every ticket there is from now on, as when the key that signs them is replaced.
    pub fn forget_tickets(&self) {
        self.cluster.tickets.forget();
    }

    /// The simulated time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.cluster.time.now())
    }

    /// Moves the simulated time on, whatever the clock is.
    pub fn advance(&self, by: Duration) {
        self.cluster.time.advance(by);
    }

    /// Switches a fault on.
    pub fn inject(&self, fault: impl Into<Fault>) -> FaultId {
        let fault = fault.into();
        if fault
            .node
            .as_deref()
            .is_some_and(|node| self.cluster.node_named(node).is_none())
        {
            tracing::warn!(%fault, "no node has this name, the fault has no effect");
        }
        self.cluster.inject(fault)
    }

    /// Switches a fault off; false if it was off before.
    pub fn clear(&self, id: FaultId) -> bool {
        self.cluster.clear(id)
    }

    /// Switches all faults off.
    pub fn clear_all(&self) {
        self.cluster.clear_all();
    }

    /// Waits until every port is open or closed as the faults want it. No answer ever disagrees with the faults; only
    /// whether the operating system accepts a connection lags behind by a moment.
    pub async fn settled(&self) {
        for (node, listening) in self.listening.iter().enumerate() {
            let mut listening = listening.clone();
            // It only fails when the listener has ended, and then there is nothing to wait for.
            if listening
                .wait_for(|open| *open != self.cluster.refuses(node))
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// The guests as they are now.
    #[must_use]
    pub fn guests(&self) -> Vec<GuestSummary> {
        self.cluster
            .with_model(|model| model.guests.values().map(|guest| summary(model, guest)).collect())
    }

    /// One guest as it is now.
    #[must_use]
    pub fn guest(&self, vmid: u32) -> Option<GuestSummary> {
        self.cluster
            .with_model(|model| model.guests.get(&vmid).map(|guest| summary(model, guest)))
    }

    /// Adds a guest and says what its id is; nothing if there is no such node.
    pub fn add_guest(&self, new: NewGuest) -> Option<u32> {
        self.cluster.change(|model, now| {
            let (node, vmid) = (model.node_index(&new.node)?, model.next_vmid());
            let mut guest = Guest::new(model.seed, vmid, new.kind, node, Model::plain_settings(&new.name));
            if new.running {
                guest.start(now);
            }
            model.guests.insert(vmid, guest);
            Some(vmid)
        })
    }

    /// Changes what can be set about a guest; false if it does not exist.
    pub fn set_guest(&self, vmid: u32, set: impl FnOnce(&mut GuestSettings)) -> bool {
        self.change(vmid, |guest, now| {
            set(&mut guest.settings);
            let held = guest
                .settings
                .run_state
                .as_deref()
                .is_some_and(|state| state != "running");
            guest.held_since = held.then(|| guest.held_since.unwrap_or(now));
        })
    }

    /// Starts a guest; false if it does not exist.
    pub fn start_guest(&self, vmid: u32) -> bool {
        self.change(vmid, Guest::start)
    }

    /// Stops a guest; false if it does not exist.
    pub fn stop(&self, vmid: u32) -> bool {
        self.change(vmid, |guest, _| guest.stop())
    }

    /// Stops and starts a guest; false if it does not exist.
    pub fn restart(&self, vmid: u32) -> bool {
        self.change(vmid, Guest::restart)
    }

    /// Moves a guest to another node; false if the guest or the node does not exist.
    pub fn migrate(&self, vmid: u32, to_node: &str) -> bool {
        let Some(node) = self.cluster.node_named(to_node) else {
            return false;
        };
        self.change(vmid, |guest, now| guest.migrate(node, now))
    }

    /// Takes a snapshot of a guest; false if it does not exist.
    pub fn add_snapshot(&self, vmid: u32, name: &str, with_memory: bool) -> bool {
        self.change(vmid, |guest, now| {
            guest.settings.snapshots.push(GuestSnapshot {
                name: name.to_owned(),
                taken_at: now / 1_000,
                with_memory,
            });
        })
    }

    /// The ids of the replication jobs, for example `100-0`.
    #[must_use]
    pub fn replications(&self) -> Vec<String> {
        self.cluster
            .with_model(|model| model.replications.iter().map(Replication::id).collect())
    }

    /// Lets a replication job fail from now on; false if it does not exist.
    pub fn fail_replication(&self, id: &str) -> bool {
        self.change_replication(id, |job, now| job.failing_since = Some(now))
    }

    /// Disables a replication job; false if it does not exist.
    pub fn disable_replication(&self, id: &str) -> bool {
        self.change_replication(id, |job, now| job.disabled_since = Some(now))
    }

    /// Lets a replication job run well again that failed or was disabled; false if it does not exist.
    pub fn resume_replication(&self, id: &str) -> bool {
        self.change_replication(id, |job, _| (job.failing_since, job.disabled_since) = (None, None))
    }

    fn change_replication(&self, id: &str, change: impl FnOnce(&mut Replication, Milliseconds)) -> bool {
        self.cluster.change(|model, now| {
            let job = model.replications.iter_mut().find(|job| job.id() == id);
            job.map(|job| change(job, now)).is_some()
        })
    }

    /// Removes a guest and its replication; false if it does not exist.
    pub fn remove(&self, vmid: u32) -> bool {
        self.cluster.change(|model, _| {
            model.replications.retain(|job| job.guest != vmid);
            model.guests.remove(&vmid).is_some()
        })
    }

    fn change(&self, vmid: u32, change: impl FnOnce(&mut Guest, Milliseconds)) -> bool {
        self.cluster
            .change(|model, now| model.change(vmid, |guest| change(guest, now)).is_some())
    }

    /// How often each endpoint was called.
    #[must_use]
    pub fn calls(&self) -> CallCounts {
        self.cluster.calls.counts()
    }

    /// Forgets all calls, connections, concurrency and the last request.
    pub fn reset_calls(&self) {
        self.cluster.calls.reset();
    }

    /// The most calls that a node executed at once, whoever they came through.
    #[must_use]
    pub fn highest_concurrency(&self, node: &str) -> usize {
        self.cluster.calls.highest_concurrency(node)
    }

    /// The most of them that were slow: those that make a node fork, ask QEMU's monitor, take a lock of the cluster or
    /// look through a storage.
    #[must_use]
    pub fn highest_slow_concurrency(&self, node: &str) -> usize {
        self.cluster.calls.highest_slow_concurrency(node)
    }

    /// How many calls a node executes right now.
    #[must_use]
    pub fn running_calls(&self, node: &str) -> usize {
        self.cluster.calls.running(node)
    }

    /// How often a node ran `smartctl`, each time for one disk: a disk that sleeps is woken by it.
    #[must_use]
    pub fn smartctl_runs(&self, node: &str) -> u64 {
        self.cluster.calls.smartctl_runs(node)
    }

    /// How many connections were opened to the endpoint of a node.
    #[must_use]
    pub fn connections(&self, node: &str) -> u64 {
        self.cluster.calls.connections(node)
    }

    /// The newest request.
    #[must_use]
    pub fn last_request(&self) -> Option<LastRequest> {
        self.cluster.calls.last()
    }
}

fn summary(model: &Model, guest: &Guest) -> GuestSummary {
    GuestSummary {
        vmid: guest.vmid,
        kind: guest.kind,
        node: model.nodes[guest.node].name.clone(),
        running: guest.is_running(),
        settings: guest.settings.clone(),
    }
}
