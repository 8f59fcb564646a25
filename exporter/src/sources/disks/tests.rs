use super::*;

fn read(body: &[u8], with_smart: bool) -> NodeDisks {
    convert(body, "main", "pve1", with_smart).unwrap()
}

fn one(row: serde_json::Value) -> Disk {
    let mut full = serde_json::json!({"devpath": "/dev/sda"});
    full.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
    let list = read(serde_json::json!({ "data": [full] }).to_string().as_bytes(), true);
    assert_eq!(list.damaged_rows, 0);
    list.disks[0].clone()
}

#[test]
fn recorded_disks_of_virtual_machines_are_known_by_name_and_size() {
    for body in [
        include_bytes!("../../../tests/fixtures/pve-9.2/nodes__pve1__disks__list@skipsmart=1.json").as_slice(),
        include_bytes!("../../../tests/fixtures/pve-9.2/nodes__pve2__disks__list@skipsmart=1.json"),
        include_bytes!("../../../tests/fixtures/pve-9.2/nodes__pve1__disks__list.json"),
        include_bytes!("../../../tests/fixtures/pve-9.2/nodes__pve2__disks__list.json"),
    ] {
        let list = read(body, false);
        let text = DiskText {
            vendor: "0x1af4".to_owned(),
            usage: "mounted",
            ..DiskText::default()
        };
        let disk = Disk {
            identity: Identity::new(&[("pve_cluster", "main"), ("node", "pve1"), ("device", "vda")]),
            device: "vda".into(),
            text: text.into(),
            size: Some(274_877_906_944),
            rotations: None,
            health: None,
            life_used: None,
        };
        assert_eq!((list.disks, list.damaged_rows), (vec![disk], 0));
    }
}

/// This body and those below were constructed.
#[test]
fn disks_are_told_with_all_that_the_list_has() {
    let body = include_bytes!("../../../tests/fixtures/pve-9/nodes__pve1__disks__list.json");
    let list = read(body, true);
    let [nvme, hdd] = &list.disks[..] else { panic!() };
    assert_eq!((&*nvme.device, &*hdd.device), ("nvme0n1", "sda"));
    assert_eq!((nvme.health, nvme.life_used), (Some("ok"), Some(0.02)));
    assert_eq!(
        *nvme.text,
        DiskText {
            model: "SAMSUNG MZQL2960HCJR-00A07".to_owned(),
            serial: "S64FNX0T123456".to_owned(),
            kind: "nvme",
            vendor: String::new(),
            wwn: "eui.36344630".to_owned(),
            usage: "zfs",
            osd: String::new(),
        }
    );
    assert_eq!((hdd.health, hdd.life_used), (Some("unknown"), None), "N/A is no number");
    assert_eq!((nvme.rotations, hdd.rotations), (None, Some(7200)));
    assert_eq!(
        (&*hdd.text.vendor, &*hdd.text.osd, hdd.text.usage),
        ("ATA", "3", "ceph")
    );
    let unasked = read(body, false);
    assert!(
        unasked
            .disks
            .iter()
            .all(|disk| disk.health.is_none() && disk.life_used.is_none())
    );
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
        assert_eq!(one(serde_json::json!({ "health": words })).health, health, "{words}");
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
        assert_eq!(one(serde_json::json!({ "wearout": left })).life_used, used, "{left}");
    }
}

#[test]
fn usage_is_one_of_few_words() {
    for (used, usage) in [
        ("LVM", "lvm"),
        ("ZFS reserved", "zfs"),
        ("BIOS boot", "boot"),
        ("ext4", "filesystem"),
        ("ceph_bluestore", "ceph"),
        ("Device Mapper", "device_mapper"),
        ("apfs of tomorrow", "other"),
        ("", "unused"),
    ] {
        assert_eq!(one(serde_json::json!({ "used": used })).text.usage, usage, "{used}");
    }
}

#[test]
fn all_osds_of_a_disk_are_told() {
    let osd = |row| one(row).text.osd.clone();
    assert_eq!(osd(serde_json::json!({"osdid": "7", "osdid-list": ["12", 7]})), "7,12");
    assert_eq!(osd(serde_json::json!({"osdid": 0, "osdid-list": null})), "0");
    assert_eq!(osd(serde_json::json!({"osdid": -1, "osdid-list": null})), "");
    assert_eq!(osd(serde_json::json!({"osdid": "-1"})), "");
}

#[test]
fn a_damaged_row_costs_only_itself() {
    let list = read(
        br#"{"data":[null,7,[],{"devpath":"sda"},{"devpath":"/dev/../etc"},{"devpath":"/dev/"},{"devpath":{"a":1}},
            {"devpath":"/dev/sdb\nx"},{"devpath":"/dev/cciss/c0d0","size":{"value":1},"rpm":[1],"osdid":"x"},
            {"devpath":"/dev/sdc","size":"5","type":7,"serial":12},{"devpath":"/dev/sdc","size":6}]}"#,
        true,
    );
    assert_eq!(list.damaged_rows, 8);
    let found: Vec<_> = list.disks.iter().map(|disk| (&*disk.device, disk.size)).collect();
    assert_eq!(found, [("cciss/c0d0", None), ("sdc", Some(5))]);
    assert_eq!(list.disks[1].text.serial, "12");
    assert!(convert(br#"{"data":null}"#, "main", "pve1", false).is_err());
}

#[test]
fn neither_texts_nor_disks_are_without_bound() {
    let disk = one(serde_json::json!({"model": "é".repeat(500), "serial": "  S1 "}));
    assert_eq!((disk.text.model.chars().count(), &*disk.text.serial), (64, "S1"));
    let rows: Vec<_> = (0..2000)
        .map(|number| serde_json::json!({"devpath": format!("/dev/sd{number}")}))
        .collect();
    let list = read(serde_json::json!({ "data": rows }).to_string().as_bytes(), false);
    assert_eq!((list.disks.len(), list.damaged_rows), (1024, 976));
}
