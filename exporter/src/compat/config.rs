//! prometheus-pve-exporter's own configuration: the file `pve.yml`, or the variables `PVE_*`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use url::Url;

use crate::compat::targets::{Allowed, EntryError, PVE_PORT, Target};
use crate::compat::yaml::{self, Node, Value};
use crate::config::{Caller, Cluster, ConfigError, Place, Problem, Secret, SecretSource, TokenId, UserId};
use crate::pve::trust::{self, TrustError};

/// The file that prometheus-pve-exporter reads when none is named.
pub const DEFAULT_PATH: &str = "/etc/prometheus/pve.yml";

/// What decides that the variables are read and no file.
pub const USER: &str = "PVE_USER";

/// The module that is meant where a scrape names none.
pub const DEFAULT_MODULE: &str = "default";

/// What the file may hold for a module.
const KEYS: [&str; 10] = [
    "user",
    "password",
    "token_name",
    "token_value",
    "verify_ssl",
    "timeout",
    "port",
    "service",
    "backend",
    "allow_targets",
];

/// What is dangerous about `verify_ssl: false`, and what to name instead; where follows.
const UNVERIFIED: &str = "certificates are not checked: whoever is in between can read the credentials; name the authority of the cluster, its /etc/pve/pve-root-ca.pem,";

/// More than any file has.
const LARGEST: usize = 1 << 20;

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

/// Who asks, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// A token, or a user who logs in.
    pub caller: Caller,
    /// The token's secret, or the user's password.
    pub secret: Secret,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, secret: _ } = self;
        f.debug_struct("Credentials")
            .field("caller", caller)
            .finish_non_exhaustive()
    }
}

/// Whose certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Those that the operating system trusts.
    System,
    /// Those that the authorities in a file have signed, or in a directory. They are kept to tell when others stand there.
    File(PathBuf, Vec<CertificateDer<'static>>),
    /// Any.
    Nothing,
}

