//! `PROTOCOL.md` says what the code does: its examples are read and written again, its tables are made from the types.
//! `UPDATE=1` rewrites the tables.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use pve_guest_protocol::areas::{Dmi, Field, Softirqs};
use pve_guest_protocol::{
    Answer, Area, AreaSet, Call, Encoder, ErrorCode, Header, MAX_LINE_BYTES, MAX_PARTS, MAX_ROWS_PER_LINE,
    MAX_UNDER_WAY_BYTES, Message, PORT_NAME, Refusal, Report, VERSION, decode, decode_request, write_failure,
    write_request, write_result,
};

fn specification() -> String {
    fs::read_to_string(path()).unwrap()
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("PROTOCOL.md")
}

/// The lines of all examples of one side.
fn examples(side: &str) -> Vec<String> {
    let fence = format!("```json {side}\n");
    let text = specification();
    let blocks = text
        .split(&fence)
        .skip(1)
        .map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(|line| format!("{line}\n")).collect()
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_examples_of_requests_are_what_the_exporter_writes_and_the_collector_reads() {
    let examples = examples("host");
    assert_eq!(examples.len(), calls().len());
    for (example, call) in examples.iter().zip(calls()) {
        let request = decode_request(example.as_bytes()).unwrap().unwrap();
        assert_eq!(request.call, call);
        assert_eq!(written(|out| write_request(&request, out)), *example);
    }
}

#[test]
fn the_examples_of_a_guest_are_what_the_collector_writes_and_the_exporter_reads() {
    let examples = examples("guest");
    assert!(examples.len() > 6);
    for example in examples {
        let again = match decode(example.as_bytes()).unwrap() {
            Message::Metrics(report) => encoded(*report, None),
            Message::Answer { id, result } => answered(id, result),
            Message::Failure { id, code, .. } => {
                let code = ErrorCode::ALL.into_iter().find(|error| error.code() == code).unwrap();
                written(|out| write_failure(Refusal { id, code }, out))
            }
            Message::Unknown => panic!("{example}"),
        };
        assert_eq!(again, example);
    }
}

fn answered(id: u64, result: Answer<'_>) -> String {
    if let Ok(info) = result.agent_info() {
        written(|out| write_result(id, &info, out))
    } else if let Ok(subscription) = result.subscription() {
        written(|out| write_result(id, &subscription, out))
    } else {
        encoded(result.report().unwrap(), Some(id))
    }
}

fn encoded(report: Report, id: Option<u64>) -> String {
    let Report { header, areas } = report;
    let line = written(|out| {
        Encoder::default().encode(&header, &areas, AreaSet::ALL, id, out);
    });
    // An example of a line that is one of several is not one to an encoder that gets it alone.
    if header.parts == 1 {
        return line;
    }
    let part = format!(
        ",\"part\":{},\"parts\":{},\"split\":[\"arp\"]}}",
        header.part, header.parts
    );
    line.replace(",\"part\":0,\"parts\":1}", &part)
}

#[test]
fn the_limits_are_those_of_the_code() {
    let text = specification();
    for limit in [
        PORT_NAME.to_owned(),
        format!("Version {VERSION}."),
        format!("{} bytes", thousands(MAX_LINE_BYTES)),
        format!("at most {MAX_PARTS} lines"),
        format!("at most {} bytes", thousands(MAX_UNDER_WAY_BYTES)),
        format!("in one line | {MAX_ROWS_PER_LINE} |"),
    ] {
        assert!(text.contains(&limit), "{limit}");
    }
    assert!(!text.contains("\u{2014}"));
}

fn thousands(number: usize) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}

#[test]
fn the_tables_are_current() {
    let before = specification();
    let mut text = before.clone();
    for (name, table) in [
        ("methods", methods()),
        ("errors", errors()),
        ("header", header()),
        ("areas", areas()),
    ] {
        let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->\n"));
        let (head, rest) = text.split_once(&begin).unwrap();
        let (_, tail) = rest.split_once(&end).unwrap();
        text = format!("{head}{begin}{table}{end}{tail}");
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path(), &text).unwrap();
    } else {
        assert!(text == before, "PROTOCOL.md is not current; UPDATE=1 rewrites it");
    }
}

fn calls() -> [Call; 8] {
    [
        Call::Ping,
        Call::GetAgentInfo,
        Call::GetSystemInfo,
        Call::GetNetworkInfo,
        Call::GetDiskUsage,
        Call::GetUsers,
        Call::GetMetrics,
        Call::Subscribe { interval_seconds: 10.0 },
    ]
}

fn methods() -> String {
    let mut text = "| method | answer |\n|---|---|\n".to_owned();
    for call in calls() {
        let answer = match (call, call.areas()) {
            (Call::Ping, _) => "a report without areas".to_owned(),
            (_, Some(AreaSet::ALL)) => "a report with all areas".to_owned(),
            (_, Some(areas)) => format!("a report with {}", list(areas)),
            (Call::Subscribe { .. }, None) => "the interval from now on".to_owned(),
            (_, None) => "what the collector is".to_owned(),
        };
        writeln!(text, "| `{}` | {answer} |", call.method()).unwrap();
    }
    text
}

fn list(areas: AreaSet) -> String {
    let names: Vec<_> = areas.iter().map(|area| format!("`{}`", area.name())).collect();
    names.join(", ")
}

fn errors() -> String {
    let mut text = "| code | message | when |\n|---|---|---|\n".to_owned();
    for error in ErrorCode::ALL {
        let when = match error {
            ErrorCode::ParseError => "the line is not JSON",
            ErrorCode::InvalidRequest => "the line is JSON and no request",
            ErrorCode::MethodNotFound => "there is no such method",
            ErrorCode::InvalidParams => "the parameters of `subscribe` are missing or wrong",
            ErrorCode::InternalError => "the collector could not do it",
            ErrorCode::PermissionDenied => "all that would be told is switched off",
            ErrorCode::Timeout => "it took too long",
        };
        writeln!(text, "| {} | {} | {when} |", error.code(), error.message()).unwrap();
    }
    text
}

fn header() -> String {
    fields(Header::FIELDS)
}

fn areas() -> String {
    let mut text = String::new();
    for area in Area::ALL {
        let rows = if area.is_list() { " A list of rows." } else { "" };
        let name = area.name();
        write!(
            text,
            "### `{name}`\n\n{}{rows}\n\n{}\n",
            area.text().trim(),
            fields(area.fields())
        )
        .unwrap();
    }
    for (name, nested) in [("softirqs", Softirqs::FIELDS), ("dmi", Dmi::FIELDS)] {
        write!(text, "### `{name}`\n\n{}\n", fields(nested)).unwrap();
    }
    text
}

fn fields(fields: &[Field]) -> String {
    let mut text = "| field | type | meaning |\n|---|---|---|\n".to_owned();
    for field in fields {
        let kind = match field.kind {
            "u16" | "u32" | "u64" => "whole number",
            "i64" => "whole number, may be negative",
            "f64" => "number",
            "String" | "BootId" | "Version" | "FileSystemError" => "text",
            "bool" => "true or false",
            "AreaSet" => "list of areas",
            "Softirqs" | "Dmi" => "object, below",
            other => panic!("say what {other} is"),
        };
        let required = if field.required { ", required" } else { "" };
        writeln!(text, "| `{}` | {kind}{required} | {} |", field.name, field.text.trim()).unwrap();
    }
    text
}
