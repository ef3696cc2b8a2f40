//! Guests that do in `render` or `interpret` what no good adapter does. Of the harness only [`super::guests`] is used, so that
//! `cargo xtask measure isolation` can load them too.

use super::guests::{Act, Guest};

/// What the guests say that they are.
pub const VERSION: &str = "6.6.6";

/// How a delivery of a hostile guest ends.
#[derive(Clone, Copy)]
pub enum Ends {
    /// At once, the adapter's fault, in these words.
    In(&'static str),
    /// Out of time, which may be the machine's fault: it is tried again.
    OutOfTime,
    /// Well: there was nothing for it to find, and of the secret it had only the handle.
    Well,
}

/// A guest that does this in `render`; WASI is there for it.
fn does(url: &str, code: &'static str) -> Guest {
    Guest { render: Act::Do(code), foreign: true, ..Guest::new(VERSION, url) }
}

fn heads(url: &str, name: &'static str, value: &'static str) -> Guest {
    Guest { header: Some((name, value)), ..Guest::new(VERSION, url) }
}

/// All of them, with their names and what becomes of their deliveries. The result's fields, by offset: 4 the method, 12 the URL, 20 the headers, 32 the body; a pointer and a length each.
/// The parameter's: 16 the settings, `{"key":"…"}`.
pub fn all(url: &str) -> Vec<(&'static str, Guest, Ends)> {
    use Ends::{In, OutOfTime, Well};
    let does = |code| does(url, code);
    let heads = |name, value| heads(url, name, value);
    let simple = |act| Guest { render: act, ..Guest::new(VERSION, url) };
    let reads = |act| Guest { interpret: act, conversational: true, ..Guest::new(VERSION, url) };
    vec![
        // Without end.
        ("spins", simple(Act::Spin), OutOfTime),
        ("spins-in-interpret", reads(Act::Spin), OutOfTime),
        ("reads-clocks", does("(loop $again (drop (call $now)) (br $again))"), OutOfTime),
        (
            "logs",
            does("(loop $again (call $log (i32.const 3) (i32.const 131072) (i32.const 65536)) (br $again))"),
            OutOfTime,
        ),
        ("waits", does("(call $block (call $alarm (i64.const 3600000000000)))"), OutOfTime),
        // Too much.
        (
            "recurses",
            simple(Act::Do("(drop (call $deeper (i32.const 0)))")),
            In("ran out of stack: its limit is 524288 bytes"),
        ),
        ("allocates", simple(Act::Grow), In("its limit of memory: more than 67108864 bytes")),
        (
            "grows-tables",
            simple(Act::Do(
                "(loop $again (br_if $again (i32.ge_s (table.grow $table (ref.null func) (i32.const 100)) (i32.const 0)))) unreachable",
            )),
            In("its limit of tables: more than 100000 elements"),
        ),
        (
            "sets-alarms",
            does("(loop $again (drop (call $alarm (i64.const 1))) (br $again))"),
            In("resource table has no free keys"),
        ),
        ("wants-chance", does("(call $random (i64.const 1099511627776) (i32.const 16))"), In("exceeds limit 1048576")),
        ("has-a-million-headers", does(A_MILLION_HEADERS), In("handed over more than its limit of 8388608 bytes")),
        (
            "says-the-same-again-and-again",
            does(ONE_TEXT_A_HUNDRED_TIMES),
            In("handed over more than its limit of 8388608 bytes"),
        ),
        (
            "has-headers-of-a-mebibyte",
            does(A_HEADER_OF_A_MEBIBYTE),
            In("handed over headers of 1048576 bytes: its limit is 65536 bytes"),
        ),
        ("signs-without-measure", does(SIGNS_WITHOUT_MEASURE), In("with 100000 secrets: more than 16")),
        (
            "puts-the-secret-everywhere",
            secret(does(THE_SECRET_EVERYWHERE)),
            In("the request has secrets in more than 100 places"),
        ),
        ("has-a-url-of-a-megabyte", does(A_URL_OF_A_MEGABYTE), In("the URL is longer than 16384 bytes")),
        // Lies.
        (
            "has-a-text-of-2-gb",
            does("(i32.store offset=16 (global.get $rendered) (i32.const 0x7fffffff))"),
            In("out of bounds"),
        ),
        (
            "has-a-list-of-2-gb",
            does("(i32.store offset=24 (global.get $rendered) (i32.const 0x07ffffff))"),
            In("out of bounds"),
        ),
        (
            "is-no-utf-8",
            does(
                "(i32.store (i32.const 16) (i32.const -1)) (i32.store offset=12 (global.get $rendered) (i32.const 16)) \
                  (i32.store offset=16 (global.get $rendered) (i32.const 4))",
            ),
            In("invalid utf-8"),
        ),
        // Ends.
        ("traps", simple(Act::Trap), In("`render` trapped")),
        ("traps-in-interpret", reads(Act::Trap), In("`interpret` trapped")),
        ("exits", does("(call $exit (i32.const 0))"), In("`render` failed: Exited with i32 exit status 0")),
        // Requests that would be others.
        ("breaks-the-url", Guest::new(VERSION, &format!("{url}\r\nx: y")), In("the URL has a control character in it")),
        ("breaks-a-name", heads("x\r\ny", "z"), In("is no header name")),
        ("breaks-a-value", heads("x", "y\r\nz: 1"), In("the header x has a line break")),
        ("sets-the-host", heads("Host", "example.com"), In("the header host is set by the host")),
        ("sets-the-length", heads("Content-Length", "0"), In("the header content-length is set by the host")),
        (
            "sets-the-coding",
            heads("Transfer-Encoding", "chunked"),
            In("the header transfer-encoding is set by the host"),
        ),
        // What is not its own.
        ("looks-around", does(LOOKS_AROUND), Well),
        ("puts-the-secret-in-the-method", secret(does(HANDLE_AS_METHOD)), Well),
        ("puts-the-secret-in-a-name", secret(does(HANDLE_AS_NAME)), Well),
        ("puts-the-secret-in-the-host", secret(does(HANDLE_AS_HOST)), In("a secret stands in the host of the URL")),
    ]
}

/// The same, whose setting `key` is a secret.
pub fn secret(guest: Guest) -> Guest {
    let schema = r#"{"properties": {"key": {"type": "string", "writeOnly": true}}}"#.to_owned();
    Guest { schema, ..guest }
}

/// Fresh memory is all zeroes: empty names with empty values.
const A_MILLION_HEADERS: &str = "
    (i32.store offset=20 (global.get $rendered) (i32.mul (memory.grow (i32.const 245)) (i32.const 65536)))
    (i32.store offset=24 (global.get $rendered) (i32.const 1000000))";

const A_HEADER_OF_A_MEBIBYTE: &str = "
    (i32.store offset=20 (global.get $rendered) (i32.mul (memory.grow (i32.const 17)) (i32.const 65536)))
    (i32.store offset=24 (global.get $rendered) (i32.const 1))
    (i32.store offset=8 (i32.load offset=20 (global.get $rendered))
      (i32.add (i32.load offset=20 (global.get $rendered)) (i32.const 65536)))
    (i32.store offset=12 (i32.load offset=20 (global.get $rendered)) (i32.const 1048576))";

/// A hundred headers of one million bytes, which are always the same.
const ONE_TEXT_A_HUNDRED_TIMES: &str = "
    (i32.store offset=20 (global.get $rendered) (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
    (i32.store offset=24 (global.get $rendered) (i32.const 100))
    (loop $again
      (i32.store offset=8
        (i32.add (i32.load offset=20 (global.get $rendered)) (i32.mul (global.get $n) (i32.const 16)))
        (i32.const 131072))
      (i32.store offset=12
        (i32.add (i32.load offset=20 (global.get $rendered)) (i32.mul (global.get $n) (i32.const 16)))
        (i32.const 1000000))
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (global.get $n) (i32.const 100))))";

/// A body of a mebibyte, to be signed by Standard Webhooks with 100,000 keys, each of them `MDEy`.
const SIGNS_WITHOUT_MEASURE: &str = "
    (local $keys i32)
    (i32.store (i32.const 16) (i32.const 0x7945444d))
    (local.set $keys (i32.mul (memory.grow (i32.const 30)) (i32.const 65536)))
    (loop $again
      (i32.store (i32.add (local.get $keys) (i32.mul (global.get $n) (i32.const 8))) (i32.const 16))
      (i32.store offset=4 (i32.add (local.get $keys) (i32.mul (global.get $n) (i32.const 8))) (i32.const 4))
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (global.get $n) (i32.const 100000))))
    (i32.store offset=32 (global.get $rendered) (i32.add (local.get $keys) (i32.const 800000)))
    (i32.store offset=36 (global.get $rendered) (i32.const 1048576))
    (i32.store offset=40 (global.get $rendered) (i32.const 1))
    (i32.store offset=44 (global.get $rendered) (i32.const 2))
    (i32.store offset=48 (global.get $rendered) (local.get $keys))
    (i32.store offset=52 (global.get $rendered) (i32.const 100000))
    (return (global.get $rendered))";

