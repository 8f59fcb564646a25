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
    let api::version::Version {
        release,
        version,
        repoid,
    } = answer.decode(&request.path, api::version::decode)?;
    Ok(Version {
        release,
        version,
        repoid,
    })
}
