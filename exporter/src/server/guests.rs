//! `/guests/<cluster>/<type>/<vmid>/metrics` and `/sd/guests`.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::Response;
use hyper::StatusCode;
use hyper::header::HOST;
use hyper::{Method, Request, body::Incoming};
use tokio::sync::Semaphore;
use url::{Url, form_urlencoded};

use super::{Body, place, plain, shown, text, wait};
use crate::config::parse_vmid;
use crate::scrape::{Exporter, NoGuest, NoTargets, Target};

const METRICS: &str = "metrics";
const QEMU: &str = "qemu";

/// A guest in a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GuestPath<'a> {
    cluster: Cow<'a, str>,
    kind: &'a str,
    vmid: &'a str,
}

/// What stands behind `/guests/`.
pub(super) fn parse(path: &str) -> Option<GuestPath<'_>> {
    let mut parts = path.strip_prefix("/guests/")?.split('/');
    let found = GuestPath {
        cluster: decoded(parts.next()?)?,
        kind: parts.next()?,
        vmid: parts.next()?,
    };
    (parts.next() == Some(METRICS) && parts.next().is_none()).then_some(found)
}

/// A part of a path without percent signs.
fn decoded(part: &str) -> Option<Cow<'_, str>> {
    // What means something in a query only.
    let query = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let (decoded, _) = form_urlencoded::parse(query.as_bytes()).next()?;
    Some(Cow::Owned(decoded.into_owned()))
}

pub(super) async fn metrics(
    request: &Request<Incoming>,
    path: &GuestPath<'_>,
    exporter: &Exporter,
    scrapes: &Arc<Semaphore>,
) -> Response<Body> {
    let Some(vmid) = parse_vmid(path.vmid).filter(|_| path.kind == QEMU) else {
        return text(StatusCode::NOT_FOUND, "only virtual machines have ports\n");
    };
    if request.method() == Method::HEAD {
        // Not worth asking the guest.
        return match exporter.has_guest(&path.cluster, vmid) {
            Ok(()) => text(StatusCode::OK, ""),
            Err(problem) => no_guest(&problem),
        };
    }
    let permit = match place(exporter, scrapes) {
        Ok(permit) => permit,
        Err(response) => return *response,
    };
    let headers = request.headers();
    let format = super::negotiation::format(headers.get_all(hyper::header::ACCEPT));
    match exporter.guest(&path.cluster, vmid, format).await {
        Ok(exposition) => shown(exposition, headers, format, permit),
        Err(problem) => no_guest(&problem),
    }
}

fn no_guest(problem: &NoGuest) -> Response<Body> {
    let status = match problem {
        NoGuest::NotHere(_) => StatusCode::NOT_FOUND,
        NoGuest::NoSample { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    text(status, format!("{problem}\n"))
}

/// The guests as targets of Prometheus' HTTP service discovery.
pub(super) async fn discovery(request: &Request<Incoming>, exporter: &Exporter) -> Response<Body> {
    let headers = request.headers();
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return text(
            StatusCode::BAD_REQUEST,
            "the request has no Host header to tell the target's address\n",
        );
    };
    let mut clusters = Vec::new();
    for (parameter, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        if parameter != "cluster" {
            let problem = format!("unknown parameter {parameter:?}; there is: cluster\n");
            return text(StatusCode::BAD_REQUEST, problem);
        }
        clusters.push(value.into_owned());
    }
    match exporter.guest_targets(&clusters, host, wait(headers, exporter)).await {
        Ok(targets) => {
            let groups = targets.iter().map(group).collect();
            let body = serde_json::Value::Array(groups).to_string();
            plain(StatusCode::OK, "application/json", body)
        }
        Err(problem @ NoTargets::Unknown(_)) => text(StatusCode::NOT_FOUND, format!("{problem}\n")),
        Err(problem @ NoTargets::Incomplete { .. }) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
    }
}

fn group(target: &Target) -> serde_json::Value {
    let vmid = target.vmid.to_string();
    let mut labels = serde_json::Map::new();
    let mut label = |name: &str, value: &str| {
        if !value.is_empty() {
            labels.insert(name.to_owned(), value.into());
        }
    };
    label("__metrics_path__", &path(&target.cluster, &vmid));
    label("__meta_pve_cluster", &target.cluster);
    label("__meta_pve_type", QEMU);
    label("__meta_pve_vmid", &vmid);
    label("__meta_pve_node", &target.node);
    label("__meta_pve_name", &target.name);
    label("__meta_pve_pool", &target.pool);
    if !target.tags.is_empty() {
        // So that each tag stands between two of them, wherever it stands.
        label("__meta_pve_tags", &format!(";{};", target.tags));
    }
    // Stable, wherever the guest runs.
    label("instance", &format!("{}/{QEMU}/{vmid}", target.cluster));
    serde_json::json!({"targets": [target.address], "labels": labels})
}

fn path(cluster: &str, vmid: &str) -> String {
    let built = Url::parse("http://localhost").ok().and_then(|mut url| {
        url.path_segments_mut()
            .ok()?
            .extend(["guests", cluster, QEMU, vmid, METRICS]);
        Some(url.path().to_owned())
    });
    built.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_guests() {
        let guest = |cluster: &'static str, kind, vmid| {
            Some(GuestPath {
                cluster: cluster.into(),
                kind,
                vmid,
            })
        };
        assert_eq!(parse("/guests/main/qemu/100/metrics"), guest("main", "qemu", "100"));
        assert_eq!(parse("/guests/a%2Fb%20c+d/lxc/x/metrics"), guest("a/b c+d", "lxc", "x"));
        for other in [
            "/guests/main/qemu/100",
            "/guests/main/qemu/100/metrics/",
            "/guests/main/qemu/100/other",
            "/guests/",
            "/metrics",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_leads_back_to_its_guest() {
        for cluster in ["main", "a/b", "50 %", "ü+&=?#"] {
            let path = path(cluster, "100");
            assert_eq!(parse(&path).unwrap().cluster, cluster, "{path}");
        }
    }
}
