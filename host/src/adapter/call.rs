//! Calls of an adapter, each in a sandbox of its own, unless its channel keeps one. They block:
//! [`CallThreads`](super::CallThreads) makes them.

use std::fmt;

use wasmtime::{Store, Trap, WasmBacktrace, component::Instance};

use super::{
    bounds,
    component::Adapter,
    engine::{HostState, Limits},
    script::Language,
};
use crate::model::{Context, Event, Isolation, Refusal, Request, Response, Verdict, judge_by_status};

/// Why a call gave no answer: the adapter's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The function that was called.
    pub function: &'static str,
    /// The trap, the limit, and the last error that the guest logged.
    pub message: String,
    /// It ran out of time, or the host did not finish it. A busy machine may be why, so another try may do.
    pub may_pass: bool,
    /// It hit one of its limits: of time, memory, tables, stack, or what it may hand over.
    pub over_limit: bool,
    /// Which functions of the guest led there, with their names and lines as far as the component has kept them: for its
    /// author. Only where [`Options::explain`](super::Options::explain) asks for it.
    pub backtrace: Option<String>,
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
        self.watched("render", context, |store, instance| {
            let rendered = self.exports.render(store, instance, context, event)?;
            rendered.as_ref().map_or(Ok(()), bounds::request).map_err(wasmtime::Error::msg)?;
            Ok(rendered)
        })
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
        let verdict = self.watched("interpret", context, |store, instance| {
            let verdict = self.exports.interpret(store, instance, context, event, state, response)?;
            verdict.as_ref().map_or(Ok(()), bounds::verdict).map_err(wasmtime::Error::msg)?;
            Ok(verdict)
        })?;
        Ok(verdict.unwrap_or_else(|| judge_by_status(response, context.now)))
    }

    /// A call that counts for whether a new version is any good.
    fn watched<R>(
        &self,
        function: &'static str,
        context: &Context,
        call: impl Fn(&mut Store<HostState>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let result = match self.sandbox.limits.isolation {
            Isolation::Call => self.call(function, call),
            Isolation::Channel => self.call_in_kept(function, &context.channel, call),
        };
        if self.trial.is_on() {
            self.trial.note(result.as_ref().err());
        }
        result
    }

    /// An engine ends a call by a trap when its script fails, and has said why: the trap itself tells nobody anything.
    fn said(&self, error: &wasmtime::Error, state: &HostState) -> Option<String> {
        let is_script = self.origin.file().and_then(Language::of).is_some();
        let ended = matches!(error.downcast_ref(), Some(Trap::UnreachableCodeReached));
        state.log.last_error.as_ref().filter(|_| is_script && ended).map(|said| format!("failed: {said}"))
    }

    /// One call in a fresh sandbox.
    pub(super) fn call<R>(
        &self,
        function: &'static str,
        call: impl FnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let mut store = self.sandbox.store(&self.name);
        let result = self.pre.instantiate(&mut store).and_then(|instance| call(&mut store, &instance));
        self.ended(function, store.data_mut(), result)
    }

    /// What comes of a call: its answer, or whose fault it is that there is none.
    pub(super) fn ended<R>(
        &self,
        function: &'static str,
        state: &mut HostState,
        result: wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        state.flush_output();
        self.note_memory(state);
        result.map_err(|error| CallError {
            function,
            may_pass: matches!(error.downcast_ref(), Some(Trap::Interrupt)),
            over_limit: state.exceeded.is_some() || limit(&error, &self.sandbox.limits).is_some(),
            message: self.said(&error, state).unwrap_or_else(|| explain(&error, state, &self.sandbox.limits)),
            backtrace: self.sandbox.explain.then(|| backtrace(&error)).flatten(),
        })
    }

    /// What an instantiation alone costs; for the benchmarks.
    #[doc(hidden)]
    pub fn instantiate_only(&self) -> Result<(), CallError> {
        self.call("instantiate", |_, _| Ok(()))
    }
}

/// None where the guest was not at work: its answer can't be read, say.
fn backtrace(error: &wasmtime::Error) -> Option<String> {
    let frames: &WasmBacktrace = error.downcast_ref()?;
    (!frames.frames().is_empty()).then(|| frames.to_string())
}

/// Which limit ended the call, in words; none when it failed otherwise.
fn limit(error: &wasmtime::Error, limits: &Limits) -> Option<String> {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Some(format!("ran longer than its limit of {:?}", limits.time)),
        Some(Trap::StackOverflow) => Some(format!("ran out of stack: its limit is {} bytes", limits.stack)),
        Some(_) => None,
        None => match error.root_cause().to_string() {
            // The engine has no types for these, nor the bounds.
            fuel if fuel.contains("fuel allocated for hostcalls") => {
                Some(format!("handed over more than its limit of {} bytes", limits.transfer))
            }
            bound if bound.starts_with("handed over ") => Some(bound),
            _ => None,
        },
    }
}

/// A sentence for the operator and the adapter's author.
pub(super) fn explain(error: &wasmtime::Error, state: &HostState, limits: &Limits) -> String {
    let mut message = limit(error, limits).unwrap_or_else(|| match error.downcast_ref::<Trap>() {
        Some(trap) => format!("trapped: {trap}"),
        None => format!("failed: {}", error.root_cause()),
    });
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
