//! `/nodes/{node}/rrddata`: the pressure on a node and its ZFS cache, over one minute.
//!
//! Every node has a copy of the data of all of them, and whoever is asked answers: the request is one of the endpoint, which it
//! costs an exchange with rrdcached, and none of the node that it is about.

use std::sync::Arc;
use std::time::Duration;

use crate::pve::api::node_rrddata::{Row, decode};
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::name::SourceName;
use crate::subjects::guest_pressure::Percent;
use crate::subjects::node;
use crate::subjects::node_rrd::NodeRrd;

/// What a request gets. An endpoint that has no time for this may have some for everything else.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How old the newest minute may be, in seconds.
const OLDEST: f64 = 300.0;

/// The newest minute of one node.
#[derive(Debug, Default)]
pub struct NodeMinute {
    /// One row, or none.
    pub rows: Arc<[NodeRrd]>,
    /// PVE records nothing of this: it is older than 9, or the node is new. A node that was off has no figures of any kind.
    pub absent: bool,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads it. `now` is the time in Unix seconds.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>, now: f64) -> Result<NodeMinute, ApiError> {
    if client.offline().contains(node) {
        return Err(ApiError::Offline { node: node.to_string() });
    }
    let request = Request {
        cost: SourceName::NodeRrd.cost(),
        timeout: Some(TIMEOUT),
        ..Request::entry(format!("/nodes/{node}/rrddata?timeframe=hour&cf=AVERAGE"))
    };
    match client.get(&request).await {
        Ok(answer) => answer.decode(&request.path, |body| convert(body, cluster, node, now)),
        Err(ApiError::Status { problem, .. }) if is_missing(&problem) => Ok(NodeMinute {
            absent: true,
            ..NodeMinute::default()
        }),
        Err(error) => Err(error),
    }
}

fn is_missing(problem: &str) -> bool {
    problem.starts_with("RRD error") && problem.contains("No such file")
}

/// Turns a body into a subject.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, node: &str, now: f64) -> Result<NodeMinute, DecodeError> {
    let mut newest: Option<(u64, Row)> = None;
    let mut recorded = false;
    let damaged_rows = decode(body, |row| {
        recorded |= row.cpu.is_some();
        if let Some(time) = row.time.filter(|_| tells(&row))
            && newest.is_none_or(|(newest, _)| newest < time)
        {
            newest = Some((time, row));
        }
    })?;
    let absent = recorded && newest.is_none();
    let rows = newest.into_iter().filter(|(time, _)| is_current(*time, now));
    let rows = rows.map(|(time, row)| NodeRrd {
        identity: node::identity(cluster, node),
        time,
        percent: Percent {
            cpu_some: row.pressurecpusome,
            io_some: row.pressureiosome,
            io_full: row.pressureiofull,
            memory_some: row.pressurememorysome,
            memory_full: row.pressurememoryfull,
            cpu_full: None,
        },
        // pvestatd writes 0 where there is no ZFS.
        arc_size: row.arcsize.filter(|size| *size > 0),
    });
    Ok(NodeMinute {
        rows: rows.collect(),
        absent,
        damaged_rows,
    })
}

fn tells(row: &Row) -> bool {
    let pressures = [
        row.pressurecpusome,
        row.pressureiosome,
        row.pressureiofull,
        row.pressurememorysome,
        row.pressurememoryfull,
    ];
    row.arcsize.is_some() || pressures.iter().any(Option::is_some)
}

#[expect(clippy::cast_precision_loss, reason = "Unix seconds are far below 2^53")]
fn is_current(time: u64, now: f64) -> bool {
    (now - time as f64).abs() <= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: [&[u8]; 2] = [
        include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__rrddata@timeframe=hour&cf=AVERAGE.json"),
        include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__rrddata@timeframe=hour&cf=AVERAGE.json"),
    ];

    fn read(body: &[u8], now: f64) -> NodeMinute {
        convert(body, "main", "pve1", now).unwrap()
    }

    #[test]
    fn a_recorded_hour_ends_in_its_newest_minute() {
        for (body, cpu) in RECORDED.into_iter().zip([6.267_666_666_666_67, 6.407]) {
            let minute = read(body, 1_795_151_655.0);
            let [row] = &*minute.rows else { panic!("{minute:?}") };
            assert_eq!(row.time, 1_795_151_640);
            assert_eq!((row.percent.cpu_some, row.percent.cpu_full), (Some(cpu), None));
            assert_eq!(row.percent.memory_full, Some(0.0));
            assert_eq!(row.arc_size, None, "0 is no ZFS");
            assert_eq!((minute.damaged_rows, minute.absent), (0, false));
        }
    }

    #[test]
    fn constructed_hours_have_pressure_from_9_0_on() {
        let body = include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__rrddata@timeframe=hour&cf=AVERAGE.json");
        let minute = read(body, 1_786_800_000.0);
        assert_eq!(minute.rows[0].time, 1_786_799_940);
        assert_eq!(minute.rows[0].percent.io_full, Some(0.02));
        assert_eq!(minute.rows[0].arc_size, Some(8_123_456_789));
        let body = include_bytes!("../../tests/fixtures/pve-8/nodes__pve1__rrddata@timeframe=hour&cf=AVERAGE.json");
        let minute = read(body, 1_786_800_000.0);
        assert!(minute.rows.is_empty() && minute.absent);
    }

    #[test]
    fn a_minute_without_values_is_passed_over_and_an_old_one_is_not_shown() {
        let body = br#"{"data":[{"time":1000,"pressurecpusome":"1.5","arcsize":7},{"time":1060},{"time":940,"pressurecpusome":9}]}"#;
        let minute = read(body, 1300.0);
        assert_eq!(
            (minute.rows[0].time, minute.rows[0].percent.cpu_some),
            (1000, Some(1.5))
        );
        let minute = read(body, 1301.0);
        assert!(minute.rows.is_empty() && !minute.absent);
        assert!(read(body, 0.0).rows.is_empty(), "nor one of the far future");
    }

    #[test]
    fn a_node_that_was_off_for_an_hour_is_no_old_one() {
        let minute = read(br#"{"data":[{"time":1000},{"time":1060}]}"#, 1100.0);
        assert!(minute.rows.is_empty() && !minute.absent);
        let minute = read(br#"{"data":[{"time":1000},{"time":1060,"cpu":0.1}]}"#, 1100.0);
        assert!(minute.rows.is_empty() && minute.absent);
    }

    #[test]
    fn damaged_rows_cost_only_themselves() {
        let minute = read(
            br#"{"data":[null,{"time":{},"pressurecpusome":1},{"time":1000,"pressurecpusome":[1],"pressureiosome":2},7]}"#,
            1000.0,
        );
        assert_eq!(minute.rows[0].percent.io_some, Some(2.0));
        assert_eq!(minute.rows[0].percent.cpu_some, None);
        assert_eq!(minute.damaged_rows, 2);
        assert!(convert(br#"{"data":null}"#, "main", "pve1", 0.0).is_err());
    }

    #[test]
    fn a_node_without_data_is_told_from_other_errors() {
        assert!(is_missing(
            "RRD error: opening '/var/lib/rrdcached/db/pve2-node/pve9': No such file or directory"
        ));
        assert!(!is_missing("RRD error: unable to connect to rrdcached"));
    }
}
