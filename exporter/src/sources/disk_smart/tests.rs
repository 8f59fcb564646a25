use super::*;

fn ata(attributes: &[(u64, &str, &str)]) -> Readings {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(id, name, raw)| {
            serde_json::json!({"id": format!("{id:>3}"), "name": name, "raw": raw, "fail": "-", "value": 100,
                "normalized": 100, "worst": 100, "threshold": 0, "flags": "-O--CK"})
        })
        .collect();
    let body = serde_json::json!({"data": {"health": "PASSED", "type": "ata", "attributes": attributes}});
    convert(body.to_string().as_bytes()).unwrap()
}

fn text(text: &str) -> Readings {
    let body = serde_json::json!({"data": {"health": "PASSED", "type": "text", "text": text}});
    convert(body.to_string().as_bytes()).unwrap()
}

/// This body and those below were constructed, after what `smartctl` prints.
#[test]
fn the_bodies_of_ata_and_nvme_are_read() {
    let body = include_bytes!("../../../tests/fixtures/pve-9/nodes__pve1__disks__smart@disk=%2Fdev%2Fsda.json");
    let disk = Readings {
        health: Some("ok"),
        temperature: Some(36.0),
        reallocated: Some(0),
        failing_attributes: Some(0),
        ..Readings::default()
    };
    assert_eq!(convert(body).unwrap(), disk);
    let body = include_bytes!("../../../tests/fixtures/pve-9/nodes__pve1__disks__smart@disk=%2Fdev%2Fnvme0n1.json");
    let disk = Readings {
        health: Some("ok"),
        life_used: Some(0.02),
        critical_warning: Some(0),
        temperature: Some(36.0),
        available_spare: Some(1.0),
        written_bytes: Some(5_584_952 * 512_000),
        power_on: Some(12_345.0 * 3600.0),
        media_errors: Some(0),
        ..Readings::default()
    };
    assert_eq!(convert(body).unwrap(), disk);
}

#[test]
fn a_hard_disk_of_seagate() {
    let disk = ata(&[
        (1, "Raw_Read_Error_Rate", "215697022"),
        (5, "Reallocated_Sector_Ct", "8 (0 2)"),
        (9, "Power_On_Hours", "9885 (17 200 0)"),
        (12, "Power_Cycle_Count", "265"),
        (187, "Reported_Uncorrect", "3"),
        (188, "Command_Timeout", "1 1 4"),
        (190, "Airflow_Temperature_Cel", "55 (147 229 55 24 0)"),
        (194, "Temperature_Celsius", "54 (0 16 0 0 0)"),
        (197, "Current_Pending_Sector", "16"),
        (198, "Offline_Uncorrectable", "15"),
        (199, "UDMA_CRC_Error_Count", "2"),
        (241, "Total_LBAs_Written", "24013587236"),
        (242, "Total_LBAs_Read", "66916845706732"),
    ]);
    let expected = Readings {
        health: Some("ok"),
        temperature: Some(54.0),
        failing_attributes: Some(0),
        power_on: Some(9885.0 * 3600.0),
        power_cycles: Some(265),
        reallocated: Some(8),
        pending: Some(16),
        uncorrectable: Some(15),
        reported_uncorrectable: Some(3),
        command_timeouts: Some(4),
        crc_errors: Some(2),
        read_bytes: Some(66_916_845_706_732 * 512),
        written_bytes: Some(24_013_587_236 * 512),
        ..Readings::default()
    };
    assert_eq!(disk, expected);
}

