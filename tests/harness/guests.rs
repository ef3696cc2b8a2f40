//! Components made to order from WebAssembly text: no guest toolchain is needed, and they can misbehave.

use std::{fmt::Write, path::Path};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a function of the guest does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// What it should.
    Well,
    /// Executes `unreachable`.
    Trap,
    /// Never returns.
    Spin,
    /// Asks for more memory until it gets none, then traps.
    Grow,
    /// Asks for one more page of memory, then does what it should.
    GrowOnce,
    /// Does this, in WebAssembly text. There are the parameter, the globals `$n` (0, to count with), `$rendered` (where the
    /// result lies), `$next` and `$taken` (where the verdicts lie), a table `$table` of no elements, and, where the guest
    /// is foreign, what it imports.
    Do(&'static str),
}

/// A guest whose render posts the event's id to a URL, with the guest's version in the header `x-version`.
#[derive(Clone)]
pub struct Guest {
    pub version: String,
    pub url: String,
    pub schema: String,
    pub hosts: Vec<String>,
    pub describe: Act,
    pub render: Act,
    /// Reads answers: to the first it asks for another request to the same URL, with the body `hop`; the second is
    /// taken, with the reference `thread-7`. Posts the reference that it is given in the place of the event's id.
    pub conversational: bool,
    /// Bytes of junk in its data section.
    pub ballast: usize,
    /// So many functions of some size that nobody calls, each of which has to be compiled.
    pub functions: usize,
    /// What reading an answer does before it does what it should.
    pub interpret: Act,
    /// In the place of `x-version`.
    pub header: Option<(&'static str, &'static str)>,
    /// Imports what WASI has for everybody: clocks, random numbers, the environment, files, and an end.
    pub foreign: bool,
}

/// Parts of WASI 0.2, and a world that brings them together.
const FOREIGN: [&str; 6] = [
    "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
    "package wasi:clocks@0.2.0; interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; now: func() -> u64; \
     subscribe-duration: func(when: u64) -> pollable; }",
    "package wasi:cli@0.2.0; interface exit { exit: func(status: result); } \
     interface environment { get-environment: func() -> list<tuple<string, string>>; }",
    "package wasi:random@0.2.0; interface random { get-random-bytes: func(len: u64) -> list<u8>; }",
    "package wasi:filesystem@0.2.0; interface types { resource descriptor; } \
     interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }",
    "package test:foreign; world w { include herald:channel/conversational-channel@0.1.0; import wasi:io/poll@0.2.0; \
     import wasi:clocks/monotonic-clock@0.2.0; import wasi:cli/exit@0.2.0; import wasi:cli/environment@0.2.0; \
     import wasi:random/random@0.2.0; import wasi:filesystem/preopens@0.2.0; }",
];

