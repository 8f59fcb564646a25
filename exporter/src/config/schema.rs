//! The one table of every key: its name, how its value is written, its default and its meaning.
//!
//! It documents the keys, tells typing errors from keys, and says how a variable's text is to be read.

use figment::value::Value;

/// How a value is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Text that stands for itself; the example shows its form.
    Text(&'static str),
    /// A time span.
    Duration,
    /// Bytes.
    Size,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Number,
    /// One of a few words.
    Choice(&'static str),
    /// A list of texts; the example shows one.
    List(&'static str),
}

impl Kind {
    /// The type, as the documentation names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Choice(_) => "choice",
            Self::List(_) => "list",
        }
    }

    /// What to write, in the words of a remedy.
    pub(super) fn remedy(self) -> String {
        match self {
            Self::Text(example) => format!("write text in quotes, such as {example}"),
            Self::Duration => "write a duration, such as \"10s\"".to_owned(),
            Self::Size => "write a size, such as \"64MiB\"".to_owned(),
            Self::Boolean => "write true or false".to_owned(),
            Self::Number => "write a whole number".to_owned(),
            Self::Choice(words) => format!("write one of {words}"),
            Self::List(example) => format!("write a list, such as {example}"),
        }
    }

    /// Reads the text of an environment variable.
    ///
    /// Only what is a number, a boolean or a list is interpreted: figment would make a number of any text that looks like one.
    pub(super) fn value_of_variable(self, text: &str) -> Value {
        let interpreted = || text.parse::<Value>().unwrap_or_else(|never| match never {});
        match self {
            Self::Number | Self::Boolean => interpreted(),
            Self::List(_) => match interpreted() {
                list @ Value::Array(..) => list,
                _ => Value::from(vec![text.trim()]),
            },
            Self::Text(_) | Self::Duration | Self::Size | Self::Choice(_) => Value::from(text),
        }
    }
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As it would be written; empty where there is none.
    pub(super) default: &'static str,
    pub(super) meaning: &'static str,
}

/// A table of the file.
pub(super) struct Section {
    /// Dotted; `<cluster>` and `<source>` stand for names.
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        meaning,
    }
}

const REQUIRED: &str = "required";

/// Whether a key has no default because it must be written.
pub(super) fn is_required(key: &Key) -> bool {
    key.default == REQUIRED
}

const ENABLED: &str = "Whether the source is read. `disk_smart` is not by default: it has PVE run `smartctl` for each disk, one after the other, at every `max_age`, which wakes disks that sleep. Without it nothing is known of their health, wear, temperature and the like. `netstat` is never, without `guest_interfaces`, nor `guest_agent_socket` without `[guest_agent_socket]`. `guest_agents` is where the token has `VM.GuestAgent.Audit`, as an auditor of PVE 9 has; `true` lets it ask with `VM.Monitor` as well, which PVE 8 wants for it and which is as good as root in the guest.";
const MAX_AGE: &str = "The age at which its data is read again; what it may be at least is in the table of the sources. Live state is read every eight minutes at the latest, since it is served for 15 minutes at most.";

const SELECTOR: &[Key] = &[
    key("types", Kind::List("[\"qemu\"]"), "[]", "Kinds: `qemu`, `lxc`."),
    key(
        "tags",
        Kind::List("[\"production\"]"),
        "[]",
        "Tags; a guest matches with any of them.",
    ),
    key("pools", Kind::List("[\"customers\"]"), "[]", "Pools."),
    key(
        "vmids",
        Kind::List("[100, \"200-299\"]"),
        "[]",
        "VMIDs and ranges of them.",
    ),
];

