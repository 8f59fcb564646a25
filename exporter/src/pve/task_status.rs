//! How a task ended, from PVE's words for it.

/// The classes into which PVE itself sorts the ends of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskResult {
    /// `OK`.
    Ok,
    /// `WARNINGS: n`.
    Warning,
    /// Any other words: they are the error.
    Error,
    /// `unexpected status`, or none: the worker was killed, or its node lost power.
    Unknown,
}

impl TaskResult {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warning, Self::Error, Self::Unknown];

    /// The class of a finished task's `status`.
    #[must_use]
    pub fn of_finished(status: &str) -> Self {
        match status {
            "OK" => Self::Ok,
            // Perl takes "0" for false.
            "" | "0" | "unexpected status" => Self::Unknown,
            _ => match status.strip_prefix("WARNINGS: ") {
                Some(count) if !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) => Self::Warning,
                _ => Self::Error,
            },
        }
    }

    /// The value of a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the task did what it was to do.
    #[must_use]
    pub const fn succeeded(self) -> bool {
        matches!(self, Self::Ok | Self::Warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fall_into_the_class_that_pve_gives_them() {
        for (status, class) in [
            ("OK", TaskResult::Ok),
            ("WARNINGS: 2", TaskResult::Warning),
            ("WARNINGS: ", TaskResult::Error),
            ("WARNINGS: 2x", TaskResult::Error),
            ("unexpected status", TaskResult::Unknown),
            ("", TaskResult::Unknown),
            ("0", TaskResult::Unknown),
            ("job errors", TaskResult::Error),
            ("ok", TaskResult::Error),
        ] {
            assert_eq!(TaskResult::of_finished(status), class, "{status}");
        }
    }
}
