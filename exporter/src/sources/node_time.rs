//! `/nodes/{node}/time`: how far the clock of a node is from the exporter's, and its time zone.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::pve::api::node_time::decode;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::name::SourceName;
use crate::subjects::node;
use crate::subjects::node_clock::NodeClock;

/// An answer that took longer says nothing about the clock.
const SLOWEST: Duration = Duration::from_secs(2);

/// Local time is never further from UTC, in seconds.
const FARTHEST: f64 = 15.0 * 3600.0;

/// When the answer was on its way, by the exporter's clock.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Its end in Unix seconds.
    pub end: f64,
    /// How long it took.
    pub took: Duration,
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>, clock: &Clock) -> Result<NodeClock, ApiError> {
    let request = Request::node(node, "time", SourceName::NodeTime.cost());
    let answer = client.get(&request).await?;
    let exchange = Exchange {
        end: clock.unix_seconds(),
        took: answer.took,
    };
    answer.decode(&request.path, |body| convert(body, cluster, node, exchange))
}

/// Turns a body into a subject.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, node: &str, exchange: Exchange) -> Result<NodeClock, DecodeError> {
    let answer = decode(body)?;
    // The node has cut off half a second on average.
    let middle = exchange.end - exchange.took.as_secs_f64() / 2.0;
    let offset = answer
        .time
        .filter(|_| exchange.took <= SLOWEST)
        .map(|time| time + 0.5 - middle);
    let utc_offset = answer.localtime.zip(answer.time).map(|(local, time)| local - time);
    Ok(NodeClock {
        identity: node::identity(cluster, node),
        offset: offset.map(|offset| (offset * 10.0).round() / 10.0),
        utc_offset: utc_offset.filter(|offset| offset.abs() <= FARTHEST),
        timezone: Some(&*answer.timezone)
            .filter(|name| may_be_label(name))
            .unwrap_or_default()
            .into(),
    })
}

fn may_be_label(timezone: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    timezone.len() <= 64 && timezone.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], end: f64, milliseconds: u64) -> NodeClock {
        let took = Duration::from_millis(milliseconds);
        convert(body, "main", "pve1", Exchange { end, took }).unwrap()
    }

    #[test]
    fn recorded_clocks_are_compared_with_the_middle_of_the_exchange() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__time.json");
        let clock = read(body, 1_795_151_655.6, 200);
        assert_eq!((clock.offset, clock.utc_offset), (Some(0.0), Some(0.0)));
        assert_eq!(&*clock.timezone, "Etc/UTC");
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__time.json");
        assert_eq!(read(body, 1_795_151_668.5, 0).offset, Some(7.0));
        assert_eq!(read(body, 1_795_151_685.5, 0).offset, Some(-10.0));
    }

    #[test]
    fn a_slow_answer_says_nothing_about_the_clock() {
        let body = br#"{"data":{"time":1000,"localtime":8200,"timezone":"Europe/Vienna"}}"#;
        assert_eq!(read(body, 1002.0, 2000).offset, Some(-0.5));
        let clock = read(body, 1002.0, 2001);
        assert_eq!((clock.offset, clock.utc_offset), (None, Some(7200.0)));
    }

    #[test]
    fn damaged_values_cost_only_themselves() {
        let clock = read(
            br#"{"data":{"time":"1000","localtime":{},"timezone":"a b"}}"#,
            1000.5,
            0,
        );
        assert_eq!(
            (clock.offset, clock.utc_offset, &*clock.timezone),
            (Some(0.0), None, "")
        );
        let clock = read(br#"{"data":{"localtime":1000,"time":[],"timezone":7}}"#, 1000.0, 0);
        assert_eq!((clock.offset, clock.utc_offset, &*clock.timezone), (None, None, "7"));
        let clock = read(br#"{"data":{"localtime":1000,"time":100000}}"#, 100_000.0, 0);
        assert_eq!(clock.utc_offset, None, "no zone is that far away");
        let exchange = Exchange {
            end: 0.0,
            took: Duration::ZERO,
        };
        assert!(convert(br#"{"data":null}"#, "main", "pve1", exchange).is_err());
    }
}
