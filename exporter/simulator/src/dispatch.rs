//! From a request to an answer: who may ask, which node executes, and what goes wrong on the way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::HeaderMap;

use crate::{
    agent,
    api::{self, Answer, Call, Route},
    authentication,
    calls::LastRequest,
    cluster::Cluster,
    fan_out,
    reply::{Refusal, Reply},
};

/// A request as it came in at the endpoint of a node.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) has_body: bool,
    /// What a form in the body holds.
    pub(crate) form: Bytes,
    pub(crate) headers: HeaderMap,
}

/// What happens to an answer on its way to the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) truncated: bool,
    pub(crate) fill_to: Option<u64>,
    pub(crate) close_after: bool,
}

/// How a call at the node that executes it ends.
pub(crate) enum Outcome {
    Answered(Reply),
    /// The node never answered, and its client has to be dropped.
    Dropped,
}

/// The answer to a request and what becomes of it, or nothing if the connection just closes.
pub(crate) async fn answer(cluster: &Arc<Cluster>, entry: usize, request: &Received) -> Option<(Reply, Damage)> {
    let path = request.path.strip_prefix("/api2/json").unwrap_or(&request.path);
    let route = api::find(&request.method, path);
    note(
        cluster,
        entry,
        request,
        route.as_ref().map_or("unknown", |route| route.endpoint.template),
    );
    if cluster.refuses(entry) {
        return None;
    }
    if request.method == "HEAD" {
        return Some(undamaged(Reply::bare(501, "method 'HEAD' not available")));
    }
    if request.method == "GET" && request.has_body {
        return Some(undamaged(Reply::bare(501, "Unexpected content for method 'GET'")));
    }
    if !request.path.starts_with("/api2/json/") {
        return Some(undamaged(Reply::bare(404, format!("no such file '{}'", request.path))));
    }
    if let Some(reason) = authentication::problem(cluster, entry, &request.method, path, &request.headers) {
        tokio::time::sleep(cluster.options.unauthorized_delay).await;
        return Some(undamaged(Reply::bare(401, reason)));
    }
    let version = cluster.with_model(|model| model.nodes[entry].version);
    let Some(route) = route else {
        return Some(undamaged(Reply::refusal(
            &Refusal::not_implemented(&request.method, path),
            version,
        )));
    };
    let call = Call::new(route, path, request.query.as_deref(), &request.form);
    let node = match call.parameter("node") {
        None => entry,
        Some(name) => match cluster
            .node_named(name)
            .filter(|node| cluster.with_view(entry, |view| view.sight(*node).known))
        {
            Some(node) => node,
            None => return Some(undamaged(Reply::refusal(&unknown_node(name), version))),
        },
    };
    let outcome = if node == entry {
        execute(cluster, node, &call).await
    } else {
        proxy(cluster, entry, node, &call).await
    };
    let Outcome::Answered(reply) = outcome else { return None };
    Some(damage(cluster, node, path, reply))
}

fn undamaged(reply: Reply) -> (Reply, Damage) {
    (reply, Damage::default())
}

fn note(cluster: &Cluster, entry: usize, request: &Received, template: &str) {
    let query = request
        .query
        .as_ref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let headers = request.headers.iter();
    let headers = headers.filter(|(name, _)| !authentication::HEADERS.contains(&name.as_str()));
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let last = LastRequest {
        node: cluster.node_name(entry).to_owned(),
        path: format!("{}{query}", request.path),
        headers: headers.collect(),
    };
    cluster.calls.received(template, last);
}

fn unknown_node(name: &str) -> Refusal {
    let problem = format!("failed to get address info for: {name}: Temporary failure in name resolution");
    Refusal::new(500, format!("hostname lookup '{name}' failed - {problem}"))
}

/// Hands a call on to the node that it is about.
async fn proxy(cluster: &Arc<Cluster>, entry: usize, node: usize, call: &Call<'_>) -> Outcome {
    if let Some((delay, reason)) = unreachable(cluster, entry, node) {
        tokio::time::sleep(delay).await;
        return Outcome::Answered(Reply::bare(595, reason));
    }
    let limit = cluster.options.hung_node_delay;
    if cluster.is_black_hole(node) {
        tokio::time::sleep(limit).await;
        return Outcome::Answered(Reply::bare(596, "Connection timed out"));
    }
    match tokio::time::timeout(limit, execute(cluster, node, call)).await {
        Ok(Outcome::Answered(reply)) => Outcome::Answered(reply),
        Ok(Outcome::Dropped) | Err(_) => Outcome::Answered(Reply::bare(596, "Connection timed out")),
    }
}

