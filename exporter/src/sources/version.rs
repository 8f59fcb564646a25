//! `/version`: the version of the node that answers.

use std::sync::Arc;

use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::ApiError;
use crate::sources::name::SourceName;
use crate::sources::source::{Whole, Wiring};
use crate::subjects::cluster::Version;

/// The source. With `several` endpoints it also learns their certificates.
pub fn source(wiring: &Wiring<'_>, several: bool) -> Whole<Version> {
    wiring.whole(SourceName::Version, move |client: Arc<Client>| async move {
        let version = fetch(&client).await?;
        if several && let Err(error) = client.learn_fingerprints().await {
            tracing::debug!(%error, "fingerprints of the other nodes stay unknown");
        }
        Ok(version)
    })
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client) -> Result<Version, ApiError> {
    let request = Request::entry("/version");
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| {
        let api::version::Version {
            release,
            version,
            repoid,
        } = api::version::decode(body)?;
        Ok(Version {
            release: release.into_owned(),
            version: version.into_owned(),
            repoid: repoid.into_owned(),
        })
    })
}
