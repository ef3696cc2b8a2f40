//! `herald token new`.

use std::process::ExitCode;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    args::{Common, Token},
    output,
};
use crate::model::{Scope, TokenHash};

pub(super) fn run(common: &Common, command: &Token) -> anyhow::Result<ExitCode> {
    let Token::New { name, scopes } = command;
    // Of a generator made for keys, seeded by the system. The prefix lets programs that look for leaked secrets find it.
    let token = format!("hrld_{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let hash = TokenHash::of(token.as_bytes()).to_hex();
    let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    if common.json {
        output::json(&json!({ "token": token, "name": name, "sha256": hash, "scopes": scopes }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!(
        "The token, for who sends it (HERALD_TOKEN, Authorization: Bearer). It is not shown again:\n\n{token}\n"
    ))?;
    output::line("For the host's config, which holds only its hash:\n")?;
    output::line(format!("[[server.token]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nscopes = {scopes:?}"))?;
    Ok(ExitCode::SUCCESS)
}
