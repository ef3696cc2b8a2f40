//! From bytes to an adapter, under the operator's conditions for that name: what is required, who has signed, which limits.
//!
//! Must not publish anything.

use super::{
    compile::Source,
    component::{Adapter, LoadError, Origin, digest},
    engine::Sandbox,
    registry::Registry,
    signature,
};

impl Registry {
    /// Loads a component without publishing it: for `adapters inspect` and for golden tests.
    pub fn load(&self, name: &str, bytes: &[u8], origin: Origin) -> Result<Adapter, LoadError> {
        let sandbox = self.sandbox(name);
        let source = self.vet(&sandbox, name, bytes, &origin)?;
        let built = self.0.compiler.compile(&source)?;
        Adapter::load(&sandbox, name, built, origin)
    }

    /// The same of a file in the folder. `None`: it is being compiled beside everything else, where that may be.
    pub(super) fn load_or_begin(&self, name: &str, bytes: &[u8], origin: Origin) -> Result<Option<Adapter>, LoadError> {
        let sandbox = self.sandbox(name);
        let source = self.vet(&sandbox, name, bytes, &origin)?;
        let built = if self.0.options.compiles_beside {
            self.0.compiler.compile_beside(name, &source)?
        } else {
            Some(self.0.compiler.compile(&source)?)
        };
        built.map(|built| Adapter::load(&sandbox, name, built, origin)).transpose()
    }

    /// Of an adapter of that name.
    fn sandbox(&self, name: &str) -> Sandbox {
        self.0.sandbox.with(self.0.options.limits(name))
    }

    /// What can be said of the bytes without compiling them.
    fn vet<'a>(
        &self,
        sandbox: &'a Sandbox,
        name: &str,
        bytes: &'a [u8],
        origin: &'a Origin,
    ) -> Result<Source<'a>, LoadError> {
        self.0.options.check_pin(name, &digest(bytes))?;
        self.check_signature(bytes, origin)?;
        Source::check(sandbox, bytes, origin)
    }

    /// What is compiled in is a part of this program; of everything else the signature stands beside the bytes.
    fn check_signature(&self, bytes: &[u8], origin: &Origin) -> Result<(), LoadError> {
        let options = &self.0.options;
        let (file, named) = match origin {
            Origin::File(file) => (Some(file.clone()), file),
            Origin::LastGood(file) => (options.cache.as_ref().map(|cache| cache.good(file)), file),
            Origin::BuiltIn => return Ok(()),
        };
        match file.filter(|_| !options.signed_by.is_empty()) {
            Some(file) => signature::check(&options.signed_by, bytes, &file, named),
            None => Ok(()),
        }
    }
}
