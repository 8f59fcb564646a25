//! The strict reader refuses each thing that it is there to refuse, and says where.

mod support;

use support::strict::{Exposition, Kind, Rule, Violation, check_classic, check_openmetrics};

const OPENMETRICS: &str = r#"# HELP pve_guest Names and \"tags\" of a guest.
# TYPE pve_guest info
pve_guest_info{id="qemu/100",name="a\"b\\c\nd"} 1
pve_guest_info{id="lxc/200",name="web",tags="prod"} 1
# HELP pve_guest_memory_usage_bytes Memory in use.
# TYPE pve_guest_memory_usage_bytes gauge
# UNIT pve_guest_memory_usage_bytes bytes
pve_guest_memory_usage_bytes{id="qemu/100"} 1073741824
pve_guest_memory_usage_bytes{id="lxc/200"} 5.5e+08
# HELP pve_guest_network_receive_bytes Bytes received.
# TYPE pve_guest_network_receive_bytes counter
# UNIT pve_guest_network_receive_bytes bytes
pve_guest_network_receive_bytes_total{id="qemu/100",interface="net0"} 17
pve_guest_network_receive_bytes_total{id="qemu/100",interface="net1"} 0
# HELP pve_exporter_scrape_duration_seconds How long scrapes took.
# TYPE pve_exporter_scrape_duration_seconds histogram
# UNIT pve_exporter_scrape_duration_seconds seconds
pve_exporter_scrape_duration_seconds_bucket{path="/metrics",le="0.5"} 2
pve_exporter_scrape_duration_seconds_bucket{path="/metrics",le="1.0"} 3
pve_exporter_scrape_duration_seconds_bucket{path="/metrics",le="+Inf"} 3
pve_exporter_scrape_duration_seconds_sum{path="/metrics"} 1.25
pve_exporter_scrape_duration_seconds_count{path="/metrics"} 3
# HELP process_threads Threads.
# TYPE process_threads gauge
process_threads 4
# EOF
"#;

const CLASSIC: &str = r#"# HELP pve_guest_info Names and "tags" of a guest, C:\\ and\nmore.
# TYPE pve_guest_info gauge
pve_guest_info{id="qemu/100",name="a\"b\\c\nd"} 1
# HELP pve_guest_network_receive_bytes_total Bytes received.
# TYPE pve_guest_network_receive_bytes_total counter
pve_guest_network_receive_bytes_total{id="qemu/100"} 17
# HELP pve_exporter_scrape_duration_seconds How long scrapes took.
# TYPE pve_exporter_scrape_duration_seconds histogram
pve_exporter_scrape_duration_seconds_bucket{le="0.5"} 2
pve_exporter_scrape_duration_seconds_bucket{le="+Inf"} 3
pve_exporter_scrape_duration_seconds_sum 1.25
pve_exporter_scrape_duration_seconds_count 3
"#;

fn rules(outcome: Result<Exposition, Vec<Violation>>) -> Vec<(usize, Rule)> {
    outcome.map_or_else(
        |violations| violations.into_iter().map(|found| (found.line, found.rule)).collect(),
        |_| vec![],
    )
}

/// Changes one place of the good example: exactly these rules must be broken, at these lines.
#[track_caller]
fn openmetrics(from: &str, to: &str, expected: &[(usize, Rule)]) {
    assert_eq!(
        OPENMETRICS.matches(from).count(),
        1,
        "{from:?} must stand once in the example"
    );
    assert_eq!(rules(check_openmetrics(&OPENMETRICS.replace(from, to))), expected);
}

#[track_caller]
fn classic(from: &str, to: &str, expected: &[(usize, Rule)]) {
    assert_eq!(
        CLASSIC.matches(from).count(),
        1,
        "{from:?} must stand once in the example"
    );
    assert_eq!(rules(check_classic(&CLASSIC.replace(from, to))), expected);
}

