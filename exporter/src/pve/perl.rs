//! PVE's JSON is Perl's: a number may be a string, a boolean 0, 1, "1" or "", a key may be absent, and a row may be damaged.
//!
//! Every field of a wire type is read through an adapter of this module, so that a value of an unexpected type costs only
//! itself, and a row of an unexpected shape only that row.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::pve::error::DecodeError;

/// What stands in the place of a value: a scalar, or a list of which only the numbers count; everything else is `Absent`.
enum Scalar<'de> {
    Absent,
    Numbers(Vec<f64>),
    Unsigned(u64),
    Float(f64),
    Text(Cow<'de, str>),
}

/// The longest list that PVE sends in the place of a value has three: the load averages.
const MOST_NUMBERS: usize = 16;

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, a boolean or a string")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(u64::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "negative numbers are only ever read as floats"
    )]
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Element(#[serde(deserialize_with = "float")] Option<f64>);
        let mut numbers = Vec::new();
        while let Some(Element(number)) = seq.next_element()? {
            numbers.extend(number.filter(|_| numbers.len() < MOST_NUMBERS));
        }
        Ok(Scalar::Numbers(numbers))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Absent)
    }
}

/// Reads a number that is not negative, such as bytes or a count: 12, 12.0, "12", true. Anything else is `None`.
///
/// # Errors
/// Only when the JSON itself is broken.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match deserializer.deserialize_any(ScalarVisitor)? {
        Scalar::Unsigned(value) => Some(value),
        Scalar::Float(value) => float_to_whole(value),
        Scalar::Text(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(float_to_whole))
        }
        Scalar::Absent | Scalar::Numbers(_) => None,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked; fractions of a byte mean nothing"
)]
/// A whole number that is not negative; a fraction is cut off.
pub(crate) fn float_to_whole(value: f64) -> Option<u64> {
    (0.0..18_446_744_073_709_551_616.0)
        .contains(&value)
        .then_some(value as u64)
}

/// Reads a finite number: 0.5, "0.50", 1.2e-05. Anything else is `None`.
///
/// # Errors
/// Only when the JSON itself is broken.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure beyond 2^53 stays right to 16 digits"
)]
pub fn float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = match deserializer.deserialize_any(ScalarVisitor)? {
        Scalar::Unsigned(value) => Some(value as f64),
        Scalar::Float(value) => Some(value),
        Scalar::Text(text) => text.trim().parse().ok(),
        Scalar::Absent | Scalar::Numbers(_) => None,
    };
    Ok(value.filter(|value| value.is_finite()))
}

/// Reads a truth value: 0, 1, "0", "1", "", true, false, "yes", "on". Anything else is `None`.
///
/// # Errors
/// Only when the JSON itself is broken.
pub fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(match deserializer.deserialize_any(ScalarVisitor)? {
        Scalar::Unsigned(value) => Some(value != 0),
        Scalar::Float(value) => Some(value != 0.0),
        Scalar::Text(text) => match text.trim() {
            "" | "0" | "no" | "off" | "false" => Some(false),
            "1" | "yes" | "on" | "true" => Some(true),
            _ => None,
        },
        Scalar::Absent | Scalar::Numbers(_) => None,
    })
}

/// Reads text; a number becomes its digits, since Perl sends a name such as `123` as a number. Anything else is empty.
///
/// # Errors
/// Only when the JSON itself is broken.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    Ok(match deserializer.deserialize_any(ScalarVisitor)? {
        Scalar::Unsigned(value) => Cow::Owned(value.to_string()),
        Scalar::Float(value) => Cow::Owned(value.to_string()),
        Scalar::Text(text) => text,
        Scalar::Absent | Scalar::Numbers(_) => Cow::Borrowed(""),
    })
}

