//! What `herald new` copies, compiled in: the files of `examples/adapters`, a folder a template, and the Rust SDK's.
//! `build.rs` makes the lists.

/// A path with `/`, and the file's bytes.
type File = (&'static str, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files of a template, by their path in it; empty where there is none of that name.
pub(super) fn template(name: &str) -> impl Iterator<Item = File> {
    let within = move |(path, bytes): &File| Some((path.strip_prefix(name)?.strip_prefix('/')?, *bytes));
    TEMPLATES.iter().filter_map(within)
}