#[test]
fn good_openmetrics_is_read() {
    let exposition = check_openmetrics(OPENMETRICS).unwrap();
    let guest = exposition.family("pve_guest").unwrap();
    assert_eq!(guest.kind, Kind::Info);
    assert_eq!(guest.help.as_deref(), Some("Names and \"tags\" of a guest."));
    assert_eq!(guest.samples[0].label("name"), Some("a\"b\\c\nd"));
    assert_eq!(
        exposition
            .family("pve_guest_memory_usage_bytes")
            .unwrap()
            .unit
            .as_deref(),
        Some("bytes")
    );
    assert_eq!(
        exposition.value("pve_guest_memory_usage_bytes", &[("id", "lxc/200")]),
        Some(5.5e8)
    );
    assert_eq!(
        exposition.value("pve_guest_memory_usage_bytes", &[("id", "lxc/201")]),
        None
    );
    assert_eq!(exposition.value("process_threads", &[]), Some(4.0));
    assert_eq!(exposition.samples("pve_guest_network_receive_bytes_total").count(), 2);
    assert_eq!(
        exposition
            .families
            .iter()
            .map(|family| family.samples.len())
            .sum::<usize>(),
        12
    );
}

#[test]
fn good_classic_text_is_read() {
    let exposition = check_classic(CLASSIC).unwrap();
    let guest = exposition.family("pve_guest_info").unwrap();
    assert_eq!(guest.kind, Kind::Gauge);
    assert_eq!(
        guest.help.as_deref(),
        Some("Names and \"tags\" of a guest, C:\\ and\nmore.")
    );
    assert_eq!(
        exposition.family("pve_guest_network_receive_bytes_total").unwrap().kind,
        Kind::Counter
    );
    assert_eq!(
        exposition.value("pve_exporter_scrape_duration_seconds_bucket", &[("le", "+Inf")]),
        Some(3.0)
    );
}

#[test]
fn nothing_at_all_is_an_exposition() {
    assert_eq!(rules(check_classic("")), []);
    assert_eq!(rules(check_openmetrics("# EOF\n")), []);
}

#[test]
#[should_panic(expected = "is ambiguous: lines 8 and 9 match")]
fn a_test_must_say_which_sample_it_means() {
    check_openmetrics(OPENMETRICS)
        .unwrap()
        .value("pve_guest_memory_usage_bytes", &[]);
}

#[test]
fn violations_say_where_and_what() {
    let violations = check_classic("# TYPE a gauge\na NaN\n").unwrap_err();
    assert_eq!(
        violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["line 2: NanGauge: a"]
    );
}

// The text as a whole.

#[test]
fn the_last_line_must_end() {
    openmetrics("# EOF\n", "# EOF", &[(26, Rule::MissingFinalNewline)]);
    classic("_count 3\n", "_count 3", &[(12, Rule::MissingFinalNewline)]);
}

#[test]
fn openmetrics_must_end_with_eof() {
    openmetrics("# EOF\n", "", &[(25, Rule::MissingEof)]);
    assert_eq!(rules(check_openmetrics("")), [(0, Rule::MissingEof)]);
}

#[test]
fn nothing_may_follow_eof() {
    openmetrics("# EOF\n", "# EOF\n# EOF\n", &[(27, Rule::AfterEof)]);
    openmetrics("# EOF\n", "# EOF\n\n", &[(27, Rule::AfterEof)]);
    openmetrics(
        "process_threads 4\n",
        "# EOF\nprocess_threads 4\n",
        &[(26, Rule::AfterEof), (27, Rule::AfterEof)],
    );
}

#[test]
fn classic_text_has_no_eof() {
    classic("_count 3\n", "_count 3\n# EOF\n", &[(13, Rule::EofInClassic)]);
}

#[test]
fn carriage_returns_are_refused() {
    openmetrics(
        "process_threads 4\n",
        "process_threads 4\r\n",
        &[(25, Rule::CarriageReturn)],
    );
    openmetrics("\"web\"", "\"w\reb\"", &[(4, Rule::CarriageReturn)]);
}

#[test]
fn raw_line_feeds_in_values_are_refused() {
    let halves = [(4, Rule::Syntax), (5, Rule::MetricName), (5, Rule::MissingType)];
    openmetrics("\"web\"", "\"w\neb\"", &halves);
}

#[test]
fn blank_lines_are_refused() {
    openmetrics("process_threads 4\n", "\nprocess_threads 4\n", &[(25, Rule::BlankLine)]);
    assert_eq!(rules(check_classic("\n")), [(1, Rule::BlankLine)]);
}

