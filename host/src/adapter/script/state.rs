//! An engine's memory after it has read a file, as a module: what every call of that adapter begins with.
//!
//! The file is read in a sandbox like a call's, under the same limits; what it logs goes to the log.

use wasm_encoder::{
    ConstExpr, DataSection, ExportKind, ExportSection, GlobalSection, GlobalType, MemorySection, MemoryType, Module,
    ValType,
};
use wasmtime::{Caller, ExternType, Instance, Linker, Memory, Store, Val};

use super::{
    Engine,
    parts::{MEMORY, STATE, variable},
};
use crate::adapter::{
    bindings::v0_1::LOG,
    call::explain,
    engine::{HostState, Sandbox},
    guestlog,
};

/// What a state exports whose file says itself what answers mean.
pub(super) const READS_REPLIES: &str = "reads-replies";
/// The engine's function that reads a file.
const LOAD: &str = "herald_load";
const ALLOCATE: &str = "cabi_realloc";
/// What is kept of the memory is told apart in pieces of this size.
const PIECE: usize = 4096;
const PAGE: usize = 64 << 10;
/// Bytes of what a file's refusal says.
const LONGEST_REASON: usize = 4096;

/// Has the engine read the file, and gives its state then; or why the file is refused.
pub(super) fn after_reading(sandbox: &Sandbox, engine: &Engine, name: &str, text: &str) -> Result<Vec<u8>, String> {
    let mut store = sandbox.store(&name.into());
    let result = read(&mut store, engine, name, text);
    match result {
        Ok(Ok(state)) => Ok(state),
        Ok(Err(refusal)) => Err(refusal),
        Err(error) => Err(format!("{name}: reading it {}", explain(&error, store.data(), &sandbox.limits))),
    }
}

fn read(
    store: &mut Store<HostState>,
    engine: &Engine,
    name: &str,
    text: &str,
) -> wasmtime::Result<Result<Vec<u8>, String>> {
    let mut linker = Linker::new(store.engine());
    linker.func_wrap(LOG, "write", log)?;
    let state = Instance::new(&mut *store, &engine.state, &[])?;
    linker.instance(&mut *store, STATE, state)?;
    let code = linker.instantiate(&mut *store, &engine.code)?;
    let Some(memory) = state.get_memory(&mut *store, MEMORY) else { wasmtime::bail!("the engine has no memory") };

    let allocate = code.get_typed_func::<(u32, u32, u32, u32), u32>(&mut *store, ALLOCATE)?;
    let mut given = |text: &str| -> wasmtime::Result<(u32, u32)> {
        let length = u32::try_from(text.len())?;
        let at = allocate.call(&mut *store, (0, 0, 1, length))?;
        memory.write(&mut *store, usize::try_from(at)?, text.as_bytes())?;
        Ok((at, length))
    };
    let (name, text) = (given(name)?, given(text)?);
    let load = code.get_typed_func::<(u32, u32, u32, u32), u64>(&mut *store, LOAD)?;
    let account = load.call(&mut *store, (name.0, name.1, text.0, text.1))?;
    let (at, length) = (usize::try_from(account >> 32)?, usize::try_from(account & 0xffff_ffff)?);
    let account = bytes(&memory, &*store, at, length).map(<[u8]>::to_vec);
    match account.as_deref() {
        Some([0]) => snapshot(store, engine, state, &memory, false).map(Ok),
        Some([1]) => snapshot(store, engine, state, &memory, true).map(Ok),
        Some([2, reason @ ..]) => Ok(Err(guestlog::harmless(&String::from_utf8_lossy(reason), LONGEST_REASON))),
        _ => wasmtime::bail!("the engine gave no account"),
    }
}

