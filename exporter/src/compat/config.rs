//! prometheus-pve-exporter's own configuration: the file `pve.yml`, or the variables `PVE_*`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::compat::targets::{Allowed, PVE_PORT, Target};
use crate::compat::yaml::{self, Node, Value};
use crate::config::{Cluster, ConfigError, Place, Problem, Secret, SecretSource, TokenId};

/// The file that prometheus-pve-exporter reads when none is named.
pub const DEFAULT_PATH: &str = "/etc/prometheus/pve.yml";

/// What decides that the variables are read and no file.
pub const USER: &str = "PVE_USER";

/// The module that is meant where a scrape names none.
pub const DEFAULT_MODULE: &str = "default";

/// What the file may hold for a module.
const KEYS: &str =
    "user, password, token_name, token_value, verify_ssl, timeout, port, service, backend, allow_targets";

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modules {
    /// Where it stands.
    pub place: Place,
    /// The modules by name.
    pub modules: BTreeMap<String, Module>,
    /// What is dangerous about it.
    pub warnings: Vec<String>,
}

/// One module: whose credentials are used, and where they may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Who asks; absent in a module that others only merge.
    pub credentials: Option<Credentials>,
    /// Whose certificate is trusted.
    pub verify: Verify,
    /// The time for one answer.
    pub timeout: Option<Duration>,
    /// The port of targets without one.
    pub port: u16,
    /// The targets beside this machine.
    pub allowed: Allowed,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// An API token.
    Token {
        /// Its name.
        id: TokenId,
        /// Its secret.
        secret: Secret,
    },
    /// A user who logs in.
    Password {
        /// `user@realm`.
        user: String,
        /// The password.
        password: Secret,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { id, secret: _ } => f.debug_struct("Token").field("id", id).finish_non_exhaustive(),
            Self::Password { user, password: _ } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
        }
    }
}

/// Whose certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Those that the operating system trusts.
    System,
    /// Those that the authorities in a file have signed.
    File(PathBuf),
    /// Any.
    Nothing,
}

impl Modules {
    /// Reads the variables where `PVE_USER` is among them, else the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let authorities = authorities(environment);
        if variable(environment, USER).is_some() {
            return Self::from_environment(environment, authorities.as_deref());
        }
        let place = Place::File(path.to_owned());
        let problem = |message: String| ConfigError::from(Problem::new(place.clone(), "", message));
        let text = std::fs::read_to_string(path).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => "; name another one with --config.file",
                ErrorKind::PermissionDenied => "; let the exporter's user read it",
                _ => "",
            };
            problem(format!("{error}{remedy}"))
        })?;
        let mut modules = Self::parse(&text, place, authorities.as_deref())?;
        let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
        if mode & 0o006 != 0 {
            modules.warnings.push(format!(
                "{} has mode {mode:04o}: everybody on this machine can read the credentials; run `chmod o= {0}`",
                path.display()
            ));
        }
        Ok(modules)
    }

    /// How to allow `target` in a module.
    pub(super) fn remedy(&self, module: &str, target: &Target) -> String {
        match &self.place {
            Place::Variable(_) => format!("add it to PVE_ALLOW_TARGETS, as in PVE_ALLOW_TARGETS={target}"),
            place => format!("add it to module {module} in {place}, as in allow_targets: [\"{target}\"]"),
        }
    }

    fn parse(text: &str, place: Place, authorities: Option<&Path>) -> Result<Self, ConfigError> {
        let invalid =
            |message: &str| ConfigError::from(Problem::new(place.clone(), "", format!("Invalid config: {message}")));
        let document = yaml::parse(text).map_err(|error| invalid(&error.to_string()))?;
        let Some(Node {
            value: Value::Mapping(entries),
            ..
        }) = document
        else {
            return Err(invalid(
                "it is no mapping of modules; see the example of prometheus-pve-exporter",
            ));
        };
        if entries.is_empty() {
            return Err(invalid("it has no module"));
        }
        let (mut modules, mut problems, mut warnings) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, node) in entries {
            let mut reader = Reader {
                place: &place,
                module: &name,
                problems: &mut problems,
            };
            let Some(module) = reader.module(node, authorities) else {
                continue;
            };
            if module.credentials.is_none() {
                warnings.push(format!("module {name} has no credentials and cannot be scraped with"));
            }
            modules.insert(name, module);
        }
        ConfigError::unless_empty(problems)?;
        Ok(Self {
            place,
            modules,
            warnings,
        })
    }

    fn from_environment(environment: &[(String, String)], authorities: Option<&Path>) -> Result<Self, ConfigError> {
        let get = |name| variable(environment, name);
        let place = Place::Variable(USER.to_owned());
        let mut problems = Vec::new();
        let mut note = |name: &str, message: String| {
            problems.push(Problem::new(Place::Variable(name.to_owned()), "", message));
        };
        let off = get("PVE_VERIFY_SSL").is_some_and(|text| matches!(&*text.to_lowercase(), "false" | "0"));
        let mut module = Module {
            verify: verify(!off, authorities),
            ..Module::default()
        };
        let credentials = credentials(
            get(USER),
            get("PVE_PASSWORD"),
            get("PVE_TOKEN_NAME"),
            get("PVE_TOKEN_VALUE"),
        );
        match credentials {
            Ok(Some(credentials)) => module.credentials = Some(credentials),
            Ok(None) => note(
                USER,
                "is set, but neither PVE_TOKEN_NAME and PVE_TOKEN_VALUE nor PVE_PASSWORD".to_owned(),
            ),
            Err((_, message)) => note(USER, message),
        }
        for entry in get("PVE_ALLOW_TARGETS").unwrap_or_default().split(',') {
            if let Some(problem) = (!entry.trim().is_empty())
                .then(|| module.allowed.add(entry).err())
                .flatten()
            {
                note("PVE_ALLOW_TARGETS", problem.to_string());
            }
        }
        if let Some(problem) = module.unsafe_range() {
            note("PVE_ALLOW_TARGETS", problem.to_owned());
        }
        ConfigError::unless_empty(problems)?;
        let name = get("PVE_MODULE").unwrap_or(DEFAULT_MODULE).to_owned();
        Ok(Self {
            place,
            modules: BTreeMap::from([(name, module)]),
            warnings: Vec::new(),
        })
    }
}

