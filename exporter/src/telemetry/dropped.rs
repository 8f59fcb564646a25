//! What of a guest was not taken, and why.

/// Why a line, a sample or a row was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A line beyond the bytes that the guest may send.
    Bytes,
    /// A line beyond the lines that the guest may send.
    Lines,
    /// A line that is too long, or of a sample of too many.
    TooLong,
    /// A line that is not JSON, or no message.
    Damaged,
    /// A line of a version that cannot be read.
    Version,
    /// A line that was under way for too long.
    Stale,
    /// A line of an earlier boot, of an earlier collector, or with a sequence that is not above the newest.
    Order,
    /// An answer to nothing that was asked.
    Unasked,
    /// A sample of which lines are missing, or a line of it behind these.
    Incomplete,
    /// A row beyond the series that the guest may have.
    Series,
    /// A row with a label set beyond those that may be new in a day.
    LabelSets,
    /// A row with a label that is empty, too long, or holds what is no text.
    Label,
    /// A row with the labels of another.
    Duplicate,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Bytes,
        Self::Lines,
        Self::TooLong,
        Self::Damaged,
        Self::Version,
        Self::Stale,
        Self::Order,
        Self::Unasked,
        Self::Incomplete,
        Self::Series,
        Self::LabelSets,
        Self::Label,
        Self::Duplicate,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Lines => "lines",
            Self::TooLong => "too_long",
            Self::Damaged => "damaged",
            Self::Version => "version",
            Self::Stale => "stale",
            Self::Order => "order",
            Self::Unasked => "unasked",
            Self::Incomplete => "incomplete",
            Self::Series => "series",
            Self::LabelSets => "label_sets",
            Self::Label => "label",
            Self::Duplicate => "duplicate",
        }
    }
}

/// How much was dropped since the exporter started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped([u64; Reason::ALL.len()]);

impl Dropped {
    pub(super) fn count(&mut self, reason: Reason) {
        self.add(reason, 1);
    }

    pub(super) fn add(&mut self, reason: Reason, number: u64) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += number;
        }
    }

    /// How much for this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Those that are not 0.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        let all = Reason::ALL.into_iter().map(|reason| (reason, self.of(reason)));
        all.filter(|(_, count)| *count > 0)
    }
}
