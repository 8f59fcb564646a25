//! An endpoint that asks every node, one after the other, and goes on without the ones that fail.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    api::{self, Call, Render},
    cluster::Cluster,
    dispatch::{unreachable, wait},
    reply::{Refusal, Reply},
};

/// Asks the nodes that the call wants and joins their rows, oldest sample first.
pub(crate) async fn answer(
    cluster: &Arc<Cluster>,
    entry: usize,
    call: &Call<'_>,
    render: Render,
) -> Result<Reply, Refusal> {
    let mut parts = Vec::new();
    for node in wanted(cluster, entry, call)? {
        if node == entry {
            parts.push((node, api::rows(cluster, node, call, render)?));
        } else if let Some(part) = part(cluster, entry, node, call, render).await {
            parts.push((node, part));
        }
    }
    parts.retain(|(_, part)| !part.is_empty());
    parts.sort_by_key(|(node, _)| cluster.own_sample(*node));
    let mut body = vec![Bytes::from_static(b"{\"data\":{\"data\":[")];
    for (number, (_, part)) in parts.into_iter().enumerate() {
        if number > 0 {
            body.push(Bytes::from_static(b","));
        }
        body.push(part);
    }
    body.push(Bytes::from_static(b"]}}"));
    Ok(Reply::json(body))
}

/// The nodes to ask: those that are online as far as the asked node knows.
fn wanted(cluster: &Cluster, entry: usize, call: &Call<'_>) -> Result<Vec<usize>, Refusal> {
    if call.query("local-only").is_some_and(|value| !matches!(value, "0" | "")) {
        return Ok(vec![entry]);
    }
    let online: Vec<usize> = cluster.with_view(entry, |view| {
        view.nodes().filter(|node| view.sight(*node).online).collect()
    });
    let Some(list) = call.query("node-list") else {
        return Ok(online);
    };
    let mut nodes = Vec::new();
    for name in list.split([',', ';', ' ']).filter(|name| !name.is_empty()) {
        let node = cluster
            .node_named(name)
            .ok_or_else(|| Refusal::new(500, format!("no such cluster node '{name}'")))?;
        if online.contains(&node) && !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// The rows of another node, unless something is wrong with it.
async fn part(cluster: &Arc<Cluster>, entry: usize, node: usize, call: &Call<'_>, render: Render) -> Option<Bytes> {
    let limit = cluster.options.export_node_delay;
    if let Some((delay, _)) = unreachable(cluster, entry, node) {
        tokio::time::sleep(delay.min(limit)).await;
        return None;
    }
    if cluster.is_black_hole(node) {
        tokio::time::sleep(limit).await;
        return None;
    }
    let name = cluster.node_name(node);
    let _running = cluster.calls.begin(call.endpoint.template, name);
    if !tokio::time::timeout(limit, wait(cluster, node, call))
        .await
        .unwrap_or(false)
    {
        return None;
    }
    let broken = cluster.with_faults(|faults| {
        faults.status(name, call.path).is_some()
            || faults.truncated(name, call.path)
            || faults.garbage(name, call.path)
            || faults.no_permission(name, call.path)
            || faults.revoked(name, call.path)
    });
    let too_old = cluster.with_model(|model| model.nodes[node].version < call.endpoint.since);
    if broken || too_old {
        return None;
    }
    api::rows(cluster, node, call, render).ok()
}
