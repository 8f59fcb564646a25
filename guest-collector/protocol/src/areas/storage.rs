//! Disks and file systems.

use serde::{Deserialize, Serialize};

use super::wire;

wire! {
    /// One block device since boot.
    Disk {
        required {
            /// Name, as in `/dev`.
            device: String,
            /// Major number.
            major: u32,
            /// Minor number.
            minor: u32,
            /// Reads completed.
            reads: u64,
            /// Reads merged with others.
            reads_merged: u64,
            /// Sectors of 512 bytes read.
            sectors_read: u64,
            /// Milliseconds spent on reads.
            read_milliseconds: u64,
            /// Writes completed.
            writes: u64,
            /// Writes merged with others.
            writes_merged: u64,
            /// Sectors of 512 bytes written.
            sectors_written: u64,
            /// Milliseconds spent on writes.
            write_milliseconds: u64,
            /// Requests in flight now.
            in_progress: u64,
            /// Milliseconds in which requests were in flight.
            busy_milliseconds: u64,
            /// The same, weighted with their number.
            weighted_milliseconds: u64,
        }
        optional {
            /// Discards completed, since 4.18.
            discards: u64,
            /// Discards merged with others, since 4.18.
            discards_merged: u64,
            /// Sectors of 512 bytes discarded, since 4.18.
            sectors_discarded: u64,
            /// Milliseconds spent on discards, since 4.18.
            discard_milliseconds: u64,
            /// Flushes completed, since 5.5.
            flushes: u64,
            /// Milliseconds spent on flushes, since 5.5.
            flush_milliseconds: u64,
        }
    }
}

wire! {
    /// One mounted file system.
    FileSystem {
        required {
            /// What is mounted.
            device: String,
            /// Where.
            mount_point: String,
            /// Type of the file system.
            kind: String,
            /// Mounted or turned read-only.
            read_only: bool,
        }
        optional {
            /// Size in bytes.
            size_bytes: u64,
            /// Free bytes, those reserved for root included.
            free_bytes: u64,
            /// Free bytes for everybody.
            available_bytes: u64,
            /// Inodes.
            inodes: u64,
            /// Free inodes.
            inodes_free: u64,
            /// Major number of its device.
            major: u32,
            /// Minor number of its device.
            minor: u32,
            /// Why sizes are missing: `timeout`, `denied`, `other`.
            error: FileSystemError,
        }
    }
}

/// Why a file system did not tell its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSystemError {
    /// It did not answer in time; it is asked again once it has.
    Timeout,
    /// The collector may not ask.
    Denied,
    /// Any other reason, and reasons of later versions.
    #[default]
    #[serde(other)]
    Other,
}
