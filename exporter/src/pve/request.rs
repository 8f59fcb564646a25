//! What is asked of PVE, and where.

use std::sync::Arc;
use std::time::Duration;

use crate::pve::api::agent::Command;
use crate::pve::budget::Cost;

/// Where a request is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At whatever endpoint is the best.
    Entry,
    /// At one endpoint and no other.
    Endpoint(usize),
    /// At a node, through whatever endpoint is the best.
    Node(Arc<str>),
}

/// GET, or POST for a call of a guest agent: nobody but [`Request::agent`] can make one that posts.
#[derive(Clone, Copy)]
pub struct Verb {
    posts: bool,
}

impl Verb {
    /// GET.
    pub const GET: Self = Self { posts: false };

    /// Whether it is POST.
    #[must_use]
    pub const fn posts(self) -> bool {
        self.posts
    }
}

/// A GET request, or a call of a guest agent that changes nothing, some of which PVE takes as a POST only. It has no `Debug`,
/// because its path may hold a UPID, which names a user.
#[derive(Clone)]
pub struct Request {
    /// The path below `/api2/json`, with its query. Errors tell it without users.
    pub path: String,
    /// Where it is executed.
    pub place: Place,
    /// What it occupies there.
    pub cost: Cost,
    /// The time it gets from its sending to the last byte, if less than the configured one. That it runs out says nothing
    /// about the endpoint then.
    pub timeout: Option<Duration>,
    /// How it is sent.
    pub verb: Verb,
}

impl Request {
    /// A cheap request that any endpoint answers by itself.
    #[must_use]
    pub fn entry(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            place: Place::Entry,
            cost: Cost::Cheap,
            timeout: None,
            verb: Verb::GET,
        }
    }

    /// A request that `node` executes; `path` is relative to `/nodes/{node}/`.
    #[must_use]
    pub fn node(node: &Arc<str>, path: &str, cost: Cost) -> Self {
        let place = Place::Node(Arc::clone(node));
        Self {
            path: format!("/nodes/{node}/{path}"),
            place,
            cost,
            timeout: None,
            verb: Verb::GET,
        }
    }

    /// A request of `node` to pass `command` on to the agent of the virtual machine `vmid`.
    #[must_use]
    pub fn agent(node: &Arc<str>, vmid: u32, command: Command) -> Self {
        Self {
            verb: Verb {
                posts: command.is_post(),
            },
            ..Self::node(node, &format!("qemu/{vmid}/agent/{}", command.path()), Cost::Agent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_posts_but_what_pve_takes_of_agents_as_a_post_only() {
        let node = Arc::from("pve1");
        assert!(!Request::entry("/version").verb.posts);
        for cost in [Cost::Cheap, Cost::Slow, Cost::Storage, Cost::Agent] {
            assert!(!Request::node(&node, "status", cost).verb.posts);
        }
        for command in Command::ALL {
            let request = Request::agent(&node, 100, command);
            assert_eq!(request.verb.posts, command == Command::FreezeStatus);
            assert_eq!(request.path, format!("/nodes/pve1/qemu/100/agent/{}", command.path()));
            assert_eq!(request.cost, Cost::Agent);
        }
    }
}
