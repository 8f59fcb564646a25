//! The endpoints of the API: one file each, and the table of them all.

mod access_permissions;
mod access_ticket;
mod access_users;
mod apt_versions;
mod ceph;
mod cluster_backup;
mod cluster_backup_info;
mod cluster_config;
mod cluster_ha_groups;
mod cluster_ha_manager_status;
mod cluster_ha_resources;
mod cluster_ha_rules;
mod cluster_ha_status_current;
mod cluster_metrics_export;
mod cluster_metrics_server;
mod cluster_replication;
mod cluster_resources;
mod cluster_status;
mod cluster_tasks;
mod firewall_options;
mod guest_agent;
mod guest_config;
mod guest_pending;
mod guest_snapshot;
mod machine_monitor;
mod node_certificates;
mod node_disks_list;
mod node_disks_smart;
mod node_lvm;
mod node_lxc;
mod node_netstat;
mod node_network;
mod node_pci;
mod node_qemu;
mod node_replication;
mod node_replication_status;
mod node_services;
mod node_status;
mod node_subscription;
mod node_task_log;
mod node_tasks;
mod node_time;
mod node_zfs;
mod nodes;
mod rrddata;
mod storage_config;
mod storage_content;
mod version;

pub(crate) use access_ticket::log_in;
pub(crate) use guest_agent::{AgentCommand, linux_file_systems, write_agent_info, write_file_systems};

use bytes::Bytes;

use crate::{
    GuestKind, SAMPLE_PERIOD, Version,
    calendar::{Seconds, seconds},
    cluster::Cluster,
    json::Json,
    model::Guest,
    reply::Refusal,
    view::View,
};

/// Every endpoint that the simulator knows. Others are answered as PVE answers a path that does not exist.
const ENDPOINTS: &[&Endpoint] = &[
    &access_permissions::ENDPOINT,
    &access_ticket::ENDPOINT,
    &access_users::ENDPOINT,
    &ceph::CLUSTER_STATUS,
    &ceph::OSDS,
    &ceph::POOLS,
    &ceph::STATUS,
    &apt_versions::ENDPOINT,
    &cluster_backup::ENDPOINT,
    &cluster_backup_info::ENDPOINT,
    &cluster_config::NODES,
    &cluster_config::QDEVICE,
    &cluster_ha_groups::ENDPOINT,
    &cluster_ha_manager_status::ENDPOINT,
    &cluster_ha_resources::ENDPOINT,
    &cluster_ha_rules::ENDPOINT,
    &cluster_ha_status_current::ENDPOINT,
    &cluster_metrics_export::ENDPOINT,
    &cluster_metrics_server::ENDPOINT,
    &cluster_replication::ENDPOINT,
    &cluster_resources::ENDPOINT,
    &cluster_status::ENDPOINT,
    &cluster_tasks::ENDPOINT,
    &firewall_options::CLUSTER,
    &firewall_options::NODE,
    &guest_agent::INDEX,
    &guest_config::CONTAINER,
    &guest_config::MACHINE,
    &guest_pending::CONTAINER,
    &guest_pending::MACHINE,
    &guest_snapshot::CONTAINER,
    &guest_snapshot::MACHINE,
    &node_lvm::GROUPS,
    &node_lvm::THIN_POOLS,
    &node_disks_list::ENDPOINT,
    &node_disks_smart::ENDPOINT,
    &node_certificates::ENDPOINT,
    &node_lxc::ENDPOINT,
    &node_netstat::ENDPOINT,
    &node_network::ENDPOINT,
    &node_pci::ENDPOINT,
    &node_qemu::ENDPOINT,
    &node_replication::ENDPOINT,
    &node_replication_status::ENDPOINT,
    &node_services::ENDPOINT,
    &node_status::ENDPOINT,
    &node_subscription::ENDPOINT,
    &node_task_log::ENDPOINT,
    &node_tasks::ENDPOINT,
    &node_zfs::POOL,
    &node_zfs::POOLS,
    &node_time::ENDPOINT,
    &nodes::ENDPOINT,
    &rrddata::CONTAINER,
    &rrddata::MACHINE,
    &rrddata::NODE,
    &rrddata::STORAGE,
    &storage_config::ENDPOINT,
    &storage_content::ENDPOINT,
    &version::ENDPOINT,
];

