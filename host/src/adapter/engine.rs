//! The sandbox: one engine, one linker, a store for each call, and the limits of a call.

use std::{fmt, sync::Arc, thread, time::Duration};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, Store,
    UpdateDeadline, WasmBacktraceDetails,
    component::{HasSelf, Linker},
};

use super::{
    bindings::v0_1::log,
    guestlog::GuestLog,
    kept::{Kept, MOST_KEPT},
    script::Engines,
    wasi::{self, Wasi},
};
use crate::{
    clock::{Stopwatch, thread_time},
    model::Isolation,
};

/// How often the epoch moves: a call overruns its time by no more than this.
const TICK: Duration = Duration::from_millis(10);
/// A call's processor time is asked for from here on; most have ended by then, and never ask. What came before is counted
/// as so much at the most.
const UNASKED: Duration = Duration::from_millis(20);
/// By the clock a call may take so many times its processor time: other threads may go first.
const PATIENCE: u32 = 10;
/// Calls for deliveries that can be under way at once.
pub(super) const MOST_CALLS: usize = 56;
/// Calls that can be under way at once, describing and examples included.
const INSTANCES: u32 = 64;
/// What a component may be built of: several core modules (an adapter for WASI preview 1, the 38 that Python is linked
/// of), which share a memory and a table as a rule; JavaScript by `componentize-qjs` has three of each. There is room for
/// that many in every call, so that none ever lacks it because of others.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 4;
/// Bytes of linear memory that a slot keeps between calls, so that a small guest touches no new page.
const KEEP_RESIDENT: usize = 2 << 20;

/// What one call may use and shares with others, and what a component may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of a call. What it waits for in the host counts like work; by the clock it may take ten times as
    /// long, as other threads may go first.
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
    /// How long a sandbox lives.
    pub isolation: Isolation,
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
            isolation: Isolation::Call,
        }
    }
}

/// For an author: what a call may use.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, memory, transfer, table_elements, stack, log_lines, log_line, .. } = self;
        write!(
            f,
            "{time:?}, {memory} bytes of memory, {stack} of stack, {transfer} handed over, {table_elements} elements of \
             tables, {log_lines} lines of log of {log_line} bytes"
        )
    }
}

/// The engine and the linker, shared by all adapters.
#[derive(Clone)]
pub(super) struct Sandbox {
    pub engine: Engine,
    pub linker: Arc<Linker<HostState>>,
    /// Those of adapters that keep theirs.
    pub kept: Arc<Kept>,
    pub limits: Limits,
    /// What runs scripts, once there has been one.
    pub scripts: Arc<Engines>,
    /// Failed calls come with a backtrace.
    pub explain: bool,
}

impl Sandbox {
    /// Starts the engine and the thread that moves its epoch; the thread ends with the engine. `others` are limits that
    /// single adapters have: there is room for the largest.
    pub fn new<'a>(limits: Limits, others: impl Iterator<Item = &'a Limits>, explain: bool) -> wasmtime::Result<Self> {
        let room = others.fold(limits, |room, other| Limits {
            memory: room.memory.max(other.memory),
            table_elements: room.table_elements.max(other.table_elements),
            stack: room.stack.max(other.stack),
            // Somebody keeps sandboxes.
            isolation: if other.isolation == Isolation::Channel { other.isolation } else { room.isolation },
            ..room
        });
        let engine = Engine::new(&config(&room, explain))?;
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker)?;
        log::add_to_linker::<HostState, HasSelf<HostState>>(&mut linker, |state| state)?;
        tick(&engine)?;
        Ok(Self { engine, linker: Arc::new(linker), kept: Arc::default(), limits, scripts: Arc::default(), explain })
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
        // Captures nothing, so that no call pays for an allocation.
        store.epoch_deadline_callback(|mut store| {
            let left = store.data_mut().left_to_compute();
            Ok(if left.is_zero() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(ticks(left)) })
        });
        self.arm(&mut store);
        store
    }

    /// Gives a store what a call may use, from now on.
    pub fn arm(&self, store: &mut Store<HostState>) {
        store.set_hostcall_fuel(self.limits.transfer);
        store.set_epoch_deadline(ticks(self.limits.time.min(UNASKED)));
    }
}

/// Until that time is over. One more: the current tick is already partly over.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX).saturating_add(1)
}

fn config(room: &Limits, explain: bool) -> Config {
    let kept = if room.isolation == Isolation::Channel { MOST_KEPT } else { 0 };
    let instances = INSTANCES + kept;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .total_core_instances(instances * CORE_INSTANCES_PER_COMPONENT)
        .total_memories(instances * MEMORIES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .total_tables(instances * TABLES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
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
        // Lines of the author's sources take the component's debug information, which nobody else needs.
        .wasm_backtrace_details(if explain { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Disable })
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
    /// The thread's processor time at the call's start, as far as that is known when it is first asked for.
    began_at: Option<Duration>,
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
            began_at: None,
            wasi: None,
        }
    }

    /// What one call has had is no other's: its time, its log, its limits.
    pub fn begin(&mut self) {
        self.log.begin();
        self.exceeded = None;
        self.grew = false;
        self.since = Stopwatch::start();
        self.began_at = None;
    }

    /// Bytes of its memories.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// What is left of the call's time to one that waits.
    pub fn time_left(&self) -> Duration {
        self.limits.time.saturating_sub(self.since.elapsed())
    }

    /// What is left of the call's time to one that computes: only what its thread has had of a processor counts.
    fn left_to_compute(&mut self) -> Duration {
        let elapsed = self.since.elapsed();
        // Where no thread's time can be told, the clock's counts.
        let now = thread_time().unwrap_or(elapsed);
        let before = elapsed.min(UNASKED + TICK);
        let used = now.saturating_sub(*self.began_at.get_or_insert(now.saturating_sub(before)));
        let patience = self.limits.time.saturating_mul(PATIENCE);
        if elapsed >= patience {
            self.exceeded = Some(format!("time by the clock: {patience:?}"));
        }
        self.limits.time.saturating_sub(used).min(patience.saturating_sub(elapsed))
    }

    /// Writes what the guest printed to the log.
    pub fn flush_output(&mut self) {
        if let Some(wasi) = &self.wasi {
            let output = wasi.take_printed();
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
