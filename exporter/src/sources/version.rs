//! `/version`: the version of the node that answers.

use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::ApiError;
use crate::subjects::cluster::Version;

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
