//! The commands that change what is stored: what they print, where, and how they end.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    harness::{
        Receiver, Reply, Setup,
        process::{Ended, Program, Running},
        within,
    },
    pacing::hook,
};

/// A host with a channel for the events of the type `a`.
struct Bench {
    receiver: Receiver,
    setup: Setup,
}

impl Bench {
    async fn new() -> Self {
        let receiver = Receiver::start().await;
        let setup = Setup::new(&hook("a", &receiver, ""));
        Self { receiver, setup }
    }

    fn program(&self) -> Program<'_> {
        Program::new(self.setup.folder.path())
    }

    async fn start(&self) -> (Program<'_>, Running) {
        let host = self.program().serve(&[]).await;
        (self.program().variable("HERALD_URL", &host.url()), host)
    }
}

async fn send(program: &Program<'_>, kind: &str, id: &str) {
    let sent = program.run_with(&["send", "-"], &json!({ "type": kind, "id": id }).to_string()).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
}

/// The events of a list of deliveries, sorted.
async fn listed(program: &Program<'_>, options: &[&str]) -> Vec<String> {
    let list = program.json(&[&["deliveries", "list"], options].concat()).await;
    let list = list["deliveries"].as_array().unwrap();
    let mut events: Vec<String> = list.iter().map(|one| one["event"].as_str().unwrap().to_owned()).collect();
    events.sort();
    events
}

/// Waits until a list of deliveries holds these events.
async fn until(program: &Program<'_>, options: &[&str], events: &[&str]) {
    let come = async { while listed(program, options).await != events {} };
    within(&format!("{events:?} in {options:?}"), come).await;
}

async fn delivery(program: &Program<'_>, event: &str) -> String {
    let list = program.json(&["deliveries", "list", "--event", event]).await;
    list["deliveries"][0]["id"].as_str().unwrap().to_owned()
}

/// A failed delivery for each, as many as there are.
async fn failed(bench: &Bench, program: &Program<'_>, events: &[&str]) {
    for (count, id) in events.iter().enumerate() {
        bench.receiver.reply(Reply::new(404, ""));
        send(program, "a", id).await;
        let mut so_far = events[..=count].to_vec();
        so_far.sort_unstable();
        until(program, &["--state", "failed"], &so_far).await;
    }
}

