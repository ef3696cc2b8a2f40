//! The Unix socket: who may connect by it, what becomes of one that is stale, and what it is not put in the place of.

use std::{
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
};

use herald::clock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::harness::{Setup, process::Program, within};

/// A host that listens on `herald.sock`, and by TCP as `listen` says.
fn setup(listen: &str, config: &str) -> Setup {
    let setup = Setup::new(config);
    let text = std::fs::read_to_string(setup.config()).unwrap();
    let server = format!("listen = \"{listen}\"\nsocket = \"herald.sock\"\nsocket_mode = \"0640\"");
    std::fs::write(setup.config(), text.replace("listen = \"127.0.0.1:0\"", &server)).unwrap();
    setup
}

/// All that is answered by the socket to this request, whose head ends the connection.
pub async fn ask(path: &Path, line: &str, headers: &str, body: &str) -> String {
    let mut stream = within("a connection", UnixStream::connect(path)).await.unwrap();
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut heard = String::new();
    within("an answer", stream.read_to_string(&mut heard)).await.unwrap();
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_listens_on_a_socket_with_its_permissions_from_the_first_moment_and_nowhere_else() {
    let setup = setup("", "[[source]]\nname = \"lan\"\nallow_addresses = [\"10.0.0.0/8\"]\n");
    let folder = setup.folder.path();
    let path = folder.join("herald.sock");
    let mut host = Program::new(folder).launch(&[]);
    // As soon as it is there at all.
    let metadata = within("the socket", async {
        loop {
            match std::fs::symlink_metadata(&path) {
                Ok(metadata) => return metadata,
                Err(_) => clock::pause(std::time::Duration::from_micros(50)).await,
            }
        }
    })
    .await;
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    let ready = host.logged(" ready ").await;
    assert!(ready.contains("herald.sock") && !ready.contains("127.0.0.1"), "{ready}");
    assert!(ask(&path, "POST /v1/events", "", "{\"type\":\"a\"}").await.starts_with("HTTP/1.1 202 "));
    // Who may post is said by the permissions, not by addresses, which there are none of here.
    assert!(ask(&path, "POST /v1/sources/lan/events", "", "{\"type\":\"a\"}").await.starts_with("HTTP/1.1 202 "));
    // Nothing else is left beside it.
    let beside = std::fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".herald-"));
    assert_eq!(beside.count(), 0);
    // By the config, and by name.
    let by_name = format!("unix:{}", path.display());
    for args in [&["channels", "list"][..], &["channels", "list", "--url", &by_name]] {
        let ran = Program::new(folder).run(args).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    host.stop().await;
    assert!(!path.exists(), "it goes with the host");
    let ran = Program::new(folder).run(&["channels", "list"]).await;
    assert!(ran.code == Some(1) && ran.err.contains("no Herald answers at unix:"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_the_socket_needs_a_token_where_there_are_any() {
    let token = "hrld_socket-01234567890123456789012345678901";
    let setup =
        setup("127.0.0.1:0", "[[server.token]]\nname = \"t\"\ntoken = { file = \"token\" }\nscopes = [\"read\"]\n");
    std::fs::write(setup.folder.path().join("token"), token).unwrap();
    let host = setup.start().await;
    let path = setup.folder.path().join("herald.sock");
    assert!(ask(&path, "GET /v1/jobs", "", "").await.starts_with("HTTP/1.1 401 "));
    let with = format!("Authorization: Bearer {token}\r\n");
    assert!(ask(&path, "GET /v1/jobs", &with, "").await.starts_with("HTTP/1.1 200 "));
    assert!(ask(&path, "POST /v1/events", &with, "{}").await.starts_with("HTTP/1.1 403 "));
    // By TCP as well.
    assert_eq!(host.get("/v1/jobs").await.0, 401);
    // One that says nothing does not hold up a stop.
    let _silent = UnixStream::connect(&path).await.unwrap();
    host.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_killed_host_is_replaced_and_one_that_is_in_use_or_no_socket_is_left_alone() {
    let setup = setup("", "");
    let folder = setup.folder.path();
    let path = folder.join("herald.sock");
    let program = Program::new(folder);
    let mut host = program.launch(&[]);
    host.logged(" ready ").await;
    host.kill().await;
    assert!(path.exists(), "a host that is killed can't tidy up");
    let mut host = program.launch(&[]);
    host.logged(" ready ").await;
    assert!(ask(&path, "GET /readyz", "", "").await.starts_with("HTTP/1.1 200 "));
    let inode = std::fs::metadata(&path).unwrap().ino();
    // Another host, with a store of its own, does not take it away.
    let ran = program.run(&["serve", "--store", "other.db"]).await;
    assert!(ran.code == Some(1) && ran.err.contains("another program listens there"), "{ran:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    assert!(ask(&path, "GET /readyz", "", "").await.starts_with("HTTP/1.1 200 "));
    // One that somebody has put there since is not ours to remove.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "something").unwrap();
    host.stop().await;
    let ran = program.run(&["serve"]).await;
    assert!(ran.code == Some(1) && ran.err.contains("something else there"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "something");
    std::fs::remove_file(&path).unwrap();
    // Nor is what a link points to.
    std::fs::write(folder.join("precious"), "something").unwrap();
    std::os::unix::fs::symlink("precious", &path).unwrap();
    let ran = program.run(&["serve"]).await;
    assert!(ran.code == Some(1) && ran.err.contains("something else there"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(folder.join("precious")).unwrap(), "something");
}
