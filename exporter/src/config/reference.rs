//! The page that documents every key, generated from the table of keys.

use super::schema::{Key, SECTIONS, is_required};
use super::{DEFAULT_PATH, EXAMPLE};
use crate::pve::budget::Cost;
use crate::sources::name::SourceName;

const TITLE: &str = "# Configuration

This page is generated from the code by `UPDATE=1 cargo test -p pve-exporter --test configuration`; do not edit it.
";

const RULES: &str = r#"
Where the same key is set more than once, the later of these wins: default, file, environment variable, flag.

An unknown key, a wrong type or value, and a missing secret end the start with exit status 2 and a message that names the key, the
place and the remedy.

## Files

`--config.file` names the file; without it, `DEFAULT_PATH` is read if it exists. Files `conf.d/*.toml` beside it are read
in the order of their names and hold `[clusters.<name>]` sections only. A cluster stands in one file.

## Environment

* A variable is `PVE_EXPORTER_`, then section and key in capitals, joined by two underscores: `PVE_EXPORTER_WEB__LISTEN_ADDRESS`,
  `PVE_EXPORTER_CLUSTERS__MAIN__TOKEN_FILE`.
* Text, durations, sizes and secrets are taken as they are, without quotes. A list is `[a, b]`; quote elements that hold a comma, a
  bracket or only digits, such as IPv6 addresses: `["https://[2001:db8::1]:8006"]`. A single element
  needs neither brackets nor quotes.
* A cluster of the files is found whatever the case of its name; one that stands in the environment alone has a lower-case name.
* A variable with the prefix that is no key is an error. Those that Kubernetes sets for a service named `pve-exporter`
  (`PVE_EXPORTER_SERVICE_HOST`, `PVE_EXPORTER_PORT` and the like) are ignored.

## Flags

`--config.file`, `--web.listen-address`, `--log.level` and `--log.format`.

## Secrets

Each cluster gets the secret of its token in exactly one way: `token_file`, `token_credential` or the variable
`PVE_EXPORTER_CLUSTERS__<NAME>__TOKEN`. When none is given, `$CREDENTIALS_DIRECTORY/<name>.token` is used if it exists.

A token is the better way: it can be limited, revoked alone, and asks for no login. Where there has to be a password, `user` takes the
place of `token_id`, and `password_file`, `password_credential`, the variable `PVE_EXPORTER_CLUSTERS__<NAME>__PASSWORD` or
`$CREDENTIALS_DIRECTORY/<name>.password` hold it. The exporter logs in once, sends the ticket that it gets with every request, and
renews it before its two hours are over; PVE's cluster log shows each login. After a refused one it waits for one to 15 minutes, or until
the file holds another password. A user with a second factor cannot be used.

A file holds the secret alone, or `user@realm!name=secret` of the same token; one with a password holds nothing else in its only line. It
must be closed to group and others (`chmod 600`), except below `$CREDENTIALS_DIRECTORY` and `/run/secrets`, which containers and systemd keep private; mount Kubernetes
secrets below `/run/secrets`. It is read at start, again when PVE refuses the secret, and for each login.
"#;

const COSTS: &str = "
A node is asked two things at a time at most, and one that is not cheap; but where a `storage` call has taken 3 s, others do not wait for
it any more. Which privileges each source needs stands in [metrics.md](metrics.md#which-privilege-what-needs).
";

/// The text of `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = format!("{TITLE}\nThe least that works, in `{DEFAULT_PATH}`:\n\n```toml\n{EXAMPLE}```\n");
    page.push_str(&RULES.replace("DEFAULT_PATH", DEFAULT_PATH));
    page.push_str("\n## Keys\n\nA duration is a number and a unit (`500ms`, `10s`, `5m`, `1h`); a size is bytes or a number and a unit (`64MiB`).\n");
    for section in SECTIONS {
        let path = section.path.replace("<cluster>", "<name>");
        page.push_str(&format!("\n### `[{path}]`\n\n{}\n\n", section.about));
        page.push_str("| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
        for key in section.keys {
            page.push_str(&row(key));
        }
        if section.path == "sources.<source>" {
            page.push_str(&sources());
        }
    }
    page
}

fn row(key: &Key) -> String {
    let default = match key.default {
        "" => String::new(),
        required if is_required(key) => format!("*{required}*"),
        value => format!("`{value}`"),
    };
    format!(
        "| `{}` | {} | {default} | {} |\n",
        key.name,
        key.kind.name(),
        key.meaning
    )
}

fn sources() -> String {
    let mut table =
        "\n| Source | Reads | Cost | Default `max_age` | Least `max_age` |\n|---|---|---|---|---|\n".to_owned();
    let duration = |duration| format!("`{}`", humantime::format_duration(duration));
    for source in SourceName::ALL {
        let (max_age, least) = if source.follows_events() {
            ("when tasks have ended".to_owned(), String::new())
        } else {
            (duration(source.default_max_age()), duration(source.least_max_age()))
        };
        let cost = match source.cost() {
            Cost::Cheap => "cheap",
            Cost::Slow => "slow",
            Cost::Storage => "storage",
            Cost::Agent => "agent",
        };
        table.push_str(&format!(
            "| `{}` | `{}` | {cost} | {max_age} | {least} |\n",
            source.as_str(),
            source.endpoint()
        ));
    }
    table.push_str(COSTS);
    table
}