#[test]
fn white_space_around_lines_is_refused() {
    openmetrics(
        "process_threads 4",
        "process_threads 4 ",
        &[(25, Rule::OuterWhitespace)],
    );
    openmetrics(
        "process_threads 4",
        " process_threads 4",
        &[(25, Rule::OuterWhitespace)],
    );
    classic("Bytes received.", "Bytes received. ", &[(4, Rule::OuterWhitespace)]);
}

#[test]
fn other_comments_are_refused() {
    openmetrics(
        "process_threads 4",
        "# a remark\nprocess_threads 4",
        &[(25, Rule::OtherComment)],
    );
    openmetrics("process_threads 4", "#\nprocess_threads 4", &[(25, Rule::OtherComment)]);
    classic(
        "pve_guest_info{",
        "# a remark\npve_guest_info{",
        &[(3, Rule::OtherComment)],
    );
}

#[test]
fn classic_text_has_no_units() {
    classic(
        "# TYPE pve_guest_info gauge",
        "# TYPE pve_guest_info gauge\n# UNIT pve_guest_info info",
        &[(3, Rule::OtherComment)],
    );
}

// Lines.

#[test]
fn unreadable_lines_are_refused() {
    for line in [
        "process_threads",
        "process_threads four",
        "process_threads inf",
        "process_threads nan",
        "process_threads  4",
        "process_threads{} 4",
        "process_threads{a=\"b\"}4",
        "process_threads{a=\"b\",} 4",
        "process_threads{a=\"b\" 4",
        "process_threads{a=\"b} 4",
    ] {
        openmetrics("process_threads 4", line, &[(25, Rule::Syntax)]);
    }
    openmetrics(
        "# HELP process_threads Threads.",
        "# HELP process_threads",
        &[(23, Rule::Syntax)],
    );
}

#[test]
fn metric_names_are_checked() {
    let everywhere = [(23, Rule::MetricName), (24, Rule::MetricName), (25, Rule::MetricName)];
    for name in ["1threads", "process-threads", "process:threads", "thréads"] {
        assert_eq!(
            rules(check_openmetrics(&OPENMETRICS.replace("process_threads", name))),
            everywhere
        );
    }
}

#[test]
fn label_names_are_checked() {
    openmetrics(",tags=", ",ta-gs=", &[(4, Rule::LabelName)]);
    openmetrics(",tags=", ",1=", &[(4, Rule::LabelName)]);
    openmetrics(",tags=", ",=", &[(4, Rule::LabelName)]);
    openmetrics(",tags=", ", tags=", &[(4, Rule::LabelName)]);
}

#[test]
fn labels_of_prometheus_are_refused() {
    openmetrics(",tags=", ",__tags=", &[(4, Rule::ReservedLabel)]);
}

#[test]
fn a_label_stands_once_in_a_sample() {
    openmetrics(",tags=", ",name=", &[(4, Rule::DuplicateLabel)]);
}

#[test]
fn empty_labels_are_left_out() {
    openmetrics("\"prod\"", "\"\"", &[(4, Rule::EmptyLabelValue)]);
}

