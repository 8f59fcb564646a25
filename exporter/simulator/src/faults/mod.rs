//! Faults: what can go wrong, where, and since when.

mod active;
mod parse;
mod pattern;

pub(crate) use active::ActiveFaults;
pub use parse::{FAULT_NAMES, InvalidFault};

use std::time::Duration;

/// What goes wrong. A fault without a node is one of every node, a fault without a path one of every path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// `offline`: the node is gone: connections are refused and dropped, the others list it as offline (after
    /// [`Options::stale_after`](crate::Options::stale_after)) and its guests as unknown.
    Offline,
    /// `dead-but-running`: like `offline`, but as PVE really shows it: the guests of the node are still listed as
    /// running, with their last numbers, for five minutes of simulated time.
    DeadButRunning,
    /// `proxy-down`: the node lives, but nothing listens on its API port.
    ProxyDown,
    /// `hang`: a request is accepted and never answered.
    Hang,
    /// `black-hole`: a TCP connection is accepted and TLS is never answered.
    BlackHole,
    /// `slow=DURATION`: the answer takes that much longer.
    Slow(Duration),
    /// `status=CODE REASON`: this status line in place of the answer.
    Status {
        /// The status code, 100 to 999.
        code: u16,
        /// The reason in the status line, and in the body of versions that have it there.
        reason: String,
    },
    /// `truncated`: the connection is closed in the middle of the body.
    Truncated,
    /// `string-numbers`: every number is a string.
    StringNumbers,
    /// `wrong-types`: objects in place of numbers, in every third row of a list and in bodies that are no list.
    WrongTypes,
    /// `garbage-rows`: rows that are no rows stand among the good ones.
    GarbageRows,
    /// `huge=BYTES`: the body is filled up with white space to this size.
    Huge(u64),
    /// `garbage`: a 200 with a body that is no JSON.
    Garbage,
    /// `no-permission`: the token has no rights: 403, or a 200 with fewer rows, as PVE does.
    NoPermission,
    /// `revoked`: the token does not exist any more, nor does the user: 401.
    Revoked,
    /// `qmp-timeout` or `qmp-timeout=VMID`: QEMU does not answer its node: disk counters of running guests are 0, and what
    /// only QEMU knows is missing from lists.
    QmpTimeout(Option<u32>),
    /// `vanished=VMID`: the guest is not there any more.
    Vanished(u32),
    /// `storage-unavailable=STORAGE`: the storage cannot be reached.
    StorageUnavailable(String),
    /// `frozen-pvestatd`: the node's values stop moving while it keeps answering.
    FrozenPvestatd,
    /// `zero-timestamp`: the node's own metrics in `/cluster/metrics/export` have the value 0 and the time 0.
    ZeroTimestamp,
    /// `partition`: the node is cut off, alone: it answers, without quorum, and sees the others offline, as they see it.
    Partition,
    /// `close-idle`: the connection is closed after every response, without saying so in the response.
    CloseIdle,
    /// `standalone`: the node never joined a cluster and knows only itself.
    Standalone,
}

/// A fault and where it strikes. `node` is the node that executes a request (for connections: the one that listens).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The only node that has it; all nodes if there is none.
    pub node: Option<String>,
    /// The only paths that have it, without `/api2/json`; `*` or `{name}` stands for one segment, a final `**` for the
    /// rest.
    pub path: Option<String>,
}

impl Fault {
    /// A fault of every node and path.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            node: None,
            path: None,
        }
    }

    /// Limits the fault to one node.
    #[must_use]
    pub fn on(mut self, node: impl Into<String>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Limits the fault to the paths of a pattern.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self::new(kind)
    }
}

/// Names an injected fault, to clear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultId(pub(crate) u64);