#[test]
fn solid_state_disks_count_in_units_of_their_own() {
    let intel = ata(&[
        (241, "Host_Writes_32MiB", "1200"),
        (242, "Host_Reads_32MiB", "900"),
        (233, "Media_Wearout_Indicator", "0"),
    ]);
    assert_eq!(
        (intel.written_bytes, intel.read_bytes, intel.life_used),
        (Some(1200 << 25), Some(900 << 25), Some(0.0)),
        "its raw value is not what is left"
    );
    let sandforce = ata(&[
        (5, "Retired_Block_Count", "1"),
        (9, "Power_On_Hours_and_Msec", "7963h+07m+54.620s"),
        (194, "Temperature_Celsius", "27 (Min/Max 2/49)"),
        (231, "SSD_Life_Left", "4294967296"),
        (241, "Lifetime_Writes_GiB", "4252"),
        (242, "Lifetime_Reads_GiB", "34599"),
    ]);
    assert_eq!(
        (sandforce.written_bytes, sandforce.read_bytes),
        (Some(4252 << 30), Some(34_599 << 30))
    );
    let pages = ata(&[(241, "NAND_Writes_Pages", "7"), (242, "Host_Reads", "7")]);
    assert_eq!((pages.written_bytes, pages.read_bytes), (None, None));
    assert_eq!(sandforce.power_on, Some(7963.0 * 3600.0 + 7.0 * 60.0 + 54.62));
    assert_eq!((sandforce.reallocated, sandforce.temperature), (Some(1), Some(27.0)));
    let halves = ata(&[
        (241, "Total_LBAs_Written_Low", "77"),
        (243, "Total_LBAs_Written_High", "0"),
    ]);
    assert_eq!(halves.written_bytes, None);
    let whole = ata(&[(241, "Total_Host_LBA_Written", "2")]);
    assert_eq!(whole.written_bytes, Some(1024));
}

#[test]
fn a_number_that_a_vendor_uses_otherwise_is_left_out() {
    let disk = ata(&[
        (5, "Unknown_Attribute", "1"),
        (187, "Unknown_JMF_Attribute", "2"),
        (188, "Unknown_Attribute", "3"),
        (190, "SATA_Error_Ct", "4"),
        (194, "Proprietary_194", "5"),
        (197, "Read_Failure_Blk_Ct", "6"),
        (198, "Host_Reads_GiB", "7"),
        (199, "Host_Writes_GiB", "8"),
        (9, "Proprietary_9", "9"),
    ]);
    let nothing = Readings {
        health: Some("ok"),
        failing_attributes: Some(0),
        ..Readings::default()
    };
    assert_eq!(disk, nothing);
}

#[test]
fn temperatures_are_unpacked() {
    for (raw, degrees) in [
        ("31 (Min/Max 20/45)", Some(31.0)),
        ("31", Some(31.0)),
        ("36.4", Some(36.4)),
        ("-3 (Min/Max -11/45)", Some(-3.0)),
        // 36, with 20 and 55 in the words above.
        ("236224643108", Some(36.0)),
        // -3 in the lowest byte.
        ("509", Some(-3.0)),
        ("0", None),
        ("200", None),
        ("36/0", None),
        ("0x0024", None),
        ("", None),
        ("NaN", None),
    ] {
        assert_eq!(ata(&[(194, "Temperature_Celsius", raw)]).temperature, degrees, "{raw}");
    }
    let other = ata(&[(194, "Temperature_Celsius", "0"), (190, "Case_Temperature", "29")]);
    assert_eq!(other.temperature, Some(29.0), "the other sensor");
    assert_eq!(ata(&[(190, "Drive_Temp_Warning", "29")]).temperature, None);
}

#[test]
fn hours_are_unpacked() {
    for (raw, seconds) in [
        ("12345", Some(12_345.0 * 3600.0)),
        ("12345 (17 200 0)", Some(12_345.0 * 3600.0)),
        // 12,345 h and, above them, 36,000 ms.
        ("154618822668345", Some(12_345.0 * 3600.0)),
        ("7963h+07m+54.620s", Some(7963.0 * 3600.0 + 474.62)),
        ("1250h+06m", Some(1250.0 * 3600.0 + 360.0)),
        ("1250h+06m (3)", Some(1250.0 * 3600.0 + 360.0)),
        ("894064h+45m+10.400s", None),
        ("4294967295", None),
        ("1250h+06x", None),
        ("1250h+-6m", None),
        ("h", None),
        ("é", None),
        ("", None),
        ("281474976710655", None),
    ] {
        assert_eq!(ata(&[(9, "Power_On_Hours", raw)]).power_on, seconds, "{raw}");
    }
}

