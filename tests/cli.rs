//! The program as people and supervisors use it: arguments, exit codes, signals, what it prints and what it never prints.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::harness::{
    Closed, Receiver, Reply, SAMPLE, Setup,
    guests::Guest,
    process::{Ended, Program},
    within,
};

/// The config of the issue and the README.
const CONFIG: &str = r#"[server]
listen = "127.0.0.1:7766"
app_url = "https://app.valohai.com"      # relative event URLs are resolved against it

[outbound]
allow_http = ["127.0.0.1"]               # hosts that plain http may go to; everything else is https
allow_addresses = ["127.0.0.0/8"]        # private ranges that may be reached; none by default

[[channel]]
name = "team-ml-alerts"
adapter = "slack"
[channel.settings]
webhook_url = { env = "SLACK_WEBHOOK_URL" }

[[route]]
events = ["execution_completed", "*_failed"]
project = "016f3203-4a8c-969e-078c-52ab66947746"   # optional
channel = "team-ml-alerts"
"#;

/// A webhook channel, `c`, that gets everything.
fn webhook(receiver: &Receiver) -> Setup {
    Setup::new(&format!(
        "[[channel]]\nname = \"c\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{}\"\n[[route]]\nchannel = \"c\"\n",
        receiver.url("/")
    ))
}

fn program(setup: &Setup) -> Program<'_> {
    Program::new(setup.folder.path())
}

/// What `deliveries list` says once nothing is pending.
async fn settled(program: &Program<'_>, url: &str) -> Vec<Value> {
    within("every delivery to end", async {
        loop {
            let list = program.json(&["deliveries", "list", "--url", url]).await;
            let list = list["deliveries"].as_array().unwrap().clone();
            if list.iter().all(|one| one["state"] != "pending") {
                return list;
            }
        }
    })
    .await
}

