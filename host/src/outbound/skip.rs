//! Where in a text something may begin that is looked for: texts are long, and secrets are rare.
//!
//! Wu and Manber's way: the last two bytes of a window, which is as long as the shortest pattern, say how far it may be
//! moved without missing any. Says too much sometimes, too little never; ASCII letters are the same in both cases.

/// Entries of the table. Pairs of bytes that share one are not told apart.
const PAIRS: usize = 4096;

pub(super) struct Skip {
    window: usize,
    table: Vec<u8>,
}

impl Skip {
    pub(super) fn new<'p>(patterns: impl Iterator<Item = &'p str> + Clone) -> Self {
        let shortest = patterns.clone().map(str::len).min().unwrap_or(0);
        // One byte alone says nothing: then every place is one.
        let window = shortest.min(usize::from(u8::MAX));
        let far = |left: usize| u8::try_from(left).unwrap_or(u8::MAX);
        let mut table = vec![far(window.saturating_sub(1)); PAIRS];
        for pattern in patterns {
            let begun = pattern.as_bytes().get(..window).unwrap_or_default();
            for (at, pair) in begun.windows(window.clamp(1, 2)).enumerate() {
                if let Some(entry) = table.get_mut(slot(pair)) {
                    *entry = (*entry).min(far((window - at).saturating_sub(2)));
                }
            }
        }
        Self { window, table }
    }

    /// The first place from `from` on where a pattern may begin.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let window = text.get(at..at + self.window).filter(|window| !window.is_empty())?;
            let pair = window.get(self.window.saturating_sub(2)..)?;
            match self.table.get(slot(pair)) {
                None | Some(0) => return Some(at),
                Some(far) => at += usize::from(*far),
            }
        }
    }
}

/// Letters that differ in case only are in the same one.
fn slot(pair: &[u8]) -> usize {
    match *pair {
        [first, second] => (usize::from(first | 0x20) << 5 ^ usize::from(second | 0x20)) % PAIRS,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_pattern_is_skipped(
            patterns in proptest::collection::vec("[abAB/]{1,5}", 1..5),
            text in "[abcAB/é]{0,40}",
        ) {
            let skip = Skip::new(patterns.iter().map(String::as_str));
            let lower = text.to_ascii_lowercase();
            for (at, _) in text.char_indices() {
                if patterns.iter().any(|pattern| lower[at..].starts_with(&pattern.to_ascii_lowercase())) {
                    for from in 0..=at {
                        prop_assert!(skip.next(text.as_bytes(), from).is_some_and(|found| found <= at));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_nowhere_is_looked_for_in_few_places() {
        let skip = Skip::new(["https://hooks.example.com/x", "aGVyYWxkLWhlcmFsZA"].into_iter());
        assert_eq!(skip.next("nothing of that kind is in here ".repeat(50).as_bytes(), 0), None);
    }
}
