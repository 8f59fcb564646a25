//! The layers of the configuration, each value with the place where it was written: files, environment, flags.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::problem::{Place, Problem};
use super::schema::SECTIONS;
use super::secret::Secret;
use super::{DEFAULT_PATH, LoadOptions, keys};

/// What the names of the exporter's environment variables begin with.
pub(super) const PREFIX: &str = "PVE_EXPORTER_";

/// The keys of a cluster that are secrets themselves.
const SECRETS: [&str; 2] = ["token", "password"];

/// The directory beside the file whose files add clusters.
const DIRECTORY: &str = "conf.d";

/// Whether there is a file that is read when none is named.
pub(super) fn any_default_file() -> bool {
    let file = Path::new(DEFAULT_PATH);
    file.exists() || file.with_file_name(DIRECTORY).exists()
}

/// One layer: values that all come from one place.
struct Layer {
    place: Place,
    table: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.place.to_metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.table.clone())]))
    }
}

/// Every layer, lowest first.
#[derive(Default)]
pub(super) struct Layers {
    layers: Vec<Layer>,
    /// The file that names each cluster; those of the environment alone are missing.
    pub(super) cluster_files: BTreeMap<String, PathBuf>,
    /// Secrets from the environment by cluster and key, each with its variable. They are kept out of figment, whose errors repeat
    /// values.
    pub(super) secrets: BTreeMap<(String, &'static str), (String, Secret)>,
    /// The main file, if it exists.
    pub(super) file: Option<PathBuf>,
}

impl Layers {
    /// Reads every layer, those of `files` only if so; what is wrong with their structure goes to `problems`.
    pub(super) fn read(options: &LoadOptions, files: bool, problems: &mut Vec<Problem>) -> Self {
        let mut layers = Self::default();
        if files {
            layers.read_files(options.file.as_deref(), problems);
        }
        for (variable, text) in &options.environment {
            layers.read_variable(variable, text, problems);
        }
        for (flag, path, text) in [
            (
                "--web.listen-address",
                ["web", "listen_address"],
                &options.web_listen_address,
            ),
            ("--log.level", ["log", "level"], &options.log_level),
            ("--log.format", ["log", "format"], &options.log_format),
        ] {
            if let Some(text) = text {
                layers.push(Place::Flag(flag.to_owned()), nest(&path, Value::from(text.as_str())));
            }
        }
        layers
    }

    /// All layers in one, later ones over earlier ones.
    pub(super) fn merge(&self) -> Figment {
        self.layers
            .iter()
            .fold(Figment::new(), |figment, layer| figment.merge(layer))
    }

    fn push(&mut self, place: Place, table: Dict) {
        self.layers.push(Layer { place, table });
    }

    fn read_files(&mut self, chosen: Option<&Path>, problems: &mut Vec<Problem>) {
        let path = chosen.unwrap_or(Path::new(DEFAULT_PATH));
        match fs::read_to_string(path) {
            Ok(text) => {
                self.file = Some(path.to_owned());
                self.read_file(path, &text, problems);
            }
            // The environment alone must do where nobody asked for a file.
            Err(error) if error.kind() == ErrorKind::NotFound && chosen.is_none() => {}
            Err(error) => {
                let place = chosen.map_or(Place::Nowhere, |_| Place::Flag("--config.file".to_owned()));
                let message = format!(
                    "{}: {error}; name a file that exists and that the exporter's user can read",
                    path.display()
                );
                problems.push(Problem::new(place, "", message));
            }
        }
        let directory = path.parent().unwrap_or(Path::new("")).join(DIRECTORY);
        for path in files_of(&directory, problems) {
            match fs::read_to_string(&path) {
                Ok(text) => self.read_file(&path, &text, problems),
                Err(error) => problems.push(Problem::new(
                    Place::File(path),
                    "",
                    format!("{error}; make it readable for the exporter's user or remove it"),
                )),
            }
        }
    }

    fn read_file(&mut self, path: &Path, text: &str, problems: &mut Vec<Problem>) {
        let place = Place::File(path.to_owned());
        let table = match Toml::from_str::<Dict>(text) {
            Ok(table) => table,
            Err(error) => {
                // The parser's own display repeats the line, which may hold a secret that does not belong there.
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let message = format!(
                    "line {line}: not valid TOML: {}; correct this line",
                    error.message().trim_end()
                );
                problems.push(Problem::new(place, "", message));
                return;
            }
        };
        keys::check(&table, &place, problems);
        if self.file.as_deref() != Some(path) {
            for name in table
                .keys()
                .filter(|name| *name != "clusters" && keys::unknown(&[name]).is_none())
            {
                problems.push(Problem::new(
                    place.clone(),
                    name,
                    format!("files in {DIRECTORY} hold [clusters.<name>] only; move this section to the main file"),
                ));
            }
        }
        if let Some(Value::Dict(_, clusters)) = table.get("clusters") {
            for (name, cluster) in clusters {
                self.note_cluster(name, cluster, path, problems);
            }
        }
        self.push(place, table);
    }

