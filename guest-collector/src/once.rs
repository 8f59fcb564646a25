//! One sample on paper.

use std::time::Instant;

use pve_guest_protocol::{Area, Encoder};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::identity::Identity;
use crate::samplers::{Roots, Sampler};

/// How a sample is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The lines as they are sent.
    Lines,
    /// For people: a paragraph for each area.
    Table,
}

/// Takes one sample of all areas that are switched on, and appends it to `out`.
pub fn write(config: &Config, roots: &Roots, form: Form, out: &mut Vec<u8>) {
    let mut lines = Vec::new();
    let mut sampler = Sampler::new(roots, config.areas);
    let header = Identity::new(&roots.proc).next(config.interval);
    let areas = sampler.sample(config.areas, Instant::now());
    Encoder::default().encode(&header, areas, config.areas, None, &mut lines);
    match form {
        Form::Lines => out.append(&mut lines),
        Form::Table => table(&lines, out),
    }
}

fn table(lines: &[u8], out: &mut Vec<u8>) {
    let reports: Vec<Value> = lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    for area in Area::ALL {
        let parts = reports
            .iter()
            .filter_map(|report| report["params"]["areas"].get(area.name()));
        let mut rows = Vec::new();
        for part in parts {
            match part {
                Value::Object(object) => {
                    title(*area, out);
                    let fields = area.fields().iter().map(|field| field.name);
                    object_lines(fields.filter_map(|name| Some((name, object.get(name)?))), out);
                }
                Value::Array(part) => rows.extend(part.iter().filter_map(Value::as_object)),
                _ => {}
            }
        }
        if !rows.is_empty() {
            title(*area, out);
            row_lines(*area, &rows, out);
        }
    }
}

fn title(area: Area, out: &mut Vec<u8>) {
    out.extend_from_slice(area.name().as_bytes());
    out.push(b'\n');
}

fn object_lines<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>, out: &mut Vec<u8>) {
    for (name, value) in fields {
        out.extend_from_slice(format!("  {name}").as_bytes());
        if let Value::Object(inner) = value {
            out.push(b'\n');
            for (name, value) in inner {
                out.extend_from_slice(format!("    {name} {}\n", plain(value)).as_bytes());
            }
        } else {
            out.extend_from_slice(format!(" {}\n", plain(value)).as_bytes());
        }
    }
}

/// Columns in the order of the protocol, as wide as their longest value.
fn row_lines(area: Area, rows: &[&Map<String, Value>], out: &mut Vec<u8>) {
    let fields = area.fields().iter().map(|field| field.name);
    let columns: Vec<&str> = fields
        .filter(|name| rows.iter().any(|row| row.contains_key(*name)))
        .collect();
    let cell = |row: &Map<String, Value>, column: &str| row.get(column).map_or_else(|| "-".to_owned(), plain);
    let mut table: Vec<Vec<String>> = vec![columns.iter().map(|column| (*column).to_owned()).collect()];
    table.extend(
        rows.iter()
            .map(|row| columns.iter().map(|column| cell(row, column)).collect()),
    );
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| {
            table
                .iter()
                .filter_map(|row| row.get(index))
                .map(String::len)
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in table {
        for (cell, width) in row.iter().zip(&widths) {
            out.extend_from_slice(format!("  {cell:<width$}").as_bytes());
        }
        while out.last() == Some(&b' ') {
            out.pop();
        }
        out.push(b'\n');
    }
}

/// Text without its quotes. What could move a terminal's cursor stays escaped.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.chars().any(char::is_control) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_lines_and_rows_become_columns() {
        let lines = concat!(
            r#"{"params":{"areas":{"load":{"load5":1,"load1":0.5},"system":{"name":"a b","dmi":{"x":"\u001b[2J"}},"#,
            r#""cpus":[{"cpu":0,"user":1000}]}}}"#,
            "\n",
            r#"{"params":{"areas":{"cpus":[{"cpu":1,"user":7,"steal":1}]}}}"#,
            "\n",
        );
        let mut out = Vec::new();
        table(lines.as_bytes(), &mut out);
        let expected = concat!(
            "load\n  load1 0.5\n  load5 1\n",
            "system\n  name a b\n  dmi\n    x \"\\u001b[2J\"\n",
            "cpus\n  cpu  user  steal\n  0    1000  -\n  1    7     1\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
