//! How it stands with a guest's collector.

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody listens on the port: the guest does not run, or has lost its socket.
    Absent,
    /// There is no connection yet, or nothing has come over it.
    Connecting,
    /// There is a sample that counts.
    Healthy,
    /// Nothing comes.
    Silent,
    /// Nothing comes, on several connections in a row, from a guest that has been heard before.
    Wedged,
    /// Another process than the guest's QEMU has its socket.
    Misattributed,
    /// What comes cannot be used.
    ProtocolError,
    /// The collector is of a later major version.
    VersionTooNew,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Absent,
        Self::Connecting,
        Self::Healthy,
        Self::Silent,
        Self::Wedged,
        Self::Misattributed,
        Self::ProtocolError,
        Self::VersionTooNew,
    ];

    /// The value of the label `state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Connecting => "connecting",
            Self::Healthy => "healthy",
            Self::Silent => "silent",
            Self::Wedged => "wedged",
            Self::Misattributed => "misattributed",
            Self::ProtocolError => "protocol_error",
            Self::VersionTooNew => "version_too_new",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Absent => "start the guest, or stop and start it if it runs: that makes its socket",
            Self::Connecting => "wait for a minute; should it stay so, let no other program connect to the socket",
            Self::Healthy => "none is needed",
            Self::Silent => "see that the guest runs and is not paused, and in it pve-guest-collector",
            Self::Wedged => {
                "see that the guest is not paused and pve-guest-collector runs in it; if so, reset the guest, or unbind and bind the port's virtio device in it"
            }
            Self::Misattributed => {
                "give each guest a socket with its own number in its args, and start those again that were changed"
            }
            Self::ProtocolError => "look into the log of pve-guest-collector in the guest, and update it",
            Self::VersionTooNew => "update pve-exporter",
        }
    }
}
