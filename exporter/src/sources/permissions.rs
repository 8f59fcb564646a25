//! `/access/permissions`: what the token may see, because PVE itself hides what it may not.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::access_permissions::Permissions;
use crate::pve::client::{Client, Request};
use crate::pve::error::ApiError;
use crate::sources::name::SourceName;
use crate::sources::source::{Whole, Wiring};
use crate::subjects::permission::Permission;

/// What the token may see.
#[derive(Debug)]
pub struct TokenPermissions {
    /// What the sources need, and whether it is granted.
    pub needed: Arc<[Permission]>,
    /// The same for guest agents, where they are asked: in versions from 9 on, and before.
    for_agents: Option<[Permission; 2]>,
    all: Permissions,
}

impl TokenPermissions {
    /// What PVE of this major version needs. One before 9 is asked for nothing that agents tell, unless `with_monitor`.
    #[must_use]
    pub fn rows(&self, version: Option<u32>, with_monitor: bool) -> Arc<[Permission]> {
        let row = self.for_agents.as_ref().and_then(|[new, old]| match version {
            Some(..9) => with_monitor.then_some(old),
            _ => Some(new),
        });
        let Some(row) = row else {
            return Arc::clone(&self.needed);
        };
        let mut rows: Vec<_> = self.needed.iter().chain([row]).cloned().collect();
        rows.sort_by(|one, other| one.identity.pairs().cmp(other.identity.pairs()));
        rows.into()
    }

    /// Whether PVE lists the backups on `storage` to the token; to an auditor it says that there are none.
    #[must_use]
    pub fn lists_backups(&self, storage: &str) -> bool {
        let storage = format!("/storage/{storage}");
        let granted = |privilege, path| granted(&self.all, privilege, path) == Some(true);
        granted("Datastore.Audit", &storage)
            && (granted("Datastore.Allocate", &storage)
                || granted("Datastore.AllocateSpace", &storage) && granted("VM.Backup", "/vms"))
    }

    /// Whether PVE lists all tasks to the token; to others it lists their own and says nothing of the rest.
    #[must_use]
    pub fn lists_tasks(&self) -> bool {
        granted(&self.all, "Sys.Audit", "/") != Some(false)
    }

    /// Whether PVE passes the token's questions on to the agent of a virtual machine. What versions before 9 want for it is
    /// `VM.Monitor`, which is as good as root in the guest: it counts only `with_monitor`.
    #[must_use]
    pub fn asks_agent(&self, vmid: u32, with_monitor: bool) -> bool {
        let path = format!("/vms/{vmid}");
        let granted = |privilege| granted(&self.all, privilege, &path) == Some(true);
        granted("VM.GuestAgent.Audit") || granted("VM.GuestAgent.Unrestricted") || with_monitor && granted("VM.Monitor")
    }

    /// Whether PVE lists all guests to the token.
    #[must_use]
    pub fn lists_guests(&self) -> bool {
        granted(&self.all, "VM.Audit", "/vms") == Some(true)
    }
}

/// The source; what it looks for is what the sources that are switched on need.
pub fn source(wiring: &Wiring<'_>) -> Whole<TokenPermissions> {
    let cluster: Arc<str> = wiring.cluster.into();
    let enabled = wiring.policies.iter().filter(|(_, policy)| policy.enabled);
    let sources: Arc<[SourceName]> = enabled.map(|(source, _)| *source).collect();
    wiring.whole(SourceName::Permissions, move |client: Arc<Client>| {
        let (cluster, sources) = (Arc::clone(&cluster), Arc::clone(&sources));
        async move { fetch(&client, &cluster, &sources).await }
    })
}

/// Reads the token's privileges and compares them with what `sources` need.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, sources: &[SourceName]) -> Result<TokenPermissions, ApiError> {
    let request = Request::entry("/access/permissions");
    let answer = client.get(&request).await?;
    let all = answer.decode(&request.path, api::access_permissions::decode)?;
    let others = sources.iter().filter(|source| **source != SourceName::GuestAgents);
    let mut needed: Vec<(&str, &str)> = others.flat_map(|source| source.privileges()).copied().collect();
    needed.sort_unstable();
    needed.dedup();
    let row = |(privilege, path): (&'static str, &'static str)| {
        let identity = Identity::new(&[("pve_cluster", cluster), ("privilege", privilege), ("path", path)]);
        granted(&all, privilege, path).map(|granted| Permission { identity, granted })
    };
    let asks_agents = sources.contains(&SourceName::GuestAgents);
    let [new, old] = ["VM.GuestAgent.Audit", "VM.Monitor"].map(|privilege| row((privilege, "/vms")));
    Ok(TokenPermissions {
        needed: needed.into_iter().filter_map(row).collect(),
        for_agents: new.zip(old).filter(|_| asks_agents).map(|(new, old)| [new, old]),
        all,
    })
}

