//! The program itself, as a child process: it is killed when the test lets go of it.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use herald::clock::pause;
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::watch,
};

use super::{
    DEADLINE,
    host::{answer, http},
    within,
};

/// Runs `herald` in a folder, with nothing of this process's environment that could matter.
pub struct Program<'a> {
    folder: &'a Path,
    variables: Vec<(String, String)>,
    /// What of its limits the shell sets first; none: it has those of this process.
    limits: Option<String>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A host: ready, when it comes from [`Program::serve`].
pub struct Running {
    child: Child,
    /// Its log so far, and whether it has come to its end.
    log: watch::Receiver<(Vec<String>, bool)>,
    reader: tokio::task::JoinHandle<()>,
    http: reqwest::Client,
    pub address: String,
}

impl<'a> Program<'a> {
    pub fn new(folder: &'a Path) -> Self {
        Self { folder, variables: Vec::new(), limits: None }
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// It may have so many files open, and no more.
    pub fn files(self, most: u32) -> Self {
        Self { limits: Some(format!("ulimit -n {most}")), ..self }
    }

    /// The same, but that it may raise the limit.
    pub fn soft_files(self, most: u32) -> Self {
        Self { limits: Some(format!("ulimit -Sn {most}")), ..self }
    }

    pub fn folder(&self) -> &Path {
        self.folder
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let herald = env!("CARGO_BIN_EXE_herald");
        let mut command = Command::new(if self.limits.is_some() { "sh" } else { herald });
        if let Some(limits) = &self.limits {
            command.arg("-c").arg(format!("{limits} && exec \"$0\" \"$@\"")).arg(herald);
        }
        command.args(arguments).current_dir(self.folder).kill_on_drop(true);
        command.env_clear().env("HOME", self.folder).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HERALD_ADAPTERS__CACHE", super::host::shared_cache());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "").await
    }

    /// The same, with a text on its standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that does not read its input has closed it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = within(&format!("herald {arguments:?} to end"), child.wait_with_output()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What a command prints with `--json`, when all is well.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.json()
    }

    /// Starts a host and waits until it says that it is ready.
    pub async fn serve(&self, arguments: &[&str]) -> Running {
        let mut running = self.launch(arguments);
        if !running.ready().await {
            let (code, log) = running.ended().await;
            panic!("the host did not start, but ended with {code:?}: {log:#?}");
        }
        running
    }

    /// Starts a host and waits for nothing.
    pub fn launch(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(&[&["serve"], arguments].concat()).stdout(Stdio::null()).spawn().unwrap();
        let log = child.stderr.take().unwrap();
        Running::new(child, log)
    }

    /// Starts a command that goes on by itself; what it prints is its log.
    pub fn follow(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).stderr(Stdio::null()).spawn().unwrap();
        let log = child.stdout.take().unwrap();
        Running::new(child, log)
    }
}

impl Running {
    fn new(child: Child, output: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let mut lines = BufReader::new(output).lines();
        let (sender, log) = watch::channel((Vec::new(), false));
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|(log, _)| log.push(line));
            }
            sender.send_modify(|(_, ended)| *ended = true);
        });
        Self { child, log, reader, http: http(), address: String::new() }
    }
}

impl Ended {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The lines of what it printed.
    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

impl Running {
    /// Nobody reads the log any more, and who writes to it gets an error.
    pub async fn close_log(&mut self) {
        self.reader.abort();
        let _ = (&mut self.reader).await;
    }

    /// Waits until it says that it is ready; false when it has ended instead.
    pub async fn ready(&mut self) -> bool {
        let find = |log: &[String]| {
            let line = log.iter().find(|line| line.contains("ready") && line.contains("127.0.0.1:"))?;
            let at = &line[line.find("127.0.0.1:")?..];
            Some(at.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect::<String>())
        };
        let came = self.log.wait_for(|(log, ended)| *ended || find(log).is_some());
        let address = find(&within("the host to be ready", came).await.unwrap().0);
        self.address = address.clone().unwrap_or_default();
        address.is_some()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.http.get(format!("{}{path}", self.url()))).await
    }

    /// Posts an event or a list of them.
    pub async fn post(&self, body: impl Into<String>) -> (StatusCode, Value) {
        answer(self.http.post(format!("{}/v1/events", self.url())).body(body.into())).await
    }

    /// Asks again and again until the answer is as it is wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(StatusCode, &Value) -> bool) -> Value {
        let mut last = None;
        let waiting = async {
            loop {
                let (status, answer) = last.insert(self.get(path).await);
                if wanted(*status, answer) {
                    return answer.clone();
                }
                pause(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(DEADLINE, waiting).await;
        came.unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain for another answer of {path} than {last:?}"))
    }

    /// Every delivery in the store that the query asks for (`state=pending`, or nothing), page by page; or what the
    /// API said instead.
    pub async fn deliveries(&self, query: &str) -> Result<Vec<Value>, Value> {
        let (mut all, mut before) = (Vec::new(), String::new());
        loop {
            let (status, answer) = self.get(&format!("/v1/deliveries?limit=500&{query}{before}")).await;
            if status != StatusCode::OK {
                return Err(answer);
            }
            all.extend_from_slice(answer["deliveries"].as_array().unwrap());
            let Some(next) = answer["next"].as_str() else { return Ok(all) };
            before = format!("&before={next}");
        }
    }

    /// Waits until nothing is pending.
    pub async fn drained(&self) {
        self.until("/v1/deliveries?state=pending&limit=1", |_, answer| answer["deliveries"] == json!([])).await;
    }

    /// Waits for a line of the log with this in it, and returns it.
    pub async fn logged(&mut self, part: &str) -> String {
        let find = |log: &[String]| log.iter().find(|line| line.contains(part)).cloned();
        let came = self.log.wait_for(|(log, ended)| *ended || find(log).is_some());
        let log = within(&format!("{part:?} in the log"), came).await.unwrap().0.clone();
        find(&log).unwrap_or_else(|| panic!("the host ended without saying {part:?}: {log:#?}"))
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(id.unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn status(&mut self) -> ExitStatus {
        within("the host to end", self.child.wait()).await.unwrap()
    }

    /// Waits for its end: the exit code.
    pub async fn code(&mut self) -> Option<i32> {
        self.status().await.code()
    }

    /// Waits for its end: the exit code, and all of its log.
    pub async fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.code().await;
        let log = within("the end of the log", self.log.wait_for(|(_, ended)| *ended)).await.unwrap().0.clone();
        (code, log)
    }

    /// Ends it without a warning. It was still there, and nothing of it had panicked.
    pub async fn kill(self) {
        self.signal(Signal::KILL);
        let (code, log) = self.ended().await;
        assert_eq!(code, None, "it had ended by itself: {log:#?}");
        assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
    }

    /// Stops it as a supervisor does: nothing may go wrong.
    pub async fn stop(self) -> Vec<String> {
        self.signal(Signal::TERM);
        let (code, log) = self.ended().await;
        assert_eq!(code, Some(0), "{log:#?}");
        log
    }
}