fn said(ended: &Ended, code: i32, out: &[&str]) {
    assert_eq!((ended.code, ended.lines().as_slice()), (Some(code), out), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_retried_and_cancelled_by_their_ids() {
    let bench = Bench::new().await;
    let (program, host) = bench.start().await;
    failed(&bench, &program, &["1", "2"]).await;
    said(&program.run(&["channels", "disable", "a", "--reason", "a test"]).await, 0, &["a is disabled"]);
    let (one, two) = (delivery(&program, "1").await, delivery(&program, "2").await);
    let retried = program.run(&["deliveries", "retry", &one, "dlv_x", &two]).await;
    let waits = "is due now; it waits: it is disabled; `herald channels enable a` lets it deliver again";
    said(&retried, 1, &[&format!("{one} {waits}"), &format!("{two} {waits}")]);
    assert!(retried.err.starts_with("error: `dlv_x` is not a delivery id") && retried.err.lines().count() == 1);
    said(&program.run(&["deliveries", "cancel", &two]).await, 0, &[&format!("{two} is cancelled")]);
    let again = program.run(&["deliveries", "cancel", &two]).await;
    said(&again, 1, &[]);
    assert!(again.err.contains("is cancelled: it can't be cancelled; only what is pending can be"), "{again:?}");
    let json = program.json(&["deliveries", "retry", &one]).await;
    assert_eq!((&json["deliveries"][0]["id"], &json["deliveries"][0]["state"]), (&json!(one), &json!("pending")));
    said(&program.run(&["channels", "enable", "a"]).await, 0, &["a is enabled"]);
    until(&program, &["--state", "delivered"], &["1"]).await;
    let ended = program.run(&["deliveries", "retry", &one]).await;
    assert!(ended.code == Some(1) && ended.err.contains("replay its event"), "{ended:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_work_is_watched_to_its_end_or_left_to_the_host() {
    let bench = Bench::new().await;
    let (program, host) = bench.start().await;
    failed(&bench, &program, &["1", "2", "3"]).await;
    send(&program, "other", "4").await;
    program.run(&["channels", "disable", "a"]).await;
    let retried = program.run(&["deliveries", "retry", "--channel", "a", "--type", "a*", "--since", "1h"]).await;
    said(&retried, 0, &["retried 3 deliveries, 3 looked at"]);
    let begun = retried.err.lines().collect::<Vec<_>>();
    assert!(begun.len() == 1 && begun[0].starts_with("job_"), "no bar where nobody sees it: {retried:?}");
    assert!(begun[0].ends_with(" has begun; the host goes on with it whatever happens here"), "{retried:?}");
    assert_eq!(
        listed(&program, &["--state", "pending", "--type", "a", "--until", "2020-01-01T00:00:00Z"]).await.len(),
        0
    );
    assert_eq!(listed(&program, &["--state", "pending", "--type", "a", "--since", "1h"]).await, ["1", "2", "3"]);
    let json = program.run(&["deliveries", "cancel", "--all", "--json"]).await;
    assert_eq!(
        (json.code, &json.json()["job"]["changed"], &json.json()["job"]["action"]),
        (Some(0), &json!(3), &json!("cancel"))
    );
    assert!(json.json()["job"]["ended_at"].is_u64() && json.err.starts_with("job_"), "{json:?}");
    let none = program.run(&["deliveries", "retry", "--reason", "rejected", "--project", "p"]).await;
    said(&none, 0, &["retried 0 deliveries, 3 looked at"]);
    let replayed = program.run(&["events", "replay", "--channel", "a", "--type", "other", "--detach"]).await;
    let id = replayed.out.split(' ').next().unwrap().to_owned();
    said(&replayed, 0, &[&format!("{id} has begun; `herald jobs show {id}` tells how far it is")]);
    until(&program, &["--state", "pending"], &["4"]).await;
    let shown = program.run(&["jobs", "show", &id]).await;
    for part in [id.as_str(), "replay", "channel=a type=other", "so far    1 new deliveries, 4 events looked at"] {
        assert!(shown.out.contains(part), "{part:?} is not in {shown:?}");
    }
    let all = program.run(&["events", "replay", "--all"]).await;
    said(&all, 0, &["3 new deliveries, 4 events looked at"]);
    let list = program.run(&["jobs", "list"]).await;
    assert!(list.lines().len() == 6 && list.lines()[0].starts_with("ID "), "{list:?}");
    assert!(list.lines()[2].starts_with(&id) && list.lines()[2].contains("ended"), "the newest first: {list:?}");
    assert_eq!(program.json(&["jobs", "list"]).await["jobs"].as_array().unwrap().len(), 5);
    let unknown = program.run(&["jobs", "show", "job_01kb0c6zj3v5t8w2n4x7q9r1se"]).await;
    assert!(unknown.code == Some(1) && unknown.err.contains("there is no job `job_01kb0"), "{unknown:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_replayed_by_its_id() {
    let bench = Bench::new().await;
    let (program, host) = bench.start().await;
    send(&program, "a", "one/1 é").await;
    bench.receiver.wait_for(1).await;
    let replayed = program.run(&["events", "replay", "one/1 é"]).await;
    let line = replayed.lines()[0].to_owned();
    assert!(replayed.code == Some(0) && line.starts_with("dlv_") && line.ends_with(" is new"), "{replayed:?}");
    let received = bench.receiver.wait_for(2).await;
    assert!(line.contains(received[1].header("herald-delivery-id")), "{line}");
    let json = program.json(&["events", "replay", "one/1 é", "--channel", "a", "--source", ""]).await;
    assert_eq!(json["deliveries"].as_array().unwrap().len(), 1);
    let unknown = program.run(&["events", "replay", "none"]).await;
    assert!(unknown.code == Some(1) && unknown.err.contains("there is no event `none`"), "{unknown:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_filters_together_and_neither_of_them_are_errors_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(folder.path());
    for (arguments, part) in [
        ("deliveries retry", "required"),
        ("deliveries retry --state failed", "required"),
        ("deliveries cancel", "required"),
        ("events replay --channel a", "required"),
        ("deliveries retry dlv_x --channel a", "cannot be used with"),
        ("deliveries retry dlv_x --all", "cannot be used with"),
        ("deliveries cancel dlv_x --since 2h", "cannot be used with"),
        ("deliveries cancel --state failed --all", "unexpected argument '--state'"),
        ("events replay e --type a", "cannot be used with"),
        ("events replay --source s --all", "cannot be used with"),
        ("jobs show", "required"),
    ] {
        let ended = program.run(&arguments.split(' ').collect::<Vec<_>>()).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments}: {ended:?}");
        assert!(ended.err.contains(part), "{arguments}: {ended:?}");
    }
    let bench = Bench::new().await;
    let (program, host) = bench.start().await;
    for (arguments, part) in [
        ("deliveries retry --since lately --all", "`since=lately` is no time; give a time, "),
        ("deliveries retry --channel b", "there is no channel `b`"),
        ("deliveries list --reason tired", "there is no reason `tired`; it is one of rejected,"),
        ("channels disable b", "there is no channel `b`"),
    ] {
        let ended = program.run(&arguments.split(' ').collect::<Vec<_>>()).await;
        assert!(ended.code == Some(1) && ended.err.contains(part), "{arguments}: {ended:?}");
    }
    host.stop().await;
}

/// A job as a host tells of it.
fn job(changed: u64, ended_at: Option<u64>) -> Reply {
    let job = json!({
        "id": "job_01kb0c6zj3v5t8w2n4x7q9r1se", "action": "retry", "selection": { "state": "failed" },
        "created_at": 1, "ended_at": ended_at, "looked_at": changed, "of": 10, "changed": changed,
    });
    Reply::new(200, &json!({ "job": job }).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_started_again_meanwhile_is_waited_for() {
    // What a host would say, between troubles: it is gone, it starts, it is there again.
    let host = Receiver::start().await;
    let starting = json!({ "code": "starting", "message": "the host is not ready yet", "hint": "try again" });
    host.break_off(2);
    for reply in [
        job(0, None),
        job(3, None),
        job(0, None),
        Reply::new(503, &starting.to_string()),
        job(5, None),
        job(10, Some(7)),
    ] {
        host.reply(reply);
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(folder.path()).variable("HERALD_URL", &host.url(""));
    said(&program.run(&["deliveries", "retry", "--all"]).await, 0, &["retried 10 deliveries, 10 looked at"]);
    let paths: Vec<_> = host.received().into_iter().map(|one| format!("{} {}", one.method, one.path)).collect();
    assert_eq!((paths.len(), paths[0].as_str()), (6, "POST /v1/deliveries/retry?all=true"));
    assert!(paths[1..].iter().all(|path| path == "GET /v1/jobs/job_01kb0c6zj3v5t8w2n4x7q9r1se"), "{paths:?}");
    // What no waiting mends is said at once.
    host.reply(job(0, None));
    host.reply(Reply::new(404, &json!({ "message": "there is no job", "hint": "-" }).to_string()));
    let gone = program.run(&["deliveries", "retry", "--all"]).await;
    said(&gone, 1, &[]);
    assert!(gone.err.contains("error: there is no job"), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_watching_and_not_the_work() {
    let host = Receiver::start().await;
    host.reply(job(0, None));
    host.reply(job(3, None));
    host.hold_after(2);
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_herald"));
    command.args(["deliveries", "retry", "--all"]).current_dir(folder.path()).env("HERALD_URL", host.url(""));
    let watching = command.stderr(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    host.wait_for(3).await;
    let id = watching.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    kill_process(id.unwrap(), Signal::INT).unwrap();
    let ended = within("the command to end", watching.wait_with_output()).await.unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    let last = "job_01kb0c6zj3v5t8w2n4x7q9r1se goes on in the host; `herald jobs show job_01kb0c6zj3v5t8w2n4x7q9r1se` tells how far it is";
    assert_eq!(told.lines().last(), Some(last), "{told}");
    assert_eq!(host.received().len(), 3);
}
