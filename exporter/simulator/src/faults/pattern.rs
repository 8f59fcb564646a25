//! Patterns of API paths.

/// Whether a pattern such as `/nodes/*/status`, `/nodes/{node}/**` or `/version` covers the path.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        let Some(segment) = segments.next() else { return false };
        let any = wanted == "*" || (wanted.starts_with('{') && wanted.ends_with('}'));
        if !any && wanted != segment {
            return false;
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn covers_segments() {
        assert!(covers("/version", "/version"));
        assert!(covers("/nodes/*/status", "/nodes/pve1/status"));
        assert!(covers("/nodes/{node}/status", "/nodes/pve1/status"));
        assert!(covers("/nodes/**", "/nodes/pve1/status"));
        assert!(!covers("/nodes", "/nodes/pve1/status"));
        assert!(!covers("/nodes/*/status", "/nodes/pve1"));
        assert!(!covers("/nodes/pve2/status", "/nodes/pve1/status"));
    }
}