const FOREIGN_FUNCTIONS: &str = r#"
    (import "herald:channel/log@0.1.0" "write" (func $log (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $alarm (param i64) (result i32)))
    (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
    (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
    (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
    (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $folders (param i32)))"#;

impl Guest {
    pub fn new(version: &str, url: &str) -> Self {
        Self {
            version: version.to_owned(),
            url: url.to_owned(),
            schema: r#"{"type":"object"}"#.to_owned(),
            hosts: vec!["127.0.0.1".to_owned()],
            describe: Act::Well,
            render: Act::Well,
            conversational: false,
            ballast: 0,
            functions: 0,
            interpret: Act::Well,
            header: None,
            foreign: false,
        }
    }

    pub fn component(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
        if self.foreign {
            let packages: Vec<_> =
                FOREIGN.iter().map(|package| resolve.push_str("foreign.wit", package).unwrap()).collect();
            return encode(&resolve, *packages.last().unwrap(), "w", &self.wat());
        }
        let world = if self.conversational { "conversational-channel" } else { "channel" };
        encode(&resolve, package, world, &self.wat())
    }

    /// Offsets below are the canonical ABI's, for the records of wit/channel.wit.
    fn wat(&self) -> String {
        let mut data = Data::new();
        let title = data.text("Made to order");
        let version = data.text(&self.version);
        let summary = data.text("posts the id of the event");
        let schema = data.text(&self.schema);
        let hosts: Vec<_> = self.hosts.iter().map(|host| data.text(host)).collect();
        let hosts = data.words(hosts.iter().flat_map(|(at, length)| [*at, *length]), self.hosts.len());
        let described = [title, version, summary, schema, hosts];
        let described = data.words(described.iter().flat_map(|(at, length)| [*at, *length]), 0).0;
        let (post, url) = (data.text("POST"), data.text(&self.url));
        let (name, value) = match self.header {
            Some((name, value)) => (data.text(name), data.text(value)),
            None => (data.text("x-version"), version),
        };
        let headers = data.words([name.0, name.1, value.0, value.1], 1);
        // result<request, refusal>: ok, method, url, headers, body text (the event's id, put in below), no auth.
        let request = [0, post.0, post.1, url.0, url.1, headers.0, headers.1, 1, 0, 0];
        let rendered = data.words(request.into_iter().chain([0; 14]), 0).0;
        // verdict: next, its request (body text), its state; and: delivered, with a reference.
        let (hop, thread) = (data.text("hop"), data.text("thread-7"));
        let next = [4, 0, post.0, post.1, url.0, url.1, headers.0, headers.1, 1, hop.0, hop.1];
        let next = data.words(next.into_iter().chain([0; 14]).chain([hop.0, hop.1]), 0).0;
        let taken = data.words([0, 0, 1, thread.0, thread.1, 0, 0, 0], 0).0;
        data.text(&"x".repeat(self.ballast));
        // The parameters lie in memory: the event's id is 56 bytes in, after the context.
        let put_id = format!(
            "(i32.store (i32.const {}) (i32.load offset=56 (local.get 0)))
             (i32.store (i32.const {}) (i32.load offset=60 (local.get 0)))",
            rendered + 32,
            rendered + 36
        );
        let put_reference = format!(
            "(if (i32.load8_u offset=40 (local.get 0)) (then
               (i32.store (i32.const {}) (i32.load offset=44 (local.get 0)))
               (i32.store (i32.const {}) (i32.load offset=48 (local.get 0)))))",
            rendered + 32,
            rendered + 36
        );
        // The state lies 144 bytes in, after the context and the event.
        let interpret = format!(
            r#"(func (export "herald:channel/replies@0.1.0#interpret") (param i32) (result i32)
                {act}
                (select (i32.const {taken}) (i32.const {next}) (i32.load offset=148 (local.get 0))))"#,
            act = act(self.interpret),
        );
        let (put_reference, interpret) = if self.conversational || self.foreign {
            (put_reference, interpret)
        } else {
            (String::new(), String::new())
        };
        format!(
            r#"(module
              {imports}
              (table $table 0 funcref)
              (global $n (mut i32) (i32.const 0))
              (global $rendered i32 (i32.const {rendered}))
              (global $next i32 (i32.const {next}))
              (global $taken i32 (i32.const {taken}))
              (func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))
              (memory (export "memory") {pages})
              (global $free (mut i32) (i32.const {free}))
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
              (func (export "herald:channel/adapter@0.1.0#describe") (result i32) {describe} (i32.const {described}))
              (func (export "herald:channel/adapter@0.1.0#render") (param i32) (result i32)
                {render} {put_id} {put_reference} (i32.const {rendered}))
              {interpret}
              {idle}
              {segments})"#,
            imports = if self.foreign { FOREIGN_FUNCTIONS } else { "" },
            pages = (data.end() as usize).div_ceil(65536) + 32,
            free = data.end(),
            describe = act(self.describe),
            render = act(self.render),
            idle = idle_functions(self.functions),
            segments = data.segments,
        )
    }
}

fn idle_functions(count: usize) -> String {
    let body =
        "(i32.add (i32.load (local.get 0)) (i32.mul (local.get 0) (i32.load8_u offset=3 (local.get 0))))".to_owned();
    let body = (0..8).fold(body, |inner, n| format!("(i32.xor (i32.load offset={n} (local.get 0)) {inner})"));
    format!("(func (param i32) (result i32) {body})").repeat(count)
}

fn act(act: Act) -> &'static str {
    match act {
        Act::Well => "",
        Act::Do(text) => text,
        Act::Trap => "unreachable",
        Act::Spin => "(loop $again (br $again)) unreachable",
        Act::GrowOnce => "(drop (memory.grow (i32.const 1)))",
        Act::Grow => "(loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) unreachable",
    }
}

/// A component of a world that is not ours.
pub fn of_another_world(wit: &str, world: &str, wat: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    encode(&resolve, package, world, wat)
}

fn encode(resolve: &Resolve, package: wit_parser::PackageId, world: &str, wat: &str) -> Vec<u8> {
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(wat).unwrap();
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).unwrap();
    encoder.encode().unwrap()
}

/// What the guest finds in its memory.
struct Data {
    segments: String,
    end: u32,
}

impl Data {
    fn new() -> Self {
        Self { segments: String::new(), end: 1024 }
    }

    fn end(&self) -> u32 {
        self.end
    }

    /// Puts a text down: where, and how long.
    fn text(&mut self, text: &str) -> (u32, u32) {
        let length = u32::try_from(text.len()).unwrap();
        (self.bytes(text.as_bytes()), length)
    }

    /// Puts words down: where, and a count to go with it.
    fn words(&mut self, words: impl IntoIterator<Item = u32>, count: usize) -> (u32, u32) {
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        (self.bytes(&bytes), u32::try_from(count).unwrap())
    }

    fn bytes(&mut self, bytes: &[u8]) -> u32 {
        let at = self.end.next_multiple_of(8);
        let escaped = bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:02x}").unwrap();
            text
        });
        writeln!(self.segments, "(data (i32.const {at}) \"{escaped}\")").unwrap();
        self.end = at + u32::try_from(bytes.len()).unwrap();
        at
    }
}
