//! `/access/permissions`: what the token may see, because PVE itself hides what it may not.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::access_permissions::Permissions;
use crate::pve::client::{Client, Request};
use crate::pve::error::ApiError;
use crate::sources::name::SourceName;
use crate::subjects::permission::Permission;

/// Reads the token's privileges and compares them with what `sources` need.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, sources: &[SourceName]) -> Result<Arc<[Permission]>, ApiError> {
    let request = Request::entry("/access/permissions");
    let answer = client.get(&request).await?;
    let permissions = answer.decode(&request.path, api::access_permissions::decode)?;
    let mut needed: Vec<(&str, &str)> = sources.iter().flat_map(|source| source.privileges()).copied().collect();
    needed.sort_unstable();
    needed.dedup();
    let row = |(privilege, path): (&'static str, &'static str)| Permission {
        identity: Identity::new(&[("pve_cluster", cluster), ("privilege", privilege), ("path", path)]),
        granted: granted(&permissions, privilege, path),
    };
    Ok(needed.into_iter().map(row).collect())
}

/// Whether `privilege` holds on `path` and what lies below it: the nearest path that PVE lists decides, and it must propagate,
/// since PVE checks a storage, a guest or a node, and not the folder of all of them. On `/` itself it need not.
fn granted(permissions: &Permissions, privilege: &str, path: &str) -> bool {
    let mut nearest = path;
    loop {
        if let Some(here) = permissions.get(nearest) {
            return here
                .get(privilege)
                .is_some_and(|propagates| path == "/" || propagates.0 == Some(true));
        }
        match nearest.rsplit_once('/') {
            Some(("", "")) | None => return false,
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
    fn the_nearest_listed_path_decides() {
        let map = permissions(
            r#"{"data":{"/":{"Sys.Audit":1,"VM.Audit":"1","Pool.Audit":0},"/vms":{"VM.Monitor":1},"/storage":{"Datastore.Audit":0},"/sdn":{"SDN.Audit":1}}}"#,
        );
        assert!(granted(&map, "Sys.Audit", "/"));
        assert!(granted(&map, "Sys.Audit", "/nodes"));
        assert!(
            !granted(&map, "VM.Audit", "/vms"),
            "an ACL on /vms replaces what / gives"
        );
        assert!(
            !granted(&map, "Datastore.Audit", "/storage"),
            "PVE checks /storage/NAME"
        );
        assert!(granted(&map, "SDN.Audit", "/sdn"));
        assert!(!granted(&map, "Pool.Audit", "/pool"), "not propagated");
        assert!(granted(&map, "Pool.Audit", "/"));
    }

    #[test]
    fn a_token_without_rights_has_none() {
        assert!(!granted(&permissions(r#"{"data":{}}"#), "Sys.Audit", "/"));
    }
}
