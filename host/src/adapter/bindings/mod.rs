//! One small module for each version of the contract, which converts into the host's own types.
//!
//! Nothing outside sees WIT types.

pub(super) mod v0_1;
