//! WASI with nothing behind it, for guests whose language brings it along: clocks and random numbers work, what is
//! printed goes to the log, and there are no files, no environment and no network.
//!
//! Must not let a guest wait in the host longer than its call may take: the epoch interrupts guests, never the host.

use std::{future::Future, time::Duration};

use wasmtime::{
    Trap,
    component::{HasData, Linker, Resource, ResourceTable},
};
use wasmtime_wasi::{
    WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    p2::{self, DynPollable, bindings::sync::io::poll},
    runtime::in_tokio,
};
use wasmtime_wasi_io::bindings::wasi::io::poll as unbounded;

use super::{engine::HostState, printed::Printed, waited};
use crate::clock::Stopwatch;

/// Streams, clocks' alarms and the like that a call may hold; they lie in the host's memory, not in the guest's.
const MOST_RESOURCES: usize = 1000;
/// Bytes of random numbers that a call may ask for at once; they are made in the host's memory.
const MOST_RANDOM: u64 = 1 << 20;

/// What a call has of WASI.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    output: Printed,
}

impl Wasi {
    fn new() -> Self {
        let output = Printed::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_RESOURCES);
        let mut ctx = WasiCtxBuilder::new();
        ctx.stdout(output.clone()).stderr(output.clone()).max_random_size(MOST_RANDOM);
        Self { ctx: ctx.build(), table, output }
    }

    /// What the guest has printed since the last time.
    pub fn take_printed(&self) -> Vec<u8> {
        self.output.take()
    }
}

impl WasiView for HostState {
    /// Made when first asked for: most adapters never do.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new()));
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

/// Puts it all into the linker, waiting in a form of its own.
pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<HostState, HasWaiting>(linker, |state| Waiting {
        left: state.time_left(),
        table: state.ctx().table,
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasWaiting;

impl HasData for HasWaiting {
    type Data<'a> = Waiting<'a>;
}

/// `wasi:io/poll`, which ends when the call's time is over.
struct Waiting<'a> {
    table: &'a mut ResourceTable,
    left: Duration,
}

/// A wait that does not come to its end ends like a guest that spins.
fn bounded<R>(left: Duration, wait: impl Future<Output = wasmtime::Result<R>>) -> wasmtime::Result<R> {
    let watch = Stopwatch::start();
    let ended = in_tokio(async { tokio::time::timeout(left, wait).await });
    waited::note(watch.elapsed());
    ended.unwrap_or_else(|_| Err(Trap::Interrupt.into()))
}

impl poll::Host for Waiting<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        bounded(self.left, unbounded::Host::poll(self.table, pollables))
    }
}

impl poll::HostPollable for Waiting<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.table, pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        bounded(self.left, unbounded::HostPollable::block(self.table, pollable))
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.table, pollable)
    }
}
