//! Looking keys up in the schema: which exist, which was meant, and how their paths are written.

use figment::value::{Dict, Value};

use super::problem::{Place, Problem};
use super::schema::{Key, SECTIONS};
use crate::sources::name::SourceName;

const CLUSTER: &str = "<cluster>";
const SOURCE: &str = "<source>";

fn stands_for(template: &str, name: &str) -> bool {
    match template {
        CLUSTER => true,
        SOURCE => SourceName::ALL.iter().any(|source| source.as_str() == name),
        literal => literal == name,
    }
}

/// What may follow `prefix`: keys, tables, or `<cluster>` for any name.
pub(super) fn children(prefix: &[&str]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for section in SECTIONS {
        let template: Vec<&'static str> = section.path.split('.').collect();
        let agrees = template
            .iter()
            .zip(prefix)
            .all(|(template, name)| stands_for(template, name));
        if !agrees || template.len() < prefix.len() {
            continue;
        }
        match template.get(prefix.len()) {
            Some(&SOURCE) => names.extend(SourceName::ALL.map(SourceName::as_str)),
            Some(name) => names.push(name),
            None => names.extend(section.keys.iter().map(|key| key.name)),
        }
    }
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    names
}

/// The key at `path`.
pub(super) fn find(path: &[&str]) -> Option<&'static Key> {
    let (name, table) = path.split_last()?;
    SECTIONS
        .iter()
        .filter(|section| {
            section.path.split('.').count() == table.len()
                && section
                    .path
                    .split('.')
                    .zip(table)
                    .all(|(template, name)| stands_for(template, name))
        })
        .flat_map(|section| section.keys)
        .find(|key| key.name == *name)
}

/// What is wrong with `path`, if it is neither a key nor a table: the first name that is unknown, and what to write.
pub(super) fn unknown(path: &[&str]) -> Option<String> {
    for depth in 0..path.len() {
        let (prefix, name) = (path.get(..depth)?, path.get(depth)?);
        let expected = children(prefix);
        if expected.contains(&CLUSTER) || expected.contains(name) {
            continue;
        }
        let Some(parent) = prefix.last().filter(|_| expected.is_empty()) else {
            return Some(format!(
                "unknown key {name:?}{}; expected one of {}",
                suggestion(name, &expected),
                expected.join(", ")
            ));
        };
        return Some(format!(
            "unknown key {name:?}; {parent:?} is a key and holds no further ones"
        ));
    }
    None
}

/// ` (did you mean …?)` when one of `candidates` is near.
pub(super) fn suggestion(name: &str, candidates: &[&str]) -> String {
    nearest(name, candidates).map_or_else(String::new, |candidate| format!(" (did you mean {candidate:?}?)"))
}

/// The candidate that differs from `name` by a typing error.
pub(super) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), *candidate))
        .filter(|(similarity, _)| *similarity >= 0.65)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// Adds a problem for every key of `table` that does not exist.
pub(super) fn check(table: &Dict, place: &Place, problems: &mut Vec<Problem>) {
    check_below(table, &mut Vec::new(), place, problems);
}

fn check_below<'a>(table: &'a Dict, path: &mut Vec<&'a str>, place: &Place, problems: &mut Vec<Problem>) {
    for (name, value) in table {
        path.push(name);
        if let Some(message) = unknown(path) {
            problems.push(Problem::new(place.clone(), dotted(path), message));
        } else if let Value::Dict(_, inner) = value
            && find(path).is_none()
        {
            check_below(inner, path, place, problems);
        }
        path.pop();
    }
}

