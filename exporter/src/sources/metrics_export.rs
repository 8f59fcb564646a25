//! `/cluster/metrics/export` (PVE 8.3 and later): the nodes' newest samples, with their times.
//!
//! One call brings all nodes, but the node that answers asks the others one after the other. Where that is slow, each
//! configured endpoint is asked for its own node instead; nodes that it leaves out are asked that way too. What no way
//! brings comes from `/nodes/{node}/status`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::clock::Clock;
use crate::pve::api;
use crate::pve::client::{Client, Place, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::pve::perl;
use crate::sources::cluster::Known;
use crate::sources::name::SourceName;
use crate::sources::source::{Whole, Wiring};
use crate::subjects::node::Activity;

/// What the call for all nodes gets before another way is taken: PVE's own fan-out may take 20 s for each node that hangs.
const ALL_NODES_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer slower than this is asked for in another way the next time.
const SLOW: Duration = Duration::from_secs(3);

/// What an endpoint gets for its own node, which reads one file.
const ONE_NODE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the call for all nodes is left alone when it was slow, and when PVE does not have it.
const SLOW_REST: Duration = Duration::from_secs(600);
const UNSUPPORTED_REST: Duration = Duration::from_secs(3600);

const PATH: &str = "/cluster/metrics/export";

/// The nodes' samples.
#[derive(Debug, Default)]
pub struct NodeSamples {
    /// Each node's newest sample. A node may be missing.
    pub nodes: BTreeMap<Arc<str>, Activity>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Which way the samples are fetched.
#[derive(Debug, Default)]
pub struct Way(Mutex<Choice>);

#[derive(Clone, Copy, Debug, Default)]
enum Choice {
    /// One call for all nodes.
    #[default]
    AllNodes,
    /// One call to each endpoint, since the one for all was slow; tried again at the time given.
    EachEndpoint(Instant),
    /// None, since PVE does not have it; tried again at the time given.
    Unsupported(Instant),
}

impl Way {
    fn choice(&self) -> Choice {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn choose(&self, choice: Choice) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = choice;
    }
}

/// The source.
pub fn source(wiring: &Wiring<'_>, known: Arc<Known>) -> Whole<NodeSamples> {
    let (way, clock) = (Arc::<Way>::default(), wiring.clock.clone());
    let source = wiring.whole(SourceName::MetricsExport, move |client: Arc<Client>| {
        let (way, clock, online) = (Arc::clone(&way), clock.clone(), known.nodes(true));
        async move { fetch(&client, &way, &clock, &online).await }
    });
    source.damaged_by(|value| Some(value.damaged_rows))
}

/// Reads the samples of `online` nodes.
///
/// # Errors
/// Every [`ApiError`]. A PVE that does not have the endpoint is no error but has no samples.
pub async fn fetch(
    client: &Arc<Client>,
    way: &Arc<Way>,
    clock: &Clock,
    online: &[Arc<str>],
) -> Result<NodeSamples, ApiError> {
    match way.choice() {
        Choice::Unsupported(until) if until > clock.now() => return Ok(NodeSamples::default()),
        Choice::EachEndpoint(until) => {
            if until <= clock.now() {
                // Nobody waits for what was slow the last time.
                way.choose(Choice::EachEndpoint(clock.now() + SLOW_REST));
                let (client, way, clock) = (Arc::clone(client), Arc::clone(way), clock.clone());
                tokio::spawn(async move { drop(all_nodes(&client, &way, &clock).await) });
            }
            return from_endpoints(client, |_| true).await;
        }
        Choice::AllNodes | Choice::Unsupported(_) => {}
    }
    let mut samples = match all_nodes(client, way, clock).await {
        Ok(samples) => samples,
        Err(ApiError::NotImplemented { .. }) => return Ok(NodeSamples::default()),
        Err(ApiError::Timeout { .. }) => return from_endpoints(client, |_| true).await,
        Err(error) => return Err(error),
    };
    let missing = |node: &Arc<str>| online.contains(node) && !samples.nodes.contains_key(node);
    if online.iter().any(missing) {
        let others = from_endpoints(client, |node| node.is_none_or(missing))
            .await
            .unwrap_or_default();
        samples.nodes.extend(others.nodes);
    }
    Ok(samples)
}

/// The call for all nodes; chooses another way for the next times where it was slow or is not there.
async fn all_nodes(client: &Client, way: &Way, clock: &Clock) -> Result<NodeSamples, ApiError> {
    let request = Request {
        timeout: Some(ALL_NODES_TIMEOUT),
        ..Request::entry(PATH)
    };
    let outcome = client.get(&request).await;
    match &outcome {
        Ok(answer) if answer.took < SLOW => way.choose(Choice::AllNodes),
        Ok(_) | Err(ApiError::Timeout { .. }) => way.choose(Choice::EachEndpoint(clock.now() + SLOW_REST)),
        Err(ApiError::NotImplemented { .. }) => way.choose(Choice::Unsupported(clock.now() + UNSUPPORTED_REST)),
        Err(_) => {}
    }
    outcome?.decode(PATH, decode)
}

/// Asks the endpoints of the nodes that `wanted` admits, each for its own node, all at once, but for those that are out of
/// use. The node behind an endpoint may not be known yet.
async fn from_endpoints(client: &Client, wanted: impl Fn(Option<&Arc<str>>) -> bool) -> Result<NodeSamples, ApiError> {
    let endpoints = client.endpoints().all();
    let requests = endpoints.iter().enumerate().filter_map(|(index, endpoint)| {
        let node = endpoint.node.as_ref();
        let offline = node.is_some_and(|node| client.offline().contains(node));
        if !wanted(node) || offline || endpoint.out_of_use() {
            return None;
        }
        let request = Request {
            place: Place::Endpoint(index),
            timeout: Some(ONE_NODE_TIMEOUT),
            ..Request::entry(format!("{PATH}?local-only=1"))
        };
        Some(async move {
            // The wait for a place counts as well: it may be taken by requests that hang.
            let answer = timeout(ONE_NODE_TIMEOUT, client.get(&request))
                .await
                .unwrap_or_else(|_| {
                    let endpoint = endpoint.url.to_string();
                    Err(ApiError::Timeout {
                        endpoint,
                        path: request.path.clone(),
                        limit: ONE_NODE_TIMEOUT,
                    })
                });
            let answer = answer.inspect_err(|error| {
                if matches!(error, ApiError::Timeout { .. }) {
                    // The next refresh does not wait for it again.
                    client.endpoints().doubted(index);
                }
            })?;
            let samples = answer.decode(&request.path, decode)?;
            if let (Some(node), 1) = (samples.nodes.keys().next(), samples.nodes.len()) {
                client.learn_node(index, Some(Arc::clone(node)), None);
            }
            Ok(samples)
        })
    });
    let mut all = NodeSamples::default();
    let nobody = ApiError::Timeout {
        endpoint: "every endpoint".to_owned(),
        path: PATH.to_owned(),
        limit: ONE_NODE_TIMEOUT,
    };
    let (mut answered, mut last_error) = (false, ApiError::Resting(Box::new(nobody)));
    for outcome in futures_util::future::join_all(requests).await {
        match outcome {
            Ok(samples) => {
                answered = true;
                all.nodes.extend(samples.nodes);
                all.damaged_rows += samples.damaged_rows;
            }
            Err(error) => last_error = error,
        }
    }
    if answered { Ok(all) } else { Err(last_error) }
}

/// Turns a body into samples, reading past the rows of guests and storages.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn decode(body: &[u8]) -> Result<NodeSamples, DecodeError> {
    let mut samples = NodeSamples::default();
    samples.damaged_rows = api::cluster_metrics_export::decode(body, |row| {
        let Some(name) = row.id.strip_prefix("node/") else {
            return;
        };
        // A generation in which a part of pvestatd failed has the time 0 and figures of 0.
        let (Some(time @ 1..), Some(value)) = (row.timestamp, row.value) else {
            return;
        };
        let activity = match samples.nodes.get_mut(name) {
            Some(activity) => activity,
            None => samples.nodes.entry(name.into()).or_default(),
        };
        match activity.sample_time {
            Some(newest) if newest > time => return,
            Some(newest) if newest == time => {}
            _ => {
                *activity = Activity {
                    sample_time: Some(time),
                    ..Activity::default()
                }
            }
        }
        match &*row.metric {
            "cpu_avg1" => activity.load1 = Some(value),
            "cpu_avg5" => activity.load5 = Some(value),
            "cpu_avg15" => activity.load15 = Some(value),
            "cpu_iowait" => activity.iowait = Some(value),
            "swap_total" => activity.swap_size = perl::float_to_whole(value),
            "swap_used" => activity.swap_usage = perl::float_to_whole(value),
            "net_in" => activity.network_receive = perl::float_to_whole(value),
            "net_out" => activity.network_transmit = perl::float_to_whole(value),
            _ => {}
        }
    })?;
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_at_time_0_is_dropped() {
        let body = br#"{"data":{"data":[
            {"id":"node/pve1","metric":"cpu_avg1","timestamp":0,"type":"gauge","value":0},
            {"id":"node/pve2","metric":"cpu_avg1","timestamp":"1786800010","type":"gauge","value":"0.5"},
            {"id":"node/pve2","metric":"net_in","timestamp":1786800010,"type":"derive","value":12},
            {"id":"node/pve2","metric":"cpu_avg1","timestamp":1786800000,"type":"gauge","value":9},
            {"id":"qemu/100","metric":"uptime","timestamp":1786800010,"type":"gauge","value":9}, 7]}}"#;
        let samples = decode(body).unwrap();
        assert_eq!(samples.nodes.len(), 1);
        let expected = Activity {
            sample_time: Some(1_786_800_010),
            load1: Some(0.5),
            network_receive: Some(12),
            ..Activity::default()
        };
        assert_eq!(samples.nodes["pve2"], expected);
        assert_eq!(samples.damaged_rows, 1);
    }
}
