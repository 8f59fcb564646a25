//! Lists of rows that are filled again in every sample.

use super::text::text;

/// Writes rows over those of the sample before: the names of things that stay are not allocated again.
pub(super) struct Refill<'a, T> {
    rows: &'a mut Vec<T>,
    filled: usize,
    name: fn(&mut T) -> &mut String,
}

impl<'a, T> Refill<'a, T> {
    /// `name` is the text by which a row is known.
    pub(super) fn new(rows: &'a mut Vec<T>, name: fn(&mut T) -> &mut String) -> Self {
        Self { rows, filled: 0, name }
    }

    /// The next row's name as text, taken from the row that stands there if it is the same.
    pub(super) fn name(&mut self, name: &[u8]) -> String {
        let old = self
            .rows
            .get_mut(self.filled)
            .map(self.name)
            .filter(|old| old.as_bytes() == name);
        old.map_or_else(|| text(name), std::mem::take)
    }

    pub(super) fn push(&mut self, row: T) {
        match self.rows.get_mut(self.filled) {
            Some(place) => *place = row,
            None => self.rows.push(row),
        }
        self.filled += 1;
    }
}

impl<T> Drop for Refill<'_, T> {
    fn drop(&mut self) {
        self.rows.truncate(self.filled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_gone_and_what_stays_keeps_its_text() {
        let fill = |rows: &mut Vec<String>, names: &[&str]| {
            let mut refill = Refill::new(rows, |row| row);
            for name in names {
                let name = refill.name(name.as_bytes());
                refill.push(name);
            }
        };
        let mut rows = Vec::new();
        fill(&mut rows, &["vda", "vdb", "vdc"]);
        let before = rows[0].as_ptr();
        fill(&mut rows, &["vda", "vdc"]);
        assert_eq!(rows, ["vda", "vdc"]);
        assert_eq!(rows[0].as_ptr(), before);
        fill(&mut rows, &[]);
        assert!(rows.is_empty());
    }
}