/// The contract's log, as the code imports it.
fn log(mut caller: Caller<'_, HostState>, level: u32, at: u32, length: u32) -> wasmtime::Result<()> {
    let memory = caller.get_export(MEMORY).and_then(wasmtime::Extern::into_memory);
    let (at, length) = (usize::try_from(at)?, usize::try_from(length)?);
    let text = memory.and_then(|memory| bytes(&memory, &caller, at, length).map(String::from_utf8_lossy));
    let Some(text) = text.map(std::borrow::Cow::into_owned) else {
        wasmtime::bail!("it logged what is not in its memory")
    };
    let level = match level {
        0 => tracing::Level::DEBUG,
        1 => tracing::Level::INFO,
        2 => tracing::Level::WARN,
        _ => tracing::Level::ERROR,
    };
    caller.data_mut().log.write(level, &text);
    Ok(())
}

fn bytes<'a>(
    memory: &Memory,
    store: impl Into<wasmtime::StoreContext<'a, HostState>>,
    at: usize,
    length: usize,
) -> Option<&'a [u8]> {
    memory.data(store).get(at..at.checked_add(length)?)
}

/// A module with this memory and these variables.
fn snapshot(
    store: &mut Store<HostState>,
    engine: &Engine,
    state: Instance,
    memory: &Memory,
    reads_replies: bool,
) -> wasmtime::Result<Vec<u8>> {
    let (mut globals, mut exports) = (GlobalSection::new(), ExportSection::new());
    let imported = engine.code.imports().filter(|import| import.module() == STATE);
    let count = imported.filter(|import| matches!(import.ty(), ExternType::Global(_))).count();
    // The first is the stack's pointer, and the stack lies at the memory's beginning: what lies below is nobody's any more.
    let mut dead = 0;
    for index in 0..u32::try_from(count)? {
        let global = state.get_global(&mut *store, &variable(index));
        let (val_type, value) = match global.map(|global| global.get(&mut *store)) {
            Some(Val::I32(value)) => (ValType::I32, ConstExpr::i32_const(value)),
            Some(Val::I64(value)) => (ValType::I64, ConstExpr::i64_const(value)),
            _ => wasmtime::bail!("the engine has a variable of a kind that can't be kept"),
        };
        if let (0, Some(Val::I32(pointer))) = (index, global.map(|global| global.get(&mut *store))) {
            dead = usize::try_from(pointer)?;
        }
        globals.global(GlobalType { val_type, mutable: true, shared: false }, &value);
        exports.export(&variable(index), ExportKind::Global, index);
    }
    if reads_replies {
        globals.global(GlobalType { val_type: ValType::I32, mutable: false, shared: false }, &ConstExpr::i32_const(1));
        exports.export(READS_REPLIES, ExportKind::Global, u32::try_from(count)?);
    }
    exports.export(MEMORY, ExportKind::Memory, 0);
    let content = memory.data(&*store);
    let mut memories = MemorySection::new();
    let minimum = u64::try_from(content.len() / PAGE)?;
    memories.memory(MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut module = Module::new();
    module.section(&memories).section(&globals).section(&exports).section(&data(content, dead)?);
    Ok(module.finish())
}

/// The memory's content from there on, without what is zero anyway.
fn data(content: &[u8], from: usize) -> wasmtime::Result<DataSection> {
    let mut data = DataSection::new();
    let pieces = content.chunks(PIECE).enumerate().skip(from / PIECE);
    let is_full = |piece: &[u8]| piece.iter().any(|byte| *byte != 0);
    let mut run: Option<(usize, Vec<u8>)> = None;
    for (index, piece) in pieces {
        match (&mut run, is_full(piece)) {
            (Some((_, bytes)), true) => bytes.extend_from_slice(piece),
            (None, true) => run = Some((index * PIECE, piece.to_vec())),
            (_, false) => {
                if let Some((at, bytes)) = run.take() {
                    data.active(0, &ConstExpr::i32_const(i32::try_from(at)?), bytes);
                }
            }
        }
    }
    if let Some((at, bytes)) = run {
        data.active(0, &ConstExpr::i32_const(i32::try_from(at)?), bytes);
    }
    Ok(data)
}
