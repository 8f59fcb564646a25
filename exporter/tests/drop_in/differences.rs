//! How `/pve` differs from what prometheus-pve-exporter answers. The page about migrating is written from this.

use std::fmt::Write as _;

/// One difference.
pub(crate) struct Difference {
    /// What differs.
    pub(crate) what: &'static str,
    /// How it is there.
    pub(crate) theirs: &'static str,
    /// How it is here.
    pub(crate) ours: &'static str,
    /// The reason.
    pub(crate) why: &'static str,
    /// The lines of an exposition that it explains, whoever has them.
    pub(crate) explains: fn(&str) -> bool,
}

pub(crate) const ADDED: &str = "a metric more";
pub(crate) const DUE: &str = "`pve_subscription_next_due_timestamp_seconds`";
pub(crate) const CONTROL: &str = "control characters in names";
pub(crate) const OWN: &str = "`/metrics`";
pub(crate) const BY_PATH: &str = "`url` of `pve_scrape_api_*`";

const fn behaviour(what: &'static str, theirs: &'static str, ours: &'static str, why: &'static str) -> Difference {
    Difference {
        what,
        theirs,
        ours,
        why,
        explains: |_| false,
    }
}

/// Every difference.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: ADDED,
        theirs: "-",
        ours: "`pve_scrape_collector_success{collector, id}` is 0 for what could not be read",
        why: "An answer with a part missing is 200; something has to tell.",
        explains: |line| is_of(line, "pve_scrape_collector_success"),
    },
    Difference {
        what: DUE,
        theirs: "midnight in the time zone of the exporter",
        ours: "midnight in UTC",
        why: "The same date is the same number, wherever the exporter runs.",
        explains: |line| is_of(line, "pve_subscription_next_due_timestamp_seconds"),
    },
    Difference {
        what: CONTROL,
        theirs: "as they are",
        ours: "`\u{fffd}`, but for line ends",
        why: "They say nothing, and terminals obey them.",
        explains: |line| line.contains(['\u{1b}', '\u{fffd}']),
    },
    Difference {
        what: OWN,
        theirs: "`python_*`, `*_created`, and `pve_collection_duration_seconds` is a summary",
        ours: "`pve_exporter_*`, and it is a histogram, with the same `_count` and `_sum`",
        why: "There is no Python; a histogram shows more.",
        explains: |line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            line.starts_with("python_") || name.ends_with("_created")
        },
    },
    Difference {
        what: BY_PATH,
        theirs: "each path, with every guest that it asks for",
        ours: "the address of the API, `https://pve1.example:8006/api2/json`",
        why: "Twenty series for each guest, about the exporter, help nobody.",
        explains: |line| line.starts_with("pve_scrape_api_") && line.contains("/api2/json/"),
    },
    behaviour(
        "help texts, order of samples",
        "its own; the order of PVE",
        "our own words; the order of PVE within guests, nodes and storages",
        "Nothing depends on either.",
    ),
    behaviour(
        "something fails",
        "500 without any sample",
        "200 without the families that it concerns",
        "One dead node or missing privilege must not blind you to the rest.",
    ),
    behaviour(
        "a target that is dead or hangs",
        "500, after five seconds",
        "200 within Prometheus' own timeout, with `pve_scrape_collector_success` of 0 and no other sample; tried again with pauses of 5 to 60 s",
        "So it is told from an exporter that is down, which `up` shows.",
    ),
    behaviour(
        "`target=` of anybody",
        "asked, with the credentials",
        "403, before any name is looked up; logged once, and counted in `pve_exporter_pve_refused_total`",
        "Else whoever reaches the exporter gets the credentials.",
    ),
    behaviour(
        "a target by its name, where a range is allowed",
        "-",
        "403; list the name",
        "What a name stands for changes, and who changes it gets the credentials.",
    ),
    behaviour(
        "number of targets",
        "any",
        "1,024 within 15 minutes, 503 for more",
        "What was read is held of each.",
    ),
    behaviour(
        "`127.0.0.1` and `::1`",
        "-",
        "as `localhost`, at the port of the module",
        "It is this machine.",
    ),
    behaviour(
        "age of figures",
        "read for each scrape",
        "at most 10 s when the scrape begins, which is as often as PVE takes them; many scrapes share one reading",
        "The same figures for fewer calls.",
    ),
    behaviour(
        "age of `pve_onboot_status`",
        "read for each scrape, a call for each guest",
        "at once for a new guest, then about an hour while the node answers; a guest that cannot be read keeps what it said for three hours, and success is 0",
        "It hardly ever changes, and was most of all calls.",
    ),
    behaviour(
        "age of the rest",
        "read for each scrape",
        "replication jobs and the QDevice are read again after 2 min, guests without backup after 5 min, versions and subscriptions after an hour, behind a scrape, so that the next one shows it; gone at once where the target or node does not answer, or the last attempt failed",
        "As often as they change.",
    ),
    behaviour(
        "unknown rows of PVE",
        "500",
        "passed over",
        "PVE adds some with each release.",
    ),
    behaviour(
        "compression",
        "never",
        "gzip for who accepts it, as Prometheus does",
        "A fraction of the bytes.",
    ),
    behaviour(
        "login with a password",
        "one for each scrape",
        "one, renewed before it ends",
        "PVE logs every login, and it is slow.",
    ),
    behaviour(
        "`otp`, `proxies`, `cert`, `path_prefix` in `pve.yml`",
        "used",
        "refused at the start",
        "A one-time password is good for one login. The others are not supported; better told than ignored.",
    ),
    behaviour(
        "`HTTPS_PROXY`",
        "used",
        "not used",
        "Credentials go to the target alone.",
    ),
    behaviour("redirects of a target", "followed", "not followed", "The same."),
    behaviour(
        "a renewed file of authorities",
        "read for each scrape",
        "read with `SIGHUP`, as `pve.yml` is",
        "Many targets share one.",
    ),
    behaviour(
        "secrets without quotes, such as `0123`",
        "a number in octal, refused by PVE",
        "the text",
        "It is what was meant.",
    ),
    behaviour(
        "keys that do not exist in `pve.yml`",
        "500 for each scrape",
        "refused at the start, with those that there are",
        "A slip of the keyboard shows at once.",
    ),
    behaviour(
        "whose certificate is trusted with `verify_ssl: true`",
        "whoever is in the list of authorities that certifi brought along, or in `REQUESTS_CA_BUNDLE`",
        "whomever the operating system trusts, or `REQUESTS_CA_BUNDLE`",
        "What was added to the system's list counts. Without such a list, as in a bare container, name a file.",
    ),
    behaviour(
        "`REQUESTS_CA_BUNDLE` or `verify_ssl` that names no authorities, a user without realm, a password of several lines",
        "500 for each scrape",
        "refused at the start",
        "A slip shows at once.",
    ),
    behaviour(
        "`verify_ssl: false`",
        "no word",
        "a warning at the start",
        "Whoever is in between can read the credentials.",
    ),
    behaviour(
        "a `pve.yml` that everybody may read",
        "-",
        "a warning at the start",
        "It holds credentials.",
    ),
];

