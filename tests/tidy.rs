//! The house's own rules, read from the host's sources: who may import whom, and what stands nowhere.

use std::{fs, path::Path};

/// What each module may name of this crate beside itself, as ARCHITECTURE.md has it. `app`, `cli` and `main` may all.
/// `clock`, `wake` and `files` are no layers: they stand for the machine's clock, its notifications and its files.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("wake", &[]),
    ("files", &[]),
    ("config", &["model", "files"]),
    ("store", &["model"]),
    ("adapter", &["model", "clock", "wake", "files"]),
    ("outbound", &["model", "clock"]),
    ("pipeline", &["model", "clock", "store", "adapter", "outbound"]),
    ("api", &["model", "clock", "store", "pipeline"]),
];

/// What only these places name.
const ONLY: &[(&str, &[&str])] = &[
    ("wasmtime", &["adapter/", "cli/log/"]),
    ("rusqlite", &["store/"]),
    ("hyper_util", &["api/serve.rs", "outbound/", "cli/log/"]),
    ("reqwest", &["cli/remote.rs", "cli/demo/", "cli/log/"]),
    ("axum", &["api/", "cli/demo/receiver.rs"]),
    ("env::var", &["config/"]),
    ("unsafe {", &["adapter/cache.rs"]),
    ("unsafe fn", &[]),
    ("allow(unsafe_code)", &["adapter/cache.rs"]),
    (".unwrap()", &[]),
    (".expect(", &[]),
];

const LONGEST: usize = 500;
/// Files that are longer, how long they may be, and why.
const LONGER: &[(&str, usize, &str)] = &[];

struct Source {
    /// From `host/src`.
    path: String,
    text: String,
}

impl Source {
    /// `config` of `config/raw.rs` and of `config.rs`.
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// Without comments, and without the tests, which stand at the end or in files of their own.
    fn code(&self) -> String {
        if self.path.ends_with("/tests.rs") {
            return String::new();
        }
        let is_test = |line: &str| line.starts_with("#[cfg(") && line.contains("test");
        let lines: Vec<_> = self.text.lines().collect();
        let end = lines.iter().position(|line| is_test(line)).unwrap_or(lines.len());
        let last = end == lines.len() || lines.iter().skip(end + 1).take(2).any(|line| line.contains("mod tests"));
        assert!(last, "{}: tests stand last", self.path);
        let code = lines[..end].iter().filter(|line| !line.trim_start().starts_with("//"));
        code.copied().collect::<Vec<_>>().join("\n")
    }

    /// The modules of this crate that it names: `crate::a::…` and `crate::{a::…, b}`, in imports and elsewhere.
    fn names(&self) -> Vec<String> {
        let code = self.code();
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let mut names = Vec::new();
        for rest in code.split("crate::").skip(1) {
            let (mut depth, mut start) = (0, true);
            for (at, c) in rest.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' => start |= depth == 1,
                    c if start && c.is_alphabetic() => {
                        names.push(word(&rest[at..]));
                        start = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
        names
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<Source>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), Vec::new());
    walk(&root, &root, &mut found);
    found
}

#[test]
fn a_module_imports_only_what_its_layer_may() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((module, allowed)) = LAYERS.iter().find(|(module, _)| *module == source.module()) else {
            assert!(matches!(source.module(), "app" | "cli" | "main" | "lib"), "{} has no layer", source.path);
            continue;
        };
        let bad = source.names().into_iter().filter(|name| name != module && !allowed.contains(&name.as_str()));
        wrong.extend(bad.map(|name| format!("{}: `{module}` must not know `{name}`", source.path)));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn what_one_place_knows_no_other_names() {
    let mut wrong = Vec::new();
    for source in sources() {
        let code = source.code();
        let named = ONLY
            .iter()
            .filter(|(name, places)| code.contains(name) && !places.iter().any(|place| source.path.starts_with(place)));
        wrong.extend(named.map(|(name, places)| format!("{}: `{name}` stands in {places:?} only", source.path)));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for_and_is_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            wrong.push(format!("{}: begins without a `//!` doc", source.path));
        }
        let lines = source.text.lines().count();
        let listed = LONGER.iter().find(|(path, ..)| *path == source.path);
        if lines > listed.map_or(LONGEST, |(_, most, _)| *most) {
            wrong.push(format!("{}: {lines} lines: is there a second thing in it?", source.path));
        } else if listed.is_some() && lines <= LONGEST {
            wrong.push(format!("{}: {lines} lines: it need not be listed any more", source.path));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
