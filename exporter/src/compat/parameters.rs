//! The query of `/pve`.

use url::form_urlencoded;

/// Of which nodes a scrape wants what each knows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// Of none.
    None,
    /// Of the one that answers.
    Local,
    /// Of all.
    All,
}

/// What the query asks for. What it says more than once counts the first time, and what nobody knows is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Whose credentials are used.
    pub module: String,
    /// Which host is asked.
    pub target: String,
    /// Whether it wants what every node knows of the cluster.
    pub cluster: bool,
    /// Of which nodes it wants what each knows by itself.
    pub nodes: Nodes,
}

impl Parameters {
    /// Reads a query.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let value = |name: &str, default: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == name)
                .map_or_else(|| default.to_owned(), |(_, value)| value.into_owned())
        };
        let is_off = |value: &str| matches!(value, "false" | "0" | "");
        let node = value("node", "1").to_lowercase();
        Self {
            module: value("module", "default"),
            target: value("target", "localhost"),
            cluster: !is_off(&value("cluster", "1").to_lowercase()),
            nodes: match &*node {
                "all" => Nodes::All,
                node if is_off(node) => Nodes::None,
                _ => Nodes::Local,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_prometheus_pve_exporter_reads_them() {
        let everything = Parameters {
            module: "default".to_owned(),
            target: "localhost".to_owned(),
            cluster: true,
            nodes: Nodes::Local,
        };
        assert_eq!(Parameters::parse(""), everything);
        assert_eq!(Parameters::parse("cluster=yes&node=TRUE&timeout=3"), everything);
        let parsed = Parameters::parse("module=a&module=b&target=pve1%3A8006&cluster=False&node=");
        assert_eq!((&*parsed.module, &*parsed.target), ("a", "pve1:8006"));
        assert_eq!((parsed.cluster, parsed.nodes), (false, Nodes::None));
        assert_eq!(Parameters::parse("cluster=0&node=ALL").nodes, Nodes::All);
    }
}
