//! A cluster that has fallen apart is seen from the side with quorum.

use crate::support::simulated::{Simulated, options, source_up, sources_down};
use crate::support::strict::Exposition;

fn active(pve: &Simulated, seen: &Exposition, node: &str) -> bool {
    let endpoint = pve.simulator.endpoint(node).unwrap();
    seen.value("pve_api_endpoint_active", &[("endpoint", &endpoint)]) == Some(1.0)
}

#[tokio::test]
async fn the_first_scrape_already_prefers_the_quorate_side() {
    let pve = Simulated::start().await;
    pve.inject("partition:pve1").await;
    let seen = pve.scrape().await;
    assert_eq!(seen.value("pve_cluster_quorate", &[]), Some(1.0));
    assert_eq!(seen.value("pve_cluster_nodes_online", &[]), Some(2.0));
    assert_eq!(seen.value("pve_node_up", &[("node", "pve1")]), Some(0.0));
    assert_eq!(seen.value("pve_node_up", &[("node", "pve2")]), Some(1.0));
    assert!(active(&pve, &seen, "pve2") && !active(&pve, &seen, "pve1"));
    let expected = ["node_status", "replication", "qemu", "lxc", "netstat"];
    assert_eq!(
        sources_down(&seen),
        expected.map(|source| (source.to_owned(), "pve1".to_owned()))
    );
    let up = |source| source_up(&seen, source, "") == Some(1.0);
    assert!(
        ["tasks", "ha_manager", "ha_status", "backup_coverage"]
            .into_iter()
            .all(up)
    );

    pve.clear().await;
    pve.until_aging(5, "the first endpoint is used again", |seen| {
        active(&pve, seen, "pve1") && seen.value("pve_cluster_nodes_online", &[]) == Some(3.0)
    })
    .await;
}

#[tokio::test]
async fn the_minority_is_served_where_it_is_all_there_is() {
    let pve = Simulated::with(options(), |config| {
        config.clusters.get_mut("main").unwrap().endpoints.truncate(1);
    })
    .await;
    pve.scrape().await;
    pve.inject("partition:pve1").await;
    pve.advance(31);
    let seen = pve
        .until("quorum is lost", |seen| {
            seen.value("pve_cluster_quorate", &[]) == Some(0.0)
        })
        .await;
    assert_eq!(seen.value("pve_cluster_nodes_online", &[]), Some(1.0));
    assert_eq!(seen.value("pve_cluster_up", &[]), Some(1.0));
    let down = sources_down(&seen);
    assert!(
        down.iter().all(|(_, node)| ["pve2", "pve3"].contains(&&**node)),
        "{down:?}"
    );
    for guest in pve.simulator.guests() {
        let id = format!("{}/{}", guest.kind.as_str(), guest.vmid);
        let up = seen.value("pve_guest_up", &[("id", &id)]);
        assert_eq!(up.is_some(), guest.node == "pve1", "{id}");
    }
}
