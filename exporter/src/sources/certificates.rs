//! `/nodes/{node}/certificates/info`: until when the certificates of a node are valid.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api::node_certificates::decode;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::devices::may_be_label;
use crate::sources::name::SourceName;
use crate::subjects::certificate::Certificate;

/// The most files of a node that are reported on. PVE knows three.
const MOST: usize = 16;

/// The certificates of one node.
#[derive(Debug, Default)]
pub struct NodeCertificates {
    /// By file.
    pub certificates: Arc<[Certificate]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>) -> Result<NodeCertificates, ApiError> {
    let request = Request::node(node, "certificates/info", SourceName::Certificates.cost());
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, node))
}

/// Turns a body into subjects.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, node: &str) -> Result<NodeCertificates, DecodeError> {
    let mut certificates = BTreeMap::new();
    let mut unusable = 0;
    let damaged = decode(body, |row| {
        if !may_be_label(&row.filename) {
            unusable += 1;
            return;
        }
        let labels = [("pve_cluster", cluster), ("node", node), ("file", &*row.filename)];
        let certificate = Certificate {
            identity: Identity::new(&labels),
            not_before: row.notbefore,
            not_after: row.notafter,
        };
        certificates.insert(row.filename.into_owned(), certificate);
    })?;
    Ok(NodeCertificates {
        certificates: certificates.into_values().take(MOST).collect(),
        damaged_rows: damaged + unusable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (String, Option<u64>, Option<u64>);

    fn read(body: &[u8]) -> (Vec<Read>, u64) {
        let answer = convert(body, "main", "pve1").unwrap();
        let row = |row: &Certificate| {
            let pairs = str::from_utf8(row.identity.pairs()).unwrap().to_owned();
            (pairs, row.not_before, row.not_after)
        };
        (answer.certificates.iter().map(row).collect(), answer.damaged_rows)
    }

    fn labels(file: &str) -> String {
        format!(r#"pve_cluster="main",node="pve1",file="{file}""#)
    }

    #[test]
    fn recorded_and_constructed_certificates_end() {
        let recorded = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__certificates__info.json").as_slice();
        let constructed = include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__certificates__info.json");
        for (body, root, own) in [
            (recorded, (1_795_063_757, 2_110_423_757), (1_795_063_757, 1_858_135_757)),
            (
                constructed,
                (1_700_000_000, 2_015_360_000),
                (1_770_000_000, 1_833_072_000),
            ),
        ] {
            let expected = [
                (labels("pve-root-ca.pem"), Some(root.0), Some(root.1)),
                (labels("pve-ssl.pem"), Some(own.0), Some(own.1)),
            ];
            assert_eq!(read(body), (expected.to_vec(), 0));
        }
        let second = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__certificates__info.json");
        assert_eq!(read(second).0.len(), 2);
    }

    #[test]
    fn damaged_rows_cost_only_themselves() {
        let body = br#"{"data":[{"filename":"/etc/x.pem"},[],{"filename":"a.pem","notafter":"12","notbefore":{}},{}]}"#;
        assert_eq!(read(body), (vec![(labels("a.pem"), None, Some(12))], 3));
    }
}
