//! The engine of adapters that are a JavaScript file: QuickJS, with the contract in JavaScript's clothes.
//!
//! `docs/script-adapters.md` is what authors read. A script has no network, files or timers, as every adapter; its clock
//! stands at `context.now`, and `Math.random` gives the same numbers in every call: the same arguments, the same request.

mod clock;
mod script;
mod wire;

use std::cell::RefCell;

use herald_adapter_engine::{Engine, Loaded, fault};
use herald_channel::{Context, Description, Event, Refusal, Request, Response, Verdict, replies};

use crate::script::Script;

/// The engine.
pub struct Scripts;

thread_local! {
    /// The script that was loaded. A component has one thread, and a call one script.
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

impl Engine for Scripts {
    fn load(file: &str, text: &str) -> Result<Loaded, String> {
        let script = Script::load(file, text)?;
        let loaded = Loaded { reads_replies: script.reads_replies() };
        SCRIPT.set(Some(script));
        Ok(loaded)
    }

    fn describe() -> Description {
        with(|script| Ok(script.description().clone()))
    }

    fn render(context: &Context, event: &Event) -> Result<Request, Refusal> {
        clock::set(context.now);
        with(|script| script.render(context, event))
    }

    fn interpret(context: &Context, event: &Event, state: &[u8], response: &Response) -> Verdict {
        clock::set(context.now);
        with(|script| script.interpret(context, event, state, response))
            .unwrap_or_else(|| replies::by_status(context, response))
    }
}

/// What goes wrong in a script is the adapter's fault.
fn with<R>(call: impl FnOnce(&Script) -> Result<R, String>) -> R {
    SCRIPT.with_borrow(|script| match script.as_ref().map(call) {
        Some(Ok(result)) => result,
        Some(Err(reason)) => fault(&reason),
        None => fault("there is no script"),
    })
}

herald_adapter_engine::conversational_engine!(Scripts);