/// One method of one path.
pub(crate) struct Endpoint {
    pub(crate) method: &'static str,
    /// The path; a segment in braces is a parameter, and `{node}` names the node that executes the call.
    pub(crate) template: &'static str,
    /// The version that brought it.
    pub(crate) since: Version,
    /// The parameters of the query; others are refused.
    pub(crate) parameters: &'static [Parameter],
    /// The object and the privilege without which the call is refused (403).
    pub(crate) privilege: Option<(&'static str, &'static str)>,
    pub(crate) answer: Answer,
}

/// A parameter of a query.
pub(crate) struct Parameter {
    name: &'static str,
    /// The only values that it may have, if it is an enumeration.
    values: &'static [&'static str],
    since: Version,
}

/// Any version that the simulator plays.
const ALWAYS: Version = Version::new(0, 0, 0);

impl Parameter {
    /// A parameter that every version knows.
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            values: &[],
            since: ALWAYS,
        }
    }

    const fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }

    const fn since(mut self, version: Version) -> Self {
        self.since = version;
        self
    }
}

/// Who answers.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// The node that executes the call; what is written is the value of `data`.
    One(Render),
    /// Every node in turn; what is written are the rows of one of them.
    EveryNode(Render),
    /// A guest agent at the node that executes the call.
    Agent(&'static AgentCommand),
    /// Whoever checks passwords.
    Login,
}

/// Writes what an endpoint has to say.
pub(crate) type Render = fn(&Scene<'_>, &mut Json) -> Result<(), Refusal>;

/// What an endpoint sees when it answers.
pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) view: &'a View<'a>,
    pub(crate) call: &'a Call<'a>,
    /// The node that executes the call.
    pub(crate) node: usize,
    /// The token has its rights.
    pub(crate) permitted: bool,
}

impl Scene<'_> {
    /// The guest that the path names, if its configuration is at this node.
    pub(crate) fn guest(&self, kind: GuestKind) -> Result<&Guest, Refusal> {
        let named = self.call.parameter("vmid").unwrap_or_default();
        let Ok(vmid) = named.parse() else {
            let problem = format!("type check ('integer') failed - got '{named}'");
            return Err(Refusal::parameter("vmid", problem));
        };
        let (model, node) = (self.view.model, self.node);
        let here = |guest: &&Guest| guest.node == node && guest.kind == kind && !self.view.faults.vanished(vmid);
        model.guests.get(&vmid).filter(here).ok_or_else(|| {
            let folder = match kind {
                GuestKind::Qemu => "qemu-server",
                GuestKind::Lxc => "lxc",
            };
            let file = format!("nodes/{}/{folder}/{vmid}.conf", model.nodes[node].name);
            Refusal::new(500, format!("Configuration file '{file}' does not exist"))
        })
    }

    /// The time of the newest sample, in which all answers agree.
    fn now(&self) -> Seconds {
        let time = &self.cluster.time;
        seconds(time.start()) + self.view.generation * SAMPLE_PERIOD.as_secs()
    }

    /// The version of the node that executes the call.
    pub(crate) fn version(&self) -> Version {
        self.view.model.nodes[self.node].version
    }
}

/// A call of an endpoint.
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) path: &'a str,
    pub(crate) names: Vec<(&'static str, &'a str)>,
    pub(crate) query: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    /// The value of a parameter in the path.
    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.names.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// The value of a parameter in the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The number that a parameter in the query has.
    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let problem = "type check ('integer') failed";
        self.query(name)
            .map(|value| value.parse().map_err(|_| Refusal::parameter(name, problem)))
            .transpose()
    }

    /// What is wrong with the query.
    pub(crate) fn invalid_parameter(&self, version: Version) -> Option<Refusal> {
        self.query.iter().find_map(|(name, value)| {
            let Some(parameter) = self
                .endpoint
                .parameters
                .iter()
                .find(|known| known.name == name && known.since <= version)
            else {
                let problem = "property is not defined in schema and the schema does not allow additional properties";
                return Some(Refusal::parameter(name, problem));
            };
            let allowed = parameter.values;
            let problem = || {
                format!(
                    "value '{value}' does not have a value in the enumeration '{}'",
                    allowed.join(", ")
                )
            };
            let wrong = !allowed.is_empty() && !allowed.contains(&value.as_str());
            wrong.then(|| Refusal::parameter(name, problem()))
        })
    }

    fn question(&self, kind: &str) -> String {
        let mut question = format!("{kind} {}", self.path);
        for (name, value) in &self.query {
            question.push_str(&format!(" {name:?}={value:?}"));
        }
        question
    }
}

