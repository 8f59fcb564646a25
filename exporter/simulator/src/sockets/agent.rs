//! The guest agent of a virtual machine at its socket: what an exporter asks there, which PVE does not pass on.

use super::inside::Figures;
use crate::{
    api::{write_agent_info, write_file_systems},
    json::{Json, Numbers},
    model::Guest,
};

/// What stands before the answer to `guest-sync-delimited`.
const DELIMITER: u8 = 0xFF;

/// What the agent says to a line; nothing if nobody is there to answer.
pub(super) fn answer(guest: &Guest, figures: &Figures<'_>, line: &[u8]) -> Vec<u8> {
    if guest.agent_is_silent() {
        return Vec::new();
    }
    let line = String::from_utf8_lossy(line);
    let command = after(&line, "\"execute\":\"").split('"').next().unwrap_or_default();
    let mut json = Json::new(Numbers::Plain, false);
    json.begin_object();
    json.key("return");
    let mut answer = Vec::new();
    match command {
        "guest-sync-delimited" => {
            answer.push(DELIMITER);
            let digits = after(&line, "\"id\":").bytes().take_while(u8::is_ascii_digit);
            json.number(&digits.map(char::from).collect::<String>());
        }
        "guest-info" => write_agent_info(guest, &mut json),
        "guest-get-fsinfo" => write_file_systems(guest, figures.now, &mut json),
        "guest-get-cpustats" => cpus(figures, &mut json),
        "guest-get-diskstats" => disks(figures, &mut json),
        "guest-get-load" => load(figures, &mut json),
        _ => {
            let error = br#"{"error":{"class":"CommandNotFound","desc":"The command has not been found"}}"#;
            return [error.as_slice(), b"\n"].concat();
        }
    }
    json.end_object();
    answer.extend(json.finish());
    answer.push(b'\n');
    answer
}

fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or("", |(_, after)| after)
}

fn cpus(figures: &Figures<'_>, json: &mut Json) {
    json.begin_list();
    for cpu in figures.cpus() {
        json.begin_object();
        json.string_field("type", "linux");
        json.integer_field("cpu", u64::from(cpu.cpu));
        for (mode, ticks) in [
            ("user", cpu.user),
            ("nice", cpu.nice),
            ("system", cpu.system),
            ("idle", cpu.idle),
            ("iowait", cpu.iowait),
            ("irq", cpu.irq),
            ("softirq", cpu.softirq),
            ("steal", cpu.steal),
        ] {
            json.integer_field(mode, ticks * 10);
        }
        json.end_object();
    }
    json.end_list();
}

fn disks(figures: &Figures<'_>, json: &mut Json) {
    json.begin_list();
    for disk in figures.disks() {
        json.begin_object();
        json.string_field("name", &disk.device);
        json.integer_field("major", u64::from(disk.major));
        json.integer_field("minor", u64::from(disk.minor));
        json.key("stats");
        json.begin_object();
        for (key, count) in [
            ("read-ios", disk.reads),
            ("read-sectors", disk.sectors_read),
            ("write-ios", disk.writes),
            ("write-sectors", disk.sectors_written),
        ] {
            json.integer_field(key, count);
        }
        json.end_object();
        json.end_object();
    }
    json.end_list();
}

fn load(figures: &Figures<'_>, json: &mut Json) {
    let load = figures.load();
    json.begin_object();
    json.float_field("load1m", load.load1);
    json.float_field("load5m", load.load5);
    json.float_field("load15m", load.load15);
    json.end_object();
}
