//! Calls of an adapter, each in a sandbox of its own. They block: [`CallThreads`](super::CallThreads) makes them.

use std::fmt;

use wasmtime::{Store, Trap, component::Instance};

use super::{
    component::Adapter,
    engine::{HostState, Limits},
};
use crate::model::{Context, Event, Refusal, Request, Response, Verdict, judge_by_status};

/// Why a call gave no answer: the adapter's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The function that was called.
    pub function: &'static str,
    /// The trap, the limit, and the last error that the guest logged.
    pub message: String,
    /// It ran out of time, or the host did not finish it. A busy machine may be why, so another try may do.
    pub may_pass: bool,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.function, self.message)
    }
}

impl std::error::Error for CallError {}

impl Adapter {
    /// Turns an event into a request.
    pub fn render(&self, context: &Context, event: &Event) -> Result<Result<Request, Refusal>, CallError> {
        self.watched("render", |store, instance| self.exports.render(store, instance, context, event))
    }

    /// Says what a response means: by the adapter, or by the host's own rule where the adapter leaves it to that.
    pub fn interpret(
        &self,
        context: &Context,
        event: &Event,
        state: &[u8],
        response: &Response,
    ) -> Result<Verdict, CallError> {
        if !self.reads_replies() {
            return Ok(judge_by_status(response, context.now));
        }
        let verdict = self.watched("interpret", |store, instance| {
            self.exports.interpret(store, instance, context, event, state, response)
        })?;
        Ok(verdict.unwrap_or_else(|| judge_by_status(response, context.now)))
    }

    /// A call that counts for whether a new version is any good.
    fn watched<R>(
        &self,
        function: &'static str,
        call: impl FnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let result = self.call(function, call);
        if self.trial.is_on() {
            self.trial.note(result.as_ref().err());
        }
        result
    }

    /// One call in a fresh sandbox.
    pub(super) fn call<R>(
        &self,
        function: &'static str,
        call: impl FnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let mut store = self.sandbox.store(&self.name);
        let result = self.pre.instantiate(&mut store).and_then(|instance| call(&mut store, &instance));
        let state = store.data_mut();
        state.flush_output();
        self.note_growth(state.grew);
        result.map_err(|error| CallError {
            function,
            may_pass: matches!(error.downcast_ref(), Some(Trap::Interrupt)),
            message: explain(&error, state, &self.sandbox.limits),
        })
    }

    /// What an instantiation alone costs; for the benchmarks.
    #[doc(hidden)]
    pub fn instantiate_only(&self) -> Result<(), CallError> {
        self.call("instantiate", |_, _| Ok(()))
    }
}

/// A sentence for the operator and the adapter's author.
fn explain(error: &wasmtime::Error, state: &HostState, limits: &Limits) -> String {
    let mut message = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => format!("ran longer than its limit of {:?}", limits.time),
        Some(Trap::StackOverflow) => format!("ran out of stack: its limit is {} bytes", limits.stack),
        Some(trap) => format!("trapped: {trap}"),
        None => match error.root_cause().to_string() {
            // The engine has no type for it.
            fuel if fuel.contains("fuel allocated for hostcalls") => {
                format!("handed over more than its limit of {} bytes", limits.transfer)
            }
            other => format!("failed: {other}"),
        },
    };
    if let Some(exceeded) = &state.exceeded {
        message.push_str("; it ran into its limit of ");
        message.push_str(exceeded);
    }
    if let Some(last) = &state.log.last_error {
        message.push_str("; it logged: ");
        message.push_str(last);
    }
    message
}
