//! `GET …/rrddata?timeframe=…` of a node, a guest or a storage: what PVE keeps of the past, as averages over periods.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One period. Which columns it has depends on the kind of thing and on the version; a column without a value is left out, and
/// a period of which nothing is known has none.
#[derive(Debug, Default)]
pub struct Row<'a> {
    /// `time`: the end of the period in Unix seconds.
    pub time: Option<u64>,
    /// The columns by their names, in no order.
    pub values: Vec<(Cow<'a, str>, f64)>,
}

impl Row<'_> {
    /// The value of a column.
    #[must_use]
    pub fn value(&self, column: &str) -> Option<f64> {
        let found = self.values.iter().find(|(name, _)| name == column);
        found.map(|(_, value)| *value)
    }
}

impl<'de> Deserialize<'de> for Row<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(serde::Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
        #[derive(serde::Deserialize)]
        struct Time(#[serde(deserialize_with = "perl::whole")] Option<u64>);
        #[derive(serde::Deserialize)]
        struct Value(#[serde(deserialize_with = "perl::float")] Option<f64>);
        let mut row = Row::default();
        while let Some(Name(name)) = map.next_key()? {
            if name == "time" {
                row.time = map.next_value::<Time>()?.0;
            } else if let Value(Some(value)) = map.next_value()? {
                row.values.push((name, value));
            }
        }
        Ok(row)
    }
}

/// Gives each row to `each`, in PVE's order; returns how many rows were damaged.
///
/// After an upgrade to PVE 9 the rows of the old file come first, with a longer period, and may reach beyond the first of the
/// new file.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(body: &'static [u8]) -> Vec<Row<'static>> {
        let mut rows = Vec::new();
        assert_eq!(decode(body, |row| rows.push(row)).unwrap(), 0);
        rows
    }

    #[test]
    fn a_node_of_pve_9_is_read() {
        let rows = recorded(include_bytes!(
            "../../../tests/fixtures/pve-9.2/nodes__pve1__rrddata@timeframe=hour.json"
        ));
        assert_eq!((rows.len(), rows[0].time), (60, Some(1_795_148_100)));
        assert!(rows[0].values.is_empty());
        let last = &rows[59];
        assert_eq!(last.time, Some(1_795_151_640));
        assert_eq!(last.value("memavailable"), Some(20_773_072_076.8));
        assert_eq!(last.value("pressurecpusome"), Some(6.267_666_666_666_67));
        assert_eq!((last.values.len(), last.value("time")), (19, None));
    }

    #[test]
    fn a_storage_and_a_stopped_guest_are_read() {
        let rows = recorded(include_bytes!(
            "../../../tests/fixtures/pve-9.2/nodes__pve1__storage__local__rrddata@timeframe=hour.json"
        ));
        assert_eq!(rows.last().unwrap().value("total"), Some(270_553_174_016.0));
        let rows = recorded(include_bytes!(
            "../../../tests/fixtures/pve-9.2/nodes__pve1__qemu__104__rrddata@timeframe=hour.json"
        ));
        let last = rows.last().unwrap();
        assert_eq!((last.value("maxmem"), last.value("cpu")), (Some(536_870_912.0), None));
    }

    #[test]
    fn damage_costs_itself() {
        let body = br#"{"data":[{"time":"60","cpu":"1.2345e-05","mem":{"a":1},"x":null},7,{"cpu":1e999,"time":120},{"time":180,"cpu":0.5}]}"#;
        let mut rows = Vec::new();
        assert_eq!(decode(body, |row| rows.push(row)).unwrap(), 2);
        assert_eq!((rows[0].time, rows[0].value("cpu")), (Some(60), Some(1.2345e-05)));
        assert_eq!((rows[0].values.len(), rows.len()), (1, 2));
        assert!(decode(b"{\"data\":null}", |_| ()).is_err());
    }
}