/// The path as it would be written in TOML.
pub(super) fn dotted(path: &[&str]) -> String {
    let mut text = String::new();
    for (depth, name) in path.iter().enumerate() {
        let is_index = path.get(..depth).is_some_and(|parent| find(parent).is_some());
        if is_index {
            text.push_str(&format!("[{name}]"));
            continue;
        }
        if depth > 0 {
            text.push('.');
        }
        let is_bare = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        text.push_str(&if is_bare {
            (*name).to_owned()
        } else {
            format!("{name:?}")
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use figment::error::Kind as ErrorKind;
    use serde::de::DeserializeOwned;

    use super::super::cluster::ClusterTable;
    use super::super::{
        Config, GuestAgentSocket, GuestFilter, GuestSelector, GuestTelemetry, LoadOptions, Log, Metrics, Scrape,
        SourceSettings, Web,
    };
    use super::*;

    /// The fields of `T`, as serde lists them when it meets one that it does not know.
    fn fields<T: DeserializeOwned>() -> Vec<&'static str> {
        let table = Value::from(Dict::from([("?".to_owned(), Value::from(1))]));
        let Some(error) = table.deserialize::<T>().err() else {
            panic!("an unknown field was accepted")
        };
        match error.kind {
            ErrorKind::UnknownField(_, fields) => fields.to_vec(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_field_is_described_and_every_description_has_a_field() {
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        for (path, fields) in [
            (&["web"][..], fields::<Web>()),
            (&["log"], fields::<Log>()),
            (&["scrape"], fields::<Scrape>()),
            (&["metrics"], fields::<Metrics>()),
            (&["guest_agent_socket"], fields::<GuestAgentSocket>()),
            (&["guest_telemetry"], fields::<GuestTelemetry>()),
            (&["sources", "resources"], fields::<SourceSettings>()),
            // The secrets themselves never reach serde.
            (
                &["clusters", "a"],
                [fields::<ClusterTable>(), vec!["token", "password"]].concat(),
            ),
            (&["clusters", "a", "guests"], fields::<GuestFilter>()),
            (&["clusters", "a", "guests", "include"], fields::<GuestSelector>()),
            (&["clusters", "a", "guests", "exclude"], fields::<GuestSelector>()),
            (&["clusters", "a", "sources", "resources"], fields::<SourceSettings>()),
        ] {
            assert_eq!(sorted(children(path)), sorted(fields), "{path:?}");
        }
        assert_eq!(
            children(&[]),
            [
                "web",
                "log",
                "scrape",
                "metrics",
                "guest_agent_socket",
                "guest_telemetry",
                "sources",
                "clusters"
            ]
        );
        assert_eq!(children(&["sources"]), SourceName::ALL.map(SourceName::as_str));
    }

    #[test]
    fn every_described_default_is_the_real_one() {
        let mut text = String::new();
        for section in SECTIONS {
            let path = section.path.replace("<cluster>", "a").replace("<source>", "resources");
            text.push_str(&format!("[{path}]\n"));
            for key in section.keys {
                match (key.default, key.name) {
                    ("", _) => {}
                    (_, "endpoints") => text.push_str("endpoints = [\"https://a\"]\n"),
                    (_, "token_id") => text.push_str("token_id = \"a@pve!aa\"\n"),
                    (default, name) => text.push_str(&format!("{name} = {default}\n")),
                }
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let load = |name: &str, text: &str| {
            let file = directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            let token = ("PVE_EXPORTER_CLUSTERS__A__TOKEN".to_owned(), "x".to_owned());
            Config::load(&LoadOptions {
                file: Some(file),
                environment: vec![token],
                ..LoadOptions::default()
            })
            .unwrap()
        };
        let mut described = load("described.toml", &text);
        let bare = load(
            "bare.toml",
            "[clusters.a]\nendpoints = [\"https://a\"]\ntoken_id = \"a@pve!aa\"\n",
        );
        let policy = |config: &Config| {
            let policy = config.source("a", SourceName::Resources);
            (policy.enabled, policy.max_age)
        };
        assert_eq!(policy(&described), policy(&bare));
        described.sources.clear();
        described.clusters.get_mut("a").unwrap().sources.clear();
        assert_eq!(format!("{described:?}"), format!("{bare:?}"));
    }

    #[test]
    fn paths_as_toml_writes_them() {
        assert_eq!(
            dotted(&["clusters", "main", "endpoints", "0"]),
            "clusters.main.endpoints[0]"
        );
        assert_eq!(dotted(&["clusters", "dc.1", "token_id"]), "clusters.\"dc.1\".token_id");
    }
}