impl Default for Module {
    fn default() -> Self {
        Self {
            credentials: None,
            verify: Verify::System,
            timeout: None,
            port: PVE_PORT,
            allowed: Allowed::default(),
        }
    }
}

impl Module {
    /// What a client for `url` is built from; nothing where the module has no credentials.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn cluster(&self, name: &str, url: Url) -> Result<Cluster, &'static str> {
        let source = |what: &str, secret: &Secret| SecretSource::Environment {
            variable: format!("{what} of module {name}"),
            secret: secret.clone(),
        };
        let mut cluster = match &self.credentials {
            None => return Err("it has no credentials"),
            Some(Credentials::Password { user, password }) => {
                let user = user.parse().map_err(|_| "its user is no NAME@REALM")?;
                Cluster::with_user(vec![url], user, source("password", password))
            }
            Some(Credentials::Token { id, secret }) => {
                Cluster::new(vec![url], id.clone(), source("token_value", secret))
            }
        };
        match &self.verify {
            Verify::System => {}
            Verify::File(path) => cluster.ca_file = Some(path.clone()),
            Verify::Nothing => cluster.insecure_skip_verify = true,
        }
        if let Some(timeout) = self.timeout {
            cluster.request_timeout = timeout;
            cluster.connect_timeout = cluster.connect_timeout.min(timeout);
        }
        Ok(cluster)
    }

    /// Whoever takes an address of a range must not get the credentials.
    fn unsafe_range(&self) -> Option<&'static str> {
        (self.allowed.has_range() && self.verify == Verify::Nothing).then_some(
            "a range of addresses together with verify_ssl false would give the credentials to anybody who takes one of them; list the hosts, or verify their certificates",
        )
    }
}

/// The address of a listener that is written with a name, such as `localhost:9221`.
pub(crate) fn named_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let is_name = !host.is_empty() && host.parse::<IpAddr>().is_err() && !host.starts_with('[');
    let mut addresses = (host, port.parse().ok()?)
        .to_socket_addrs()
        .ok()
        .filter(|_| is_name)?
        .collect::<Vec<_>>();
    // An IPv4 address, if there is one, as gunicorn has it.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.first().copied()
}

