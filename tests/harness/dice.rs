//! What is left to chance in the crash tests, and how long they go on.

use std::{fmt::Display, str::FromStr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Where a test of so many rounds stands for the longest one, which `HERALD_CRASH_ROUNDS` is about.
const LONGEST: usize = 50;

/// The same seed gives the same decisions. What the machine does meanwhile is its own affair.
pub struct Dice(StdRng);

impl Dice {
    /// The seed is `HERALD_CRASH_SEED`, else a new one. It is printed: whoever sees a test fail sees it.
    pub fn throw() -> Self {
        let seed = variable("HERALD_CRASH_SEED").unwrap_or_else(rand::random);
        println!("HERALD_CRASH_SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// Others, which depend on these alone.
    pub fn fork(&mut self) -> Self {
        Self(StdRng::seed_from_u64(self.0.random()))
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// A time of at most so many milliseconds.
    pub fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_micros(self.0.random_range(0..=millis * 1000))
    }
}

/// How many rounds to go: so many, unless `HERALD_CRASH_ROUNDS` wants more or fewer than 50 of the longest test and, in
/// proportion, of the others.
pub fn rounds(usual: usize) -> usize {
    variable("HERALD_CRASH_ROUNDS").map_or(usual, |wanted: usize| (usual * wanted).div_ceil(LONGEST))
}

fn variable<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}