/// Why one node cannot reach another one, and how long it takes to notice.
pub(crate) fn unreachable(cluster: &Cluster, from: usize, to: usize) -> Option<(Duration, &'static str)> {
    if !cluster.with_view(from, |view| view.sight(to).reachable) {
        return Some((cluster.options.dead_node_delay, "No route to host"));
    }
    cluster.refuses(to).then_some((Duration::ZERO, "Connection refused"))
}

/// Executes a call at its node.
async fn execute(cluster: &Arc<Cluster>, node: usize, call: &Call<'_>) -> Outcome {
    let name = cluster.node_name(node);
    let _running = cluster.calls.begin(call.endpoint.template, name);
    let asks_agent = agent::begin(cluster, node, call);
    if !wait(cluster, node, call).await {
        return Outcome::Dropped;
    }
    if let Some((status, reason)) = cluster.with_faults(|faults| faults.status(name, call.path)) {
        return Outcome::Answered(failure(cluster, node, status, reason));
    }
    let version = cluster.with_model(|model| model.nodes[node].version);
    if version < call.endpoint.since {
        return Outcome::Answered(Reply::refusal(
            &Refusal::not_implemented(call.endpoint.method, call.path),
            version,
        ));
    }
    if let Some(problem) = call.invalid_parameter(version) {
        return Outcome::Answered(Reply::refusal(&problem, version));
    }
    let permitted = !cluster.with_faults(|faults| faults.no_permission(name, call.path));
    if let Some((object, privilege)) = call.endpoint.privilege.filter(|_| !permitted) {
        let fill = |object: String, (key, value): &(&str, &str)| object.replace(&format!("{{{key}}}"), value);
        let object = call.names.iter().fold(object.to_owned(), fill);
        return Outcome::Answered(Reply::refusal(&Refusal::permission(&object, privilege), version));
    }
    let disks = cluster.with_model(|model| model.nodes[node].disks.len());
    cluster.calls.ran_smartctl(name, api::smartctl_runs(call, disks));
    let answer = match call.endpoint.answer {
        Answer::One(render) => api::body(cluster, node, call, permitted, render).map(|body| Reply::json(vec![body])),
        Answer::EveryNode(render) => fan_out::answer(cluster, node, call, render).await,
        Answer::Login => log_in(cluster, node, call).await,
        Answer::Agent(command) => agent::answer(cluster, node, call, permitted, command, asks_agent).await,
    };
    Outcome::Answered(answer.unwrap_or_else(|refusal| Reply::refusal(&refusal, version)))
}

async fn log_in(cluster: &Cluster, node: usize, call: &Call<'_>) -> Result<Reply, Refusal> {
    let body = api::log_in(cluster, node, |name| call.query(name).map(str::to_owned));
    if body.as_ref().is_err_and(|refusal| refusal.status == 401) {
        tokio::time::sleep(cluster.options.unauthorized_delay).await;
    }
    Ok(Reply::json(vec![Bytes::from(body?)]))
}

/// Lets pass what a call costs; false if it never ends.
pub(crate) async fn wait(cluster: &Arc<Cluster>, node: usize, call: &Call<'_>) -> bool {
    let name = cluster.node_name(node);
    if cluster.with_faults(|faults| faults.hangs(name, call.path)) {
        cluster
            .until(|cluster| cluster.with_faults(|faults| !faults.hangs(name, call.path)))
            .await;
        return false;
    }
    let delay = cluster.options.call_delay + cluster.with_faults(|faults| faults.slowness(name, call.path));
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    true
}

/// A status that a fault asks for; like PVE's own, 401 and the proxy's 59x have no body.
fn failure(cluster: &Cluster, node: usize, status: u16, reason: String) -> Reply {
    match status {
        401 | 590..=599 => Reply::bare(status, reason),
        _ => {
            let version = cluster.with_model(|model| model.nodes[node].version);
            Reply::refusal(&Refusal::new(status, reason), version)
        }
    }
}

fn damage(cluster: &Cluster, node: usize, path: &str, mut reply: Reply) -> (Reply, Damage) {
    let name = cluster.node_name(node);
    cluster.with_faults(|faults| {
        if faults.garbage(name, path) {
            reply.body = vec![Bytes::from_static(b"<html>\n{\"data\":[{]} this is no JSON \xff\xfe\n")];
        }
        let damage = Damage {
            truncated: faults.truncated(name, path),
            fill_to: faults.huge(name, path),
            close_after: faults.closes_idle(name, path),
        };
        (reply, damage)
    })
}

impl<'a> Call<'a> {
    fn new(route: Route<'a>, path: &'a str, query: Option<&str>, form: &[u8]) -> Self {
        let query = [query.unwrap_or_default().as_bytes(), form]
            .into_iter()
            .flat_map(|part| url::form_urlencoded::parse(part).into_owned())
            .collect();
        Self {
            endpoint: route.endpoint,
            path,
            names: route.names,
            query,
        }
    }
}