/// The certificate authorities that the environment names for every program that asks with Python.
fn authorities(environment: &[(String, String)]) -> Option<PathBuf> {
    let named = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].map(|name| variable(environment, name));
    let named = named.into_iter().flatten().find(|path| !path.is_empty());
    named.map(PathBuf::from)
}

fn variable<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = environment.iter().find(|(variable, _)| variable == name);
    found.map(|(_, value)| value.as_str())
}

fn verify(verify: bool, authorities: Option<&Path>) -> Verify {
    match authorities {
        _ if !verify => Verify::Nothing,
        Some(path) => Verify::File(path.to_owned()),
        None => Verify::System,
    }
}

/// The credentials, as prometheus-pve-exporter chooses among them; else the key at fault and what is wrong.
fn credentials(
    user: Option<&str>,
    password: Option<&str>,
    token_name: Option<&str>,
    token_value: Option<&str>,
) -> Result<Option<Credentials>, (&'static str, String)> {
    let secret = |key, text: &str| {
        let fits = !text.is_empty() && text.len() <= 4096 && !text.contains('\0');
        fits.then(|| Secret::new(text.to_owned()))
            .ok_or((key, "is no secret; write it between single quotes".to_owned()))
    };
    let Some(user) = user else {
        let given = [
            ("password", password),
            ("token_name", token_name),
            ("token_value", token_value),
        ];
        return match given.into_iter().find(|(_, text)| text.is_some()) {
            Some((key, _)) => Err(("user", format!("is missing beside {key}; write user: NAME@REALM"))),
            None => Ok(None),
        };
    };
    match (token_name, token_value, password) {
        (Some(name), Some(value), _) => {
            let id = format!("{user}!{name}").parse::<TokenId>();
            let id = id.map_err(|_| {
                let message = format!("{user:?} and token_name {name:?} name no token; write user: NAME@REALM and the token's own name alone");
                ("user", message)
            })?;
            let secret = secret("token_value", value)?;
            if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err((
                    "token_value",
                    "holds white space or characters that no secret has".to_owned(),
                ));
            }
            Ok(Some(Credentials::Token { id, secret }))
        }
        (Some(_), None, _) => Err(("token_value", "is missing beside token_name".to_owned())),
        (None, Some(_), _) => Err(("token_name", "is missing beside token_value".to_owned())),
        (None, None, Some(password)) => {
            if user
                .rsplit_once('@')
                .is_none_or(|(name, realm)| name.is_empty() || realm.is_empty())
            {
                return Err((
                    "user",
                    format!("{user:?} has no realm; write NAME@REALM, such as prometheus@pve"),
                ));
            }
            Ok(Some(Credentials::Password {
                user: user.to_owned(),
                password: secret("password", password)?,
            }))
        }
        (None, None, None) => Ok(None),
    }
}

