//! What PVE says where the agent says nothing.

use crate::pve::error::ApiError;

/// Why there is no answer of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The guest's configuration has no agent.
    NotConfigured,
    /// The virtual machine does not run.
    NotRunning,
    /// It did not answer PVE's ping within 3 s, or nothing listens where it should.
    Silent,
    /// It answered the ping, and not the command within 5 s.
    TimedOut,
    /// The guest is at another node, or gone.
    Moved,
}

/// The silence that PVE tells of in the words of its versions 7 to 9; `None` where something else than the agent or the guest is
/// at fault.
#[must_use]
pub fn silence(error: &ApiError) -> Option<Silence> {
    let ApiError::Status {
        status: 500, problem, ..
    } = error
    else {
        return None;
    };
    let problem = problem.to_ascii_lowercase();
    let has = |words: &str| problem.contains(words);
    if problem.starts_with("no qemu guest agent") {
        Some(Silence::NotConfigured)
    } else if has("guest agent is not running") || has("unable to connect to vm") {
        Some(Silence::Silent)
    } else if problem.starts_with("vm ") && has("is not running") {
        Some(Silence::NotRunning)
    } else if has(" command '") && has("failed - got timeout") {
        Some(Silence::TimedOut)
    } else if problem.starts_with("configuration file") && has("does not exist") {
        Some(Silence::Moved)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, problem: &str) -> Option<Silence> {
        silence(&ApiError::Status {
            path: String::new(),
            status,
            problem: problem.to_owned(),
        })
    }

    /// The reason phrase of an answer.
    fn reason(answer: &str) -> &str {
        answer.lines().next().unwrap().strip_prefix("HTTP/1.1 500 ").unwrap()
    }

    #[test]
    fn the_words_of_each_version_are_known() {
        for (answer, expected) in [
            (
                include_str!("../../../../tests/fixtures/errors/500-agent-not-configured.pve9.http"),
                Silence::NotConfigured,
            ),
            (
                include_str!("../../../../tests/fixtures/errors/500-agent-not-running.pve8.3.http"),
                Silence::Silent,
            ),
            (
                include_str!("../../../../tests/fixtures/errors/500-agent-not-running.pve9.http"),
                Silence::Silent,
            ),
            (
                include_str!("../../../../tests/fixtures/errors/500-agent-timeout.pve9.http"),
                Silence::TimedOut,
            ),
            (
                include_str!("../../../../tests/fixtures/errors/500-vm-not-running.pve9.http"),
                Silence::NotRunning,
            ),
            (
                include_str!("../../../../tests/fixtures/errors/500-vm-migrated-away.pve9.http"),
                Silence::Moved,
            ),
            (
                "HTTP/1.1 500 VM 100 qmp command 'guest-get-fsinfo' failed - got timeout",
                Silence::TimedOut,
            ),
            (
                "HTTP/1.1 500 VM 100 qga command 'guest-get-time' failed - unable to connect to VM 100 qga socket - timeout after 31 retries",
                Silence::Silent,
            ),
        ] {
            assert_eq!(of(500, reason(answer)), Some(expected), "{answer}");
        }
    }

    #[test]
    fn nothing_else_is_the_agents_silence() {
        for (status, problem) in [
            (500, "binary not installed: /usr/bin/ceph-mon"),
            (500, "got timeout"),
            (500, ""),
            (595, "QEMU guest agent is not running"),
        ] {
            assert_eq!(of(status, problem), None, "{problem}");
        }
        let node = "pve1".to_owned();
        assert_eq!(silence(&ApiError::Offline { node }), None);
    }
}
