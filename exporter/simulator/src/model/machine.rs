//! How a node is looked after: its clock, services, packages, subscription and certificates.

use super::Node;
use crate::{
    Options,
    calendar::{DAY, DateTime, Seconds},
};

/// What one node has besides guests.
#[derive(Debug)]
pub(crate) struct Machine {
    /// How far its clock is ahead, in seconds.
    pub(crate) clock_ahead: u64,
    /// A service that is enabled and does not run.
    pub(crate) stopped_service: Option<&'static str>,
    /// Packages wait to be updated, and a newer kernel is installed than the one that runs.
    pub(crate) outdated: bool,
    pub(crate) subscription: Subscription,
    /// The files with the first and the last second of each.
    pub(crate) certificates: Vec<(&'static str, Seconds, Seconds)>,
}

/// The subscription of a node.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) status: &'static str,
    pub(crate) level: &'static str,
    /// The day on which it ends; none without a subscription.
    pub(crate) next_due: Option<String>,
}

impl Machine {
    /// In a lively cluster the first node has a certificate that soon ends, the second is out of date, and the third has lost
    /// the time since nothing sets its clock, and its subscription; fewer nodes share that.
    pub(super) fn new(options: &Options, index: usize, level: &'static str, start: Seconds) -> Self {
        let is_troubled = |number: usize| options.is_troubled() && index == number % options.nodes.max(1);
        let year = 365 * DAY;
        let day = |at: Seconds| DateTime::at(at).iso().chars().take(10).collect();
        let mut certificates = vec![
            ("pve-root-ca.pem", start.saturating_sub(year), start + 9 * year),
            ("pve-ssl.pem", start.saturating_sub(year / 2), start + 3 * year / 2),
        ];
        if index == 0 {
            let left = if is_troubled(0) { 9 } else { 60 };
            certificates.push((
                "pveproxy-ssl.pem",
                start.saturating_sub((90 - left) * DAY),
                start + left * DAY,
            ));
        }
        Self {
            clock_ahead: if is_troubled(2) { 7 } else { 0 },
            stopped_service: is_troubled(2).then_some("chrony"),
            outdated: is_troubled(1),
            subscription: if is_troubled(2) {
                Subscription {
                    status: "expired",
                    level: "c",
                    next_due: Some(day(start.saturating_sub(12 * DAY))),
                }
            } else if level.is_empty() {
                Subscription {
                    status: "notfound",
                    level,
                    next_due: None,
                }
            } else {
                Subscription {
                    status: "active",
                    level,
                    next_due: Some(day(start + 200 * DAY)),
                }
            },
            certificates,
        }
    }
}

impl Node {
    /// The release of the kernel that runs.
    pub(crate) fn kernel(&self) -> &'static str {
        match self.version.major {
            9.. => "7.0.2-1-pve",
            8 => "6.8.12-10-pve",
            _ => "5.15.158-2-pve",
        }
    }

    /// The release of the newest kernel that is installed.
    pub(crate) fn newest_kernel(&self) -> &'static str {
        match self.version.major {
            _ if !self.machine.outdated => self.kernel(),
            9.. => "7.0.14-2-pve",
            8 => "6.8.12-11-pve",
            _ => "5.15.160-1-pve",
        }
    }
}
