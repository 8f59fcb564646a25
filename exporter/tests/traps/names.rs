//! Names are whatever people wrote.

use serde_json::json;

use crate::bodies::{Bodies, but, machine, node};

#[tokio::test]
async fn names_come_through_as_they_are() {
    let pve = Bodies::new().await;
    let names = [
        r#"quote " backslash \ both \" end\"#,
        "line\nfeed",
        "tab\tand\r\u{1}control",
        "Grüße-数据库-🦀",
        "{curly}=\"x\",y",
        " spaces ",
        "# EOF",
    ];
    let rows: Vec<_> = (100..)
        .zip(names)
        .map(|(vmid, name)| but(&machine(vmid), json!({"name": name})))
        .collect();
    let seen = pve.resources(&rows).await;
    for (vmid, name) in (100..).zip(names) {
        let id = format!("qemu/{vmid}");
        let info = seen
            .samples("pve_guest_info")
            .find(|sample| sample.label("id") == Some(&id))
            .unwrap();
        let expected = name.replace(['\t', '\r', '\u{1}'], "\u{fffd}");
        assert_eq!(info.label("name"), Some(&*expected), "{id}");
    }
}

#[tokio::test]
async fn guests_may_share_a_name_or_have_none() {
    let pve = Bodies::new().await;
    let rows = [
        but(&machine(100), json!({"name": "twin"})),
        but(&machine(101), json!({"name": "twin"})),
        but(&machine(102), json!({"name": ""})),
        but(&machine(103), json!({"name": null})),
        but(&machine(104), json!({"name": 7})),
    ];
    let seen = pve.resources(&rows).await;
    assert_eq!(
        seen.samples("pve_guest_info")
            .filter(|sample| sample.label("name") == Some("twin"))
            .count(),
        2
    );
    assert_eq!(seen.samples("pve_guest_up").count(), 5);
    for id in ["qemu/102", "qemu/103"] {
        let info = seen
            .samples("pve_guest_info")
            .find(|sample| sample.label("id") == Some(id))
            .unwrap();
        assert_eq!(info.label("name"), None, "{id}: an empty label is no label");
    }
    assert_eq!(
        seen.value("pve_guest_info", &[("id", "qemu/104"), ("name", "7")]),
        Some(1.0)
    );
}

#[tokio::test]
async fn tags_and_pool_are_text_of_the_info_alone() {
    let pve = Bodies::new().await;
    let seen = pve
        .resources(&[but(&machine(100), json!({"tags": "prod;web", "pool": "a b"}))])
        .await;
    assert_eq!(
        seen.value(
            "pve_guest_info",
            &[("tags", "prod;web"), ("pool", "a b"), ("vmid", "100")]
        ),
        Some(1.0)
    );
    let up = seen.samples("pve_guest_up").next().unwrap();
    assert_eq!(
        up.labels.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["pve_cluster", "id"]
    );
}

#[tokio::test]
async fn a_changed_name_is_one_info_with_the_new_text() {
    let pve = Bodies::new().await;
    pve.resources(&[machine(100)]).await;
    let seen = pve.resources(&[but(&machine(100), json!({"name": "renamed"}))]).await;
    assert_eq!(seen.samples("pve_guest_info").count(), 1);
    assert_eq!(seen.value("pve_guest_info", &[("name", "renamed")]), Some(1.0));
}

#[tokio::test]
async fn numbers_as_strings_are_numbers() {
    let pve = Bodies::new().await;
    let text = |row: &serde_json::Value| {
        let fields = row.as_object().unwrap().iter();
        fields
            .map(|(key, value)| {
                (
                    key.clone(),
                    if value.is_number() {
                        value.to_string().into()
                    } else {
                        value.clone()
                    },
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let rows = [node("pve1", "online"), machine(100)];
    let plain = pve.resources(&rows).await;
    let seen = pve.resources(&rows.each_ref().map(text)).await;
    let differences = crate::support::simulated::differences(&plain, &seen);
    assert!(differences.is_empty(), "{differences:?}");
    assert_eq!(seen.value("pve_guest_network_receive_bytes_total", &[]), Some(500.0));
}
