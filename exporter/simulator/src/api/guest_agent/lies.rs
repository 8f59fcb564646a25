//! What an agent says that lies: it belongs to whoever runs the guest, and can say anything.

use crate::json::Json;

/// How many rows its lists have.
const ROWS: u64 = 3_000;

/// More than a signed number holds.
const TOO_LARGE: u64 = 1 << 63;

/// No UTF-8: the middle of a character, and bytes that begin none.
const NO_TEXT: &[u8] = b"caf\xc3 \xff\xfe\x80";

fn long(name: &str) -> String {
    name.repeat(10_000 / name.len())
}

pub(super) fn write(command: &str, json: &mut Json) {
    match command {
        "get-fsinfo" => file_systems(json),
        "network-get-interfaces" => interfaces(json),
        "get-time" => json.integer(TOO_LARGE),
        "get-users" => users(json),
        "get-vcpus" => virtual_cpus(json),
        "info" => info(json),
        "get-memory-block-info" => one(json, |json| json.signed_field("size", -1)),
        "get-memory-blocks" => json.string("many"),
        "fsfreeze-status" => json.string("melted"),
        "get-host-name" => one(json, |json| {
            json.key("host-name");
            json.text(NO_TEXT);
        }),
        "get-timezone" => one(json, |json| {
            json.key("zone");
            json.text(NO_TEXT);
            json.signed_field("offset", i64::MIN);
        }),
        "get-osinfo" => one(json, |json| {
            json.string_field("id", "\u{1}\u{7f}\n\"} 0\\");
            json.string_field("name", &long("Linux"));
            json.string_field("pretty-name", "\u{202e}\u{feff}\u{0}");
            json.integer_field("version", TOO_LARGE);
            json.string_field("kernel-release", &long("6."));
            json.key("machine");
            json.null();
        }),
        _ => json.integer(42),
    }
}

fn one(json: &mut Json, fields: impl FnOnce(&mut Json)) {
    json.begin_object();
    fields(json);
    json.end_object();
}

/// Some rows that are wrong each in its own way, and very many.
fn file_systems(json: &mut Json) {
    let wrong: [(&str, &str, &str, &str); 14] = [
        ("/", "ext4", "1000000", "400000"),
        ("/", "ext4", "9223372036854775808", "9223372036854775808"),
        ("/", "xfs", "2000000", "1"),
        ("/used-over-size", "ext4", "1000", "2000"),
        ("/negative", "ext4", "-1000", "-1"),
        ("/negative-use", "ext4", "1000", "-1"),
        ("/large", "ext4", "9223372036854775808", "1"),
        ("/larger", "ext4", "36893488147419103232", "18446744073709551616"),
        ("/float", "ext4", "1e400", "1.5"),
        ("/text", "ext4", "\"many\"", "\"1\""),
        ("/null", "ext4", "null", "null"),
        ("/list", "ext4", "[1]", "{}"),
        ("", "", "1000", "1"),
        ("/\n\"} 1\\\u{1}\u{202e}", "a\nb", "1000", "1"),
    ];
    json.begin_list();
    for (mountpoint, kind, size, used) in wrong {
        file_system(json, "sda1", mountpoint, kind, [size, used]);
    }
    file_system(json, &long("sda"), &long("/mnt"), &long("ext"), ["1000", "1"]);
    for number in 0..ROWS {
        file_system(json, "sdb1", &format!("/mnt/{number}"), "ext4", ["1000", "1"]);
    }
    json.null();
    json.integer(42);
    json.end_list();
}

fn file_system(json: &mut Json, name: &str, mountpoint: &str, kind: &str, [size, used]: [&str; 2]) {
    json.begin_object();
    json.string_field("name", name);
    json.string_field("mountpoint", mountpoint);
    json.string_field("type", kind);
    json.key("total-bytes");
    json.number(size);
    json.key("used-bytes");
    json.number(used);
    json.key("disk");
    json.integer(7);
    json.end_object();
}

fn interfaces(json: &mut Json) {
    json.begin_list();
    for (name, bytes, packets) in [
        ("eth0", "1000", "10"),
        ("eth0", "9", "9"),
        ("large", "9223372036854775808", "18446744073709551616"),
        ("negative", "-1", "-9223372036854775809"),
        ("text", "\"1000\"", "\"many\""),
        ("", "1", "1"),
        ("\n\"} 1\\\u{1}", "1", "1"),
    ] {
        interface(json, name, [bytes, packets]);
    }
    interface(json, &long("eth"), ["1", "1"]);
    for number in 0..ROWS {
        interface(json, &format!("veth{number}"), ["1", "1"]);
    }
    json.end_list();
}

fn interface(json: &mut Json, name: &str, [bytes, packets]: [&str; 2]) {
    json.begin_object();
    json.string_field("name", name);
    json.string_field("hardware-address", "not an address");
    json.key("ip-addresses");
    json.begin_list();
    for number in 0..if name == "eth0" { ROWS } else { 1 } {
        json.begin_object();
        json.string_field("ip-address", &format!("999.0.{number}.\n"));
        json.string_field("ip-address-type", "ipv5");
        json.signed_field("prefix", -1);
        json.end_object();
    }
    json.end_list();
    json.key("statistics");
    json.begin_object();
    for way in ["rx", "tx"] {
        json.key(&format!("{way}-bytes"));
        json.number(bytes);
        json.key(&format!("{way}-packets"));
        json.number(packets);
        json.key(&format!("{way}-errs"));
        json.null();
    }
    json.end_object();
    json.end_object();
}

fn users(json: &mut Json) {
    json.begin_list();
    for _ in 0..ROWS {
        json.begin_object();
        json.string_field("user", &"root".repeat(25));
        json.signed_field("login-time", i64::MIN);
        json.end_object();
    }
    json.end_list();
}

fn virtual_cpus(json: &mut Json) {
    json.begin_list();
    for number in 0..ROWS {
        json.begin_object();
        json.integer_field("logical-id", if number < 10 { 0 } else { TOO_LARGE + number });
        json.string_field("online", "perhaps");
        json.end_object();
    }
    json.end_list();
}

fn info(json: &mut Json) {
    json.begin_object();
    json.string_field("version", &long("10."));
    json.key("supported_commands");
    json.begin_list();
    for number in 0..ROWS {
        json.begin_object();
        json.string_field("name", &format!("guest-do-{number}"));
        json.string_field("enabled", "perhaps");
        json.end_object();
    }
    json.end_list();
    json.end_object();
}
