//! Runs the command of an `exec` reference, for no longer than it may take.
//!
//! Must not use a shell, wait for a pipe that somebody else holds open, or let what the command printed to its output
//! into a problem.

use std::{
    io::{self, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::secret::{Failure, LONGEST, failure};

const LIMIT: Duration = Duration::from_secs(10);

/// What the command printed.
pub(super) fn output(words: &[String]) -> Result<Vec<u8>, Failure> {
    output_within(words, LIMIT)
}

fn output_within(words: &[String], limit: Duration) -> Result<Vec<u8>, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return failure("there is no command", "name one");
    };
    let not_run = |error: io::Error| Failure {
        message: format!("the command {program} can't be run: {error}"),
        hint: "a bare name is looked for in PATH, a path from the config file's folder".to_owned(),
    };
    let mut command = Command::new(program);
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that what the command has started can be ended with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().map_err(not_run)?;
    let id = child.id();
    let (done, wait) = mpsc::sync_channel(1);
    let collect = move || {
        // Nobody listens any more when the limit has passed.
        let _ = done.send(collect(child));
    };
    thread::Builder::new().name("exec-reference".to_owned()).spawn(collect).map_err(not_run)?;
    let Ok(result) = wait.recv_timeout(limit) else {
        end(id);
        let message = format!("the command {program} did not end within {}", humantime::format_duration(limit));
        return failure(message, "it gets no input: it must not ask for anything");
    };
    let (status, output, complaint) = result.map_err(not_run)?;
    if status.success() {
        return Ok(output);
    }
    let message = format!("the command {program} ended with {status}{}", first_line(&complaint));
    failure(message, "run it by hand as Herald's user")
}

fn collect(mut child: Child) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let errors = child.stderr.take();
    let errors = thread::Builder::new()
        .name("exec-reference".to_owned())
        .spawn(move || errors.map(|pipe| first_bytes(pipe, 1 << 10)).unwrap_or_default())?;
    let output = child.stdout.take().map(|pipe| first_bytes(pipe, LONGEST + 1)).unwrap_or_default();
    let status = child.wait()?;
    Ok((status, output, errors.join().unwrap_or_default()))
}

/// Reads to the end, since a command that can't write would fail, but keeps the beginning only.
fn first_bytes(mut pipe: impl Read, most: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    // What was read before an error is what there is; the status of the command tells the rest.
    let _ = pipe.by_ref().take(most).read_to_end(&mut kept);
    let _ = io::copy(&mut pipe, &mut io::sink());
    kept
}

fn first_line(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

/// Ends the command and all that it has started; its pipes close with it, and so do the threads that read them.
#[cfg(unix)]
fn end(id: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // An error means that it has just ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Without process groups it is left to end by itself.
#[cfg(not(unix))]
fn end(_: u32) {}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<String, String> {
        let words = ["sh", "-c", script].map(str::to_owned);
        output_within(&words, limit).map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|failure| failure.message)
    }

    #[test]
    fn a_command_gives_its_output() {
        assert_eq!(sh("printf 'a b'; echo noise >&2", LIMIT), Ok("a b".to_owned()));
        let much = sh("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", LIMIT).unwrap();
        assert_eq!(much.len(), LONGEST + 1);
    }

    #[test]
    fn a_failing_command_gives_its_status_and_one_line() {
        let failed = sh("echo s3cret; echo; echo 'no such item' >&2; echo more >&2; exit 3", LIMIT);
        assert_eq!(failed.unwrap_err(), "the command sh ended with exit status: 3: no such item");
        let missing = output(&["/nowhere/at-all".to_owned()]).unwrap_err();
        assert!(missing.message.starts_with("the command /nowhere/at-all can't be run: "));
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        use rustix::fs::{Mode, OFlags, open};

        let folder = tempfile::tempdir().unwrap();
        let (pipe, mark) = (folder.path().join("pipe"), folder.path().join("mark"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // The pipe has a reader for as long as anything lives that the command has started.
        let script = format!("exec 3<>'{}'; sleep 600 & touch '{}'; sleep 600", pipe.display(), mark.display());
        // Long enough for a shell to begin on a busy machine.
        let failed = sh(&script, Duration::from_secs(3)).unwrap_err();
        assert_eq!(failed, "the command sh did not end within 3s");
        assert!(mark.exists(), "the shell has not even begun");
        let watch = crate::clock::Stopwatch::start();
        while open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).is_ok() {
            assert!(watch.elapsed() < Duration::from_secs(30), "what the command has started goes on");
            thread::sleep(Duration::from_millis(5));
        }
        // The shell ends at once here, but what it started holds the pipe.
        let failed = sh("sleep 60 &", Duration::from_millis(300)).unwrap_err();
        assert_eq!(failed, "the command sh did not end within 300ms");
    }
}
