//! The sandbox: one engine, one linker, a fresh store for every call, and the limits of a call.

use std::{sync::Arc, thread, time::Duration};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, Store,
    component::{HasSelf, Linker},
};

use super::{
    bindings::v0_1::log,
    guestlog::GuestLog,
    wasi::{self, Wasi},
};
use crate::clock::Stopwatch;

/// How often the epoch moves: a call overruns its time by no more than this.
const TICK: Duration = Duration::from_millis(10);
/// Calls for deliveries that can be under way at once.
pub(super) const MOST_CALLS: usize = 56;
/// Calls that can be under way at once, describing and examples included.
const INSTANCES: u32 = 64;
/// A component may be built of several core modules (an adapter for WASI preview 1, say).
const CORE_INSTANCES_PER_COMPONENT: u32 = 16;
/// Bytes of linear memory that a slot keeps between calls, so that a small guest touches no new page.
const KEEP_RESIDENT: usize = 2 << 20;

/// What one call may use, and what a component may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of a call.
    pub time: Duration,
    /// Bytes of linear memory, of all memories together.
    pub memory: usize,
    /// Bytes of strings and lists that a call may hand to the host: the request's body, for one.
    pub transfer: usize,
    /// Elements of all tables together: function pointers.
    pub table_elements: usize,
    /// Bytes of the stack. One size for all adapters: of several sets of limits, the largest counts.
    pub stack: usize,
    /// Lines of the log, what is printed included.
    pub log_lines: u32,
    /// Bytes of a line of the log.
    pub log_line: usize,
    /// Bytes of the component's file.
    pub file: usize,
    /// Functions of the component: each one has to be compiled.
    pub functions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(1),
            memory: 64 << 20,
            transfer: 8 << 20,
            table_elements: 100_000,
            stack: 512 << 10,
            log_lines: 100,
            log_line: 4 << 10,
            file: 64 << 20,
            functions: 100_000,
        }
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
    /// Starts the engine and the thread that moves its epoch; the thread ends with the engine. `others` are limits that
    /// single adapters have: there is room for the largest.
    pub fn new<'a>(limits: Limits, others: impl Iterator<Item = &'a Limits>) -> wasmtime::Result<Self> {
        let room = others.fold(limits, |room, other| Limits {
            memory: room.memory.max(other.memory),
            table_elements: room.table_elements.max(other.table_elements),
            stack: room.stack.max(other.stack),
            ..room
        });
        let engine = Engine::new(&config(&room))?;
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker)?;
        log::add_to_linker::<HostState, HasSelf<HostState>>(&mut linker, |state| state)?;
        tick(&engine)?;
        Ok(Self { engine, linker: Arc::new(linker), limits })
    }

    /// The same with other limits.
    pub fn with(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// A fresh store for one call of that adapter.
    pub fn store(&self, adapter: &Arc<str>) -> Store<HostState> {
        let state = HostState::new(adapter.clone(), self.limits);
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(self.limits.transfer);
        let ticks = self.limits.time.as_millis().div_ceil(TICK.as_millis());
        // One more: the current tick is already partly over.
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1));
        store
    }
}

fn config(room: &Limits) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .total_core_instances(INSTANCES * 4)
        .total_memories(INSTANCES * 2)
        .total_tables(INSTANCES * 4)
        .max_memories_per_component(4)
        .max_tables_per_component(8)
        .table_elements(room.table_elements)
        .max_memory_size(room.memory)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        // Finds the pages that a call has touched; without it every call pays for `KEEP_RESIDENT`.
        .pagemap_scan(if swap_is_off() { Enabled::Auto } else { Enabled::No });
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(room.stack)
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
    limits: Limits,
    /// Bytes of memory and elements of tables so far.
    memory: usize,
    elements: usize,
    since: Stopwatch,
    pub wasi: Option<Box<Wasi>>,
}

impl HostState {
    fn new(adapter: Arc<str>, limits: Limits) -> Self {
        Self {
            log: GuestLog::new(adapter, limits.log_lines, limits.log_line),
            exceeded: None,
            grew: false,
            limits,
            memory: 0,
            elements: 0,
            since: Stopwatch::start(),
            wasi: None,
        }
    }

    /// What is left of the call's time.
    pub fn time_left(&self) -> Duration {
        self.limits.time.saturating_sub(self.since.elapsed())
    }

    /// Writes what the guest printed to the log.
    pub fn flush_output(&mut self) {
        if let Some(wasi) = &self.wasi {
            let output = wasi.printed();
            for line in String::from_utf8_lossy(&output).lines() {
                self.log.write(tracing::Level::INFO, line);
            }
        }
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
        let memory = self.memory.saturating_add(desired.saturating_sub(current));
        if memory > self.limits.memory {
            self.exceeded = Some(format!("memory: more than {} bytes", self.limits.memory));
            return Ok(false);
        }
        self.memory = memory;
        self.grew |= current > 0;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > self.limits.table_elements {
            self.exceeded = Some(format!("tables: more than {} elements", self.limits.table_elements));
            return Ok(false);
        }
        self.elements = elements;
        Ok(true)
    }
}