impl Modules {
    /// Reads the variables where `PVE_USER` is among them, else the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        if variable(environment, USER).is_some() {
            return Self::from_environment(environment);
        }
        let place = Place::File(path.to_owned());
        let bytes = read(path).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => "; name another one with --config.file",
                ErrorKind::PermissionDenied => "; let the exporter's user read it",
                _ => "",
            };
            Problem::new(place.clone(), "", format!("{error}{remedy}"))
        })?;
        let mut modules = Self::parse(&bytes, place, environment)?;
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

    /// Reads the text of a file that stands at `place`. No error and no warning repeats a secret.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(bytes: &[u8], place: Place, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let invalid =
            |message: &str| ConfigError::from(Problem::new(place.clone(), "", format!("Invalid config: {message}")));
        if bytes.len() > LARGEST {
            return Err(invalid("it is larger than any configuration"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| invalid("it is no text in UTF-8"))?;
        let authorities = Authorities::of(environment);
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
            let shown = shown(&name, "module", node.line);
            let mut reader = Reader {
                place: &place,
                module: &shown,
                problems: &mut problems,
            };
            let Some(module) = reader.module(node, authorities) else {
                continue;
            };
            if module.credentials.is_none() {
                warnings.push(format!("module {shown} has no credentials and cannot be scraped with"));
            } else if module.verify == Verify::Nothing {
                warnings.push(format!("module {shown}: {UNVERIFIED} in verify_ssl"));
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

    fn from_environment(environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let get = |name| variable(environment, name);
        let place = Place::Variable(USER.to_owned());
        let mut problems = Vec::new();
        let mut module = Module::default();
        let off = get("PVE_VERIFY_SSL").is_some_and(|text| matches!(&*text.to_lowercase(), "false" | "0"));
        if off {
            module.verify = Verify::Nothing;
        } else {
            match Authorities::of(environment).verify() {
                Ok(verify) => module.verify = verify,
                Err(problem) => problems.push(problem),
            }
        }
        let mut note = |name: &str, message: String| {
            problems.push(Problem::new(Place::Variable(name.to_owned()), "", message));
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
            Err((key, message)) => note(&format!("PVE_{}", key.to_uppercase()), message),
        }
        let entries = get("PVE_ALLOW_TARGETS").unwrap_or_default().split(',');
        for entry in entries.filter(|entry| !entry.trim().is_empty()) {
            if let Err(problem) = allow(&mut module.allowed, entry) {
                note("PVE_ALLOW_TARGETS", problem.to_string());
            }
        }
        if let Some(problem) = module.unsafe_range() {
            note("PVE_ALLOW_TARGETS", problem.to_owned());
        }
        ConfigError::unless_empty(problems)?;
        let warning =
            (module.verify == Verify::Nothing).then(|| format!("PVE_VERIFY_SSL: {UNVERIFIED} in REQUESTS_CA_BUNDLE"));
        let name = get("PVE_MODULE").unwrap_or(DEFAULT_MODULE).to_owned();
        Ok(Self {
            place,
            modules: BTreeMap::from([(name, module)]),
            warnings: warning.into_iter().collect(),
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
        let Credentials { caller, secret } = self.credentials.as_ref().ok_or("it has no credentials")?;
        let source = |key| SecretSource::Given {
            origin: format!("{key} of module {name}"),
            secret: secret.clone(),
        };
        let mut cluster = match caller {
            Caller::User(user) => Cluster::with_user(vec![url], user.clone(), source("password")),
            Caller::Token(id) => Cluster::new(vec![url], id.clone(), source("token_value")),
        };
        match &self.verify {
            Verify::System => {}
            Verify::File(path, _) => cluster.ca_file = Some(path.clone()),
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

/// Adds an entry of `allow_targets`.
///
/// # Errors
/// When it is neither a host nor a range, or is everybody.
pub fn allow(allowed: &mut Allowed, entry: &str) -> Result<(), AllowError> {
    let entry = entry.trim();
    // 10.0.0.060 ends in 60 for some readers and in 48 for others.
    if entry
        .split_once('/')
        .is_some_and(|(address, _)| address.parse::<IpAddr>().is_err())
    {
        return Err(EntryError::Range(entry.to_owned()).into());
    }
    if entry.parse().is_ok_and(|range: IpNet| range.prefix_len() == 0) {
        return Err(AllowError::Everybody(entry.to_owned()));
    }
    Ok(allowed.add(entry)?)
}

/// An entry of `allow_targets` that is not taken.
#[derive(Debug, Error)]
pub enum AllowError {
    /// Neither a host nor a range.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Every address there is.
    #[error(
        "{0:?} is every address there is, and would give the credentials to anybody; write the ranges that the hosts are in, such as \"10.0.0.0/8\""
    )]
    Everybody(String),
}

/// The certificate authorities that the environment names for every program that asks with Python: the variable and its value.
#[derive(Clone, Copy)]
struct Authorities<'a>(Option<(&'static str, &'a str)>);

impl<'a> Authorities<'a> {
    fn of(environment: &'a [(String, String)]) -> Self {
        let named = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].map(|name| Some((name, variable(environment, name)?)));
        Self(named.into_iter().flatten().find(|(_, path)| !path.is_empty()))
    }

    /// The trust in those, else in those of the operating system.
    fn verify(self) -> Result<Verify, Problem> {
        let Some((name, path)) = self.0 else {
            return Ok(Verify::System);
        };
        authorities_at(Path::new(path)).map_err(|error| {
            let message = format!("{error}; name a file with certificate authorities, or unset it");
            Problem::new(Place::Variable(name.to_owned()), "", message)
        })
    }
}

fn authorities_at(path: &Path) -> Result<Verify, TrustError> {
    Ok(Verify::File(path.to_owned(), trust::read_authorities(path)?))
}

/// Reads a file, of one that is too large no more than shows that.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether it may be repeated: what has other characters may be something that belongs elsewhere.
fn may_be_in_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '[' | ']' | '*')
}

/// A name as messages tell it: where it is none that anybody would give, it may be something that belongs elsewhere.
fn shown(name: &str, what: &str, line: usize) -> String {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(is_usual) {
        name.to_owned()
    } else {
        format!("{what} in line {line}")
    }
}

fn variable<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = environment.iter().find(|(variable, _)| variable == name);
    found.map(|(_, value)| value.as_str())
}

/// The credentials, as prometheus-pve-exporter chooses among them; else the key at fault and what is wrong.
fn credentials(
    user: Option<&str>,
    password: Option<&str>,
    token_name: Option<&str>,
    token_value: Option<&str>,
) -> Result<Option<Credentials>, (&'static str, String)> {
    let wrong = |key, message: &str| Err((key, message.to_owned()));
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
    // What is no name may be a secret in the wrong place: nothing of it is repeated.
    let Ok(id) = user.parse::<UserId>() else {
        return wrong("user", "is no user; write NAME@REALM, such as prometheus@pve");
    };
    let (caller, key, secret) = match (token_name, token_value, password) {
        (Some(name), Some(value), _) => {
            let Ok(id) = format!("{user}!{name}").parse::<TokenId>() else {
                return wrong(
                    "token_name",
                    "names no token; write the token's own name, what follows the ! alone",
                );
            };
            (Caller::Token(id), "token_value", value)
        }
        (Some(_), None, _) => return wrong("token_value", "is missing beside token_name"),
        (None, Some(_), _) => return wrong("token_name", "is missing beside token_value"),
        (None, None, Some(password)) => (Caller::User(id), "password", password),
        (None, None, None) => return Ok(None),
    };
    let secret = Secret::new(secret.to_owned());
    let source = SecretSource::Given {
        origin: "the text".to_owned(),
        secret: secret.clone(),
    };
    source.read(&caller).map_err(|error| (key, error.to_string()))?;
    Ok(Some(Credentials { caller, secret }))
}

/// Reads one module.
struct Reader<'a> {
    place: &'a Place,
    module: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn complain(&mut self, key: &str, message: impl fmt::Display) {
        let problem = self.problem(key, message);
        self.problems.push(problem);
    }

    fn problem(&self, key: &str, message: impl fmt::Display) -> Problem {
        let key = if key.is_empty() {
            self.module.to_owned()
        } else {
            format!("{}.{key}", self.module)
        };
        Problem::new(self.place.clone(), key, message)
    }

    fn module(&mut self, node: Node, authorities: Authorities<'_>) -> Option<Module> {
        let Value::Mapping(entries) = node.value else {
            self.complain("", "Invalid config: it is no mapping of keys");
            return None;
        };
        if entries.is_empty() {
            self.complain("", "Invalid config: it has no key");
            return None;
        }
        let mut module = Module::default();
        let mut verify_ssl = None;
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        let before = self.problems.len();
        for (key, node) in &entries {
            match &**key {
                known if node.is_null() && KEYS.contains(&known) => {}
                "user" | "password" | "token_name" | "token_value" => match node.text() {
                    Some(text) => drop(texts.insert(key, text.to_owned())),
                    None => self.complain(key, format!("in line {} is no text", node.line)),
                },
                "verify_ssl" => verify_ssl = Some(node),
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
                _ => {
                    let message = format!("is unknown; there are: {}", KEYS.join(", "));
                    self.complain(&shown(key, "a key", node.line), message);
                }
            }
        }
        module.verify = self.verify(verify_ssl, authorities);
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

    fn verify(&mut self, node: Option<&Node>, authorities: Authorities<'_>) -> Verify {
        let problem = match node.map(|node| (node, node.truth())) {
            Some((_, Some(false))) => return Verify::Nothing,
            None | Some((_, Some(true))) => match authorities.verify() {
                Ok(verify) => return verify,
                Err(problem) => problem,
            },
            Some((node, None)) => {
                let path = node.text().map(Path::new).filter(|path| path.exists());
                let message = match path.map(authorities_at) {
                    Some(Ok(verify)) => return verify,
                    Some(Err(error)) => error.to_string(),
                    None => "is neither true nor false, without quotes, nor a file or directory with certificate authorities".to_owned(),
                };
                self.problem("verify_ssl", message)
            }
        };
        // What the environment names is the same for each module.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
        Verify::System
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
            Value::List(list) => list.as_slice(),
            Value::Scalar { .. } | Value::Mapping(_) => std::slice::from_ref(node),
        };
        for node in entries {
            let Some(entry) = node.text() else {
                self.complain(
                    "allow_targets",
                    "is no list; write one such as [\"pve1.example\", \"10.0.0.0/24\"]",
                );
                continue;
            };
            match allow(allowed, entry) {
                Err(error) if entry.chars().all(may_be_in_host) => self.complain("allow_targets", error),
                Err(_) => {
                    let message = format!("in line {} is no host; write a name, an address or a range", node.line);
                    self.complain("allow_targets", message);
                }
                Ok(()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Modules, ConfigError> {
        Modules::parse(text.as_bytes(), Place::File("/pve.yml".into()), &[])
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
        let asks = |module: &Module| {
            let Credentials { caller, secret } = module.credentials.clone().unwrap();
            (caller.to_string(), secret.expose().to_owned())
        };
        assert_eq!(asks(&token), ("token a@pve!prom".to_owned(), "1234".to_owned()));
        assert_eq!(
            (&token.verify, token.port, token.timeout),
            (&Verify::System, 8006, None)
        );
        let password = module(
            "default:\n  user: a@pam\n  password: 'x y'\n  verify_ssl: off\n  timeout: 2.5\n  port: 443\n  service: pve\n  backend: https\n",
        );
        assert_eq!(asks(&password), ("user a@pam".to_owned(), "x y".to_owned()));
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
        let [merged, unverified] = &*modules.warnings else {
            panic!("{:?}", modules.warnings)
        };
        assert!(merged.starts_with("module x has no credentials"), "{merged}");
        assert!(
            unverified.starts_with("module default: certificates are not checked"),
            "{unverified}"
        );
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
            (
                "default: {user: hunter2, password: x}\n",
                "default.user: is no user; write NAME@REALM",
            ),
            ("default: {user: a@p, password: hunter2}\n", "default.user: is no user"),
            (
                "default: {user: 'a@pve!x=hunter2', password: x}\n",
                "default.user: is no user",
            ),
            (
                "default: {user: a@pve, password: ''}\n",
                "default.password: the text is empty",
            ),
            (
                "default: {user: a@pve, password: \"hunter2\\thunter2\"}\n",
                "default.password: the text holds more than one line, or control",
            ),
            (
                "default: {user: a@pve, token_name: x=hunter2, token_value: hunter2}\n",
                "default.token_name: names no token",
            ),
            (
                "default: {user: a@pve, token_name: prom, token_value: a@pve!other=hunter2}\n",
                "holds the secret of token a@pve!other",
            ),
            (
                "default: {user: a@pve, token_name: bc}\n",
                "default.token_value: is missing",
            ),
            (
                "default: {user: a@pve, token_name: bc, token_value: 'hunter2 hunter2'}\n",
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
            (
                "default:\n  user: a@pve\n  allow_targets:\n    password: hunter2\n",
                "default.allow_targets: is no list",
            ),
            (
                "default:\n  user: a@pve\n  allow_targets:\n  - >\n    password: hunter2\n",
                "default.allow_targets: in line 5 is no host",
            ),
            ("default: {user: a@pve, allow_targets: [10.0.0.0/33]}\n", "no range"),
            ("default: {user: a@pve, allow_targets: [10.0.0.060/30]}\n", "no range"),
            ("default: {user: a@pve, allow_targets: [10.0.0.0/0]}\n", "every address"),
            ("default: {user: a@pve, allow_targets: ['::/0']}\n", "every address"),
            ("default: {user: a@pve, pasword: }\n", "default.pasword: is unknown"),
            (
                "default: {user: a@pve, password:hunter2}\n",
                "default.a key in line 1: is unknown",
            ),
            ("'password: hunter2': 1\n", "module in line 1: Invalid config"),
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
        let [warning] = &*modules.warnings else {
            panic!("{:?}", modules.warnings)
        };
        assert!(
            warning.starts_with("PVE_VERIFY_SSL: certificates are not checked"),
            "{warning}"
        );
        assert!(module.allowed.allows(&"pve2:443".parse().unwrap(), 8006));
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
        for (pairs, expected) in [
            (
                [("PVE_USER", "a"), ("PVE_PASSWORD", "hunter2")],
                "variable PVE_USER: is no user",
            ),
            (
                [("PVE_USER", "a@pve"), ("PVE_PASSWORD", "hunter2\n\n")],
                "variable PVE_PASSWORD: the text holds",
            ),
        ] {
            let error = environment(&pairs).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }

    /// The trust of a module with this `verify_ssl`, where the environment names these authorities.
    fn trust(verify_ssl: &str, bundle: &str) -> Result<Verify, String> {
        let environment = [("REQUESTS_CA_BUNDLE".to_owned(), bundle.to_owned())];
        let text = format!("{TOKEN}  verify_ssl: {verify_ssl}\n");
        let parsed = Modules::parse(text.as_bytes(), Place::File("/pve.yml".into()), &environment);
        let mut modules = parsed.map_err(|error| error.to_string())?;
        Ok(modules.modules.remove("default").unwrap().verify)
    }

    #[test]
    fn authorities_are_read_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let certificate = || {
            let names = vec!["pve1.example".to_owned()];
            rcgen::generate_simple_self_signed(names).unwrap().cert.pem()
        };
        std::fs::write(at("ca.pem"), certificate()).unwrap();
        std::fs::write(at("none.pem"), "nothing").unwrap();
        assert_eq!(trust("true", "").unwrap(), Verify::System);
        let bundle = trust("true", &at("ca.pem")).unwrap();
        assert!(matches!(&bundle, Verify::File(path, _) if path.ends_with("ca.pem")));
        assert_eq!(trust(&at("ca.pem"), "/none").unwrap(), bundle);
        assert_eq!(trust("false", "/none").unwrap(), Verify::Nothing, "nobody needs it");
        let variable = "environment variable REQUESTS_CA_BUNDLE: cannot read certificates from /none";
        for (verify_ssl, bundle, expected) in [
            ("true", "/none", variable),
            ("true", &*at("none.pem"), "none.pem holds no certificate authority"),
            ("/none", "", "default.verify_ssl: is neither true nor false"),
            (&*at("none.pem"), "", "none.pem holds no certificate authority"),
            (&*at(""), "", "openssl rehash"),
        ] {
            let error = trust(verify_ssl, bundle).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }

        // A directory as requests takes it, and OpenSSL reads it.
        std::fs::rename(at("ca.pem"), at("0a1b2c3d.0")).unwrap();
        let Verify::File(_, certificates) = trust(&at(""), "").unwrap() else {
            panic!()
        };
        assert_eq!(certificates.len(), 1);

        // Renewed under the same name they are others.
        std::fs::write(at("0a1b2c3d.0"), certificate()).unwrap();
        assert_ne!(trust(&at(""), "").unwrap(), Verify::File(at("").into(), certificates));
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pve.yml");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let error = Modules::load(&path, &[]).unwrap_err().to_string();
        assert!(error.contains("larger than any configuration"), "{error}");
        let error = Modules::parse(b"a: \xff\n", Place::Nowhere, &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }
}
