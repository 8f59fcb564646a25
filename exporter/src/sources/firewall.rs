//! `/cluster/firewall/options` and `/nodes/{node}/firewall/options`: whether the firewall is on.

use std::sync::Arc;

use crate::pve::api::firewall_options;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::name::SourceName;
use crate::subjects::node;
use crate::subjects::node_firewall::NodeFirewall;

const CLUSTER: &str = "/cluster/firewall/options";

/// Whether the firewall of a cluster is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterFirewall {
    /// Whether it is.
    pub enabled: bool,
}

/// Reads that of the cluster. Unless somebody has switched it on it is off.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client) -> Result<ClusterFirewall, ApiError> {
    let answer = client.get(&Request::entry(CLUSTER)).await?;
    let enabled = answer.decode(CLUSTER, |body| is_on(body, false))?;
    Ok(ClusterFirewall { enabled })
}

/// Reads that of a node. Unless somebody has switched it off it is on.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch_node(client: &Client, cluster: &str, node: &Arc<str>) -> Result<NodeFirewall, ApiError> {
    let request = Request::node(node, "firewall/options", SourceName::NodeFirewall.cost());
    let answer = client.get(&request).await?;
    Ok(NodeFirewall {
        identity: node::identity(cluster, node),
        enabled: answer.decode(&request.path, |body| is_on(body, true))?,
    })
}

fn is_on(body: &[u8], default: bool) -> Result<bool, DecodeError> {
    let options = firewall_options::decode(body)?;
    Ok(options.enable.map_or(default, |enable| enable > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_options_are_the_defaults() {
        let cluster = include_bytes!("../../tests/fixtures/pve-9.2/cluster__firewall__options.json");
        assert!(!is_on(cluster, false).unwrap());
        let node = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__firewall__options.json");
        assert!(is_on(node, true).unwrap());
    }

    #[test]
    fn what_is_set_counts() {
        for (value, on) in [
            ("1", true),
            ("\"1\"", true),
            ("0", false),
            ("\"0\"", false),
            ("1700000000", true),
        ] {
            let body = format!(r#"{{"data":{{"enable":{value},"policy_in":"DROP"}}}}"#);
            assert_eq!(is_on(body.as_bytes(), !on).unwrap(), on, "{value}");
        }
        assert!(is_on(br#"{"data":null}"#, true).is_err());
    }
}