/// Whether `privilege` holds on `path` and what lies below it: the nearest path that PVE lists decides, and it must propagate,
/// since PVE checks a storage, a guest or a node, and not the folder of all of them. On `/` itself, a single storage and a single
/// guest it need not. None where PVE's answer cannot be read.
fn granted(permissions: &Permissions, privilege: &str, path: &str) -> Option<bool> {
    let mut nearest = path;
    loop {
        if let Some(here) = permissions.get(nearest) {
            return here.get(privilege).map_or(Some(false), |propagates| {
                let single =
                    path == "/" || path == nearest && (path.starts_with("/storage/") || path.starts_with("/vms/"));
                if single { Some(true) } else { propagates.0 }
            });
        }
        match nearest.rsplit_once('/') {
            Some(("", "")) | None => return Some(false),
            Some(("", _)) => nearest = "/",
            Some((above, _)) => nearest = above,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(body: &str) -> Permissions {
        api::access_permissions::decode(body.as_bytes()).unwrap()
    }

    #[test]
    fn backups_are_listed_to_those_who_may_restore_them() {
        let token = |body| TokenPermissions {
            needed: Arc::default(),
            for_agents: None,
            all: permissions(body),
        };
        let auditor = token(r#"{"data":{"/":{"Datastore.Audit":1,"VM.Audit":1}}}"#);
        assert!(!auditor.lists_backups("pbs") && auditor.lists_guests());
        let of_one = token(
            r#"{"data":{"/":{"Datastore.Audit":1},"/storage/pbs":{"Datastore.Audit":0,"Datastore.AllocateSpace":0},"/vms":{"VM.Backup":1}}}"#,
        );
        assert!(of_one.lists_backups("pbs") && !of_one.lists_backups("nas") && !of_one.lists_guests());
        assert!(token(r#"{"data":{"/":{"Datastore.Audit":1,"Datastore.Allocate":1}}}"#).lists_backups("nas"));
    }

    #[test]
    fn all_tasks_are_listed_to_auditors_of_the_cluster() {
        let lists = |body: &str| {
            let all = permissions(body);
            let (needed, for_agents) = (Arc::default(), None);
            let token = TokenPermissions {
                needed,
                for_agents,
                all,
            };
            token.lists_tasks()
        };
        assert!(lists(r#"{"data":{"/":{"Sys.Audit":1}}}"#));
        assert!(!lists(r#"{"data":{"/nodes":{"Sys.Audit":1}}}"#) && !lists(r#"{"data":{}}"#));
    }

    #[test]
    fn agents_are_asked_by_auditors_and_by_monitors_only_where_that_is_wanted() {
        let token = |body: &str| TokenPermissions {
            needed: Arc::default(),
            for_agents: None,
            all: permissions(body),
        };
        let asks = |body, vmid| {
            let token = token(body);
            (token.asks_agent(vmid, false), token.asks_agent(vmid, true))
        };
        assert_eq!(asks(r#"{"data":{"/":{"VM.GuestAgent.Audit":1}}}"#, 100), (true, true));
        assert_eq!(
            asks(r#"{"data":{"/vms":{"VM.GuestAgent.Unrestricted":1}}}"#, 100),
            (true, true)
        );
        assert_eq!(asks(r#"{"data":{"/vms":{"VM.Monitor":1}}}"#, 100), (false, true));
        assert_eq!(asks(r#"{"data":{"/":{"VM.Audit":1}}}"#, 100), (false, false));
        let of_one = r#"{"data":{"/":{"VM.GuestAgent.Audit":1},"/vms/100":{"VM.Audit":1},"/vms/101":{"VM.GuestAgent.Audit":0}}}"#;
        assert_eq!(
            asks(of_one, 100),
            (false, false),
            "an ACL on the guest replaces what / gives"
        );
        assert_eq!(asks(of_one, 101), (true, true), "there is nothing below a guest");
    }

    #[test]
    fn the_nearest_listed_path_decides() {
        let map = permissions(
            r#"{"data":{"/":{"Sys.Audit":1,"VM.Audit":"1","Pool.Audit":0},"/vms":{"VM.Monitor":1},"/storage":{"Datastore.Audit":0},"/sdn":{"SDN.Audit":1}}}"#,
        );
        assert_eq!(granted(&map, "Sys.Audit", "/"), Some(true));
        assert_eq!(granted(&map, "Sys.Audit", "/nodes"), Some(true));
        assert_eq!(
            granted(&map, "VM.Audit", "/vms"),
            Some(false),
            "an ACL on /vms replaces what / gives"
        );
        assert_eq!(
            granted(&map, "Datastore.Audit", "/storage"),
            Some(false),
            "PVE checks /storage/NAME"
        );
        assert_eq!(granted(&map, "SDN.Audit", "/sdn"), Some(true));
        assert_eq!(granted(&map, "Pool.Audit", "/pool"), Some(false), "not propagated");
        assert_eq!(granted(&map, "Pool.Audit", "/"), Some(true));
    }

    #[test]
    fn a_token_without_rights_has_none() {
        assert_eq!(granted(&permissions(r#"{"data":{}}"#), "Sys.Audit", "/"), Some(false));
    }
}
