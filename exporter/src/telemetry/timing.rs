//! How long things take.

use std::time::Duration;

/// The times of all sessions. Tests shorten them.
#[derive(Clone, Debug)]
pub struct Timing {
    /// How often it is looked for guests that have come or gone.
    pub scan: Duration,
    /// How long a collector has to answer.
    pub answer: Duration,
    /// A sample so young is as good as an answer.
    pub recent: Duration,
    /// After so many requests without an answer a scrape does not wait for one.
    pub unanswered: u32,
    /// When such a collector is asked again.
    pub ask_again: Duration,
    /// How long a guest may say nothing at least, whatever its interval.
    pub silence: Duration,
    /// The same right after it has sent what cannot be used: QEMU may have fallen silent over that, and a new connection heals it.
    pub silence_after_error: Duration,
    /// So many connections in a row are given up so soon.
    pub hasty_connections: u32,
    /// How often a guest that says nothing is sent an empty line: a collector that was started again waits for it.
    pub nudge: Duration,
    /// After so many connections on which nothing useful came it is no accident.
    pub useless_connections: u32,
    /// The longest time between two connections to a guest that says nothing useful.
    pub longest_silence: Duration,
    /// How long to wait after the first and after many failures to connect.
    pub back_off: (Duration, Duration),
    /// How long reading to the end may take before a connection is closed.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            scan: Duration::from_secs(5),
            answer: Duration::from_millis(200),
            recent: Duration::from_secs(1),
            unanswered: 3,
            ask_again: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            silence_after_error: Duration::from_secs(10),
            hasty_connections: 3,
            nudge: Duration::from_secs(5),
            useless_connections: 3,
            longest_silence: Duration::from_secs(600),
            back_off: (Duration::from_secs(1), Duration::from_secs(60)),
            drain: Duration::from_millis(200),
        }
    }
}
