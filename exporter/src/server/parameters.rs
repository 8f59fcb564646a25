//! The query of `/metrics`: `cluster`, `collect[]` and `exclude[]`.

use thiserror::Error;
use url::form_urlencoded;

use crate::scrape::all_sources;
use crate::sources::cluster::Selection;
use crate::sources::name::SourceName;

/// What the query asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) clusters: Vec<String>,
    pub(super) selection: Selection,
}

/// A query that cannot be answered.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum ParameterError {
    #[error("{parameter}={value:?} names no source; there are: {}\n", SourceName::ALL.map(SourceName::as_str).join(", "))]
    UnknownSource { parameter: String, value: String },
    #[error("unknown parameter {0:?}; there are: cluster, collect[], exclude[]\n")]
    UnknownParameter(String),
    #[error("collect[] and exclude[] leave no source\n")]
    Nothing,
}

/// Reads the query.
pub(super) fn parse(query: &str) -> Result<Parameters, ParameterError> {
    let (mut clusters, mut collect, mut exclude) = (Vec::new(), Selection::new(), Selection::new());
    for (parameter, value) in form_urlencoded::parse(query.as_bytes()) {
        let source = || {
            SourceName::ALL
                .into_iter()
                .find(|source| source.as_str() == value)
                .ok_or_else(|| ParameterError::UnknownSource {
                    parameter: parameter.clone().into_owned(),
                    value: value.clone().into_owned(),
                })
        };
        match &*parameter {
            "cluster" => clusters.push(value.clone().into_owned()),
            "collect[]" => drop(collect.insert(source()?)),
            "exclude[]" => drop(exclude.insert(source()?)),
            _ => return Err(ParameterError::UnknownParameter(parameter.into_owned())),
        }
    }
    let wanted = if collect.is_empty() { all_sources() } else { collect };
    let selection: Selection = wanted.difference(&exclude).copied().collect();
    if selection.is_empty() {
        Err(ParameterError::Nothing)
    } else {
        Ok(Parameters { clusters, selection })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_chosen_and_left_out() {
        let names = |query| {
            parse(query)
                .unwrap()
                .selection
                .into_iter()
                .map(SourceName::as_str)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("").len(), SourceName::ALL.len());
        assert_eq!(
            names("collect[]=resources&collect%5B%5D=version"),
            ["resources", "version"]
        );
        assert_eq!(
            names("collect[]=resources&collect[]=version&exclude[]=version"),
            ["resources"]
        );
        assert_eq!(names("exclude[]=node_status").len(), SourceName::ALL.len() - 1);
        assert_eq!(parse("cluster=a&cluster=b").unwrap().clusters, ["a", "b"]);
    }

    #[test]
    fn a_slip_is_told() {
        assert!(
            parse("collect[]=resource")
                .unwrap_err()
                .to_string()
                .contains("there are: resources, ")
        );
        assert!(
            parse("collect=resources")
                .unwrap_err()
                .to_string()
                .contains("collect[]")
        );
        assert_eq!(
            parse("collect[]=version&exclude[]=version"),
            Err(ParameterError::Nothing)
        );
    }
}
