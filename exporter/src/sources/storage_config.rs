//! `/storage`: the storages as they are configured. What is switched off is listed nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::plain_name::is_plain;
use crate::subjects;

const PATH: &str = "/storage";

/// The most storages that are reported on.
const MOST_STORAGES: usize = 1024;

/// The storages that the token may see, as subjects.
#[derive(Debug)]
pub struct StorageConfig {
    /// By name.
    pub storages: Arc<[subjects::storage_config::StorageConfig]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads it: one file that the endpoint has in memory.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str) -> Result<StorageConfig, ApiError> {
    let answer = client.get(&Request::entry(PATH)).await?;
    answer.decode(PATH, |body| convert(body, cluster))
}

fn convert(body: &[u8], cluster: &str) -> Result<StorageConfig, DecodeError> {
    let mut storages = BTreeMap::new();
    let mut unusable = 0;
    let damaged = api::storage_config::decode(body, |row| {
        if !is_plain(&row.storage) {
            unusable += 1;
        } else if storages.len() < MOST_STORAGES {
            let storage = subjects::storage_config::StorageConfig {
                identity: Identity::new(&[("pve_cluster", cluster), ("storage", &row.storage)]),
                enabled: row.disable != Some(true),
            };
            storages.insert(row.storage.into_owned(), storage);
        }
    })?;
    Ok(StorageConfig {
        storages: storages.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_storages() {
        let config = convert(include_bytes!("../../tests/fixtures/pve-9.2/storage.json"), "main").unwrap();
        assert_eq!((config.storages.len(), config.damaged_rows), (9, 0));
        let off: Vec<_> = config.storages.iter().filter(|storage| !storage.enabled).collect();
        let [off] = &*off else { panic!("{off:?}") };
        assert_eq!(
            str::from_utf8(off.identity.pairs()),
            Ok(r#"pve_cluster="main",storage="off""#)
        );
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let body = br#"{"data":[{"storage":"b","disable":"1"},null,{"disable":1},{"storage":"a","disable":"0"},{"storage":"a b"}]}"#;
        let config = convert(body, "main").unwrap();
        let enabled: Vec<_> = config.storages.iter().map(|storage| storage.enabled).collect();
        assert_eq!((&*enabled, config.damaged_rows), (&[true, false][..], 3));
    }
}
