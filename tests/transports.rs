//! Channels that are connected in a way of their own: their authorities, their certificates, and connections that they
//! share with nobody.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use herald::model::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{
    Setup, TestHost,
    tls::{self, Authority},
    within,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Who sent requests to a receiver, by the number of the connection, in their order.
type Seen = Arc<std::sync::Mutex<Vec<(usize, Option<Vec<u8>>)>>>;

/// Answers all requests with 200, and notes by which connection they came and under which certificate.
async fn receiver(acceptor: tokio_rustls::TlsAcceptor) -> (std::net::SocketAddr, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let address = tls::serve(acceptor, move |mut stream, number| {
        let noted = noted.clone();
        async move {
            let client = stream.get_ref().1.peer_certificates().map(|all| all[0].to_vec());
            let mut read = Vec::new();
            while stream.read_buf(&mut read).await.unwrap_or(0) > 0 {
                // The events are small, and their JSON ends the request.
                if read.ends_with(b"}") {
                    noted.lock().unwrap().push((number, client.clone()));
                    read.clear();
                    let _ = stream.write_all(OK).await;
                }
            }
        }
    })
    .await;
    (address, seen)
}

/// A webhook channel with a route for the events of its name. One attempt, so that a failure is told at once.
fn channel(name: &str, address: std::net::SocketAddr, tls: &str) -> String {
    format!(
        "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\nschedule = []\n[channel.settings]\n\
         url = \"https://localhost:{}/\"\n{tls}\n[[route]]\nevents = [\"{name}\"]\nchannel = \"{name}\"\n",
        address.port()
    )
}

/// Sends on one channel and waits for the end: the state, and the reason.
async fn send(host: &TestHost, channel: &str) -> (State, String) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let id = format!("{channel}-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    host.accepted(format!(r#"{{"type":"{channel}","id":"{id}"}}"#)).await;
    let all = host.drain().await;
    let listed = all.iter().find(|listed| listed.delivery.event == id).unwrap();
    let shown = host.show(listed).await;
    (listed.delivery.state, shown["attempts"][0]["reason"].as_str().unwrap_or_default().to_owned())
}

fn write(setup: &Setup, files: &[(&str, &str)]) {
    for (name, text) in files {
        fs::write(setup.folder.path().join(name), text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channels_authority_is_trusted_on_that_channel_alone_and_its_connections_are_its_own() {
    let authority = Authority::new("private");
    let (address, seen) = receiver(authority.acceptor("localhost", &[])).await;
    let ca = "[channel.tls]\nca = { file = \"ca.pem\" }";
    let channels = [
        channel("trusts", address, ca),
        channel("does-not", address, ""),
        channel("trusts-too", address, ca),
        channel("trusts-another", address, "[channel.tls]\nca = { file = \"another.pem\" }"),
    ];
    let setup = Setup::new(&channels.concat());
    write(&setup, &[("ca.pem", &authority.pem()), ("another.pem", &Authority::new("another").pem())]);
    let host = setup.start().await;
    for name in ["trusts", "does-not", "trusts-another", "trusts", "trusts-too", "trusts-too"] {
        let (state, reason) = send(&host, name).await;
        if name.starts_with("trusts") && name != "trusts-another" {
            assert_eq!(state, State::Delivered, "{name}: {reason}");
        } else {
            assert!(reason.starts_with("tls: ") && reason.contains("signed by nobody"), "{name}: {reason}");
        }
    }
    let connections: Vec<usize> = seen.lock().unwrap().iter().map(|(number, _)| *number).collect();
    let [first, second, third, fourth] = connections[..] else { panic!("{connections:?}") };
    assert!(first == second && third == fourth && first != third, "each channel keeps its own: {connections:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_a_certificate_gets_the_channels_and_a_new_one_with_the_next_delivery() {
    let authority = Authority::new("private");
    let (address, seen) = receiver(authority.mutual("localhost")).await;
    let (ca, with) = ("[channel.tls]\nca = { file = \"ca.pem\" }", "certificate = { file = \"me.pem\" }");
    let key = "key = { file = \"me.key\" }";
    let channels = [
        channel("shows", address, &[ca, with, key].join("\n")),
        channel("shows-none", address, ca),
        channel(
            "stays",
            address,
            &[ca, "certificate = { file = \"other.pem\" }", "key = { file = \"other.key\" }"].join("\n"),
        ),
    ];
    let setup = Setup::new(&channels.concat());
    let (mine, next, other) = (authority.client("me"), authority.client("me"), authority.client("other"));
    write(&setup, &[("ca.pem", &authority.pem()), ("me.pem", &mine.0), ("me.key", &mine.1)]);
    write(&setup, &[("other.pem", &other.0), ("other.key", &other.1)]);
    let host = setup.start().await;
    assert_eq!(send(&host, "shows").await, (State::Delivered, String::new()));
    assert_eq!(send(&host, "stays").await, (State::Delivered, String::new()));
    let (state, reason) = send(&host, "shows-none").await;
    assert!(
        state == State::Failed && reason.starts_with("tls: ") && reason.contains("CertificateRequired"),
        "{reason}"
    );

    // The same config, and other files behind its references.
    write(&setup, &[("me.pem", &next.0), ("me.key", &next.1)]);
    let before = host.app.pipeline().plan();
    host.app.reload();
    within("the reload", async {
        while Arc::ptr_eq(&before, &host.app.pipeline().plan()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(send(&host, "shows").await, (State::Delivered, String::new()));
    assert_eq!(send(&host, "stays").await, (State::Delivered, String::new()));
    let seen = seen.lock().unwrap().clone();
    let shown: Vec<_> = seen.iter().map(|(_, shown)| shown.clone().unwrap()).collect();
    let der = |pem: &str| rustls_pki(pem);
    assert_eq!(shown, [der(&mine.0), der(&other.0), der(&next.0), der(&other.0)]);
    assert_eq!(seen[1].0, seen[3].0, "what has not changed keeps its connection");
    host.stop().await;
}

#[test]
fn check_tells_of_a_certificate_whose_time_is_over() {
    let authority = Authority::new("private");
    let address = "127.0.0.1:443".parse().unwrap();
    let tls = "[channel.tls]\ncertificate = { file = \"me.pem\" }\nkey = { file = \"me.key\" }";
    let setup = Setup::new(&channel("shows", address, tls));
    let told = |pair: (String, String)| {
        write(&setup, &[("me.pem", &pair.0), ("me.key", &pair.1)]);
        fs::set_permissions(setup.folder.path().join("me.key"), Permissions::from_mode(0o600)).unwrap();
        let origin = herald::app::Origin { file: Some(setup.config()), ..Default::default() };
        let (problems, warnings) = herald::app::check(&origin.sources()).unwrap();
        assert!(problems.is_empty(), "{problems}");
        warnings.to_string()
    };
    assert_eq!(told(authority.client("me")), "");
    let over = told(authority.client_until("me", 2001));
    assert!(over.contains("channel.shows.tls.certificate: its time is over: connections will be refused"), "{over}");
}

fn rustls_pki(pem: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}
