use super::*;

fn read(body: &[u8]) -> NodeDisks {
    convert(body, "main", "pve1").unwrap()
}

fn one(row: serde_json::Value) -> Disk {
    let mut full = serde_json::json!({"devpath": "/dev/sda"});
    full.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
    let list = read(serde_json::json!({ "data": [full] }).to_string().as_bytes());
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
        let list = read(body);
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
        };
        assert_eq!((list.disks, list.damaged_rows), (vec![disk], 0));
    }
}

/// This body and those below were constructed.
#[test]
fn disks_are_told_with_all_that_the_list_has() {
    let body = include_bytes!("../../../tests/fixtures/pve-9/nodes__pve1__disks__list.json");
    let list = read(body);
    let [nvme, hdd] = &list.disks[..] else { panic!() };
    assert_eq!((&*nvme.device, &*hdd.device), ("nvme0n1", "sda"));
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
    assert_eq!((nvme.rotations, hdd.rotations), (None, Some(7200)));
    assert_eq!(
        (&*hdd.text.vendor, &*hdd.text.osd, hdd.text.usage),
        ("ATA", "3", "ceph")
    );
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
    );
    assert_eq!(list.damaged_rows, 8);
    let found: Vec<_> = list.disks.iter().map(|disk| (&*disk.device, disk.size)).collect();
    assert_eq!(found, [("cciss/c0d0", None), ("sdc", Some(5))]);
    assert_eq!(list.disks[1].text.serial, "12");
    assert!(convert(br#"{"data":null}"#, "main", "pve1").is_err());
}

#[test]
fn neither_texts_nor_disks_are_without_bound() {
    let disk = one(serde_json::json!({"model": "é".repeat(500), "serial": "  S1 "}));
    assert_eq!((disk.text.model.chars().count(), &*disk.text.serial), (64, "S1"));
    let rows: Vec<_> = (0..2000)
        .map(|number| serde_json::json!({"devpath": format!("/dev/sd{number}")}))
        .collect();
    let list = read(serde_json::json!({ "data": rows }).to_string().as_bytes());
    assert_eq!((list.disks.len(), list.damaged_rows), (1024, 976));
}