/// A list of floats, as in `loadavg`. Elements that are no numbers are left out; anything but a list is empty.
///
/// # Errors
/// Only when the JSON itself is broken.
pub fn floats<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    Ok(match deserializer.deserialize_any(ScalarVisitor)? {
        Scalar::Numbers(numbers) => numbers,
        _ => Vec::new(),
    })
}

/// Reads an object, or the default where something else stands in its place.
///
/// # Errors
/// Only when the JSON itself is broken.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Row::<T>::deserialize(deserializer)?.0.unwrap_or_default())
}

/// An object that holds an entry for each of many names, such as nodes. An entry of wrong shape is `None` and costs only itself.
#[derive(Debug)]
pub struct Entries<T>(pub BTreeMap<String, Option<T>>);

impl<T> Entries<T> {
    /// The entry of `name`, if it could be read.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name)?.as_ref()
    }

    /// How many entries could not be read.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.0.values().filter(|entry| entry.is_none()).count() as u64
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, &RawValue>::deserialize(deserializer)?;
        let entries = raw
            .into_iter()
            .map(|(name, raw)| (name, serde_json::from_str(raw.get()).ok()));
        Ok(Self(entries.collect()))
    }
}

/// The entries of an object whose keys are names, such as those of drives, in the order in which they stand. One that is no
/// object is `None`.
pub type EntryList<'a, T> = Vec<(Cow<'a, str>, Option<T>)>;

/// Reads an object of objects; anything else is empty.
///
/// # Errors
/// Only when the JSON itself is broken.
pub fn entries<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<EntryList<'de, T>, D::Error> {
    struct All<'de, T>(EntryList<'de, T>);
    impl<T> Default for All<'_, T> {
        fn default() -> Self {
            Self(Vec::new())
        }
    }
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for All<'de, T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(AllVisitor(PhantomData))
        }
    }
    struct AllVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for AllVisitor<T> {
        type Value = All<'de, T>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of objects")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            #[derive(Deserialize)]
            struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
            let mut entries = Vec::new();
            while let Some((Name(name), Row(entry))) = map.next_entry()? {
                entries.push((name, entry));
            }
            Ok(All(entries))
        }
    }
    object::<D, All<'de, T>>(deserializer).map(|All(entries)| entries)
}

/// A row of a list: the object, or `None` where something else stands in its place.
struct Row<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Row<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for RowVisitor<T> {
            type Value = Row<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|row| Row(Some(row)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                ScalarVisitor.visit_seq(seq).map(|_| Row(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Row(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Row(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Row(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Row(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Row(None))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Row(None))
            }
        }
        deserializer.deserialize_any(RowVisitor(PhantomData))
    }
}

/// Reads a list of objects, without the elements that are none or cannot be read; anything but a list is empty.
///
/// # Errors
/// Only when the JSON itself is broken.
pub fn rows<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    let rows: Vec<&'de RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    let read = |row: &'de RawValue| serde_json::from_str::<Row<T>>(row.get()).ok()?.0;
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Finds the value under `path` (say `data`, or `data` in `data`) and gives it to `seed`.
struct Under<'p, S> {
    path: &'p [&'static str],
    seed: S,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Under<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.path.is_empty() {
            self.seed.deserialize(deserializer)
        } else {
            deserializer.deserialize_map(self)
        }
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Under<'_, S> {
    type Value = S::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "an object with the key \"{}\"",
            self.path.first().unwrap_or(&"")
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((key, path)) = self.path.split_first() else {
            return Err(A::Error::custom("empty path"));
        };
        let mut seed = Some(self.seed);
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match seed.take_if(|_| name == *key) {
                Some(seed) => found = Some(map.next_value_seed(Under { path, seed })?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        found.ok_or_else(|| A::Error::missing_field(key))
    }
}

/// Gives the rows of a list to `each`.
struct ForEach<'c, T, F> {
    each: F,
    /// How many rows have been read.
    next: &'c mut usize,
    /// Whether rows are cut out first and read one by one, from the one at `next` on: it takes longer, and a row that holds a
    /// value which no number or text can costs only itself.
    apart: bool,
    row: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> DeserializeSeed<'de> for ForEach<'_, T, F> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for ForEach<'_, T, F> {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<u64, A::Error> {
        let (mut index, mut damaged) = (0, 0);
        while let Some(row) = if self.apart {
            next_apart(&mut seq)?
        } else {
            seq.next_element()?
        } {
            let Row(row) = row;
            damaged += u64::from(row.is_none());
            if !self.apart || index >= *self.next {
                row.into_iter().for_each(&mut self.each);
            }
            index += 1;
            if !self.apart {
                *self.next = index;
            }
        }
        Ok(damaged)
    }
}

