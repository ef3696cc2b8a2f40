//! What a panic says goes to the log without what it may have been made of: secrets, for example.
//!
//! Must not show a text that was made at run time. Where it happened is enough to find the defect.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::PanicHookInfo,
};

use super::output;

/// From now on panics of all threads are told by [`tell`].
pub(super) fn hide() {
    std::panic::set_hook(Box::new(tell));
}

/// In the log, where there is one already, else where errors go.
fn tell(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    // A text that stands in the program.
    let said = panic.payload().downcast_ref::<&'static str>().copied();
    let said = said.unwrap_or("(what it says was made at run time and is not shown: it may hold a secret)");
    if tracing::dispatcher::has_been_set() {
        tracing::error!(thread, place, "panicked: {said}; please report this");
    } else {
        output::error(format_args!("error: thread {thread} panicked at {place}: {said}; please report this"));
    }
    // Names of functions and places, where somebody asks for them by RUST_BACKTRACE.
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        output::error(trace);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::{env, process::Command, thread};

    use super::*;
    use crate::{app::Origin, cli::log};

    const SECRET: &str = "HERALD_TEST_PANIC";

    /// Runs itself once more: a hook is the whole process's.
    #[test]
    fn what_a_panic_says_is_shown_only_where_it_stands_in_the_program() {
        const NAME: &str = "cli::panics::tests::what_a_panic_says_is_shown_only_where_it_stands_in_the_program";
        if let Ok(secret) = env::var(SECRET) {
            hide();
            let panics = || {
                let secret = secret.clone();
                let made = thread::Builder::new().name("worker-7".to_owned()).spawn(move || panic!("with {secret}"));
                assert!(made.unwrap().join().is_err());
                assert!(thread::spawn(|| panic!("a plain word")).join().is_err());
            };
            panics();
            let _log = log::start(&Origin::default().load().unwrap().server).unwrap();
            return panics();
        }
        let mut child = Command::new(env::current_exe().unwrap());
        let ended = child.args(["--exact", NAME, "--nocapture"]).env(SECRET, "s3cret-T0ken").output().unwrap();
        let said = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(ended.status.success() && said.contains("1 passed"), "{said}");
        assert!(!said.contains("s3cret-T0ken"), "{said}");
        for part in ["panicked", "worker-7", file!(), "is not shown", "panicked: a plain word"] {
            assert!(said.contains(part), "no {part} in {said}");
        }
        assert_eq!(said.matches("is not shown").count(), 2, "without a log and with one: {said}");
    }
}
