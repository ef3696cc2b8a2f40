//! An engine's component, taken apart: its code, the memory that it begins with, and a shell that puts the two together.
//!
//! The shell is the component as it was, but imports its main module, and that module's memory and variables, where it
//! had them inside. Knows engines as `cargo xtask adapters` builds them, and no other component.

use wasm_encoder::{
    ComponentImportSection, ComponentTypeRef, CoreTypeSection, EntityType, ExportKind, ExportSection, GlobalSection,
    ImportSection, InstanceSection, MemorySection, MemoryType, Module, ModuleArg, ModuleType, RawSection, SectionId,
    reencode::{Error as ReencodeError, Reencode, ReencodeComponent, RoundtripReencoder},
};
use wasmparser::{BinaryReaderError, CustomSectionReader, Instance, InstanceSectionReader, Parser, Payload, TypeRef};

/// What the shell imports the code as.
pub(super) const CODE: &str = "code";
/// What the shell imports the memory as, and the code its memory and variables from.
pub(super) const STATE: &str = "state";
/// The memory of the state.
pub(super) const MEMORY: &str = "memory";

/// A variable of the state.
pub(super) fn variable(index: u32) -> String {
    format!("variable-{index}")
}

/// The parts.
pub(super) struct Parts {
    /// A module: functions and tables.
    pub code: Vec<u8>,
    /// A module: memory and variables as they are at the beginning.
    pub state: Vec<u8>,
    /// A component.
    pub shell: Vec<u8>,
}

/// Why a component can't be taken apart.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("not an engine: {0}")]
    Wrong(&'static str),
    #[error(transparent)]
    Unreadable(#[from] BinaryReaderError),
    #[error("{0}")]
    Unwritable(String),
}

impl<E: std::fmt::Debug> From<ReencodeError<E>> for Error {
    fn from(error: ReencodeError<E>) -> Self {
        Self::Unwritable(format!("{error:?}"))
    }
}

/// Takes an engine apart.
pub(super) fn split(component: &[u8]) -> Result<Parts, Error> {
    let mut shell = Shell::default();
    let mut encoder = wasm_encoder::Component::new();
    shell.parse_component(&mut encoder, Parser::new(0), component).map_err(|error| match error {
        ReencodeError::UserError(error) => error,
        other => Error::Unwritable(format!("{other:?}")),
    })?;
    let main = shell.main.ok_or(Error::Wrong("it has no module"))?;
    Ok(Parts { code: main.code.finish(), state: main.state.finish(), shell: encoder.finish() })
}

/// The main module in two, and the types of the two.
struct Main {
    code: Module,
    state: Module,
    code_type: ModuleType,
    state_type: ModuleType,
}

impl Main {
    fn split(module: &[u8]) -> Result<Self, Error> {
        let mut main = Self {
            code: Module::new(),
            state: Module::new(),
            code_type: ModuleType::new(),
            state_type: ModuleType::new(),
        };
        let mut items = Items::default();
        let mut exports = ExportSection::new();
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            match &payload {
                Payload::MemorySection(memories) => {
                    let mut section = MemorySection::new();
                    RoundtripReencoder.parse_memory_section(&mut section, memories.clone())?;
                    main.state.section(&section);
                    exports.export(MEMORY, ExportKind::Memory, 0);
                    continue;
                }
                Payload::GlobalSection(globals) => {
                    main.globals(globals.clone(), &mut exports)?;
                    main.state.section(&exports);
                    continue;
                }
                Payload::ImportSection(imports) => {
                    let mut section = ImportSection::new();
                    RoundtripReencoder.parse_import_section(&mut section, imports.clone())?;
                    for import in imports.clone().into_imports() {
                        let import = import?;
                        let TypeRef::Func(ty) = import.ty else {
                            return Err(Error::Wrong("it imports more than functions"));
                        };
                        items.functions.push(ty);
                        main.code_type.import(import.module, import.name, EntityType::Function(ty));
                    }
                    main.state_imports(module, &mut section)?;
                    main.code.section(&section);
                    continue;
                }
                Payload::DataSection(_) => {
                    section(&mut main.state, &payload, module);
                    continue;
                }
                Payload::DataCountSection { .. } | Payload::CustomSection(_) => continue,
                Payload::TypeSection(types) => {
                    for ty in types.clone().into_iter_err_on_gc_types() {
                        let ty = RoundtripReencoder.func_type(ty?)?;
                        main.code_type.ty().func_type(&ty);
                    }
                }
                Payload::FunctionSection(functions) => {
                    for ty in functions.clone() {
                        items.functions.push(ty?);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports.clone() {
                        let export = export?;
                        let index = usize::try_from(export.index).unwrap_or(usize::MAX);
                        let ty = match (export.kind, items.functions.get(index)) {
                            (wasmparser::ExternalKind::Func, Some(ty)) => EntityType::Function(*ty),
                            (wasmparser::ExternalKind::Memory, _) => EntityType::Memory(ANY_MEMORY),
                            _ => continue,
                        };
                        main.code_type.export(export.name, ty);
                    }
                }
                _ => {}
            }
            section(&mut main.code, &payload, module);
        }
        Ok(main)
    }

    /// The variables that may change are the state's; they stand first, so that the others keep their numbers.
    fn globals(&mut self, globals: wasmparser::GlobalSectionReader, exports: &mut ExportSection) -> Result<(), Error> {
        let (mut kept, mut given) = (GlobalSection::new(), GlobalSection::new());
        for (index, global) in (0..).zip(globals) {
            let global = global?;
            let target = match (global.ty.mutable, kept.is_empty()) {
                (false, _) => &mut kept,
                (true, true) => {
                    exports.export(&variable(index), ExportKind::Global, index);
                    &mut given
                }
                (true, false) => return Err(Error::Wrong("a variable stands behind a constant")),
            };
            RoundtripReencoder.parse_global(target, global)?;
        }
        self.state.section(&given);
        self.code.section(&kept);
        Ok(())
    }

    /// What the code imports of the state: the memory, and the variables.
    fn state_imports(&mut self, module: &[u8], section: &mut ImportSection) -> Result<(), Error> {
        let mut take = |name: &str, ty: EntityType| {
            section.import(STATE, name, ty);
            self.code_type.import(STATE, name, ty);
            self.state_type.export(name, ty);
        };
        take(MEMORY, EntityType::Memory(ANY_MEMORY));
        for payload in Parser::new(0).parse_all(module) {
            let Payload::GlobalSection(globals) = payload? else { continue };
            for (index, global) in (0..).zip(globals) {
                let ty = global?.ty;
                if ty.mutable {
                    take(&variable(index), EntityType::Global(RoundtripReencoder.global_type(ty)?));
                }
            }
        }
        Ok(())
    }
}

/// However large the state's is.
const ANY_MEMORY: MemoryType =
    MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };

/// What exports refer to by number.
#[derive(Default)]
struct Items {
    /// Their types.
    functions: Vec<u32>,
}

/// A section as it is.
fn section(module: &mut Module, payload: &Payload, bytes: &[u8]) {
    if let Some((id, range)) = payload.as_section()
        && let Some(data) = bytes.get(range)
        && id != u8::from(SectionId::Custom)
    {
        module.section(&RawSection { id, data });
    }
}

/// Rewrites the component around its main module.
#[derive(Default)]
struct Shell {
    main: Option<Main>,
    instantiates: bool,
}

impl Reencode for Shell {
    type Error = Error;
}

impl ReencodeComponent for Shell {
    /// The first module is the main one: in its place stand the imports of code and state, in this order.
    fn parse_component_submodule(
        &mut self,
        component: &mut wasm_encoder::Component,
        parser: Parser,
        module: &[u8],
    ) -> Result<(), ReencodeError<Error>> {
        if self.main.is_some() {
            return wasm_encoder::reencode::component_utils::parse_component_submodule(self, component, parser, module);
        }
        let main = Main::split(module).map_err(ReencodeError::UserError)?;
        let mut types = CoreTypeSection::new();
        types.ty().module(&main.code_type);
        types.ty().module(&main.state_type);
        component.section(&types);
        let mut imports = ComponentImportSection::new();
        imports.import(CODE, ComponentTypeRef::Module(0));
        imports.import(STATE, ComponentTypeRef::Module(1));
        component.section(&imports);
        self.main = Some(main);
        Ok(())
    }

    /// Behind the code's, there is one more module.
    fn module_index(&mut self, index: u32) -> u32 {
        if index == 0 { 0 } else { index + 1 }
    }

    /// Before all others, there is the state's.
    fn instance_index(&mut self, index: u32) -> u32 {
        index + 1
    }

    fn parse_instance_section(
        &mut self,
        instances: &mut InstanceSection,
        section: InstanceSectionReader<'_>,
    ) -> Result<(), ReencodeError<Error>> {
        if !self.instantiates {
            self.instantiates = true;
            instances.instantiate(1, [("", ModuleArg::Instance(0)); 0]);
        }
        wasm_encoder::reencode::component_utils::parse_instance_section(self, instances, section)
    }

    fn parse_instance(
        &mut self,
        instances: &mut InstanceSection,
        instance: Instance<'_>,
    ) -> Result<(), ReencodeError<Error>> {
        let Instance::Instantiate { module_index: 0, args } = instance else {
            return wasm_encoder::reencode::component_utils::parse_instance(self, instances, instance);
        };
        let args = args.iter().map(|arg| (arg.name, ModuleArg::Instance(arg.index + 1)));
        let args: Vec<_> = args.chain([(STATE, ModuleArg::Instance(0))]).collect();
        instances.instantiate(0, args);
        Ok(())
    }

    /// Names and producers would no longer be right.
    fn parse_component_custom_section(
        &mut self,
        _: &mut wasm_encoder::Component,
        _: CustomSectionReader<'_>,
    ) -> Result<(), ReencodeError<Error>> {
        Ok(())
    }
}