/// Every section, in the order of the documentation.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "web",
        about: "Where and how the exporter answers.",
        keys: &[
            key(
                "listen_address",
                Kind::List("\":9221\" or [\"127.0.0.1:9221\", \"[::1]:9221\"]"),
                "\"[::]:9221\"",
                "IP address and port, or a list of them; `\":9221\"` means all addresses.",
            ),
            key(
                "max_concurrent_scrapes",
                Kind::Number,
                "20",
                "How many scrapes may be answered at the same time.",
            ),
        ],
    },
    Section {
        path: "log",
        about: "What is written to standard error.",
        keys: &[
            key(
                "level",
                Kind::Choice("error, warn, info, debug, trace"),
                "\"info\"",
                "`error`, `warn`, `info`, `debug` or `trace`.",
            ),
            key(
                "format",
                Kind::Choice("logfmt, json"),
                "\"logfmt\"",
                "`logfmt` or `json`.",
            ),
        ],
    },
    Section {
        path: "scrape",
        about: "How long one scrape may take.",
        keys: &[
            key(
                "timeout_margin",
                Kind::Duration,
                "\"500ms\"",
                "How much earlier than Prometheus gives up the exporter answers with what it has.",
            ),
            key(
                "default_timeout",
                Kind::Duration,
                "\"10s\"",
                "The time for a scrape whose scraper does not say how long it waits.",
            ),
        ],
    },
    Section {
        path: "metrics",
        about: "Which metrics are exposed.",
        keys: &[
            key(
                "drop",
                Kind::List("[\"pve_guest_disk_*\"]"),
                "[]",
                "Names of metrics to leave out; `*` stands for any text.",
            ),
            key(
                "series_budget",
                Kind::Number,
                "",
                "The most series that one scrape may return. Unlimited when absent.",
            ),
            key(
                "guest_drives",
                Kind::Boolean,
                "false",
                "Whether each drive of a guest has counters of its own: bytes, operations, flushes and their time, for latency (`pve_guest_drive_*_total`). About ten series per drive.",
            ),
            key(
                "guest_interfaces",
                Kind::Boolean,
                "false",
                "Whether each network interface of a guest has counters of its own (`pve_guest_interface_*`). Two series per interface.",
            ),
            key(
                "guest_pressure_full",
                Kind::Boolean,
                "false",
                "Whether it is exposed how long all of a guest stood still for want of a resource (`pve_guest_pressure_*_full_ratio`), beside how long some of it did.",
            ),
            key(
                "guest_balloon",
                Kind::Boolean,
                "false",
                "Whether the statistics of a virtual machine's balloon are exposed (`pve_guest_balloon_*`; its size always is).",
            ),
            key(
                "guest_agent_interfaces",
                Kind::Boolean,
                "false",
                "Whether the network interfaces that guest agents tell have counters (`pve_guest_agent_network_*`). Eight series per interface, and agents are asked twice as often.",
            ),
            key(
                "guest_agent_addresses",
                Kind::Boolean,
                "false",
                "Whether the addresses that guest agents tell are exposed (`pve_guest_agent_interface_address_info`), at most 32 per guest.",
            ),
            key(
                "guest_agent_details",
                Kind::Boolean,
                "false",
                "Whether guest agents are asked for more than most look at: devices and types of file systems (`pve_guest_filesystem_info`), users, virtual CPUs that are online, time zones, memory blocks; the agent's version and how long it takes are exposed as well.",
            ),
            key(
                "snapshot_names",
                Kind::Boolean,
                "false",
                "Whether each snapshot has a series of its own (`pve_snapshot_*`).",
            ),
            key(
                "failed_tasks",
                Kind::Number,
                "0",
                "How many of each cluster's newest failed tasks are named one by one (`pve_task_failed_info`), at most 100. Their UPIDs are cut before the user.",
            ),
        ],
    },
    Section {
        path: "guest_agent_socket",
        about: "Experimental: the guest agents on the node that the exporter runs on are asked without PVE what it does not pass on: CPU, disks and load as the guest counts them. [guest-agents.md](guest-agents.md) tells what that takes. For one cluster only: with several, write `enabled = false` in `[clusters.<name>.sources.guest_agent_socket]` of the others.",
        keys: &[
            key(
                "enabled",
                Kind::Boolean,
                "false",
                "Whether they are asked. The exporter has to run as root for it, on a node of the cluster.",
            ),
            key(
                "directory",
                Kind::Text("\"/var/run/qemu-server\""),
                "\"/var/run/qemu-server\"",
                "Where QEMU has the sockets, `<vmid>.qga`, and the files with its processes, `<vmid>.pid`.",
            ),
            key(
                "node",
                Kind::Text("\"pve1\""),
                "",
                "The name of the node, where it is not that of the host: in a container, say.",
            ),
        ],
    },
    Section {
        path: "guest_telemetry",
        about: "What the collectors in guests of this node publish over virtio-serial. The limits keep what one guest can cost; what is beyond them is dropped and counted.",
        keys: &[
            key(
                "enabled",
                Kind::Boolean,
                "false",
                "Whether their ports are read. The exporter runs on a node of the cluster for it, as root or with an `opener`.",
            ),
            key(
                "directory",
                Kind::Text("\"/var/run/qemu-server\""),
                "\"/var/run/qemu-server\"",
                "Where QEMU has the sockets of the ports, and the files with its processes, `<vmid>.pid`.",
            ),
            key(
                "socket",
                Kind::Text("\"{vmid}.telemetry\""),
                "\"{vmid}.telemetry\"",
                "The name of a guest's socket in it.",
            ),
            key(
                "opener",
                Kind::Text("\"/run/pve-exporter-opener/socket\""),
                "",
                "The socket of `pve-exporter opener`, which connects as root, so that the exporter need not be. Without it the exporter connects itself.",
            ),
            key(
                "cluster",
                Kind::Text("\"main\""),
                "",
                "The cluster that the node belongs to; needed where several are configured.",
            ),
            key(
                "node",
                Kind::Text("\"pve1\""),
                "",
                "The name of the node, where it is not that of the host: in a container, say.",
            ),
            key(
                "target",
                Kind::Text("\"{node}:9221\""),
                "\"{node}:9221\"",
                "Where the exporter on a node answers, for the targets of `/sd/guests`.",
            ),
            key(
                "bytes_per_second",
                Kind::Size,
                "\"128KiB\"",
                "How much of what a guest sends is looked at. A usual guest sends 1 kB/s.",
            ),
            key(
                "lines_per_second",
                Kind::Number,
                "20",
                "How many of its lines are, at most 1000.",
            ),
            key(
                "series_per_guest",
                Kind::Number,
                "10000",
                "The most series of a guest, about; a usual one has 400, and one with 500 disks 9,500. Whole rows are dropped: the last disks.",
            ),
            key(
                "new_label_sets_per_day",
                Kind::Number,
                "64",
                "How many devices, interfaces, mount points and the like that were not seen before a guest may tell in a day. On the first day it may tell an eighth of `series_per_guest`, if that is more.",
            ),
        ],
    },
    Section {
        path: "sources.<source>",
        about: "What differs from a source's built-in treatment, for every cluster.",
        keys: &[
            key("enabled", Kind::Boolean, "true", ENABLED),
            key("max_age", Kind::Duration, "", MAX_AGE),
        ],
    },
    Section {
        path: "clusters.<cluster>",
        about: "A cluster, or a node that stands alone. Its name is the value of the label `pve_cluster`: 1 to 64 letters, digits, `_`, `.` and `-`.",
        keys: &[
            key(
                "endpoints",
                Kind::List("[\"https://pve1.example:8006\"]"),
                REQUIRED,
                "URLs of the API, in the order in which they are tried. Always `https`; port 8006 unless another is written.",
            ),
            key(
                "token_id",
                Kind::Text("\"exporter@pve!prometheus\""),
                REQUIRED,
                "The API token, as `user@realm!name`; unless `user` is written.",
            ),
            key(
                "token_file",
                Kind::Text("\"/etc/pve-exporter/token\""),
                "",
                "A file with the secret of the token. A relative path starts at the file that names it.",
            ),
            key(
                "token_credential",
                Kind::Text("\"main.token\""),
                "",
                "The name of a file with the secret in `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`).",
            ),
            key(
                "token",
                Kind::Text("(environment only)"),
                "",
                "The secret itself. Accepted from the environment only.",
            ),
            key(
                "user",
                Kind::Text("\"exporter@pve\""),
                "",
                "The user who logs in with a password, as `user@realm`, where there is no token. It must not have a second factor, and one of the realm `pam` needs the same password on all endpoints.",
            ),
            key(
                "password_file",
                Kind::Text("\"/etc/pve-exporter/password\""),
                "",
                "A file with the password of the user. A relative path starts at the file that names it.",
            ),
            key(
                "password_credential",
                Kind::Text("\"main.password\""),
                "",
                "The name of a file with the password in `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`).",
            ),
            key(
                "password",
                Kind::Text("(environment only)"),
                "",
                "The password itself. Accepted from the environment only.",
            ),
            key(
                "fingerprints",
                Kind::List("[\"AA:BB:...\"]"),
                "[]",
                "SHA-256 fingerprints of the certificates to trust, with or without colons.",
            ),
            key(
                "ca_file",
                Kind::Text("\"/etc/pve-exporter/ca.pem\""),
                "",
                "PEM file with the authorities to trust instead of the system's. A relative path starts at the file that names it.",
            ),
            key(
                "insecure_skip_verify",
                Kind::Boolean,
                "false",
                "Trust any certificate: whoever is in between can read the secret or password. Excludes `fingerprints` and `ca_file`.",
            ),
            key(
                "proxy",
                Kind::Text("\"http://proxy.example:3128\""),
                "",
                "An HTTP proxy, without a password.",
            ),
            key(
                "compression",
                Kind::Boolean,
                "false",
                "Ask PVE to compress its answers. It costs PVE processor time; worthwhile on slow links only.",
            ),
            key(
                "connect_timeout",
                Kind::Duration,
                "\"3s\"",
                "The time to establish a connection.",
            ),
            key(
                "request_timeout",
                Kind::Duration,
                "\"35s\"",
                "The time for one answer. PVE itself gives a node up after 30 s.",
            ),
            key(
                "refresh_timeout",
                Kind::Duration,
                "\"60s\"",
                "The time for a whole refresh of a source, all its requests together.",
            ),
            key(
                "body_limit",
                Kind::Size,
                "\"64MiB\"",
                "The largest answer that is read.",
            ),
            key(
                "expected_up_tag",
                Kind::Text("\"always-on\""),
                "",
                "The tag of guests that should run (`pve_guest_expected_up`), beside those that HA or `onboot` starts.",
            ),
            key(
                "allow_targets",
                Kind::List("[\"pve7.example\", \"10.0.0.0/24\"]"),
                "[]",
                "The hosts that `/pve?target=` may ask with this token beside the endpoints: `host`, `host:port`, or a range of addresses, which excludes `insecure_skip_verify` and is not every address there is.",
            ),
        ],
    },
    Section {
        path: "clusters.<cluster>.guests.include",
        about: "The guests that are reported on: those that match every key that is written here. All when nothing is.",
        keys: SELECTOR,
    },
    Section {
        path: "clusters.<cluster>.guests.exclude",
        about: "The guests that are left out: those that match any key that is written here.",
        keys: SELECTOR,
    },
    Section {
        path: "clusters.<cluster>.sources.<source>",
        about: "As `[sources.<source>]`, for this cluster alone.",
        keys: &[
            key("enabled", Kind::Boolean, "", ENABLED),
            key("max_age", Kind::Duration, "", MAX_AGE),
        ],
    },
];
