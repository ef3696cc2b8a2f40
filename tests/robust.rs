//! What the machine around a host can do to it: odd files, a log that nobody takes, a config that is half written.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use herald::store::Store;
use rustix::process::Signal;

use crate::harness::{Receiver, Setup, guests::Guest, http, process::Program, within};

fn webhook(receiver: &Receiver) -> String {
    format!(
        "[[channel]]\nname = \"hook\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{}\"\n\
         [[route]]\nchannel = \"hook\"\n",
        receiver.url("/hook")
    )
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_no_delivery() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&webhook(&receiver));
    let mut host = Program::new(setup.folder.path()).serve(&[]).await;
    host.close_log().await;
    for _ in 0..20 {
        let url = format!("{}/v1/events", host.url());
        let posted = http().post(url).body(r#"{"type":"test"}"#).send().await.unwrap();
        assert_eq!(posted.status(), 202);
    }
    receiver.wait_for(20).await;
    host.signal(Signal::TERM);
    assert_eq!(host.code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_devices_and_folders_in_the_adapters_folder_are_refused_and_stop_nothing() {
    let receiver = Receiver::start().await;
    let setup = Setup::new("");
    for (name, target) in [("endless", "/dev/zero"), ("null", "/dev/null")] {
        std::os::unix::fs::symlink(target, setup.adapters().join(format!("{name}.wasm"))).unwrap();
    }
    pipe(&setup.adapters().join("pipe.wasm"));
    let host = setup.start().await;
    for name in ["endless", "null", "pipe"] {
        assert!(host.refusal(name).await.contains("not a regular file"), "{name}");
    }
    fs::write(setup.adapters().join("guest.wasm"), Guest::new("1", &receiver.url("/")).component()).unwrap();
    host.adapter_version("guest", "1").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_becomes_readable_is_loaded() {
    let receiver = Receiver::start().await;
    let setup = Setup::new("");
    let good = setup.folder.path().join("good");
    fs::write(&good, Guest::new("1", &receiver.url("/")).component()).unwrap();
    let file = setup.adapters().join("guest.wasm");
    // A link to nothing now, and to something later: the link itself does not change.
    let target = setup.folder.path().join("target");
    fs::create_dir(&target).unwrap();
    std::os::unix::fs::symlink(&target, &file).unwrap();
    let host = setup.start().await;
    host.refusal("guest").await;
    fs::remove_dir(&target).unwrap();
    fs::rename(good, target).unwrap();
    host.adapter_version("guest", "1").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_changes_under_the_same_size_and_time_is_seen() {
    let receiver = Receiver::start().await;
    let setup = Setup::new("");
    let file = setup.adapters().join("guest.wasm");
    fs::write(&file, Guest::new("1", &receiver.url("/")).component()).unwrap();
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let host = setup.start().await;
    host.adapter_version("guest", "1").await;
    fs::write(&file, Guest::new("2", &receiver.url("/")).component()).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    host.adapter_version("guest", "2").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_is_written_slowly_is_not_used_half() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&webhook(&receiver));
    let host = setup.start().await;
    let whole = fs::read_to_string(setup.config()).unwrap();
    // In place: first nothing, then a half that is good TOML, then all of it.
    let (half, _) = whole.split_once("[[channel]]").unwrap();
    for part in ["", half, whole.as_str()] {
        fs::write(setup.config(), part).unwrap();
        for _ in 0..4 {
            let answer = host.accepted(r#"{"type":"test"}"#).await;
            assert_eq!(answer["deliveries"], 1, "a half written config is in use");
            tokio::time::interval_at(deadline(Duration::from_millis(100)), Duration::MAX / 4).tick().await;
        }
    }
    host.drain().await;
    host.stop().await;
}

#[allow(clippy::disallowed_methods)]
fn deadline(from_now: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + from_now
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_goes_away_is_reported_and_what_runs_goes_on() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&webhook(&receiver));
    let host = setup.start().await;
    let whole = fs::read(setup.config()).unwrap();
    let reported = |wanted: bool| {
        let host = &host;
        within("healthz to say so", async move {
            while host.get("/healthz").await.1["config"]["applied"] == wanted {
                tokio::task::yield_now().await;
            }
        })
    };
    fs::remove_file(setup.config()).unwrap();
    reported(true).await;
    pipe(&setup.config());
    host.accepted(r#"{"type":"test"}"#).await;
    receiver.wait_for(1).await;
    fs::remove_file(setup.config()).unwrap();
    fs::write(setup.config(), whole).unwrap();
    reported(false).await;
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_stops_while_its_config_is_replaced_all_the_time() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&webhook(&receiver));
    let host = setup.start().await;
    let (config, next) = (setup.config(), setup.folder.path().join("next"));
    let text = fs::read_to_string(&config).unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut number = 0;
        while stopped.recv_timeout(Duration::from_millis(20)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            number += 1;
            fs::write(&next, format!("# {number}\n{text}")).unwrap();
            fs::rename(&next, &config).unwrap();
        }
    });
    host.accepted(r#"{"type":"test"}"#).await;
    host.drain().await;
    host.stop().await;
    drop(stop);
    writer.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_changes_during_the_start_is_used() {
    let receiver = Receiver::start().await;
    let setup = Setup::new("");
    let origin = herald::app::Origin { file: Some(setup.config()), ..Default::default() };
    let config = origin.load().unwrap();
    // Between the reading and the start.
    setup.write_config(&webhook(&receiver));
    let app = herald::app::App::start(config, Some(origin), herald::clock::Clock::system()).await.unwrap();
    within("the change", async {
        while !app.pipeline().plan().channels.contains_key("hook") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let url = format!("http://{}/v1/events", app.address().unwrap());
    http().post(url).body(r#"{"type":"test"}"#).send().await.unwrap();
    receiver.wait_for(1).await;
    within("the stop", app.stop()).await.unwrap();
}

#[tokio::test]
async fn a_store_is_held_by_whatever_name_it_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("herald.db");
    let store = Store::open(&path).unwrap();
    let (soft, hard) = (folder.path().join("soft.db"), folder.path().join("hard.db"));
    std::os::unix::fs::symlink(&path, &soft).unwrap();
    fs::hard_link(&path, &hard).unwrap();
    for other in [soft, hard] {
        let refused = Command::new(env!("CARGO_BIN_EXE_herald"))
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(other)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by another Herald"));
    }
    drop(store);
}

#[test]
fn a_pipe_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("herald.db");
    pipe(&path);
    assert!(Store::open(&path).err().unwrap().to_string().contains("not a regular file"));
}

#[test]
fn a_database_of_another_program_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(Store::open(&path).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing is left beside it");
}

#[test]
fn a_cache_that_others_can_write_to_is_refused_and_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = herald::adapter::Cache::open(&cache).unwrap_err();
    assert!(refused.to_string().contains("others can write"), "{refused}");
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o777);
    let own = folder.path().join("own");
    herald::adapter::Cache::open(&own).unwrap();
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_few_readers_of_json_take_is_delivered_unchanged_and_can_be_shown() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&webhook(&receiver));
    let host = setup.start().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (number, value) in [deep.as_str(), "1e999", r#""\ud800""#].into_iter().enumerate() {
        let event = format!(r#"{{"type":"t","data":{{"a":{value}}}}}"#);
        host.accepted(event.as_str()).await;
        host.drain().await;
        assert_eq!(receiver.received()[number].text(), event);
        let shown = host.show(&host.deliveries().await[0]).await;
        assert_eq!(shown["event"]["data"], format!(r#"{{"a":{value}}}"#));
    }
    let invalid = [b"{\"type\":\"t\",\"unknown\":\"".as_slice(), b"\xff\"}"].concat();
    let (status, answer) = host.post_as("application/json", invalid, &[]).await;
    assert_eq!((status.as_u16(), &answer["code"]), (400, &serde_json::json!("malformed_json")));
    host.stop().await;
}
