//! Adapters: channel types as WebAssembly components, hot-reloaded from a folder.
//!
//! The only place that knows wasmtime. Imports nothing else of this crate but `model`, `clock` and `wake`.

mod bindings;
mod bounds;
mod builtin;
mod cache;
mod call;
mod compile;
mod component;
mod engine;
mod fit;
pub mod golden;
mod guestlog;
mod kept;
mod load;
mod pace;
mod printed;
mod published;
mod registry;
mod rollback;
mod scan;
mod schema;
mod script;
mod signature;
mod threads;
mod trial;
mod turns;
mod visits;
mod waited;
mod wasi;
mod watch;

pub use builtin::BOARD;
pub use cache::Cache;
pub use call::CallError;
pub use component::{Adapter, LoadError, Origin, digest};
pub use engine::Limits;
pub use published::{LiveChannel, Options, Published, Refused};
pub use registry::Registry;
pub use schema::{SettingProblem, SettingsSchema};
pub use threads::CallThreads;
pub use watch::WatchHandle;
