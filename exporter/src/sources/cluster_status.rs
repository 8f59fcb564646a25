//! `/cluster/status`: quorum, and which nodes are online.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pve::api;
use crate::pve::client::{Answer, Client, Place, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::cluster::Membership;

/// Corosync's view.
#[derive(Debug, Default)]
pub struct ClusterStatus {
    /// Of the cluster as a whole.
    pub membership: Membership,
    /// Number and address of each node.
    pub nodes: BTreeMap<Arc<str>, Member>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// A node as corosync knows it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its number.
    pub nodeid: Option<u64>,
    /// Its address.
    pub ip: Arc<str>,
    /// Whether it is online.
    pub online: Option<bool>,
}

/// Reads it, from a quorate endpoint if there is one: an endpoint of the minority side leads to the next.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client) -> Result<ClusterStatus, ApiError> {
    let request = Request::entry("/cluster/status");
    let learn = |answer: &Answer| answer.decode(&request.path, |body| client.learn_from_status(answer.endpoint, body));
    let mut answer = client.get(&request).await?;
    let mut quorate = learn(&answer)?;
    let mut asked = vec![answer.endpoint];
    while !quorate {
        // The minority's endpoint ranks last from now on, so the active one is the next to try.
        let Some(next) = client.active_endpoint().filter(|next| !asked.contains(next)) else {
            break;
        };
        asked.push(next);
        let Ok(other) = client
            .get(&Request {
                place: Place::Endpoint(next),
                ..request.clone()
            })
            .await
        else {
            continue;
        };
        // An answer that cannot be read leaves the first one standing.
        let Ok(its_quorate) = learn(&other) else { continue };
        quorate = its_quorate;
        if quorate {
            answer = other;
        }
    }
    answer.decode(&request.path, decode)
}

fn decode(body: &[u8]) -> Result<ClusterStatus, DecodeError> {
    let mut status = ClusterStatus::default();
    let (mut configured, mut online) = (None, Some(0));
    let mut nodes = BTreeMap::new();
    let membership = &mut status.membership;
    status.damaged_rows = api::cluster_status::decode(body, |row| match &*row.kind {
        "cluster" => {
            membership.name = Some(row.name.into_owned());
            membership.config_version = row.version;
            membership.quorate = row.quorate;
            configured = row.nodes;
        }
        "node" => {
            // Without knowing it of one node the sum is not known.
            online = online.zip(row.online).map(|(sum, online)| sum + u64::from(online));
            nodes.insert(
                Arc::from(row.name),
                Member {
                    nodeid: row.nodeid,
                    ip: row.ip.into(),
                    online: row.online,
                },
            );
        }
        _ => {}
    })?;
    status.membership.nodes = configured.unwrap_or(nodes.len() as u64);
    status.membership.nodes_online = online;
    status.nodes = nodes;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standalone_node_has_no_cluster_row() {
        let status = decode(br#"{"data":[{"type":"node","id":"node/pve1","name":"pve1","nodeid":0,"ip":"192.0.2.11","local":1,"online":1,"level":""}]}"#).unwrap();
        assert_eq!(
            status.membership,
            Membership {
                nodes: 1,
                nodes_online: Some(1),
                ..Membership::default()
            }
        );
        assert_eq!(&*status.nodes["pve1"].ip, "192.0.2.11");
    }
}