#[test]
fn timeouts_are_unpacked() {
    for (raw, count) in [
        ("0", Some(0)),
        ("7", Some(7)),
        ("0 0 0", Some(0)),
        ("2 5 9", Some(9)),
        // 9, with 5 and 2 in the words above.
        ("8590262281", Some(9)),
        ("1 2", None),
        ("x", None),
    ] {
        assert_eq!(ata(&[(188, "Command_Timeout", raw)]).command_timeouts, count, "{raw}");
    }
}

#[test]
fn attributes_that_fail_now_are_counted() {
    let body = br#"{"data":{"health":"FAILED!","type":"ata","attributes":[
        {"id":"  5","name":"Reallocated_Sector_Ct","value":5,"threshold":10,"fail":"NOW","raw":"4000"},
        {"id":"190","name":"Airflow_Temperature_Cel","value":50,"threshold":45,"fail":"Past","raw":"50"},
        {"id":"197","name":"Current_Pending_Sector","value":"1","threshold":"1","raw":"9"},
        {"id":"198","name":"Offline_Uncorrectable","value":0,"threshold":0,"raw":"9"}]}}"#;
    let disk = convert(body).unwrap();
    assert_eq!((disk.health, disk.failing_attributes), (Some("failing"), Some(2)));
    assert_eq!((disk.reallocated, disk.temperature), (Some(4000), Some(50.0)));
}

const NVME: &str = "
SMART/Health Information (NVMe Log 0x02, NSID 0xffffffff)
Critical Warning:                   0x0c
Temperature:                        38 Celsius
Available Spare:                    97%
Available Spare Threshold:          10%
Percentage Used:                    31%
Data Units Read:                    1,299,288 [665 GB]
Data Units Written:                 5,592,478 [2.86 TB]
Host Read Commands:                 30,360,807
Controller Busy Time:               12
Power Cycles:                       98
Power On Hours:                     12,687
Unsafe Shutdowns:                   21
Media and Data Integrity Errors:    4
Error Information Log Entries:      66
Warning  Comp. Temperature Time:    1
Temperature Sensor 1:               51 Celsius
";

#[test]
fn an_nvme_disk() {
    let expected = Readings {
        health: Some("ok"),
        critical_warning: Some(12),
        temperature: Some(38.0),
        available_spare: Some(0.97),
        // A unit is a thousand blocks, and not 524,288 bytes.
        read_bytes: Some(665_235_456_000),
        written_bytes: Some(2_863_348_736_000),
        power_cycles: Some(98),
        power_on: Some(12_687.0 * 3600.0),
        unsafe_shutdowns: Some(21),
        media_errors: Some(4),
        ..Readings::default()
    };
    assert_eq!(text(NVME), expected);
}

#[test]
fn thousands_are_separated_as_the_locale_likes() {
    for (number, units) in [
        ("1,234,567", Some(1_234_567)),
        ("1.234.567 [632 GB]", Some(1_234_567)),
        ("1 234 567 [632 GB]", Some(1_234_567)),
        ("1'234'567", Some(1_234_567)),
        ("1\u{2019}234\u{2019}567", Some(1_234_567)),
        ("1\u{a0}234\u{a0}567", Some(1_234_567)),
        ("1\u{202f}234\u{202f}567 [632 GB]", Some(1_234_567)),
        ("1\u{e2}\u{80}\u{af}234\u{e2}\u{80}\u{af}567", Some(1_234_567)),
        ("1234567", Some(1_234_567)),
        ("567", Some(567)),
        ("1.5", None),
        ("1,23", None),
        ("0x12", None),
        ("-", None),
        ("340,282,366,920,938,463,463,374,607,431,768,211,455", None),
        ("18,446,744,073,709,551,615", None),
        ("", None),
    ] {
        let read = text(&format!("Data Units Read:   {number}\n")).read_bytes;
        assert_eq!(read, units.map(|units: u64| units * 512_000), "{number}");
    }
}