fn is_of(line: &str, family: &str) -> bool {
    let line = line.strip_prefix("# TYPE ").unwrap_or(line);
    line.strip_prefix(family)
        .is_some_and(|rest| rest.starts_with(['{', ' ']))
}

/// The lines that only one of them has and none of `allowed` explains; every one of `allowed` must explain some.
pub(crate) fn unexplained<'a>(
    theirs: impl Iterator<Item = &'a str>,
    ours: impl Iterator<Item = &'a str>,
    allowed: &[&str],
) -> Vec<String> {
    let mut used = vec![false; allowed.len()];
    let all = theirs
        .map(|line| ("theirs", line))
        .chain(ours.map(|line| ("ours", line)));
    let mut left = Vec::new();
    for (whose, line) in all {
        let explains = |what: &&str| {
            let difference = DIFFERENCES.iter().find(|difference| difference.what == *what);
            (difference.expect("a difference of the table").explains)(line)
        };
        match allowed.iter().position(explains) {
            Some(place) => used[place] = true,
            None => left.push(format!("{whose}: {line}")),
        }
    }
    let idle = allowed.iter().zip(used).filter(|(_, used)| !used);
    left.extend(idle.map(|(what, _)| format!("explains nothing: {what}")));
    left
}

/// The table for the page.
pub(crate) fn markdown() -> String {
    let mut text = String::from("| | prometheus-pve-exporter | pve-exporter | why |\n|---|---|---|---|\n");
    for Difference {
        what,
        theirs,
        ours,
        why,
        ..
    } in DIFFERENCES
    {
        writeln!(text, "| {what} | {theirs} | {ours} | {why} |").expect("a String takes everything");
    }
    text
}
