//! Samples for the tests, made from the lists of fields, so that none is forgotten.

use proptest::prelude::*;
use pve_guest_protocol::areas::{Dmi, Field, Softirqs};
use pve_guest_protocol::{Area, AreaSet, Areas, Assembly, BootId, Header, LineBuffer, Message, Piece, Sample, decode};

/// Text as a guest may have it in names.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9/]{0,12}",
        1 => any::<String>(),
        1 => Just("a \"b\"\\ \n\t\u{0}\u{7f}\u{2028}\u{10ffff}".to_owned()),
        1 => Just("{\"jsonrpc\":\"2.0\",\n".to_owned()),
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0_u64..100_000]
}

/// JSON of a value of a field's type.
fn value(kind: &'static str) -> BoxedStrategy<String> {
    match kind {
        "u16" => any::<u16>().prop_map(|number| number.to_string()).boxed(),
        "u32" => any::<u32>().prop_map(|number| number.to_string()).boxed(),
        "u64" => number().prop_map(|number| number.to_string()).boxed(),
        "i64" => any::<i64>().prop_map(|number| number.to_string()).boxed(),
        "f64" => finite()
            .prop_map(|number| serde_json::to_string(&number).unwrap())
            .boxed(),
        "bool" => any::<bool>().prop_map(|truth| truth.to_string()).boxed(),
        "String" => text().prop_map(|text| serde_json::to_string(&text).unwrap()).boxed(),
        "FileSystemError" => prop::sample::select(&["\"timeout\"", "\"denied\"", "\"other\""])
            .prop_map(str::to_owned)
            .boxed(),
        "AreaSet" => area_set().prop_map(|set| serde_json::to_string(&set).unwrap()).boxed(),
        "Softirqs" => object(Softirqs::FIELDS),
        "Dmi" => object(Dmi::FIELDS),
        other => panic!("how does a {other} look?"),
    }
}

/// Numbers with six digits behind the point: with more, what is read may differ in the last bit.
pub(crate) fn finite() -> impl Strategy<Value = f64> {
    (-(1_i32 << 29)..1 << 29, 0..1_000_000).prop_map(|(whole, micros)| f64::from(whole) + f64::from(micros) / 1e6)
}

/// JSON of an object; optional fields come and go.
fn object(fields: &'static [Field]) -> BoxedStrategy<String> {
    let field = |field: &'static Field| {
        let there = value(field.kind).prop_map(|value| Some(format!("\"{}\":{value}", field.name)));
        if field.required {
            there.boxed()
        } else {
            prop_oneof![there, Just(None)].boxed()
        }
    };
    let fields: Vec<_> = fields.iter().map(field).collect();
    fields
        .prop_map(|fields| format!("{{{}}}", fields.into_iter().flatten().collect::<Vec<_>>().join(",")))
        .boxed()
}

fn area(area: Area) -> BoxedStrategy<Option<String>> {
    let json = if area.is_list() {
        prop::collection::vec(object(area.fields()), 0..4)
            .prop_map(|rows| format!("[{}]", rows.join(",")))
            .boxed()
    } else {
        object(area.fields())
    };
    prop_oneof![
        3 => json.prop_map(move |json| Some(format!("\"{}\":{json}", area.name()))),
        1 => Just(None),
    ]
    .boxed()
}

/// Any areas.
pub(crate) fn areas() -> impl Strategy<Value = Areas> {
    let areas: Vec<_> = Area::ALL.iter().map(|name| area(*name)).collect();
    areas.prop_map(|areas| {
        let areas: Vec<_> = areas.into_iter().flatten().collect();
        serde_json::from_str(&format!("{{{}}}", areas.join(","))).unwrap()
    })
}

/// Any set of areas.
pub(crate) fn area_set() -> impl Strategy<Value = AreaSet> {
    prop_oneof![
        Just(AreaSet::ALL),
        prop::collection::vec(prop::sample::select(Area::ALL), 0..8).prop_map(|areas| areas.into_iter().collect()),
    ]
}

/// Any header of a collector.
pub(crate) fn header() -> impl Strategy<Value = Header> {
    let times = (finite(), finite(), finite(), finite());
    (any::<[u8; 16]>(), any::<u64>(), times).prop_map(|(boot_id, sequence, (start, monotonic, time, interval))| {
        Header {
            boot_id: BootId(boot_id),
            start_seconds: start,
            sequence,
            monotonic_seconds: monotonic,
            time_seconds: time,
            interval_seconds: interval,
            ..Header::default()
        }
    })
}

/// The areas with each row so many times.
pub(crate) fn repeated(areas: &Areas, times: usize) -> Areas {
    fn rows<T: Clone>(rows: &mut Option<Vec<T>>, times: usize) {
        *rows = rows
            .take()
            .map(|rows| rows.iter().cycle().take(rows.len() * times).cloned().collect());
    }
    let mut areas = areas.clone();
    rows(&mut areas.cpus, times);
    rows(&mut areas.scheduler, times);
    rows(&mut areas.softnet, times);
    rows(&mut areas.disks, times);
    rows(&mut areas.file_systems, times);
    rows(&mut areas.network, times);
    rows(&mut areas.interfaces, times);
    rows(&mut areas.arp, times);
    areas
}

/// The samples in bytes that hold nothing but good lines; answers count as lines of a sample too.
pub(crate) fn samples(bytes: &[u8]) -> Vec<Sample> {
    let mut assembly = Assembly::default();
    let mut samples = Vec::new();
    LineBuffer::default().push(bytes, |piece| {
        let Piece::Line(line) = piece else {
            panic!("a line that is too long")
        };
        let report = match decode(line).unwrap() {
            Message::Metrics(report) => *report,
            Message::Answer { result, .. } => result.report().unwrap(),
            other => panic!("{other:?}"),
        };
        samples.extend(assembly.add(report).map(|sample| *sample));
    });
    assert_eq!(assembly.incomplete(), 0);
    samples
}