#[test]
fn a_disk_without_sensors_has_no_temperature() {
    let none = text("Critical Warning: 0x\nTemperature:   -\nAvailable Spare: 255%\nPower On Hours: -\n");
    assert_eq!(
        none,
        Readings {
            health: Some("ok"),
            ..Readings::default()
        }
    );
    let sas = text("Current Drive Temperature:     <not available>\nDrive Trip Temperature:        <not available>\n");
    assert_eq!(sas.temperature, None);
    assert_eq!(text("Temperature:   -4 Celsius\n").temperature, Some(-4.0));
}

#[test]
fn disks_at_sas() {
    let old = "\nPercentage used endurance indicator: 3%\nCurrent Drive Temperature:     20 C\nDrive Trip Temperature:        70 C\n\nAccumulated start-stop cycles:  34\nElements in grown defect list: 2\n\nVendor (Seagate/Hitachi) factory information\n  number of hours powered up = 7127.12\n  number of minutes until next internal SMART test = 0\n";
    let body = serde_json::json!({"data": {"health": "OK", "type": "text", "text": old, "wearout": 97}});
    let expected = Readings {
        health: Some("ok"),
        life_used: Some(0.03),
        temperature: Some(20.0),
        power_on: Some(7127.12 * 3600.0),
        grown_defects: Some(2),
        ..Readings::default()
    };
    assert_eq!(convert(body.to_string().as_bytes()).unwrap(), expected);
    let new = text(
        "Current Drive Temperature:     31 C\nAccumulated power on time, hours:minutes 12345:10\nElements in grown defect list: 0\n  number of hours powered up = 1.00\n",
    );
    assert_eq!(new.power_on, Some(12_345.0 * 3600.0 + 600.0));
    assert_eq!((new.temperature, new.grown_defects), (Some(31.0), Some(0)));
    assert_eq!(text("Accumulated power on time, hours:minutes 1:99\n").power_on, None);
}

#[test]
fn health_is_one_of_three_words() {
    for (words, health) in [
        ("PASSED", Some("ok")),
        ("OK", Some("ok")),
        ("FAILED!", Some("failing")),
        (
            "FAILURE PREDICTION THRESHOLD EXCEEDED [asc=5d, ascq=0]",
            Some("failing"),
        ),
        (
            "WARNING - SPECIFIED TEMPERATURE EXCEEDED [asc=b, ascq=1]",
            Some("failing"),
        ),
        ("UNKNOWN", Some("unknown")),
        ("UNKNOWN!", Some("unknown")),
        ("SMART Disabled", Some("unknown")),
        ("", None),
    ] {
        let body = serde_json::json!({"data": {"health": words}}).to_string();
        assert_eq!(convert(body.as_bytes()).unwrap().health, health, "{words}");
    }
}

#[test]
fn wear_is_what_is_used_and_not_what_is_left() {
    for (left, used) in [
        (serde_json::json!(100), Some(0.0)),
        (serde_json::json!("4"), Some(0.96)),
        (serde_json::json!(0), Some(1.0)),
        (serde_json::json!(97.5), Some(0.025)),
        // NVMe: 112 % used.
        (serde_json::json!(-12), Some(1.12)),
        (serde_json::json!(-156), None),
        // A vendor's scale.
        (serde_json::json!(200), None),
        (serde_json::json!("N/A"), None),
        (serde_json::json!(null), None),
    ] {
        let body = serde_json::json!({"data": {"type": "text", "wearout": left}}).to_string();
        assert_eq!(convert(body.as_bytes()).unwrap().life_used, used, "{left}");
    }
}