/// A body of a mebibyte that is nothing but the handle.
const THE_SECRET_EVERYWHERE: &str = "
    (local $end i32)
    (global.set $n (i32.mul (memory.grow (i32.const 32)) (i32.const 65536)))
    (local.set $end (i32.add (global.get $n) (i32.const 1048344)))
    (i32.store offset=32 (global.get $rendered) (global.get $n))
    (i32.store offset=36 (global.get $rendered) (i32.const 1048344))
    (loop $again
      (memory.copy (global.get $n) (i32.add (i32.load offset=16 (local.get 0)) (i32.const 8)) (i32.const 38))
      (global.set $n (i32.add (global.get $n) (i32.const 38)))
      (br_if $again (i32.lt_u (global.get $n) (local.get $end))))
    (return (global.get $rendered))";

const A_URL_OF_A_MEGABYTE: &str = "
    (i32.store offset=12 (global.get $rendered) (i32.mul (memory.grow (i32.const 16)) (i32.const 65536)))
    (i32.store offset=16 (global.get $rendered) (i32.const 1048576))";

/// Traps when there is a variable in the environment, or a folder.
const LOOKS_AROUND: &str = "
    (call $environment (i32.const 16)) (if (i32.load (i32.const 20)) (then unreachable))
    (call $folders (i32.const 16)) (if (i32.load (i32.const 20)) (then unreachable))";

const HANDLE_AS_METHOD: &str = "
    (i32.store offset=4 (global.get $rendered) (i32.add (i32.load offset=16 (local.get 0)) (i32.const 8)))
    (i32.store offset=8 (global.get $rendered) (i32.sub (i32.load offset=20 (local.get 0)) (i32.const 10)))";

const HANDLE_AS_NAME: &str = "
    (i32.store (i32.load offset=20 (global.get $rendered)) (i32.add (i32.load offset=16 (local.get 0)) (i32.const 8)))
    (i32.store offset=4 (i32.load offset=20 (global.get $rendered)) (i32.sub (i32.load offset=20 (local.get 0)) (i32.const 10)))";

/// `http://`, the handle.
const HANDLE_AS_HOST: &str = "
    (i64.store (i32.const 16) (i64.const 0x2f2f3a70747468))
    (memory.copy (i32.const 23) (i32.add (i32.load offset=16 (local.get 0)) (i32.const 8))
      (i32.sub (i32.load offset=20 (local.get 0)) (i32.const 10)))
    (i32.store offset=12 (global.get $rendered) (i32.const 16))
    (i32.store offset=16 (global.get $rendered) (i32.sub (i32.load offset=20 (local.get 0)) (i32.const 3)))";
