//! The engine of adapters that are a TOML file: a request as templates, for those who only want another body.
//!
//! `docs/script-adapters.md` is what authors read. Templates are minijinja's; what stands in them is escaped for its place.

mod escape;
mod file;
mod template;

use std::cell::RefCell;

use herald_adapter_engine::{Engine, Loaded, fault};
use herald_channel::{Context, Description, Event, Refusal, Request};

use crate::file::File;

/// The engine.
pub struct Templates;

thread_local! {
    /// The file that was loaded. A component has one thread, and a call one file.
    static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
}

impl Engine for Templates {
    fn load(file: &str, text: &str) -> Result<Loaded, String> {
        FILE.set(Some(File::load(file, text)?));
        Ok(Loaded { reads_replies: false })
    }

    fn describe() -> Description {
        with(|file| Ok(file.description().clone()))
    }

    fn render(context: &Context, event: &Event) -> Result<Request, Refusal> {
        Ok(with(|file| file.render(context, event)))
    }
}

/// What goes wrong in a template is the adapter's fault.
fn with<R>(call: impl FnOnce(&File) -> Result<R, String>) -> R {
    FILE.with_borrow(|file| match file.as_ref().map(call) {
        Some(Ok(result)) => result,
        Some(Err(reason)) => fault(&reason),
        None => fault("there is no file"),
    })
}

herald_adapter_engine::engine!(Templates);
