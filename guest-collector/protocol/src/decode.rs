//! What a guest sends becomes messages, whatever it is.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::MAX_PARTS;
use crate::report::{Report, VERSION, Version};
use crate::request::{AgentInfo, Subscription, object};

/// A line from a guest.
#[derive(Debug)]
pub enum Message<'a> {
    /// The notification `metrics`.
    Metrics(Box<Report>),
    /// A response with a result.
    Answer {
        /// The id of the request.
        id: u64,
        /// What is answered; the request tells what it should be.
        result: Answer<'a>,
    },
    /// A response with an error.
    Failure {
        /// The id of the request; `None` when the collector could not read it.
        id: Option<u64>,
        /// One of [`ErrorCode`](crate::ErrorCode)'s, or another.
        code: i64,
        /// In the guest's words.
        message: Cow<'a, str>,
    },
    /// A notification of a later version.
    Unknown,
}

/// A result that is JSON, and not yet known to be more.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a>(&'a RawValue);

/// Why a line, or the result in it, cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// It is not UTF-8, or not JSON: cut, glued or garbage.
    Syntax,
    /// It is JSON of another shape: wrong or missing fields, doubled keys, numbers out of range.
    Shape,
    /// It is of a version that cannot be read.
    Version(Version),
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => formatter.write_str("the line is not JSON"),
            Self::Shape => formatter.write_str("the line is not a message of this protocol"),
            Self::Version(version) => write!(formatter, "version {version} is not supported, only {}", VERSION.major),
        }
    }
}

impl std::error::Error for Damage {}

impl From<Category> for Damage {
    fn from(category: Category) -> Self {
        match category {
            Category::Data => Self::Shape,
            _ => Self::Syntax,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    code: i64,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// Reads a line from a guest.
///
/// # Errors
/// When it is no message: what is wrong with it.
pub fn decode(line: &[u8]) -> Result<Message<'_>, Damage> {
    let envelope: Envelope<'_> = object(line)?;
    if envelope.jsonrpc != "2.0" {
        return Err(Damage::Shape);
    }
    match envelope {
        Envelope {
            method: Some(method),
            params: Some(params),
            id: None,
            result: None,
            error: None,
            ..
        } if method == "metrics" => Ok(Message::Metrics(Box::new(report(params)?))),
        Envelope {
            method: Some(method),
            id: None,
            result: None,
            error: None,
            ..
        } if method != "metrics" => Ok(Message::Unknown),
        Envelope {
            id: Some(id),
            result: Some(result),
            method: None,
            error: None,
            ..
        } => Ok(Message::Answer {
            id,
            result: Answer(result),
        }),
        Envelope {
            id,
            error: Some(Failure { code, message }),
            method: None,
            result: None,
            ..
        } => Ok(Message::Failure { id, code, message }),
        _ => Err(Damage::Shape),
    }
}

impl Answer<'_> {
    /// As the answer of a method that answers with areas.
    ///
    /// # Errors
    /// When it is none.
    pub fn report(self) -> Result<Report, Damage> {
        report(self.0)
    }

    /// As the answer of `get_agent_info`.
    ///
    /// # Errors
    /// When it is none, or of a version that cannot be read.
    pub fn agent_info(self) -> Result<AgentInfo, Damage> {
        #[derive(Deserialize)]
        struct Versioned {
            version: Version,
        }
        supported(self.0, |info: &Versioned| info.version)
    }

    /// As the answer of `subscribe`.
    ///
    /// # Errors
    /// When it is none.
    pub fn subscription(self) -> Result<Subscription, Damage> {
        Ok(object(self.0.get().as_bytes())?)
    }
}

fn report(json: &RawValue) -> Result<Report, Damage> {
    #[derive(Deserialize)]
    struct Versioned {
        header: Header,
    }
    #[derive(Deserialize)]
    struct Header {
        version: Version,
    }
    let report: Report = supported(json, |report: &Versioned| report.header.version)?;
    let header = &report.header;
    if header.part < header.parts && header.parts <= MAX_PARTS {
        Ok(report)
    } else {
        Err(Damage::Shape)
    }
}

/// Reads what states its version. Of another major version all but that may have another shape.
fn supported<'a, T: Deserialize<'a>, V: Deserialize<'a>>(
    json: &'a RawValue,
    version: impl FnOnce(&V) -> Version,
) -> Result<T, Damage> {
    let json = json.get().as_bytes();
    let version = version(&object(json)?);
    if version.major == VERSION.major {
        Ok(object(json)?)
    } else {
        Err(Damage::Version(version))
    }
}