#[test]
fn label_values_have_three_escapes() {
    openmetrics("\"web\"", r#""w\teb""#, &[(4, Rule::Escape)]);
    openmetrics("\"web\"", r#""w\'eb""#, &[(4, Rule::Escape)]);
    openmetrics("\"web\"", r#""w"eb""#, &[(4, Rule::Syntax)]);
    classic(r"a\", r"a\x\", &[(3, Rule::Escape)]);
}

#[test]
fn help_of_openmetrics_has_three_escapes() {
    openmetrics("Threads.", r"C:\Threads.", &[(23, Rule::Escape)]);
    openmetrics("Threads.", r"Threads\", &[(23, Rule::Escape)]);
    openmetrics("Threads.", "\"Threads\\\".", &[(23, Rule::Escape)]);
}

#[test]
fn help_of_classic_text_has_two_escapes() {
    classic("How long", r#"How \"long\""#, &[(7, Rule::Escape), (7, Rule::Escape)]);
}

#[test]
fn timestamps_are_refused() {
    openmetrics(
        "process_threads 4",
        "process_threads 4 1763000000",
        &[(25, Rule::Timestamp)],
    );
}

#[test]
fn exemplars_are_refused() {
    openmetrics("net0\"} 17", "net0\"} 17 # {trace=\"x\"} 1", &[(13, Rule::Exemplar)]);
    openmetrics(
        "net0\"} 17",
        "net0\"} 17 1763000000 # {trace=\"x\"} 1",
        &[(13, Rule::Exemplar)],
    );
}

// Families.

#[test]
fn types_that_we_never_write_are_refused() {
    for kind in ["stateset", "unknown", "summary", "gaugehistogram", "untyped", "Gauge"] {
        openmetrics(
            "process_threads gauge",
            &format!("process_threads {kind}"),
            &[(24, Rule::UnknownType)],
        );
    }
}

#[test]
fn classic_text_lacks_the_newer_types() {
    for kind in ["info", "stateset", "unknown", "untyped"] {
        classic(
            "pve_guest_info gauge",
            &format!("pve_guest_info {kind}"),
            &[(2, Rule::UnknownType)],
        );
    }
}

#[test]
fn every_family_has_a_type() {
    openmetrics("# TYPE process_threads gauge\n", "", &[(23, Rule::MissingType)]);
    openmetrics("# EOF", "process_open_fds 3\n# EOF", &[(26, Rule::MissingType)]);
}

#[test]
fn metadata_stands_once() {
    let twice = |line: &str| format!("{line}\n{line}");
    for (line, at) in [
        ("# HELP pve_guest_memory_usage_bytes Memory in use.", 6),
        ("# TYPE pve_guest_memory_usage_bytes gauge", 7),
        ("# UNIT pve_guest_memory_usage_bytes bytes", 8),
    ] {
        openmetrics(line, &twice(line), &[(at, Rule::DuplicateMetadata)]);
    }
}

#[test]
fn metadata_stands_before_samples() {
    openmetrics(
        "# TYPE process_threads gauge\nprocess_threads 4",
        "# TYPE process_threads gauge\nprocess_threads 4\n# UNIT process_threads threads",
        &[(26, Rule::MetadataAfterSamples)],
    );
}

#[test]
fn a_family_does_not_go_on_after_another() {
    openmetrics(
        "# EOF",
        "pve_guest_info{id=\"qemu/101\"} 1\n# EOF",
        &[(26, Rule::SplitFamily)],
    );
    classic(
        "_count 3\n",
        "_count 3\npve_guest_network_receive_bytes_total{id=\"qemu/101\"} 1\n",
        &[(13, Rule::SplitFamily)],
    );
}

#[test]
fn a_family_does_not_begin_twice() {
    let again = "# TYPE pve_guest info\npve_guest_info{id=\"qemu/101\"} 1\n# EOF";
    let expected = [
        (26, Rule::SplitFamily),
        (26, Rule::MetadataAfterSamples),
        (26, Rule::DuplicateMetadata),
    ];
    openmetrics("# EOF", again, &expected);
}

#[test]
fn names_do_not_clash_once_suffixes_are_on() {
    let after = |family: &str| format!("{family}\n# EOF");
    for family in [
        "# TYPE pve_guest_network_receive_bytes_created gauge",
        "# TYPE pve_guest_network_receive_bytes_total gauge",
        "# TYPE pve_guest_info gauge",
        "# TYPE pve_exporter_scrape_duration_seconds_count gauge",
    ] {
        openmetrics("# EOF", &after(family), &[(26, Rule::NameClash)]);
    }
    classic(
        "_count 3\n",
        "_count 3\n# TYPE pve_exporter_scrape_duration_seconds_sum gauge\n",
        &[(13, Rule::NameClash)],
    );
}

#[test]
fn classic_text_lets_a_gauge_stand_beside_its_counter() {
    classic(
        "_count 3\n",
        "_count 3\n# TYPE pve_guest_network_receive_bytes gauge\n",
        &[],
    );
}

#[test]
fn a_unit_is_the_suffix_of_its_family() {
    openmetrics("usage_bytes bytes", "usage_bytes seconds", &[(5, Rule::UnitSuffix)]);
    openmetrics("usage_bytes bytes", "usage_bytes ytes", &[(5, Rule::UnitSuffix)]);
}

#[test]
fn an_info_has_no_unit() {
    openmetrics(
        "# TYPE pve_guest info",
        "# TYPE pve_guest info\n# UNIT pve_guest guest",
        &[(1, Rule::InfoUnit)],
    );
}

// Samples by type.

#[test]
fn a_counter_of_openmetrics_is_named_without_total() {
    let named = OPENMETRICS
        .replace(
            "pve_guest_network_receive_bytes_total",
            "pve_guest_network_receive_bytes",
        )
        .replace("pve_guest_network_receive_bytes", "pve_guest_network_receive_total")
        .replace("# UNIT pve_guest_network_receive_total bytes\n", "");
    assert_eq!(rules(check_openmetrics(&named)), [(10, Rule::CounterFamilyName)]);
}

#[test]
fn a_counter_of_classic_text_is_named_as_its_samples() {
    let named = CLASSIC
        .replace("receive_bytes_total counter", "receive_bytes counter")
        .replace(
            "# HELP pve_guest_network_receive_bytes_total",
            "# HELP pve_guest_network_receive_bytes",
        );
    assert_eq!(rules(check_classic(&named)), [(6, Rule::CounterFamilyName)]);
}

#[test]
fn samples_of_counters_end_in_total() {
    openmetrics(
        "_total{id=\"qemu/100\",interface=\"net1\"}",
        "{id=\"qemu/100\",interface=\"net1\"}",
        &[(14, Rule::CounterSampleName)],
    );
    let bare = CLASSIC.replace(
        "pve_guest_network_receive_bytes_total",
        "pve_guest_network_receive_bytes",
    );
    assert_eq!(rules(check_classic(&bare)), [(6, Rule::CounterSampleName)]);
}

#[test]
fn an_info_is_named_without_info() {
    let named = OPENMETRICS
        .replace("pve_guest info", "pve_guest_info info")
        .replace("HELP pve_guest ", "HELP pve_guest_info ");
    assert_eq!(
        rules(check_openmetrics(&named)),
        [
            (1, Rule::InfoFamilyName),
            (3, Rule::InfoSampleName),
            (4, Rule::InfoSampleName)
        ]
    );
}

#[test]
fn samples_of_infos_end_in_info() {
    openmetrics(
        "pve_guest_info{id=\"lxc/200\"",
        "pve_guest{id=\"lxc/200\"",
        &[(4, Rule::InfoSampleName)],
    );
}

#[test]
fn an_info_is_one() {
    openmetrics("tags=\"prod\"} 1", "tags=\"prod\"} 0", &[(4, Rule::InfoValue)]);
    classic("\\nd\"} 1", "\\nd\"} 2", &[(3, Rule::InfoValue)]);
}

#[test]
fn created_is_never_written() {
    let created = "pve_guest_network_receive_bytes_created{id=\"qemu/100\",interface=\"net0\"} 1.7e+09";
    openmetrics(
        "# HELP pve_exporter",
        &format!("{created}\n# HELP pve_exporter"),
        &[(15, Rule::Created)],
    );
}

#[test]
fn a_series_stands_once() {
    openmetrics("net1", "net0", &[(14, Rule::DuplicateSeries)]);
    openmetrics(
        "process_threads 4",
        "process_threads 4\nprocess_threads 5",
        &[(26, Rule::DuplicateSeries)],
    );
}

#[test]
fn the_order_of_labels_does_not_hide_a_duplicate() {
    openmetrics(
        "id=\"qemu/100\",interface=\"net1\"",
        "interface=\"net0\",id=\"qemu/100\"",
        &[(14, Rule::DuplicateSeries), (14, Rule::LabelOrder)],
    );
}

#[test]
fn labels_keep_their_order_within_a_family() {
    openmetrics(
        "id=\"qemu/100\",interface=\"net1\"",
        "interface=\"net1\",id=\"qemu/100\"",
        &[(14, Rule::LabelOrder)],
    );
}

#[test]
fn counters_count() {
    for value in ["NaN", "-1", "+Inf", "-Inf"] {
        openmetrics("net0\"} 17", &format!("net0\"}} {value}"), &[(13, Rule::CounterValue)]);
        classic("100\"} 17", &format!("100\"}} {value}"), &[(6, Rule::CounterValue)]);
    }
}

#[test]
fn unknown_is_absent_and_not_nan() {
    openmetrics("process_threads 4", "process_threads NaN", &[(25, Rule::NanGauge)]);
    openmetrics("process_threads 4", "process_threads -Inf", &[]);
}

// Histograms.

#[test]
fn a_histogram_has_no_bare_sample() {
    openmetrics(
        "_sum{path=\"/metrics\"} 1.25",
        "_sum{path=\"/metrics\"} 1.25\npve_exporter_scrape_duration_seconds{path=\"/metrics\"} 1",
        &[(22, Rule::HistogramSampleName)],
    );
}

#[test]
fn bounds_are_canonical() {
    for bound in ["1", "1.00", "1e0", "01.0", "+1.0"] {
        openmetrics("le=\"1.0\"", &format!("le=\"{bound}\""), &[(19, Rule::HistogramLe)]);
    }
    for bound in ["0.75", "10.0", "999999.0", "1e+06", "2.5e+09"] {
        openmetrics("le=\"1.0\"", &format!("le=\"{bound}\""), &[]);
    }
    openmetrics("le=\"0.5\"", "le=\"2.5e-05\"", &[]);
    openmetrics("le=\"0.5\"", "le=\"0.000025\"", &[(18, Rule::HistogramLe)]);
}

#[test]
fn bounds_rise() {
    openmetrics("le=\"0.5\"", "le=\"5.0\"", &[(19, Rule::HistogramLe)]);
    openmetrics(
        "le=\"0.5\"",
        "le=\"1.0\"",
        &[(19, Rule::DuplicateSeries), (19, Rule::HistogramLe)],
    );
}

#[test]
fn le_stands_on_buckets_alone() {
    openmetrics(
        "{path=\"/metrics\",le=\"0.5\"}",
        "{path=\"/metrics\"}",
        &[(18, Rule::HistogramLe)],
    );
    openmetrics(
        "_sum{path=\"/metrics\"}",
        "_sum{path=\"/metrics\",le=\"0.5\"}",
        &[(21, Rule::HistogramLe)],
    );
}

#[test]
fn buckets_are_cumulative() {
    openmetrics("le=\"0.5\"} 2", "le=\"0.5\"} 4", &[(19, Rule::HistogramBuckets)]);
    openmetrics("le=\"0.5\"} 2", "le=\"0.5\"} 1.5", &[(18, Rule::HistogramBuckets)]);
    openmetrics("le=\"0.5\"} 2", "le=\"0.5\"} -1", &[(18, Rule::HistogramBuckets)]);
}

#[test]
fn the_last_bucket_is_infinite() {
    openmetrics("le=\"+Inf\"", "le=\"2.0\"", &[(22, Rule::HistogramMissingInf)]);
    openmetrics(
        "le=\"+Inf\"",
        "le=\"Inf\"",
        &[(20, Rule::HistogramLe), (22, Rule::HistogramMissingInf)],
    );
}

#[test]
fn the_count_is_that_of_the_buckets() {
    openmetrics(
        "_count{path=\"/metrics\"} 3",
        "_count{path=\"/metrics\"} 4",
        &[(22, Rule::HistogramCount)],
    );
    classic(
        "pve_exporter_scrape_duration_seconds_count 3\n",
        "",
        &[(11, Rule::HistogramCount)],
    );
}

#[test]
fn the_sum_is_there_and_a_number() {
    classic(
        "pve_exporter_scrape_duration_seconds_sum 1.25\n",
        "",
        &[(11, Rule::HistogramSum)],
    );
    classic("_sum 1.25", "_sum NaN", &[(11, Rule::HistogramSum)]);
}

#[test]
fn histograms_of_one_family_do_not_mix() {
    let other = "\
pve_exporter_scrape_duration_seconds_bucket{path=\"/pve\",le=\"+Inf\"} 0
pve_exporter_scrape_duration_seconds_sum{path=\"/pve\"} 0
pve_exporter_scrape_duration_seconds_count{path=\"/pve\"} 0
";
    openmetrics("# HELP process_threads", &format!("{other}# HELP process_threads"), &[]);
    let (split, _) = OPENMETRICS
        .split_once("pve_exporter_scrape_duration_seconds_sum")
        .unwrap();
    let rest = OPENMETRICS.strip_prefix(split).unwrap();
    let found = rules(check_openmetrics(&format!("{split}{other}{rest}")));
    assert!(found.contains(&(24, Rule::InterleavedHistograms)), "{found:?}");
}
