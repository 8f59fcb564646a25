//! Ceph answers for the whole cluster, at any node that has it: which one is asked, and which next.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::pve::client::{Answer, Client};
use crate::pve::error::ApiError;
use crate::sources::tool::Tool;

/// Where Ceph is.
pub struct Ceph {
    tool: Tool,
    /// The node to ask first, and the one to ask last.
    choice: Mutex<Choice>,
}

#[derive(Clone, Debug, Default)]
struct Choice {
    answered: Option<Arc<str>>,
    failed: Option<Arc<str>>,
}

/// Whether PVE says that a node has no Ceph.
fn is_absent(problem: &str) -> bool {
    ["binary not installed", "pveceph configuration not "]
        .iter()
        .any(|words| problem.contains(words))
}

impl Ceph {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        Self {
            tool: Tool::new(clock, is_absent),
            choice: Mutex::default(),
        }
    }

    /// The answer to `path` below one of `nodes`, which are online; `None` where none of them has Ceph.
    ///
    /// # Errors
    /// Every [`ApiError`]: of the first node that has Ceph and fails. Another one is asked the next time.
    pub async fn get(&self, client: &Client, nodes: &[Arc<str>], path: &str) -> Result<Option<Answer>, ApiError> {
        let mut failure = nodes.is_empty().then(|| ApiError::Unreachable {
            endpoint: "any node".to_owned(),
            problem: "none is known to be online".to_owned(),
        });
        for node in self.candidates(nodes) {
            match self.tool.get(client, &node, path).await {
                Ok(Some(answer)) => {
                    self.note(|choice| choice.answered = Some(node));
                    return Ok(Some(answer));
                }
                Ok(None) => {}
                // Nothing was sent.
                Err(error @ (ApiError::Resting(_) | ApiError::Offline { .. })) => drop(failure.get_or_insert(error)),
                Err(error) => {
                    self.note(|choice| {
                        choice.answered = None;
                        choice.failed = Some(node);
                    });
                    return Err(error);
                }
            }
        }
        failure.map_or(Ok(None), Err)
    }

    fn note(&self, change: impl FnOnce(&mut Choice)) {
        change(&mut self.choice.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn candidates(&self, nodes: &[Arc<str>]) -> Vec<Arc<str>> {
        let Choice { answered, failed } = self.choice.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut candidates = nodes.to_vec();
        candidates.sort_by_key(|node| (answered.as_ref() != Some(node), failed.as_ref() == Some(node)));
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_that_answered_is_asked_first_and_the_one_that_failed_last() {
        let ceph = Ceph::new(&Clock::default());
        let nodes: Vec<Arc<str>> = ["pve1", "pve2", "pve3"].map(Into::into).to_vec();
        let order = |answered: Option<&str>, failed: Option<&str>| {
            ceph.note(|choice| {
                *choice = Choice {
                    answered: answered.map(Into::into),
                    failed: failed.map(Into::into),
                }
            });
            ceph.candidates(&nodes).join(" ")
        };
        assert_eq!(order(None, None), "pve1 pve2 pve3");
        assert_eq!(order(Some("pve2"), None), "pve2 pve1 pve3");
        assert_eq!(order(None, Some("pve1")), "pve2 pve3 pve1");
        assert_eq!(order(Some("pve3"), Some("pve3")), "pve3 pve1 pve2");
        assert_eq!(order(Some("gone"), Some("gone")), "pve1 pve2 pve3");
    }

    #[test]
    fn the_words_that_mean_that_there_is_no_ceph() {
        for words in [
            "binary not installed: /usr/bin/ceph-mon\n",
            "pveceph configuration not initialized - missing '/etc/pve/ceph.conf'",
            "pveceph configuration not enabled",
        ] {
            assert!(is_absent(words), "{words}");
        }
        assert!(!is_absent("rados_connect failed - No such file or directory"));
        assert!(!is_absent("got timeout"));
    }
}
