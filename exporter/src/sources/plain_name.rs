//! Names that may become labels: those that the tools behind them admit, and of a length that a label bears.

/// The longest name that may become a label.
const LONGEST: usize = 128;

/// Whether `name` is not empty, not too long, and made of letters, digits and `.`, `_`, `-`, `+` and `:`.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_of_some_length_pass() {
        for plain in ["rpool", ".mgr", "vm:1", "active+clean", "a", &"x".repeat(128)] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in ["", "a b", "a\"b", "a/b", "ä", "a\n", &"x".repeat(129)] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