/// Posts the sample as a person does; the status and the answer.
async fn curl(folder: &std::path::Path, url: &str) -> (String, Value) {
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "-w", "\n%{http_code}", "-d", "@sample.json", &format!("{url}/v1/events")]);
    if let Ok(output) = within("curl", curl.current_dir(folder).output()).await {
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        return (status.to_owned(), serde_json::from_str(body).unwrap());
    }
    // No curl here: what it would send.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = http.post(format!("{url}/v1/events")).header("content-type", "application/x-www-form-urlencoded");
    let response = within("an answer", post.body(SAMPLE.replace('\n', "")).send()).await.unwrap();
    let status = response.status().as_u16().to_string();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_posted_by_curl_is_one_slack_message_and_is_listed_as_delivered() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("herald.toml"), CONFIG).unwrap();
    fs::write(folder.path().join("sample.json"), SAMPLE).unwrap();
    let program = Program::new(folder.path()).variable("SLACK_WEBHOOK_URL", &receiver.url("/services/T0/B0/s3cret"));
    let host = program.serve(&["--listen", "127.0.0.1:0"]).await;
    let (status, answer) = curl(folder.path(), &host.url()).await;
    assert_eq!((status.as_str(), &answer["deliveries"]), ("202", &json!(1)), "{answer}");
    let received = receiver.wait_for(1).await;
    assert_eq!((received[0].method.as_str(), received[0].path.as_str()), ("POST", "/services/T0/B0/s3cret"));
    let message = received[0].json();
    assert!(message["text"].as_str().unwrap().contains("Execution finished"), "{message}");
    assert!(message["attachments"][0]["color"].is_string(), "{message}");
    let link = "https://app.valohai.com/p/demo/cool-tensorflow/execution/0178f482-8686-fb28-8af1-3d36af38079d/";
    assert!(message.to_string().contains(link), "{message}");
    let [delivery] = &settled(&program, &host.url()).await[..] else { panic!("one delivery") };
    for (pointer, expected) in [
        ("/state", json!("delivered")),
        ("/channel", json!("team-ml-alerts")),
        ("/type", json!("execution_completed")),
        ("/event", answer["id"].clone()),
        ("/attempts", json!(1)),
        ("/last_attempt/outcome", json!("delivered")),
        ("/last_attempt/status", json!(200)),
        ("/last_attempt/adapter/name", json!("slack")),
    ] {
        assert_eq!(delivery.pointer(pointer), Some(&expected), "{pointer} of {delivery}");
    }
    host.stop().await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_posts_files_and_standard_input() {
    let receiver = Receiver::start().await;
    let setup = webhook(&receiver);
    let program = program(&setup);
    let host = program.serve(&[]).await;
    let url = host.url();
    let put = |name: &str, text: &str| fs::write(setup.folder.path().join(name), text).unwrap();
    put("one.json", SAMPLE);
    put("lines.ndjson", "{\"type\":\"a\",\"id\":\"1\"}\n{\"type\":\"b\",\"id\":\"2\"}\n");
    put("bad.json", r#"[{"type":"a"},{"type":5}]"#);
    put("cloud.json", r#"{"specversion":"1.0","id":"c1","source":"/s","type":"t"}"#);
    let one = program.json(&["send", "one.json", "--url", &url]).await;
    assert_eq!((&one["deliveries"], &one["duplicate"]), (&json!(1), &json!(false)));
    let lines = program.run(&["send", "lines.ndjson", "--url", &url]).await;
    assert_eq!((lines.code, lines.lines()), (Some(0), vec!["accepted 1, deliveries: 1", "accepted 2, deliveries: 1"]));
    // Lines are known by themselves where no name tells; what was there is said to have been there.
    let piped = program
        .run_with(&["send", "-", "--url", &url], "{\"type\":\"a\",\"id\":\"1\"}\n{\"type\":\"c\",\"id\":\"3\"}")
        .await;
    assert_eq!(piped.code, Some(0), "{piped:?}");
    assert!(piped.lines()[0].contains("was there already") && !piped.lines()[1].contains("already"), "{piped:?}");
    let cloud = ["send", "cloud.json", "--content-type", "application/cloudevents+json", "--url", &url];
    assert_eq!(program.json(&cloud).await["id"], "c1");
    let bad = program.run(&["send", "bad.json", "--url", &url]).await;
    assert_eq!(bad.code, Some(1));
    assert!(bad.err.contains("event 1 (0 is the first): `type`"), "{bad:?}");
    let missing = program.run(&["send", "missing.json", "--url", &url]).await;
    assert_eq!((missing.code, missing.err.contains("cannot read missing.json")), (Some(1), true), "{missing:?}");
    assert_eq!(settled(&program, &url).await.len(), 5);
    assert!(receiver.received().iter().any(|one| one.body == SAMPLE), "byte for byte");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_and_shown_with_every_attempt() {
    let receiver = Receiver::start().await;
    receiver.reply(Reply::new(400, "no such room").header("x-reply", "1"));
    let setup = webhook(&receiver);
    let program = program(&setup);
    let host = program.serve(&[]).await;
    let url = host.url();
    let events = r#"[{"type":"a","id":"1","title":"evil \u001b[31m"},{"type":"b","id":"2"}]"#;
    program.run_with(&["send", "-", "--url", &url], events).await;
    let all = settled(&program, &url).await;
    assert_eq!(all.len(), 2);
    let failed = program.json(&["deliveries", "list", "--state", "failed", "--url", &url]).await;
    let [failed] = &failed["deliveries"].as_array().unwrap()[..] else { panic!("one failed: {failed}") };
    let id = failed["id"].as_str().unwrap();
    let shown = program.json(&["deliveries", "show", id, "--url", &url]).await;
    assert_eq!(shown["delivery"]["reason"], "rejected");
    let exchange = &shown["attempts"][0]["exchanges"][0];
    assert_eq!((&exchange["request"]["method"], &exchange["response"]["status"]), (&json!("POST"), &json!(400)));
    let text = program.run(&["deliveries", "show", id, "--url", &url]).await;
    for part in
        [id, "failed (rejected)", "attempt 1 at ", "> POST http://127.0.0.1", "< 400", "x-reply: 1", "no such room"]
    {
        assert!(text.out.contains(part), "{part:?} is not in\n{}", text.out);
    }
    let list = program.run(&["deliveries", "list", "--channel", "c", "--limit", "1", "--url", &url]).await;
    assert_eq!((list.code, list.lines().len()), (Some(0), 2), "a head and one row: {list:?}");
    let first = all.iter().find(|one| one["event"] == "1").unwrap()["id"].as_str().unwrap();
    let harmless = program.run(&["deliveries", "show", first, "--url", &url]).await;
    assert!(!harmless.out.contains('\u{1b}'), "control characters reach the terminal: {harmless:?}");
    let nothing = program.run(&["deliveries", "show", "dlv_01kb0c6zj3v5t8w2n4x7q9r1se", "--url", &url]).await;
    assert_eq!((nothing.code, nothing.err.contains("there is no delivery")), (Some(1), true), "{nothing:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_listed_and_tested_by_the_identical_path() {
    let receiver = Receiver::start().await;
    let setup = webhook(&receiver);
    let program = program(&setup);
    let host = program.serve(&[]).await;
    let url = host.url();
    let tested = program.json(&["channels", "test", "c", "--url", &url]).await;
    assert_eq!((&tested["delivery"]["state"], &tested["event"]["type"]), (&json!("delivered"), &json!("test")));
    assert_eq!(receiver.wait_for(1).await[0].json()["type"], "test");
    receiver.reply(Reply::new(404, "gone fishing"));
    let failing = program.run(&["channels", "test", "c", "--url", &url]).await;
    assert_eq!(failing.code, Some(1), "{failing:?}");
    assert!(failing.out.contains("gone fishing"), "{failing:?}");
    let unknown = program.run(&["channels", "test", "d", "--url", &url]).await;
    assert_eq!((unknown.code, unknown.err.contains("there is no channel `d`")), (Some(1), true), "{unknown:?}");
    let list = program.json(&["channels", "list", "--url", &url]).await;
    let [channel] = &list["channels"].as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!((&channel["name"], &channel["adapter"]), (&json!("c"), &json!("webhook")));
    assert_eq!(channel["deliveries"], json!({ "delivered": 1, "failed": 1 }));
    let text = program.run(&["channels", "list", "--url", &url]).await;
    assert!(text.lines()[1].starts_with("c ") && text.lines()[1].contains("webhook"), "{text:?}");
    host.stop().await;
}

/// Somebody's public key of minisign's.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

#[tokio::test(flavor = "multi_thread")]
async fn adapters_are_listed_and_inspected() {
    let setup = Setup::new("");
    let program = program(&setup);
    let guest = Guest::new("7.1", "https://example.com").component();
    fs::write(setup.folder.path().join("good.wasm"), &guest).unwrap();
    fs::write(setup.folder.path().join("bad.wasm"), &guest[..guest.len() / 2]).unwrap();
    // Without a host: what one with this config would have.
    let nobody = Closed::new();
    let offline = program.variable("HERALD_SERVER__LISTEN", &nobody.to_string());
    let names = |list: &Value| -> Vec<String> {
        list["adapters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let listed = names(&offline.json(&["adapters", "list"]).await);
    assert!(listed.contains(&"slack".to_owned()) && listed.contains(&"webhook".to_owned()), "{listed:?}");
    let program = self::program(&setup);
    fs::copy(setup.folder.path().join("good.wasm"), setup.adapters().join("mine.wasm")).unwrap();
    let host = program.serve(&[]).await;
    let listed = program.run(&["adapters", "list", "--url", &host.url()]).await;
    assert!(
        listed.lines().iter().any(|line| line.starts_with("mine ")
            && line.contains("7.1")
            && line.contains(&herald::adapter::digest(&guest))),
        "{listed:?}"
    );
    host.stop().await;
    let good = program.json(&["adapters", "inspect", "good.wasm"]).await;
    assert_eq!((&good["version"], &good["size"]), (&json!("7.1"), &json!(guest.len())));
    for member in ["title", "settings_schema", "hosts", "imports", "exports", "digest"] {
        assert!(!good[member].is_null(), "{member} is not in {good}");
    }
    let text = program.run(&["adapters", "inspect", "good.wasm"]).await;
    assert!(text.out.contains("version   7.1") && text.out.contains("herald:channel/adapter"), "{text:?}");
    let bad = program.run(&["adapters", "inspect", "bad.wasm"]).await;
    assert_eq!((bad.code, bad.out.contains("refused")), (Some(2), true), "{bad:?}");
    let bad = program.run(&["adapters", "inspect", "bad.wasm", "--json"]).await;
    assert_eq!((bad.code, bad.json()["message"].is_string()), (Some(2), true), "{bad:?}");
    let signed = self::program(&setup).variable("HERALD_ADAPTERS__SIGNED_BY", KEY);
    let unsigned = signed.run(&["adapters", "inspect", "good.wasm"]).await;
    assert!(unsigned.code == Some(2) && unsigned.out.contains("refused (signature): it is not signed"), "{unsigned:?}");
    let missing = program.run(&["adapters", "inspect", "missing.wasm"]).await;
    assert_eq!((missing.code, missing.err.contains("cannot read missing.wasm")), (Some(1), true), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_everything_that_is_wrong_at_once_and_where() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("adapters")).unwrap();
    fs::write(folder.path().join("adapters/broken.wasm"), "junk").unwrap();
    let config = r#"[server]
lsten = "127.0.0.1:0"
[adapters]
folder = "adapters"
[[channel]]
name = "a"
adapter = "slack"
[channel.settings]
webhook_url = { env = "NOT_SET" }
[[channel]]
name = "b"
adapter = "slack"
[channel.settings]
webhook_url = "https://hooks.slack.com/services/inl1ne"
icon_emoji = "rocket"
usernam = "x"
[[channel]]
name = "c"
adapter = "slak"
[[route]]
channel = "d"
"#;
    fs::write(folder.path().join("herald.toml"), config).unwrap();
    let program = Program::new(folder.path());
    let checked = program.run(&["check"]).await;
    assert_eq!(checked.code, Some(2), "{checked:?}");
    for part in [
        "herald.toml:2: server.lsten: there is no such setting (did you mean `listen`?)",
        "herald.toml:9: channel.a.settings.webhook_url: the environment variable NOT_SET is not set",
        "herald.toml:15: channel.b.settings.icon_emoji: ",
        "channel.b.settings: Additional properties are not allowed",
        "channel.c.adapter: there is no adapter `slak`",
        "herald.toml:21: route[0].channel: there is no channel `d`",
        "adapters/broken.wasm: adapters.broken: ",
        "warning: herald.toml:14: channel.b.settings.webhook_url: a secret stands in the config file",
    ] {
        assert!(checked.lines().iter().any(|line| line.contains(part)), "{part:?} is not in\n{}", checked.out);
    }
    assert!(!checked.out.contains("inl1ne"), "a secret is printed: {checked:?}");
    let json = program.run(&["check", "--json"]).await;
    let account = json.json();
    assert_eq!((json.code, &account["ok"]), (Some(2), &json!(false)));
    let problems = account["problems"].as_array().unwrap();
    assert_eq!(problems.len(), checked.lines().iter().filter(|line| !line.starts_with("warning")).count());
    assert_eq!((&problems[0]["key"], &problems[0]["place"]), (&json!("server.lsten"), &json!("herald.toml:2")));
    // A host does not start with it, says the same, and says it as a wrong config.
    let served = program.run(&["serve"]).await;
    assert_eq!((served.code, served.err.contains("herald.toml:2: server.lsten")), (Some(2), true), "{served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_of_a_good_config_is_silent_but_for_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let put = |text: &str| fs::write(folder.path().join("herald.toml"), text).unwrap();
    put(CONFIG);
    let program = Program::new(folder.path()).variable("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/x");
    let good = program.run(&["check"]).await;
    assert_eq!(
        (good.code, good.out.as_str(), good.err.as_str()),
        (
            Some(0),
            "DIR/herald.toml: good\n"
                .replace("DIR", &folder.path().canonicalize().unwrap().display().to_string())
                .as_str(),
            ""
        )
    );
    assert_eq!(program.json(&["check"]).await["problems"], json!([]));
    put(&CONFIG.replace(r#"{ env = "SLACK_WEBHOOK_URL" }"#, r#""https://hooks.slack.com/services/inl1ne""#));
    let inline = program.json(&["check"]).await;
    assert_eq!(inline["warnings"][0]["key"], "channel.team-ml-alerts.settings.webhook_url", "{inline}");
    assert!(!inline.to_string().contains("inl1ne"), "{inline}");
    assert!(!folder.path().join("herald.db").exists(), "check makes no store");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_is_named_before_or_after_the_command_or_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("other.toml"), "[server]\nlsten = \"x\"\n").unwrap();
    let program = Program::new(folder.path());
    assert_eq!(program.run(&["check"]).await.code, Some(0), "the defaults are good");
    for arguments in [["--config", "other.toml", "check"], ["check", "--config", "other.toml"]] {
        let checked = program.run(&arguments).await;
        assert_eq!((checked.code, checked.out.contains("other.toml:2")), (Some(2), true), "{arguments:?}: {checked:?}");
    }
    let program = program.variable("HERALD_CONFIG", "other.toml");
    assert_eq!(program.run(&["check"]).await.code, Some(2));
    let missing = program.run(&["check", "--config", "missing.toml"]).await;
    assert_eq!(
        (missing.code, missing.out.contains("missing.toml: the config file can't be read")),
        (Some(2), true),
        "{missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_find_the_host_by_url_environment_or_config() {
    let setup = Setup::new("");
    let host = program(&setup).serve(&[]).await;
    let closed = Closed::new();
    let nobody = closed.url();
    let found = |ended: &Ended| ended.code == Some(0);
    let list = ["channels", "list", "--json"];
    let url = host.url();
    // The config's port is 0: it can't be found by that.
    assert!(!found(&program(&setup).run(&list).await));
    assert!(found(&program(&setup).run(&[&list[..], &["--url", &url]].concat()).await));
    assert!(found(&program(&setup).run(&[&["--url", &url], &list[..]].concat()).await), "before the command");
    assert!(found(&program(&setup).variable("HERALD_URL", &url).run(&list).await));
    let by_flag = program(&setup).variable("HERALD_URL", &nobody).run(&[&list[..], &["--url", &url]].concat()).await;
    assert!(found(&by_flag), "the flag wins: {by_flag:?}");
    assert!(found(&program(&setup).variable("HERALD_SERVER__LISTEN", &host.address).run(&list).await));
    let config = fs::read_to_string(setup.config()).unwrap().replace("127.0.0.1:0", &host.address);
    fs::write(setup.folder.path().join("client.toml"), config).unwrap();
    assert!(found(&program(&setup).run(&[&list[..], &["--config", "client.toml"]].concat()).await));
    host.stop().await;
    for arguments in [&["channels", "list"][..], &["send", "-"], &["deliveries", "list"], &["channels", "test", "c"]] {
        let ended = program(&setup).variable("HERALD_URL", &nobody).run(arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        let told = ended.err.contains(&nobody) && ended.err.contains("start it with `herald serve`");
        assert!(told, "what to do: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_win_over_the_environment_which_wins_over_the_file() {
    let setup = Setup::new("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let config = fs::read_to_string(setup.config()).unwrap().replace("127.0.0.1:0", &taken);
    fs::write(setup.config(), config).unwrap();
    fs::create_dir(setup.folder.path().join("more")).unwrap();
    fs::write(setup.folder.path().join("more/mine.wasm"), Guest::new("1", "http://127.0.0.1").component()).unwrap();
    program(&setup).variable("HERALD_SERVER__LISTEN", "127.0.0.1:0").serve(&[]).await.stop().await;
    let program = program(&setup).variable("HERALD_SERVER__LISTEN", &taken);
    let host = program.serve(&["--listen", "127.0.0.1:0", "--store", "elsewhere.db", "--adapters", "more"]).await;
    let list = program.json(&["adapters", "list", "--url", &host.url()]).await;
    assert!(list["adapters"].as_array().unwrap().iter().any(|one| one["name"] == "mine"), "{list}");
    assert!(setup.folder.path().join("elsewhere.db").exists());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_command_there_is_help_and_a_wrong_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(folder.path());
    let help = program.run(&[]).await;
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for command in ["serve", "check", "send", "demo", "adapters", "channels", "deliveries"] {
        assert!(help.lines().iter().any(|line| line.trim_start().starts_with(command)), "{command} is not in {help:?}");
    }
    for wrong in [&["serv"][..], &["serve", "--prot", "1"], &["send"], &["deliveries", "list", "--limit", "many"]] {
        let ended = program.run(wrong).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{wrong:?}: {ended:?}");
        assert!(ended.err.contains("--help"), "{ended:?}");
    }
    assert!(program.run(&["--version"]).await.out.starts_with("herald "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_a_delivery_exits_0_in_time_and_the_delivery_is_made_after_the_next_start() {
    for signal in [Signal::TERM, Signal::INT] {
        let receiver = Receiver::start().await;
        let setup = webhook(&receiver);
        // The receiver hangs for the whole of the grace period. Were the exchange waited for, it would be for longer than any
        // test takes.
        let program = program(&setup);
        let program = program.variable("HERALD_SERVER__GRACE", "300ms").variable("HERALD_DELIVERY__TIMEOUT", "5m");
        receiver.hold();
        let host = program.serve(&[]).await;
        program.run_with(&["send", "-", "--url", &host.url()], r#"{"type":"a","id":"1"}"#).await;
        receiver.wait_for(1).await;
        host.signal(signal);
        let (code, log) = host.ended().await;
        assert_eq!(code, Some(0), "{log:#?}");
        receiver.release();
        let host = program.serve(&[]).await;
        let received = receiver.wait_for(2).await;
        let id = |number: usize| received[number].header("herald-delivery-id").to_owned();
        assert_eq!(id(0), id(1), "so that the receiver can drop the double");
        let list = settled(&program, &host.url()).await;
        assert_eq!((list.len(), &list[0]["state"]), (1, &json!("delivered")));
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_finished_within_the_grace_period() {
    let receiver = Receiver::start().await;
    let setup = webhook(&receiver);
    let program = program(&setup).variable("HERALD_SERVER__GRACE", "30s");
    receiver.hold();
    let mut host = program.serve(&[]).await;
    program.run_with(&["send", "-", "--url", &host.url()], r#"{"type":"a","id":"1"}"#).await;
    receiver.wait_for(1).await;
    let mut idle = within("a connection", TcpStream::connect(host.address.as_str())).await.unwrap();
    host.signal(Signal::TERM);
    host.logged("stopping").await;
    // A host that let go of it at once would have done so by then: it has ended what is idle.
    let _ = within("the end of an idle connection", idle.read(&mut [0])).await;
    receiver.release();
    let (code, log) = host.ended().await;
    assert_eq!(code, Some(0), "{log:#?}");
    let host = program.serve(&[]).await;
    let list = program.json(&["deliveries", "list", "--url", &host.url()]).await;
    assert_eq!((&list["deliveries"][0]["state"], &list["deliveries"][0]["attempts"]), (&json!("delivered"), &json!(1)));
    host.stop().await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_delivers_after_the_next_start_what_it_had_accepted() {
    let receiver = Receiver::start().await;
    let setup = webhook(&receiver);
    let program = program(&setup);
    receiver.hold();
    let host = program.serve(&[]).await;
    let events: Vec<_> = (0..40).map(|id| json!({ "type": "a", "id": id.to_string() })).collect();
    let events = json!(events).to_string();
    assert_eq!(program.run_with(&["send", "-", "--url", &host.url()], &events).await.code, Some(0));
    receiver.wait_for(1).await;
    host.signal(Signal::KILL);
    host.ended().await;
    receiver.release();
    let host = program.serve(&[]).await;
    let list = settled(&program, &host.url()).await;
    assert_eq!(list.len(), 40);
    assert!(list.iter().all(|one| one["state"] == "delivered"), "{list:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_belongs_to_one_host_and_a_port_to_one_program() {
    let setup = Setup::new("");
    let program = program(&setup);
    let host = program.serve(&[]).await;
    let second = program.run(&["serve"]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.err.contains("is in use by another Herald; stop that one, or set another `store.path`"),
        "{second:?}"
    );
    let taken = program.run(&["serve", "--listen", &host.address, "--store", "other.db"]).await;
    assert_eq!(taken.code, Some(1), "{taken:?}");
    let told =
        taken.err.contains(&format!("cannot listen on {}", host.address)) && taken.err.contains("`server.listen`");
    assert!(told, "{taken:?}");
    // The first one is none the worse for it.
    program.json(&["channels", "list", "--url", &host.url()]).await;
    host.stop().await;
    fs::write(
        setup.folder.path().join("other.txt"),
        "a text of somebody's, longer than SQLite's head of a hundred bytes. ".repeat(9),
    )
    .unwrap();
    let foreign = program.run(&["serve", "--store", "other.txt"]).await;
    assert_eq!((foreign.code, foreign.err.contains("is not a Herald store")), (Some(1), true), "{foreign:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_config_and_its_secrets_again() {
    let receiver = Receiver::start().await;
    let setup = webhook(&receiver);
    let token = setup.folder.path().join("token");
    fs::write(&token, "old").unwrap();
    let config = fs::read_to_string(setup.config()).unwrap();
    let headers = "headers = { authorization = { file = \"token\" } }\n[[route]]";
    fs::write(setup.config(), config.replace("[[route]]", headers)).unwrap();
    let program = program(&setup);
    let mut host = program.serve(&[]).await;
    program.json(&["channels", "test", "c", "--url", &host.url()]).await;
    fs::write(&token, "new").unwrap();
    host.signal(Signal::HUP);
    host.logged("the config has been read again and is in use").await;
    program.json(&["channels", "test", "c", "--url", &host.url()]).await;
    let sent: Vec<_> = receiver.received().iter().map(|one| one.header("authorization").to_owned()).collect();
    assert_eq!(sent, ["old", "new"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_log_has_an_object_on_every_line() {
    let receiver = Receiver::start().await;
    receiver.reply(Reply::new(500, "two\nlines"));
    let setup = webhook(&receiver);
    fs::write(setup.adapters().join("broken.wasm"), "junk").unwrap();
    let program = program(&setup).variable("HERALD_SERVER__LOG_FORMAT", "json").variable("HERALD_SERVER__LOG", "debug");
    let mut host = program.serve(&[]).await;
    program.run_with(&["send", "-", "--url", &host.url()], r#"{"type":"a","title":"x\ny"}"#).await;
    receiver.wait_for(1).await;
    fs::write(setup.config(), "[server]\nlsten = 1\n").unwrap();
    host.logged("is not used").await;
    let log = host.stop().await;
    for line in &log {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for member in ["timestamp", "level", "target", "message"] {
            assert!(line[member].is_string(), "no {member} in {line}");
        }
    }
    assert!(log.iter().any(|line| line.contains("broken")) && log.iter().any(|line| line.contains("server.lsten")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_in_the_log_names_its_delivery_and_its_event() {
    let receiver = Receiver::start().await;
    receiver.reply(Reply::new(404, ""));
    let setup = webhook(&receiver);
    let program = program(&setup).variable("HERALD_SERVER__LOG_FORMAT", "json");
    let mut host = program.serve(&[]).await;
    for (id, said) in [("refused-one", "answered 404"), ("taken-one", "delivered")] {
        let event = format!(r#"{{"type":"a","id":"{id}"}}"#);
        program.run_with(&["send", "-", "--url", &host.url()], &event).await;
        let line: Value = serde_json::from_str(&host.logged(said).await).unwrap();
        let delivery = line["delivery"].as_str().unwrap_or_default();
        assert!(line["event"] == id && delivery.starts_with("dlv_"), "{line}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_neither_logged_nor_shown() {
    const URL: &str = "inUrl-s3cretT0ken";
    const HEADER: &str = "inHeader-s3cret/T0ken+\"x\"";
    let receiver = Receiver::start().await;
    // A receiver that says what it was sent, in every form that it likes, first as a failure and then as a success.
    let echo = format!(
        "{HEADER} {} {URL} {}",
        HEADER.replace('"', "\\\""),
        HEADER.replace('/', "%2F").replace('+', "%2B").replace('"', "%22")
    );
    receiver.reply(Reply::new(500, &echo).header("x-echo", URL).header("retry-after", "0"));
    receiver.reply(Reply::new(200, &format!("{{\"token\":{}}}", json!(HEADER))).header("x-echo", URL));
    let setup = Setup::new(
        "[[channel]]\nname = \"c\"\nadapter = \"webhook\"\n[channel.settings]\nurl = { env = \"HOOK_URL\" }\n\
         headers = { authorization = { env = \"HOOK_TOKEN\" } }\n[[route]]\nchannel = \"c\"\n",
    );
    let program = program(&setup)
        .variable("HOOK_URL", &receiver.url(&format!("/{URL}?key={URL}")))
        .variable("HOOK_TOKEN", HEADER)
        .variable("HERALD_DELIVERY__SCHEDULE", "0s")
        .variable("HERALD_SERVER__LOG", "debug,herald=trace,reqwest=trace,hyper=trace,hyper_util=trace,h2=trace");
    let host = program.serve(&[]).await;
    let url = host.url();
    program.run_with(&["send", "-", "--url", &url], SAMPLE).await;
    let received = receiver.wait_for(2).await;
    assert_eq!((received[0].header("authorization"), received[0].path.contains(URL)), (HEADER, true), "it is sent");
    let list = settled(&program, &url).await;
    let id = list[0]["id"].as_str().unwrap();
    let mut shown = vec![format!("{list:?}")];
    for arguments in [
        &["deliveries", "show", id][..],
        &["deliveries", "show", id, "--json"],
        &["deliveries", "list"],
        &["channels", "list", "--json"],
        &["channels", "test", "c", "--json"],
        &["adapters", "list", "--json"],
        &["check", "--json"],
    ] {
        let ended = program.run(&[arguments, &["--url", &url]].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        shown.extend([ended.out, ended.err]);
    }
    shown.extend(host.stop().await);
    for text in &shown {
        assert!(!text.contains("T0ken"), "a secret is in\n{text}");
    }
    let attempts = shown[1].matches("\nattempt ").count();
    assert_eq!(attempts, 2, "{}", shown[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_tour_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Program::new(folder.path()).run(&["demo", "--once"]).await;
    assert_eq!(demo.code, Some(0), "{demo:?}");
    for part in [
        "A host is running",
        "POST /v1/events  execution_completed",
        "(byte for byte what was posted)",
        "503, Retry-After: 1",
        "herald deliveries list",
        "attempt 1 at ",
        "board 1.1.0 serves ",
        "That was it",
    ] {
        assert!(demo.out.contains(part), "{part:?} is not in\n{}", demo.out);
    }
    // The receiver sees its own path, of course; the log does not.
    let log = demo.out.split("── herald deliveries show").nth(1).unwrap().split("── cp ").next().unwrap();
    assert!(log.contains("> POST http://127.0.0.1") && !log.contains("s3cr3t-of-the-demo"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_of_settings_that_no_delivery_would_survive() {
    for (settings, expected) in [
        ("url = \"ftp://example.com/\"", "not an absolute https URL"),
        ("url = \"http://example.com/\"", "outbound.allow_http = "),
        ("url = \"https://127.0.0.1/\"", "outbound.allow_addresses = "),
        ("url = \"https://example.com/\"\nheaders = { host = \"y\" }", "host"),
        ("url = \"https://example.com/\"\nbody = { template = \"{{ x | nofilter }}\" }", "nofilter"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[[channel]]\nname = \"c\"\nadapter = \"webhook\"\n[channel.settings]\n{settings}\n[[route]]\nchannel = \"c\"\n"
        );
        std::fs::write(folder.path().join("herald.toml"), config).unwrap();
        let checked = Program::new(folder.path()).run(&["check"]).await;
        assert_eq!(checked.code, Some(2), "{settings}: {checked:?}");
        assert!(checked.out.contains("channel.c.settings") && checked.out.contains(expected), "{checked:?}");
    }
}
