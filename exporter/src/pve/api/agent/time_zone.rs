//! `get-timezone`.

use std::borrow::Cow;

use serde::Deserialize;

use super::{object, useless};
use crate::pve::api::agent::text::clean;
use crate::pve::error::DecodeError;
use crate::pve::perl;

/// Local time is never further from UTC, in seconds.
const FARTHEST: f64 = 15.0 * 3600.0;

/// The time zone. One of both is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeZone {
    /// `zone`, such as `CET` or `W. Europe Standard Time`, or empty.
    pub zone: Box<str>,
    /// `offset`: seconds that local time is ahead of UTC.
    pub offset: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Row<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    zone: Cow<'a, str>,
    #[serde(deserialize_with = "perl::float")]
    offset: Option<f64>,
}

pub(super) fn read(result: &str) -> Result<TimeZone, DecodeError> {
    let row: Row<'_> = object(result)?;
    let zone = TimeZone {
        zone: clean(&row.zone),
        offset: row.offset.filter(|offset| offset.abs() <= FARTHEST),
    };
    if zone == TimeZone::default() {
        return Err(useless(result));
    }
    Ok(zone)
}
