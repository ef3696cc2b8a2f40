//! Receivers that others have written verify live deliveries: Standard Webhooks by its libraries for JavaScript and Python.
//!
//! `cargo xtask test` installs those, says where by two variables, and runs this. `cargo test` alone does without.

use std::{ffi::OsString, path::Path, process::Stdio};

use herald::model::State;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::harness::{Setup, within};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

/// A receiver in another language: it ends with this.
struct Foreign {
    _child: Child,
    port: String,
}

impl Foreign {
    async fn start(language: &str, verify_with: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/receivers");
        let mut command = match language {
            "JavaScript" => {
                let mut node = Command::new("node");
                node.arg(folder.join("receiver.cjs")).env("NODE_PATH", installed("HERALD_NODE_MODULES"));
                node
            }
            _ => {
                let mut python = Command::new(installed("HERALD_PYTHON"));
                python.arg(folder.join("receiver.py"));
                python
            }
        };
        command.env("VERIFY_WITH", verify_with.join(" ")).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{language}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = within(&format!("the receiver in {language}"), lines.next_line()).await.unwrap();
        let port = port.unwrap_or_else(|| panic!("the receiver in {language} has ended: see what it says above"));
        Self { _child: child, port }
    }
}

fn installed(variable: &str) -> OsString {
    std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: `cargo xtask test` sets it, and installs what it points at"))
}

/// The state that a delivery to that receiver comes to, signed with these.
async fn delivered(language: &str, verify_with: &[&str], sign_with: &[&str]) -> (State, String) {
    let receiver = Foreign::start(language, verify_with).await;
    let setup = Setup::new(&format!(
        "[[channel]]\nname = \"hook\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"http://127.0.0.1:{}/\"\n\
         signing_secrets = {sign_with:?}\n[[route]]\nchannel = \"hook\"\n",
        receiver.port
    ));
    let host = setup.start().await;
    host.accepted("{\"type\":\"test\", \"title\":\"Größe \u{2713} \u{1f980}\"}").await;
    let listed = host.drain().await;
    let account = host.show(&listed[0]).await.to_string();
    host.stop().await;
    (listed[0].delivery.state, account)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the published libraries: `cargo xtask test` installs them and runs this"]
async fn receivers_with_the_published_libraries_verify_live_deliveries() {
    for language in ["JavaScript", "Python"] {
        for (verify_with, sign_with) in
            [(&[OLD][..], &[OLD][..]), (&[OLD, NEW], &[OLD, NEW]), (&[NEW], &[PRIVATE, OLD, NEW])]
        {
            let (state, account) = delivered(language, verify_with, sign_with).await;
            assert_eq!(state, State::Delivered, "{language}: {account}");
        }
        let (state, account) = delivered(language, &[NEW], &[OLD, PRIVATE]).await;
        assert_eq!(state, State::Failed, "{language} takes any signature: {account}");
        assert!(account.contains("No matching signature found"), "{language}: {account}");
    }
    // The libraries know HMAC only.
    let (state, account) = delivered("JavaScript", &[PUBLIC], &[OLD, PRIVATE]).await;
    assert_eq!(state, State::Delivered, "{account}");
}
