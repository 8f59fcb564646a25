//! The messages between the collector in a guest and the exporter on its host: types, encoding, decoding. No I/O.
//!
//! `PROTOCOL.md` beside this crate is the specification. The collector fills [`Areas`], and [`Encoder`] makes lines of them; what
//! the host sends goes through [`LineBuffer`] and [`decode_request`]. The exporter gives whatever arrives to [`LineBuffer`],
//! each line to [`decode`], and each report to [`Assembly`], which puts the lines of one sample together. A guest is hostile
//! until shown otherwise: nothing here panics on any bytes, and what a line makes us allocate is bounded.

pub mod areas;
mod assembly;
mod decode;
mod encode;
mod flow;
mod lines;
mod report;
mod request;

pub use areas::{Area, AreaSet, Areas};
pub use assembly::{Assembly, Sample};
pub use decode::{Answer, Damage, Message, decode};
pub use encode::{Encoded, Encoder};
pub use flow::{Credit, Receipts};
pub use lines::{LineBuffer, Piece};
pub use report::{BootId, Header, Report, VERSION, Version};
pub use request::{
    AgentInfo, Call, ErrorCode, Refusal, Request, Subscription, decode_request, write_failure, write_request,
    write_result,
};

/// The port's name inside the guest (`/dev/virtio-ports/NAME`) and in the configuration of the guest.
pub const PORT_NAME: &str = "org.pve-telemetry.guest.0";

/// The longest line, its newline included. Up to this size a virtio-serial port takes a `write()` whole or not at all, and hands
/// it to a new reader from its beginning.
pub const MAX_LINE_BYTES: usize = 32_768;

/// The most rows of one list in a line: rows of a few bytes each must not blow up a reader.
pub const MAX_ROWS_PER_LINE: usize = 256;

/// The most lines that make one sample.
pub const MAX_PARTS: u16 = 64;

/// What a side sends before its first line on a port or connection that it has opened: it ends what a peer that died has left
/// half written. From the host it also says that the host reads, as [`Credit`] and [`Receipts`] need it.
pub const EMPTY_LINE: &[u8] = b"\n";

/// The most bytes that a collector has under way to a host from which no line has come since. Far below what QEMU loses when a
/// slow reader leaves.
pub const MAX_UNDER_WAY_BYTES: usize = 131_072;
