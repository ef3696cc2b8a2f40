//! How often a channel may be sent to.

use std::{num::NonZeroU32, time::Duration};

/// So many attempts may begin at once, and one more each time that `every` has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Not zero.
    pub every: Duration,
    /// At least one.
    pub burst: NonZeroU32,
}