fn next_apart<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(seq: &mut A) -> Result<Option<Row<T>>, A::Error> {
    let raw = seq.next_element::<&RawValue>()?;
    Ok(raw.map(|raw| serde_json::from_str(raw.get()).unwrap_or(Row(None))))
}

fn parse<'de, S: DeserializeSeed<'de>>(
    body: &'de [u8],
    path: &[&'static str],
    seed: S,
) -> Result<S::Value, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = Under { path, seed }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| DecodeError::new(&error, body))
}

/// Gives each row of the list under `path` to `each`, without holding them all; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON, ends early, or has no list under `path`. Rows before the fault have been given out by then.
pub fn for_each_row<'de, T: Deserialize<'de>>(
    body: &'de [u8],
    path: &[&'static str],
    mut each: impl FnMut(T),
) -> Result<u64, DecodeError> {
    let mut next = 0;
    let mut all = |apart| {
        parse(
            body,
            path,
            ForEach {
                each: &mut each,
                next: &mut next,
                apart,
                row: PhantomData,
            },
        )
    };
    // One row may hold a number that is too large, say: then the rest is as good as ever.
    all(false).or_else(|error| all(true).map_err(|_| error))
}

/// Reads the object under `data`.
///
/// # Errors
/// When the body is no JSON, ends early, or has no such object.
pub fn data<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, DecodeError> {
    parse(body, &["data"], PhantomData)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Wire<'a> {
        #[serde(deserialize_with = "whole")]
        bytes: Option<u64>,
        #[serde(deserialize_with = "float")]
        share: Option<f64>,
        #[serde(deserialize_with = "truth")]
        flag: Option<bool>,
        #[serde(borrow, deserialize_with = "text")]
        name: Cow<'a, str>,
    }

    fn row(json: &str) -> Wire<'static> {
        let body = Box::leak(format!(r#"{{"data":{json}}}"#).into_boxed_str());
        data(body.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_come_as_strings_and_booleans_as_numbers() {
        assert_eq!(
            row(r#"{"bytes":"42","share":"0.50","flag":"1","name":"x"}"#),
            row(r#"{"bytes":42,"share":0.5,"flag":1,"name":"x"}"#)
        );
        assert_eq!(row(r#"{"flag":""}"#).flag, Some(false));
        assert_eq!(row(r#"{"flag":false}"#).flag, Some(false));
        assert_eq!(row(r#"{"share":1.2345e-05}"#).share, Some(1.2345e-05));
        assert_eq!(row(r#"{"bytes":1e3}"#).bytes, Some(1000));
    }

    #[test]
    fn a_value_of_the_wrong_type_costs_only_itself() {
        let wire = row(r#"{"bytes":{"a":[1]},"share":[1,2],"flag":"maybe","name":null,"unknown":{"b":1}}"#);
        assert_eq!(wire, Wire::default());
        assert_eq!(
            row(r#"{"bytes":-1,"share":"NaN","name":123}"#),
            Wire {
                name: "123".into(),
                ..Wire::default()
            }
        );
        assert_eq!(row(r#"{"bytes":1e30,"share":"inf"}"#), Wire::default());
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let mut names = Vec::new();
        let body = br#"{"success":1,"data":[{"name":"a"},7,"x",null,[1],true,{"name":"b"}],"total":9}"#;
        let damaged = for_each_row(body, &["data"], |wire: Wire<'_>| names.push(wire.name.into_owned())).unwrap();
        assert_eq!((names, damaged), (vec!["a".to_owned(), "b".to_owned()], 5));
    }

    #[test]
    fn a_value_that_no_type_can_hold_costs_only_its_row() {
        for bad in [r#"{"bytes":1e999,"name":"x"}"#, r#"{"name":"\ud800"}"#] {
            let body = format!(r#"{{"data":[{{"name":"a"}},{bad},7,{{"name":"b"}}]}}"#);
            let mut names = Vec::new();
            let each = |wire: Wire<'_>| names.push(wire.name.into_owned());
            assert_eq!(for_each_row(body.as_bytes(), &["data"], each).unwrap(), 2);
            assert_eq!(names, ["a", "b"]);
        }
    }

    #[test]
    fn a_damaged_entry_costs_only_itself() {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Nodes<'a> {
            #[serde(borrow, deserialize_with = "object")]
            rows: Entries<Wire<'a>>,
            #[serde(deserialize_with = "object")]
            words: Entries<String>,
        }
        let body = br#"{"data":{"rows":{"a":{"name":"x"},"b":7,"c":{"bytes":1e999},"d":null},"words":[1]}}"#;
        let nodes: Nodes<'_> = data(body).unwrap();
        assert_eq!(nodes.rows.get("a").unwrap().name, "x");
        assert_eq!((nodes.rows.0.len(), nodes.rows.damaged()), (4, 3));
        assert!(nodes.words.0.is_empty());
        let nodes: Nodes<'_> = data(br#"{"data":{"words":{"a":"online","b":{},"c":"\ud800"}}}"#).unwrap();
        assert_eq!(nodes.words.get("a").unwrap(), "online");
        assert_eq!(nodes.words.damaged(), 2);
    }

    #[test]
    fn a_body_without_a_list_says_what_came() {
        for (body, words) in [
            (r#"{"data":null}"#, "expected a list of rows"),
            (r#"{"errors":{}}"#, "missing field `data`"),
            ("<html>", "expected value"),
            (r#"{"data":[{"name":"a"}"#, "EOF"),
            ("", "EOF"),
        ] {
            let error = for_each_row(body.as_bytes(), &["data"], |_: Wire<'_>| ())
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_damaged_listed_entry_costs_only_itself() {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Guest<'a> {
            #[serde(borrow, deserialize_with = "entries")]
            drives: EntryList<'a, Wire<'a>>,
        }
        let read = |json: &'static str| data::<Guest<'_>>(json.as_bytes()).unwrap().drives;
        let drives = read(r#"{"data":{"drives":{"b":{"bytes":"1"},"x":7,"y":null,"z":[{}],"a":{"bytes":{}}}}}"#);
        let bytes: Vec<_> = drives
            .iter()
            .map(|(name, drive)| (&**name, drive.as_ref().map(|drive| drive.bytes)))
            .collect();
        assert_eq!(
            bytes,
            [
                ("b", Some(Some(1))),
                ("x", None),
                ("y", None),
                ("z", None),
                ("a", Some(None))
            ]
        );
        assert!(drives.iter().all(|(name, _)| matches!(name, Cow::Borrowed(_))));
        for absent in [
            r#"{"data":{}}"#,
            r#"{"data":{"drives":[]}}"#,
            r#"{"data":{"drives":""}}"#,
        ] {
            assert!(read(absent).is_empty());
        }
    }

    #[test]
    fn nested_lists_are_found() {
        let mut count = 0;
        for_each_row(
            br#"{"data":{"x":1,"data":[{},{}]}}"#,
            &["data", "data"],
            |_: Wire<'_>| count += 1,
        )
        .unwrap();
        assert_eq!(count, 2);
    }
}
