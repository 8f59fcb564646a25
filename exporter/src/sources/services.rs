//! `/nodes/{node}/services`: which services of a node are installed, enabled and running.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api::node_services::decode;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::devices::may_be_label;
use crate::sources::name::SourceName;
use crate::subjects::service::Service;

/// The most services of a node that are reported on. PVE knows 23.
const MOST: usize = 64;

/// The service that only a cluster needs.
const CLUSTER: &str = "corosync";

/// The services of one node.
#[derive(Debug, Default)]
pub struct NodeServices {
    /// Those that are installed, by name.
    pub services: Arc<[Service]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them. `alone` says that no other node is known.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>, alone: bool) -> Result<NodeServices, ApiError> {
    let request = Request::node(node, "services", SourceName::Services.cost());
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, node, alone))
}

/// Turns a body into subjects.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, node: &str, alone: bool) -> Result<NodeServices, DecodeError> {
    let mut services = BTreeMap::new();
    let mut unusable = 0;
    let damaged = decode(body, |row| {
        // Every node has corosync, which does not start, though enabled, until it has a cluster to run for.
        let is_idle = alone && row.service == CLUSTER && running(&row.active_state) != Some(true);
        if row.unit_state == "not-found" || is_idle {
            return;
        }
        if !may_be_label(&row.service) {
            unusable += 1;
            return;
        }
        let labels = [("pve_cluster", cluster), ("node", node), ("service", &*row.service)];
        let has_done_its_work = row.state == "success";
        let service = Service {
            identity: Identity::new(&labels),
            running: running(&row.active_state).filter(|running| *running || !has_done_its_work),
            enabled: enabled(&row.unit_state),
            failed: known(&row.active_state).map(|state| state == "failed"),
        };
        services.insert(row.service.into_owned(), service);
    })?;
    Ok(NodeServices {
        services: services.into_values().take(MOST).collect(),
        damaged_rows: damaged + unusable,
    })
}

/// A state that systemd told; PVE puts `unknown` in the place of one that it cannot find out.
fn known(state: &str) -> Option<&str> {
    Some(state).filter(|state| !matches!(*state, "" | "unknown"))
}

fn running(active_state: &str) -> Option<bool> {
    known(active_state).map(|state| matches!(state, "active" | "reloading" | "refreshing"))
}

/// Whether it starts by itself. Of one that something else starts where it is wanted, as of static units, nobody can tell.
fn enabled(unit_state: &str) -> Option<bool> {
    match unit_state {
        "enabled" | "enabled-runtime" | "alias" => Some(true),
        "disabled" | "masked" | "masked-runtime" | "linked" | "linked-runtime" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (String, Option<bool>, Option<bool>, Option<bool>);

    fn read(body: &[u8]) -> (Vec<Read>, u64) {
        let answer = convert(body, "main", "pve1", false).unwrap();
        let row = |row: &Service| {
            let pairs = str::from_utf8(row.identity.pairs()).unwrap();
            let name = pairs.rsplit("service=").next().unwrap().trim_matches('"').to_owned();
            (name, row.running, row.enabled, row.failed)
        };
        (answer.services.iter().map(row).collect(), answer.damaged_rows)
    }

    #[test]
    fn recorded_services_are_those_that_are_installed() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__services.json");
        let (services, damaged) = read(body);
        assert_eq!((services.len(), damaged), (15, 0));
        let of = |name: &str| services.iter().find(|row| row.0 == name).cloned().unwrap();
        let yes = |name: &str| (name.to_owned(), Some(true), Some(true), Some(false));
        for name in ["corosync", "pvestatd"] {
            assert_eq!(of(name), yes(name));
        }
        let journal = ("systemd-journald".to_owned(), Some(true), None, Some(false));
        assert_eq!(of("systemd-journald"), journal, "it is static");
        for name in ["pve-firewall", "spiceproxy"] {
            assert_eq!(of(name), (name.to_owned(), Some(false), Some(false), Some(false)));
        }
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__services.json");
        assert_eq!(read(body).0.len(), 15);
    }

    #[test]
    fn constructed_services_may_have_failed() {
        let (services, _) = read(include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__services.json"));
        assert_eq!(
            services,
            [
                ("postfix".to_owned(), Some(false), Some(true), Some(true)),
                ("pvestatd".to_owned(), Some(true), Some(true), Some(false))
            ]
        );
    }

    #[test]
    fn a_service_that_comes_up_again_and_again_does_not_run() {
        assert_eq!(running("activating"), Some(false));
        assert_eq!(running("reloading"), Some(true));
        assert_eq!((running("unknown"), running("")), (None, None));
    }

    #[test]
    fn nobody_expects_what_something_else_starts_or_what_has_done_its_work() {
        for (state, expected) in [
            ("enabled-runtime", Some(true)),
            ("masked", Some(false)),
            ("disabled", Some(false)),
            ("static", None),
            ("indirect", None),
            ("generated", None),
            ("", None),
        ] {
            assert_eq!(enabled(state), expected, "{state}");
        }
        let (services, _) = read(
            br#"{"data":[{"service":"a","state":"success","active-state":"inactive","unit-state":"enabled"},
                {"service":"b","state":"exited","active-state":"active","unit-state":"enabled"},
                {"service":"c","state":"exit-code","active-state":"failed","unit-state":"enabled"}]}"#,
        );
        let states: Vec<_> = services
            .iter()
            .map(|(_, running, _, failed)| (*running, *failed))
            .collect();
        assert_eq!(
            states,
            [
                (None, Some(false)),
                (Some(true), Some(false)),
                (Some(false), Some(true))
            ]
        );
    }

    #[test]
    fn a_node_that_stands_alone_does_without_corosync() {
        let names = |state: &str, alone| {
            let body = format!(
                r#"{{"data":[{{"service":"corosync","active-state":"{state}","unit-state":"enabled"}},{{"service":"cron"}}]}}"#
            );
            convert(body.as_bytes(), "main", "pve1", alone).unwrap().services.len()
        };
        assert_eq!(names("inactive", true), 1);
        assert_eq!(names("active", true), 2, "a cluster of one");
        assert_eq!(names("inactive", false), 2);
    }

    #[test]
    fn damaged_rows_cost_only_themselves() {
        let (services, damaged) = read(
            br#"{"data":[7,{"service":"a b"},{"service":"cron","active-state":{},"unit-state":"enabled"},null,
                {"service":{}},{"service":"cron","active-state":"active"}]}"#,
        );
        assert_eq!(services, [("cron".to_owned(), Some(true), None, Some(false))]);
        assert_eq!(damaged, 4);
    }
}