/// Reads one module.
struct Reader<'a> {
    place: &'a Place,
    module: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn complain(&mut self, key: &str, message: impl fmt::Display) {
        let key = if key.is_empty() {
            self.module.to_owned()
        } else {
            format!("{}.{key}", self.module)
        };
        self.problems.push(Problem::new(self.place.clone(), key, message));
    }

    fn module(&mut self, node: Node, authorities: Option<&Path>) -> Option<Module> {
        let Value::Mapping(entries) = node.value else {
            self.complain("", "Invalid config: it is no mapping of keys");
            return None;
        };
        if entries.is_empty() {
            self.complain("", "Invalid config: it has no key");
            return None;
        }
        let mut module = Module {
            verify: verify(true, authorities),
            ..Module::default()
        };
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        let before = self.problems.len();
        for (key, node) in &entries {
            match &**key {
                _ if node.is_null() => {}
                "user" | "password" | "token_name" | "token_value" => match node.text() {
                    Some(text) => drop(texts.insert(key, text.to_owned())),
                    None => self.complain(key, format!("in line {} is no text", node.line)),
                },
                "verify_ssl" => module.verify = self.verify(node, authorities),
                "timeout" => module.timeout = self.timeout(node),
                "port" => match node.text().and_then(|text| text.parse().ok()).filter(|port| *port > 0) {
                    Some(port) => module.port = port,
                    None => self.complain(key, "is no port; write a number from 1 to 65535"),
                },
                "service" if node.text().is_some_and(|text| text.eq_ignore_ascii_case("pve")) => {}
                "backend" if node.text().is_some_and(|text| text.eq_ignore_ascii_case("https")) => {}
                "allow_targets" => self.allowed(node, &mut module.allowed),
                "otp" | "otptype" => self.complain(
                    key,
                    "a password that holds for one login cannot be used again and again; make an API token for the exporter and write token_name and token_value",
                ),
                "service" => self.complain(key, "is not PVE, and nothing else is read here"),
                "backend" => self.complain(key, "is not https, which is all that is spoken here"),
                "cert" | "path_prefix" | "proxies" | "mode" | "host" => {
                    self.complain(key, "is not supported here; leave it out");
                }
                _ => self.complain(key, format!("is unknown; there are: {KEYS}")),
            }
        }
        let text = |key| texts.get(key).map(String::as_str);
        match credentials(text("user"), text("password"), text("token_name"), text("token_value")) {
            Ok(credentials) => module.credentials = credentials,
            Err((key, message)) => self.complain(key, message),
        }
        if let Some(problem) = module.unsafe_range() {
            self.complain("allow_targets", problem);
        }
        (self.problems.len() == before).then_some(module)
    }

    fn verify(&mut self, node: &Node, authorities: Option<&Path>) -> Verify {
        if let Some(truth) = node.truth() {
            return verify(truth, authorities);
        }
        let path = node.text().map(PathBuf::from).filter(|path| path.is_file());
        let Some(path) = path else {
            self.complain(
                "verify_ssl",
                "is neither true nor false, without quotes, nor a file with certificate authorities",
            );
            return Verify::System;
        };
        Verify::File(path)
    }

    fn timeout(&mut self, node: &Node) -> Option<Duration> {
        let seconds = node.text().and_then(|text| text.parse().ok());
        let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let usable = Duration::from_millis(1)..=Duration::from_secs(3600);
        let timeout = timeout.filter(|timeout| usable.contains(timeout));
        if timeout.is_none() {
            self.complain("timeout", "is no time; write seconds, such as 5");
        }
        timeout
    }

    fn allowed(&mut self, node: &Node, allowed: &mut Allowed) {
        let entries = match &node.value {
            Value::List(list) => list.iter().map(Node::text).collect(),
            Value::Scalar { .. } => vec![node.text()],
            Value::Mapping(_) => vec![None],
        };
        for entry in entries {
            let Some(entry) = entry else {
                self.complain(
                    "allow_targets",
                    "is no list; write one such as [\"pve1.example\", \"10.0.0.0/24\"]",
                );
                continue;
            };
            if let Err(error) = allowed.add(entry) {
                self.complain("allow_targets", error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Modules, ConfigError> {
        Modules::parse(text, Place::File("/pve.yml".into()), None)
    }

    fn module(text: &str) -> Module {
        parse(text).unwrap().modules.remove("default").unwrap()
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    const TOKEN: &str = "default:\n  user: a@pve\n  token_name: prom\n  token_value: 1234\n";

    #[test]
    fn the_usual_files() {
        let token = module(TOKEN);
        let Some(Credentials::Token { id, secret }) = &token.credentials else {
            panic!("{token:?}")
        };
        assert_eq!((id.as_str(), secret.expose()), ("a@pve!prom", "1234"));
        assert_eq!(
            (&token.verify, token.port, token.timeout),
            (&Verify::System, 8006, None)
        );
        let password = module(
            "default:\n  user: a@pam\n  password: 'x y'\n  verify_ssl: off\n  timeout: 2.5\n  port: 443\n  service: pve\n  backend: https\n",
        );
        let Some(Credentials::Password { user, password: secret }) = &password.credentials else {
            panic!("{password:?}")
        };
        assert_eq!((&**user, secret.expose()), ("a@pam", "x y"));
        assert_eq!(password.verify, Verify::Nothing);
        assert_eq!(
            (password.port, password.timeout),
            (443, Some(Duration::from_millis(2500)))
        );
        assert!(!format!("{token:?}{password:?}").contains("1234"));
        assert!(!format!("{token:?}{password:?}").contains("x y"));
    }

    #[test]
    fn a_module_may_be_there_to_be_merged_only() {
        let modules = parse(&format!("x: &x {{verify_ssl: no}}\n{TOKEN}  <<: *x\n")).unwrap();
        assert_eq!(modules.modules["default"].verify, Verify::Nothing);
        assert!(modules.modules["x"].credentials.is_none());
        assert_eq!(modules.warnings.len(), 1);
    }

    #[test]
    fn what_is_refused_says_why() {
        for (text, expected) in [
            ("", "no mapping"),
            ("- a\n", "no mapping"),
            ("{}\n", "no module"),
            ("default: 1\n", "default: Invalid config"),
            ("default: {}\n", "default: Invalid config"),
            ("default: {user: a@pve, password: hunter2, otp: 1}\n", "default.otp: "),
            (
                "default: {user: a@pve, password: [hunter2]}\n",
                "default.password: in line 1",
            ),
            ("default: {password: hunter2}\n", "default.user: is missing"),
            ("default: {user: a, password: hunter2}\n", "no realm"),
            (
                "default: {user: a@pve, token_name: b c, token_value: hunter2}\n",
                "name no token",
            ),
            (
                "default: {user: a@pve, token_name: bc}\n",
                "default.token_value: is missing",
            ),
            (
                "default: {user: a@pve, token_name: bc, token_value: 'hunter2 '}\n",
                "white space",
            ),
            (
                "default: {user: a@pve, verify_ssl: \"false\"}\n",
                "default.verify_ssl: ",
            ),
            ("default: {user: a@pve, timeout: soon}\n", "default.timeout: "),
            ("default: {user: a@pve, port: 70000}\n", "default.port: "),
            ("default: {user: a@pve, backend: local}\n", "default.backend: "),
            (
                "default: {user: a@pve, pasword: hunter2}\n",
                "default.pasword: is unknown; there are: user",
            ),
            (
                "default: {user: a@pve, allow_targets: {a: b}}\n",
                "default.allow_targets: is no list",
            ),
            ("default: {user: a@pve, allow_targets: [10.0.0.0/33]}\n", "no range"),
            (
                "default: {user: a@pve, verify_ssl: no, allow_targets: [10.0.0.0/24]}\n",
                "default.allow_targets: a range",
            ),
        ] {
            let error = refusal(text);
            assert!(error.starts_with("/pve.yml: ") && error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn targets_beside_the_credentials() {
        let module = module(&format!(
            "{TOKEN}  allow_targets:\n    - pve1.example\n    - 10.0.0.0/24\n"
        ));
        assert!(module.allowed.allows(&"10.0.0.1".parse().unwrap(), 8006));
        assert!(!module.allowed.allows(&"pve2.example".parse().unwrap(), 8006));
        let one = super::tests::module(&format!("{TOKEN}  allow_targets: pve1.example\n"));
        assert!(one.allowed.allows(&"pve1.example".parse().unwrap(), 8006));
    }

    fn environment(pairs: &[(&str, &str)]) -> Result<Modules, ConfigError> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Modules::load(Path::new("/does/not/exist.yml"), &pairs)
    }

    #[test]
    fn variables_take_the_place_of_the_file() {
        let modules = environment(&[
            ("PVE_USER", "a@pve"),
            ("PVE_TOKEN_NAME", "prom"),
            ("PVE_TOKEN_VALUE", "x"),
            ("PVE_VERIFY_SSL", "False"),
            ("PVE_MODULE", "home"),
            ("PVE_ALLOW_TARGETS", "pve1, pve2:443,"),
        ])
        .unwrap();
        let module = &modules.modules["home"];
        assert_eq!(module.verify, Verify::Nothing);
        assert!(module.allowed.allows(&"pve2:443".parse().unwrap(), 8006));
        let with_authorities = environment(&[
            ("PVE_USER", "a@pve"),
            ("PVE_PASSWORD", "x"),
            ("REQUESTS_CA_BUNDLE", "/ca.pem"),
        ]);
        assert_eq!(
            with_authorities.unwrap().modules["default"].verify,
            Verify::File("/ca.pem".into())
        );
        assert!(
            environment(&[("PVE_PASSWORD", "x")])
                .unwrap_err()
                .to_string()
                .contains("--config.file")
        );
        assert!(
            environment(&[("PVE_USER", "a@pve")])
                .unwrap_err()
                .to_string()
                .contains("PVE_PASSWORD")
        );
    }
}
