//! The sandbox: one engine, one linker, a fresh store for every call, and the limits of a call.

use std::{sync::Arc, thread, time::Duration};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, Store,
    component::{HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p2::pipe::MemoryOutputPipe};

use super::{bindings::v0_1::log, guestlog::GuestLog};

/// How often the epoch moves: a call overruns its time by no more than this.
const TICK: Duration = Duration::from_millis(10);
/// Calls for deliveries that can be under way at once.
pub(super) const MOST_CALLS: usize = 56;
/// Calls that can be under way at once, describing and examples included.
const INSTANCES: u32 = 64;
/// A component may be built of several core modules (an adapter for WASI preview 1, say).
const CORE_INSTANCES_PER_COMPONENT: u32 = 16;
/// Elements of all of a module's tables: function pointers.
const TABLE_ELEMENTS: usize = 100_000;
/// Bytes of linear memory that a slot keeps between calls, so that a small guest touches no new page.
const KEEP_RESIDENT: usize = 2 << 20;

/// What one call may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall time of a call.
    pub time: Duration,
    /// Bytes of linear memory.
    pub memory: usize,
    /// Bytes of strings and lists that a call may hand to the host.
    pub transfer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(1), memory: 64 << 20, transfer: 8 << 20 }
    }
}

/// The engine and the linker, shared by all adapters.
#[derive(Clone)]
pub(super) struct Sandbox {
    pub engine: Engine,
    pub linker: Arc<Linker<HostState>>,
    pub limits: Limits,
}

impl Sandbox {
    /// Starts the engine and the thread that moves its epoch; the thread ends with the engine.
    pub fn new(limits: Limits) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config(limits.memory))?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        log::add_to_linker::<HostState, HasSelf<HostState>>(&mut linker, |state| state)?;
        tick(&engine)?;
        Ok(Self { engine, linker: Arc::new(linker), limits })
    }

    /// A fresh store for one call of that adapter.
    pub fn store(&self, adapter: &Arc<str>) -> Store<HostState> {
        let state = HostState::new(adapter.clone(), self.limits.memory);
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(self.limits.transfer);
        let ticks = self.limits.time.as_millis().div_ceil(TICK.as_millis());
        // One more: the current tick is already partly over.
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1));
        store
    }
}

fn config(memory: usize) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .total_core_instances(INSTANCES * 4)
        .total_memories(INSTANCES * 2)
        .total_tables(INSTANCES * 4)
        .max_memories_per_component(4)
        .max_tables_per_component(8)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(memory)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        // Finds the pages that a call has touched; without it every call pays for `KEEP_RESIDENT`.
        .pagemap_scan(if swap_is_off() { Enabled::Auto } else { Enabled::No });
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(512 << 10)
        .wasm_component_model(true);
    config
}

/// A page that was swapped out is not seen by the scan.
fn swap_is_off() -> bool {
    // The first line is a heading.
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() <= 1)
}

fn tick(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("adapter-epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .map(drop)
}

/// What a store carries: the limits, and WASI with nothing behind it.
pub(super) struct HostState {
    pub log: GuestLog,
    /// Which limit was run into, in words.
    pub exceeded: Option<String>,
    /// Whether the guest asked for memory beyond what it started with, which costs it two system calls.
    pub grew: bool,
    memory: usize,
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    output: MemoryOutputPipe,
}

impl HostState {
    fn new(adapter: Arc<str>, memory: usize) -> Self {
        Self { log: GuestLog::new(adapter), exceeded: None, grew: false, memory, wasi: None }
    }

    /// Writes what the guest printed to the log.
    pub fn flush_output(&mut self) {
        if let Some(wasi) = &self.wasi {
            let output = wasi.output.contents();
            for line in String::from_utf8_lossy(&output).lines() {
                self.log.write(tracing::Level::INFO, line);
            }
        }
    }
}

impl WasiView for HostState {
    /// Made when first asked for: most adapters never do.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            let output = MemoryOutputPipe::new(16 << 10);
            Box::new(Wasi {
                ctx: WasiCtxBuilder::new().stdout(output.clone()).stderr(output.clone()).build(),
                table: ResourceTable::new(),
                output,
            })
        });
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        self.log.write(level, &message);
    }
}

impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.memory {
            self.exceeded = Some(format!("memory: more than {} bytes", self.memory));
            return Ok(false);
        }
        self.grew |= current > 0;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            self.exceeded = Some(format!("tables: more than {TABLE_ELEMENTS} elements"));
            return Ok(false);
        }
        Ok(true)
    }
}
