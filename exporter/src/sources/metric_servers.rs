//! `/cluster/metrics/server`: how many servers PVE itself sends figures to.

use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};

const PATH: &str = "/cluster/metrics/server";

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricServers {
    /// Those that are switched on.
    pub enabled: u64,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client) -> Result<MetricServers, ApiError> {
    client.get(&Request::entry(PATH)).await?.decode(PATH, convert)
}

fn convert(body: &[u8]) -> Result<MetricServers, DecodeError> {
    let (mut enabled, mut unusable) = (0, 0);
    let damaged = api::metric_servers::decode(body, |row| {
        unusable += u64::from(row.id.is_empty());
        enabled += u64::from(!row.id.is_empty() && row.disable != Some(true));
    })?;
    Ok(MetricServers {
        enabled,
        damaged_rows: damaged + unusable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_and_constructed_servers() {
        let none = include_bytes!("../../tests/fixtures/pve-9.2/cluster__metrics__server.json");
        let read = |body| {
            let servers = convert(body).unwrap();
            (servers.enabled, servers.damaged_rows)
        };
        assert_eq!(read(none), (0, 0));
        let body = br#"{"data":[{"id":"influx","type":"influxdb","server":"192.0.2.7","port":8089},
            {"id":"graphite","disable":"1"},{"id":"otel","disable":0},{"type":"graphite"},7]}"#;
        assert_eq!(read(body), (2, 2));
    }
}