    fn note_cluster(&mut self, name: &str, cluster: &Value, path: &Path, problems: &mut Vec<Problem>) {
        let place = Place::File(path.to_owned());
        let key = keys::dotted(&["clusters", name]);
        if let Some(message) = name_complaint(name) {
            problems.push(Problem::new(place.clone(), key.clone(), message));
        }
        for secret in SECRETS.iter().filter(|secret| cluster.find_ref(secret).is_some()) {
            problems.push(Problem::new(
                place.clone(),
                format!("{key}.{secret}"),
                format!(
                    "a secret does not belong in this file; write it alone into a file with `chmod 600` and name that with {secret}_file, or set {}",
                    variable_of(&["clusters", name, secret])
                ),
            ));
        }
        if let Some(first) = self.cluster_files.insert(name.to_owned(), path.to_owned()) {
            problems.push(Problem::new(
                place,
                key,
                format!(
                    "the cluster also stands in {}; remove one of the two or rename it",
                    first.display()
                ),
            ));
        }
    }

    fn read_variable(&mut self, variable: &str, text: &str, problems: &mut Vec<Problem>) {
        let Some(name) = variable.strip_prefix(PREFIX).filter(|name| !is_service_link(name)) else {
            return;
        };
        let place = Place::Variable(variable.to_owned());
        let name = name.to_ascii_lowercase();
        let mut path: Vec<&str> = name.split("__").collect();
        let files = self.cluster_files.keys().cloned().collect::<Vec<_>>();
        if let ["clusters", cluster, ..] = path.as_mut_slice()
            && let Some(known) = files.iter().find(|known| known.eq_ignore_ascii_case(cluster))
        {
            *cluster = known;
        }
        let Some(key) = keys::find(&path) else {
            problems.push(Problem::new(place, "", complain_about_variable(&name, &path)));
            return;
        };
        let (table, value) = match path.as_slice() {
            ["clusters", cluster, _] if SECRETS.contains(&key.name) => {
                let secret = Secret::new(text.to_owned());
                self.secrets
                    .insert(((*cluster).to_owned(), key.name), (variable.to_owned(), secret));
                // The cluster exists, even if this is all that is said about it.
                (["clusters", cluster].to_vec(), Value::from(Dict::new()))
            }
            _ => (path.clone(), key.kind.value_of_variable(text)),
        };
        if let ["clusters", cluster, ..] = path.as_slice()
            && let Some(message) = name_complaint(cluster)
        {
            problems.push(Problem::new(place, keys::dotted(&["clusters", cluster]), message));
            return;
        }
        self.push(place, nest(&table, value));
    }
}

/// The table in which `value` stands at `path`.
fn nest(path: &[&str], value: Value) -> Dict {
    match path {
        [] => Dict::new(),
        [name] => Dict::from([((*name).to_owned(), value)]),
        [name, rest @ ..] => Dict::from([((*name).to_owned(), Value::from(nest(rest, value)))]),
    }
}

/// The TOML files of a directory, by name; none when there is no directory.
fn files_of(directory: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let listed =
        fs::read_dir(directory).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut paths: Vec<PathBuf> = match listed {
        Ok(paths) => paths,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let message = format!("{error}; make it a directory that the exporter's user can read, or remove it");
            problems.push(Problem::new(Place::File(directory.to_owned()), "", message));
            Vec::new()
        }
    };
    let is_hidden = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !is_hidden(path));
    paths.sort();
    paths
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn name_complaint(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_valid = (1..=64).contains(&name.len()) && name.chars().all(allowed);
    (!is_valid).then_some("not the name of a cluster; write 1 to 64 letters, digits, \"_\", \".\" or \"-\"")
}

/// Kubernetes sets such variables in every pod beside a service named `pve-exporter`.
fn is_service_link(name: &str) -> bool {
    name == "SERVICE_HOST"
        || name == "SERVICE_PORT"
        || name.starts_with("SERVICE_PORT_")
        || name == "PORT"
        || name.starts_with("PORT_")
}

/// The variable that sets the key at `path`.
pub(super) fn variable_of(path: &[&str]) -> String {
    format!("{PREFIX}{}", path.join("__").to_ascii_uppercase())
}

fn complain_about_variable(name: &str, path: &[&str]) -> String {
    let Some(message) = keys::unknown(path) else {
        let mut longer = path.to_vec();
        longer.extend(keys::children(path).first());
        return format!(
            "this is a section, not a key; set one of its keys ({}), such as {}",
            keys::children(path).join(", "),
            variable_of(&longer)
        );
    };
    // The usual slip is a single underscore where two belong.
    let variables: Vec<String> = SECTIONS
        .iter()
        .filter(|section| !section.path.contains('<'))
        .flat_map(|section| section.keys.iter().map(|key| variable_of(&[section.path, key.name])))
        .collect();
    let candidates: Vec<&str> = variables.iter().map(String::as_str).collect();
    match keys::nearest(&variable_of(&[name]), &candidates) {
        Some(variable) if path.len() < 2 => {
            format!("unknown variable (did you mean {variable:?}?); two underscores stand between section and key")
        }
        _ => format!("{message}; write {PREFIX}, then section and key joined by two underscores"),
    }
}
