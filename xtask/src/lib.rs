//! Developer commands: `cargo xtask`. They build the adapters and run every check, and install what that needs.
//!
//! - [`prebuilt`]: the built adapters and their manifest; the host's tests use it too.
//! - [`compiler`]: a compiler for guests, the user's or Debian's.
//! - [`adapters`]: `cargo xtask adapters`.
//! - [`suite`]: `cargo xtask test`; [`failures`]: which tests failed there.
//! - [`tools`]: what is installed, and how.
//! - [`languages`]: the examples in each language, built as their users build them.
//! - [`measurements`]: `cargo xtask measure`, with [`isolation`], [`load`], [`instructions`] and [`fuzz`].
//! - [`soak`]: `cargo xtask soak`.
//! - [`measure`]: what the measurements share.
//! - [`process`]: running commands.

pub mod adapters;
pub mod compiler;
pub mod failures;
pub mod fuzz;
pub mod instructions;
pub mod isolation;
pub mod languages;
pub mod load;
pub mod measure;
pub mod measurements;
pub mod prebuilt;
pub mod process;
pub mod soak;
pub mod suite;
pub mod tools;