#[test]
fn the_wear_of_ata_is_in_the_attribute_that_pve_takes() {
    let wear = |attributes: &[(&str, u64)]| {
        let attributes: Vec<_> = attributes
            .iter()
            .map(|(name, value)| serde_json::json!({"id": "  1", "name": name, "value": value, "raw": "77"}))
            .collect();
        let body = serde_json::json!({"data": {"health": "PASSED", "type": "ata", "attributes": attributes}});
        convert(body.to_string().as_bytes()).unwrap().life_used
    };
    assert_eq!(wear(&[("Media_Wearout_Indicator", 4)]), Some(0.96));
    assert_eq!(wear(&[("Percent_Lifetime_Remain", 97)]), Some(0.03));
    assert_eq!(
        wear(&[
            ("Wear_Leveling_Count", 50),
            ("SSD_Life_Left", 80),
            ("SSD_Life_Left", 10)
        ]),
        Some(0.2),
        "the first in its order, not in the disk's"
    );
    assert_eq!(
        wear(&[("Power_On_Hours", 80), ("Reallocated_Sector_Ct", 100)]),
        None,
        "a hard disk"
    );
    assert_eq!(wear(&[("Wear_Leveling_Count", 200)]), None, "a scale of the vendor");
}

#[test]
fn a_disk_without_smart_says_nothing() {
    let none = convert(br#"{"data":{"health":"UNKNOWN"}}"#).unwrap();
    let expected = Readings {
        health: Some("unknown"),
        ..Readings::default()
    };
    assert_eq!(none, expected);
    assert_eq!(convert(br#"{"data":{}}"#).unwrap(), Readings::default());
    assert!(convert(br#"{"message":"not a valid block device\n","data":null}"#).is_err());
}

#[test]
fn damage_costs_only_itself() {
    let body = br#"{"data":{"health":["PASSED"],"type":7,"text":{"a":1},"wearout":"N/A","attributes":[null,7,"x",[],{},
        {"id":{"a":1},"raw":"1"},{"id":"197","name":["x"],"raw":"1"},
        {"id":197,"name":"Current_Pending_Sector","raw":3},{"id":"  5","name":"Reallocated_Sector_Ct","raw":{"a":1}},
        {"id":"199","name":"UDMA_CRC_Error_Count","raw":"-1"},{"id":"12","name":"Power_Cycle_Count","raw":"12"}]}}"#;
    let disk = convert(body).unwrap();
    assert_eq!((disk.health, disk.life_used), (None, None));
    assert_eq!(
        (disk.power_cycles, disk.reallocated, disk.crc_errors),
        (Some(12), None, None)
    );
    for attributes in ["7", "null", "\"x\"", "{\"a\":1}"] {
        let body = format!("{{\"data\":{{\"attributes\":{attributes},\"health\":\"PASSED\"}}}}");
        assert_eq!(convert(body.as_bytes()).unwrap().health, Some("ok"));
    }
}

proptest::proptest! {
    #[test]
    fn no_raw_value_is_too_odd(id in 0_u64..256, name in "(Power_On|Temperature|Command_Timeout|LBAs_Written|crc|.{0,8})", raw in ".{0,24}|[0-9hms+.() /]{0,24}") {
        let disk = ata(&[(id, &name, &raw), (194, "Temperature", &raw), (9, "Power_On", &raw), (188, "timeout", &raw)]);
        proptest::prop_assert!(disk.temperature.is_none_or(f64::is_finite) && disk.power_on.is_none_or(|seconds| seconds >= 0.0));
    }

    #[test]
    fn no_text_is_too_odd(key in "[A-Za-z ]{0,30}", value in ".{0,24}|[0-9,.' %x-]{0,24}", lines in "(.|\n){0,60}") {
        let mut odd = lines;
        for key in [&*key, "Temperature", "Power On Hours", "Data Units Read", "Available Spare", "Critical Warning"] {
            odd += &format!("\n{key}: {value}");
        }
        odd += &format!("\nAccumulated power on time, hours:minutes {value}\nnumber of hours powered up = {value}");
        let disk = text(&odd);
        proptest::prop_assert!(disk.power_on.is_none_or(f64::is_finite));
    }
}

mod rounds {
    use std::time::{Duration, Instant};

    use super::super::*;
    use crate::metrics::labels::Identity;
    use crate::sources::disks::NodeDisks;
    use crate::subjects::disk::{Disk, DiskText};

    const HOUR: Duration = Duration::from_secs(3600);

    fn list(disks: &[(&str, &str)]) -> NodeDisks {
        let disk = |(device, serial): &(&str, &str)| Disk {
            identity: Identity::new(&[]),
            device: (*device).into(),
            text: Arc::new(DiskText {
                serial: (*serial).to_owned(),
                ..DiskText::default()
            }),
            size: None,
            rotations: None,
        };
        NodeDisks {
            disks: disks.iter().map(disk).collect(),
            damaged_rows: 0,
        }
    }

    fn reading(cycles: u64) -> Readings {
        Readings {
            power_cycles: Some(cycles),
            ..Readings::default()
        }
    }

    fn timeout() -> ApiError {
        ApiError::Timeout {
            endpoint: String::new(),
            path: String::new(),
            limit: HOUR,
        }
    }

    #[test]
    fn each_disk_has_its_turn_and_then_rests() {
        let (rounds, node, start) = (Rounds::new(6 * HOUR), Arc::from("pve1"), Instant::now());
        let disks = list(&[("sda", "A"), ("sdb", "B"), ("vda", "C")]);
        for device in ["sda", "sdb"] {
            let next = rounds.next(&node, &disks, start).unwrap();
            assert_eq!(&*next, device);
            assert!(rounds.note(&node, &next, Ok(reading(1)), start).is_ok());
        }
        assert_eq!(
            rounds.next(&node, &disks, start),
            None,
            "that of a virtual machine is not asked"
        );
        assert_eq!(rounds.next(&node, &disks, start + 4 * HOUR), None);
        assert_eq!(rounds.next(&node, &disks, start + 5 * HOUR).as_deref(), Some("sda"));
        assert_eq!(rounds.all(&node, start + 17 * HOUR).disks.len(), 2);
        assert_eq!(rounds.all(&node, start + 18 * HOUR).disks.len(), 0, "too old");
    }

    #[test]
    fn a_disk_that_hangs_holds_up_no_other() {
        let (rounds, node, start) = (Rounds::new(6 * HOUR), Arc::from("pve1"), Instant::now());
        let disks = list(&[("sda", "A"), ("sdb", "B")]);
        let first = rounds.next(&node, &disks, start).unwrap();
        assert!(rounds.note(&node, &first, Err(timeout()), start).is_err());
        let second = rounds.next(&node, &disks, start).unwrap();
        assert_eq!(&*second, "sdb");
        let all = rounds.note(&node, &second, Ok(reading(1)), start).unwrap();
        assert_eq!((all.disks.len(), all.damaged_rows), (1, 1));
        assert_eq!(rounds.next(&node, &disks, start + HOUR / 2), None);
        assert_eq!(rounds.next(&node, &disks, start + HOUR).as_deref(), Some("sda"));
    }

    #[test]
    fn no_disk_is_to_blame_for_a_node_that_is_offline() {
        let (rounds, node, start) = (Rounds::new(6 * HOUR), Arc::from("pve1"), Instant::now());
        let disks = list(&[("sda", "A"), ("sdb", "B")]);
        let first = rounds.next(&node, &disks, start).unwrap();
        let offline = ApiError::Offline {
            node: "pve1".to_owned(),
        };
        assert!(rounds.note(&node, &first, Err(offline), start).is_err());
        assert_eq!(rounds.next(&node, &disks, start), Some(first));
        assert_eq!(rounds.all(&node, start).damaged_rows, 0);
    }

    #[test]
    fn another_disk_under_the_same_device_is_asked_anew() {
        let (rounds, node, start) = (Rounds::new(6 * HOUR), Arc::from("pve1"), Instant::now());
        let device = rounds.next(&node, &list(&[("sda", "A")]), start).unwrap();
        rounds.note(&node, &device, Ok(reading(1)), start).unwrap();
        let swapped = list(&[("sda", "B")]);
        assert_eq!(rounds.next(&node, &swapped, start).as_deref(), Some("sda"));
        assert!(
            rounds.all(&node, start).disks.is_empty(),
            "what the other one said is forgotten"
        );
        assert!(rounds.next(&node, &list(&[]), start).is_none());
        assert!(
            rounds
                .note(&node, &device, Ok(reading(2)), start)
                .unwrap()
                .disks
                .is_empty()
        );
    }
}
