//! A guest's sample under node_exporter's names, labels and types, so that what people have for node_exporter works for it.
//!
//! There is no label that tells the guest: it is a target of its own, and Prometheus names it by `instance`. What the guest is
//! called is PVE's word and not its own.

use std::ops::Deref;
use std::sync::Arc;

use pve_guest_protocol::Areas;

use crate::metrics::catalog::Group;
use crate::metrics::exposition::{Exposition, Format, Rows, Section};
use crate::metrics::labels::Identity;
use crate::metrics::table::{Subject, Value};

mod clock;
mod compute;
mod documentation;
mod filter;
mod memory;
mod network;
mod protocols;
mod storage;
mod summary;
mod system;

pub use documentation::markdown;
pub use filter::Filter;
pub(crate) use filter::is_disk;
pub use summary::{GuestRows, rows as guest_rows, summary};

/// What is exposed of one guest.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// What it is called: the `nodename` that dashboards let people choose from.
    pub name: &'a str,
    /// The guest's own time when the sample was taken, in Unix seconds.
    pub time: f64,
    /// The sample.
    pub areas: &'a Areas,
}

/// The exposition of `guest`, without what `filter` leaves out.
#[must_use]
pub fn exposition(guest: Guest<'_>, filter: Filter, format: Format) -> Exposition {
    Exposition::new(format, sections(guest, filter), String::new(), |_| true)
}

fn sections(guest: Guest<'_>, filter: Filter) -> Vec<Box<dyn Section>> {
    let mut sections = compute::sections(guest.areas);
    sections.extend(memory::sections(guest.areas));
    sections.extend(storage::sections(guest.areas, filter));
    sections.extend(network::sections(guest.areas, filter));
    sections.extend(protocols::sections(guest.areas));
    sections.extend(clock::sections(guest));
    sections.extend(system::sections(guest));
    sections
}

/// Every metric of a guest, in the order of the exposition.
#[must_use]
pub fn catalog() -> Vec<Group> {
    let mut groups = compute::groups();
    groups.extend(memory::groups());
    groups.extend(storage::groups());
    groups.extend(network::groups());
    groups.extend(protocols::groups());
    groups.extend(clock::groups());
    groups.extend(system::groups());
    groups
}

/// One thing of a sample, and the labels that tell it from others.
struct Row<T> {
    identity: Identity,
    value: T,
}

impl<T> Deref for Row<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// An area that is there once or not at all.
fn one<T: Clone>(area: Option<&T>) -> Box<dyn Section>
where
    Row<T>: Subject,
{
    rows(area.cloned().map(only).into_iter().collect())
}

/// An area of several things, each of which has a name of its own.
fn each<T: Clone>(area: Option<&Vec<T>>, identity: impl Fn(&T) -> Identity) -> Box<dyn Section>
where
    Row<T>: Subject,
{
    let row = |value: &T| Row {
        identity: identity(value),
        value: value.clone(),
    };
    rows(area.into_iter().flatten().map(row).collect())
}

/// Rows in the order of their labels, each only once, whatever a guest sends.
fn rows<T>(mut rows: Vec<Row<T>>) -> Box<dyn Section>
where
    Row<T>: Subject,
{
    rows.sort_by(|one, other| one.identity.pairs().cmp(other.identity.pairs()));
    rows.dedup_by(|one, other| one.identity == other.identity);
    Box::new(Rows::new(vec![Arc::from(rows)]))
}

/// A row that is there once.
fn only<T>(value: T) -> Row<T> {
    Row {
        identity: Identity::new(&[]),
        value,
    }
}

fn numbered(label: &'static str, number: u32) -> Identity {
    Identity::new(&[(label, itoa::Buffer::new().format(number))])
}

fn whole(value: Option<u64>) -> Option<Value> {
    value.map(Into::into)
}

fn kilobytes(value: Option<u64>) -> Option<Value> {
    value.map(|value| value.saturating_mul(1024).into())
}

/// A part of something, such as ticks of a second.
#[expect(clippy::cast_precision_loss, reason = "so precise are samples")]
fn parts(value: Option<u64>, of_one: f64) -> Option<Value> {
    value.map(|value| (value as f64 / of_one).into())
}

#[expect(clippy::cast_precision_loss, reason = "so precise are samples")]
fn signed(value: Option<i64>) -> Option<Value> {
    value.map(|value| (value as f64).into())
}