/// An endpoint and the parameters in the path that led to it.
pub(crate) struct Route<'a> {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) names: Vec<(&'static str, &'a str)>,
}

/// The endpoint of a path.
pub(crate) fn find<'a>(method: &str, path: &'a str) -> Option<Route<'a>> {
    let endpoints = ENDPOINTS.iter().copied().chain(&guest_agent::ENDPOINTS);
    endpoints
        .filter(|endpoint| endpoint.method == method)
        .find_map(|endpoint| {
            Some(Route {
                endpoint,
                names: names(endpoint.template, path)?,
            })
        })
}

fn names<'a>(template: &'static str, path: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
    let mut names = Vec::new();
    let mut segments = path.split('/');
    for wanted in template.split('/') {
        let segment = segments.next()?;
        match wanted.strip_prefix('{').and_then(|wanted| wanted.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => names.push((name, segment)),
            None if wanted == segment => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(names)
}

/// How often a call at a node with so many disks runs `smartctl`.
pub(crate) fn smartctl_runs(call: &Call<'_>, disks: usize) -> u64 {
    if node_disks_smart::runs_smartctl(call) {
        1
    } else if node_disks_list::runs_smartctl(call) {
        disks as u64
    } else {
        0
    }
}

/// The whole body of an answer.
pub(crate) fn body(
    cluster: &Cluster,
    node: usize,
    call: &Call<'_>,
    permitted: bool,
    render: Render,
) -> Result<Bytes, Refusal> {
    let mut question = call.question(if permitted { "body" } else { "poor body" });
    if call.endpoint.template == node_time::ENDPOINT.template {
        // A clock goes on between two samples.
        question += &format!(" at {}", seconds(cluster.time.now()));
    }
    written(cluster, node, call, &question, permitted, |scene, json| {
        json.begin_object();
        json.key("data");
        render(scene, json)?;
        json.end_answer();
        Ok(())
    })
}

/// The rows of one node in the answer of all.
pub(crate) fn rows(cluster: &Cluster, node: usize, call: &Call<'_>, render: Render) -> Result<Bytes, Refusal> {
    written(cluster, node, call, &format!("rows {}", call.path), true, render)
}

fn written(
    cluster: &Cluster,
    node: usize,
    call: &Call<'_>,
    question: &str,
    permitted: bool,
    write: impl FnOnce(&Scene<'_>, &mut Json) -> Result<(), Refusal>,
) -> Result<Bytes, Refusal> {
    cluster.body(node, question, |view| {
        let name = &view.model.nodes[node].name;
        let (numbers, garbage) = (
            view.faults.numbers(name, call.path),
            view.faults.garbage_rows(name, call.path),
        );
        let mut json = Json::new(numbers, garbage);
        let scene = Scene {
            cluster,
            view,
            call,
            node,
            permitted,
        };
        write(&scene, &mut json)?;
        Ok(Bytes::from(json.finish()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_endpoints_by_their_path() {
        let route = find("GET", "/nodes/pve2/status").unwrap();
        assert_eq!(
            (route.endpoint.template, route.names),
            ("/nodes/{node}/status", vec![("node", "pve2")])
        );
        for (method, path) in [
            ("GET", "/version/nope"),
            ("POST", "/version"),
            ("GET", "/nodes//status"),
            ("GET", "/"),
        ] {
            assert!(find(method, path).is_none(), "{method} {path}");
        }
    }
}
