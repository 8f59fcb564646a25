//! Text that a guest has written.

/// The most bytes of a text.
pub(crate) const LONGEST: usize = 128;

/// `text` without control characters, marks that are not seen or turn the text around, and space at its ends, cut to
/// [`LONGEST`] bytes before a character.
#[must_use]
pub(crate) fn clean(text: &str) -> Box<str> {
    let mut kept = String::new();
    for character in text.chars().filter(|character| !is_hidden(*character)) {
        if kept.is_empty() && character.is_whitespace() {
            continue;
        }
        if kept.len() + character.len_utf8() > LONGEST {
            break;
        }
        kept.push(character);
    }
    kept.trim_end().into()
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_short_and_has_nothing_hidden() {
        assert_eq!(&*clean("Ethernet 2"), "Ethernet 2");
        assert_eq!(&*clean(" \n\u{feff} /mnt/\u{1b}[2J\u{202e}a\0\u{9b} \t"), "/mnt/[2Ja");
        assert_eq!(&*clean("\u{7}\u{200b} "), "");
        assert_eq!(clean(&"x".repeat(10_000)).len(), LONGEST);
        let cut = clean(&format!("{}é", "x".repeat(127)));
        assert_eq!(cut.len(), 127, "not within a character");
        assert_eq!(&*clean(&format!("{} y", "x".repeat(127))), "x".repeat(127));
    }
}
