//! What is made of values that seldom change, made once.

use std::sync::{Arc, Mutex, PoisonError};

/// The newest thing made, and what it was made of.
pub struct Cached<K, T>(Mutex<Option<(K, T)>>);

impl<K, T> Default for Cached<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, T: Clone> Cached<K, T> {
    /// What is made of what `key` names; `make` runs only when that is another one than the last time.
    pub fn of(&self, key: K, make: impl FnOnce() -> T) -> T {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, made)) = &*newest
            && *known == key
        {
            return made.clone();
        }
        let made = make();
        *newest = Some((key, made.clone()));
        made
    }
}

/// A key for values that are compared by which they are, and not by what is in them.
#[derive(Clone)]
pub struct Same<T: ?Sized>(pub Arc<T>);

impl<T: ?Sized> PartialEq for Same<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_anew_only_for_another_key() {
        let cached = Cached::default();
        assert_eq!(cached.of(1, || "a"), "a");
        assert_eq!(cached.of(1, || "b"), "a");
        assert_eq!(cached.of(2, || "b"), "b");
    }
}
