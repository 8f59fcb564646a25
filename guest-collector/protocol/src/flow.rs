//! How much may be on its way to a host that has not shown that it reads.

use crate::MAX_UNDER_WAY_BYTES;

/// After so many bytes a host shows that it reads: long before the collector, which counts something more for each line, has to
/// wait for it.
const RECEIPT_BYTES: usize = 16_384;

/// The collector's side: how much it may send. Nothing, to begin with.
#[derive(Debug, Default)]
pub struct Credit {
    sent: Option<usize>,
}

impl Credit {
    /// A line came, be it an empty one: the host reads.
    pub fn renew(&mut self) {
        self.sent = Some(0);
    }

    /// The host is away, or the port is another one: nothing may be sent until a line comes.
    pub fn withdraw(&mut self) {
        self.sent = None;
    }

    /// Whether a line of so many bytes may be sent.
    pub fn allows(&self, bytes: usize) -> bool {
        self.sent
            .is_some_and(|sent| sent.saturating_add(bytes) <= MAX_UNDER_WAY_BYTES)
    }

    /// So many bytes have been sent.
    pub fn take(&mut self, bytes: usize) {
        self.sent = self.sent.map(|sent| sent.saturating_add(bytes));
    }
}

/// The exporter's side: when it owes the collector a sign that it reads.
#[derive(Debug, Default)]
pub struct Receipts {
    bytes: usize,
}

impl Receipts {
    /// So many bytes were received; whether an [`EMPTY_LINE`](crate::EMPTY_LINE) is due now.
    #[must_use]
    pub fn due(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let due = self.bytes >= RECEIPT_BYTES;
        if due {
            self.bytes = 0;
        }
        due
    }
}
