//! Whether nodes still tell how they are, before PVE 8.3 told when they last did.
//!
//! pvestatd writes a node's uptime every 10 s. While it hangs, on a storage that does not answer say, `/cluster/resources` goes
//! on with the last figures for five minutes, all of them plausible; only the uptime gives them away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long an uptime may stand still: six samples.
const PATIENCE: Duration = Duration::from_secs(60);

/// The uptimes of the nodes of a cluster, and since when they stand still.
#[derive(Debug, Default)]
pub struct Stalled(BTreeMap<Arc<str>, Seen>);

#[derive(Debug)]
struct Seen {
    uptime: u64,
    since: Instant,
    /// Known once the uptime has moved, or has not for long enough.
    stalled: Option<bool>,
}

impl Stalled {
    /// Takes what the nodes that are not offline tell, at the time when it was read, and gives those that have stalled, or have
    /// not. A node that has told nothing yet is neither; one that tells no more stands still. Others are forgotten.
    pub fn see<'a>(
        &mut self,
        nodes: impl Iterator<Item = (&'a Arc<str>, Option<u64>)>,
        at: Instant,
    ) -> Vec<(Arc<str>, bool)> {
        let mut known = std::mem::take(&mut self.0);
        for (node, uptime) in nodes {
            let seen = known.remove(node).map(|seen| seen.next(uptime, at));
            let seen = seen.or_else(|| {
                Some(Seen {
                    uptime: uptime?,
                    since: at,
                    stalled: None,
                })
            });
            if let Some(seen) = seen {
                self.0.insert(Arc::clone(node), seen);
            }
        }
        let told = self.0.iter();
        told.filter_map(|(node, seen)| Some((Arc::clone(node), seen.stalled?)))
            .collect()
    }
}

impl Seen {
    fn next(mut self, uptime: Option<u64>, at: Instant) -> Self {
        match uptime {
            Some(uptime) if uptime != self.uptime => {
                self = Self {
                    uptime,
                    since: at,
                    stalled: Some(false),
                };
            }
            _ if at.saturating_duration_since(self.since) >= PATIENCE => self.stalled = Some(true),
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Watch(Stalled, Instant);

    impl Watch {
        fn see(&mut self, second: u64, uptimes: &[(&str, Option<u64>)]) -> Vec<(String, bool)> {
            let named: Vec<_> = uptimes
                .iter()
                .map(|(node, uptime)| (Arc::from(*node), *uptime))
                .collect();
            let at = self.1 + Duration::from_secs(second);
            let told = self.0.see(named.iter().map(|(node, uptime)| (node, *uptime)), at);
            told.into_iter()
                .map(|(node, stalled)| (node.to_string(), stalled))
                .collect()
        }

        fn one(&mut self, second: u64, uptime: Option<u64>) -> Option<bool> {
            self.see(second, &[("pve1", uptime)])
                .first()
                .map(|(_, stalled)| *stalled)
        }
    }

    fn watch() -> Watch {
        Watch(Stalled::default(), Instant::now())
    }

    #[test]
    fn an_uptime_that_stands_still_for_a_minute_is_a_hung_pvestatd() {
        let mut watch = watch();
        assert_eq!(watch.one(0, Some(100)), None, "not known yet");
        assert_eq!(watch.one(10, Some(110)), Some(false));
        assert_eq!(watch.one(69, Some(110)), Some(false));
        assert_eq!(watch.one(70, Some(110)), Some(true));
        assert_eq!(watch.one(400, None), Some(true), "PVE has dropped the figures");
        assert_eq!(watch.one(410, Some(510)), Some(false));
        assert_eq!(watch.one(420, Some(5)), Some(false), "it has booted");
    }

    #[test]
    fn the_same_answer_seen_again_and_rare_scrapes_prove_nothing() {
        let mut often = watch();
        for _ in 0..10 {
            assert_eq!(often.one(0, Some(100)), None);
        }
        let mut seldom = watch();
        assert_eq!(seldom.one(0, Some(100)), None);
        assert_eq!(seldom.one(3600, Some(3700)), Some(false));
        assert_eq!(seldom.one(7200, Some(3700)), Some(true));
    }

    #[test]
    fn a_node_that_was_stalled_from_the_start_is_found() {
        let mut watch = watch();
        watch.one(0, Some(100));
        assert_eq!(watch.one(60, Some(100)), Some(true));
    }

    #[test]
    fn nodes_that_are_gone_or_have_never_told_are_left_out() {
        let mut watch = watch();
        watch.see(0, &[("a", Some(1)), ("b", Some(1)), ("c", None)]);
        let told = watch.see(10, &[("a", Some(11)), ("c", None)]);
        assert_eq!(told, [("a".to_owned(), false)]);
        assert!(
            watch.see(100, &[("b", Some(1)), ("c", None)]).is_empty(),
            "b begins anew"
        );
    }
}
