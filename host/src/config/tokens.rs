//! `[[server.token]]`: who may do what by the API, and whether a host may do without.
//!
//! Must never put a token or its hash into a problem.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    channels::Found,
    entry::Entry,
    problems::Problem,
    raw::{Node, Place, Table, Value, check_keys, join},
    schema::Server,
    secret::failure,
    value::{Checked, choice, list, name, text, wrong},
};
use crate::model::{LONGEST_TOKEN, Scope, Scopes, Token, TokenHash};

const KEYS: &[&str] = &["name", "sha256", "token", "scopes"];
/// What is shorter was not made by chance, and a plain hash of it can be guessed.
const SHORTEST: usize = 32;
const MAKE: &str = "`herald token new` makes a token and prints the lines for it";

/// Whether everybody who reaches that address may do everything, and it is reached from elsewhere.
pub(super) fn is_open(listen: Option<SocketAddr>, server: &Server, tokens: &[Token]) -> bool {
    tokens.is_empty() && !server.insecure && is_beyond(listen)
}

/// Reached from beyond this machine, perhaps.
fn is_beyond(listen: Option<SocketAddr>) -> bool {
    listen.is_some_and(|listen| !listen.ip().to_canonical().is_loopback())
}

impl Found<'_> {
    /// The tokens of the file; what is wrong becomes problems.
    pub fn tokens(&mut self, root: &Table) -> Vec<Token> {
        let Some(Node { value: Value::Table(server), .. }) = root.get("server") else {
            return Vec::new();
        };
        let mut names: BTreeMap<String, Place> = BTreeMap::new();
        let mut tokens: Vec<Token> = Vec::new();
        for mut entry in Entry::all_within(server, "server", "token", &mut self.problems) {
            let name = entry.demand("name", name, &mut self.problems);
            if let Some(name) = &name {
                entry.path = join("server.token", name);
                if let Some(first) = names.insert(name.clone(), entry.node.place.clone()) {
                    let problem = entry.node.problem(&entry.path, format!("the token at {first} has this name too"));
                    self.problems.push(problem.hint("every token has a name of its own"));
                }
            }
            check_keys(entry.table, &entry.path, KEYS, &mut self.problems);
            let hash = self.hash(&entry);
            let scopes = entry.demand("scopes", scopes, &mut self.problems);
            let (Some(name), Some(hash), Some(scopes)) = (name, hash, scopes) else { continue };
            if let Some(same) = tokens.iter().find(|token| bool::from(token.hash.is(&hash))) {
                let problem = entry.node.problem(&entry.path, format!("is the same token as `{}`", same.name));
                self.problems.push(problem.hint(MAKE));
            }
            tokens.push(Token { name, hash, scopes });
        }
        tokens
    }

    /// From the hash itself, or by reference from the token.
    fn hash(&mut self, entry: &Entry<'_>) -> Option<TokenHash> {
        match (entry.table.get("sha256"), entry.table.get("token")) {
            (Some(_), None) => entry.read("sha256", sha256, &mut self.problems),
            (None, Some(node)) => self.by_reference(node, &entry.path_of("token")),
            (both, _) => {
                let message =
                    if both.is_some() { "has both `sha256` and `token`" } else { "has neither `sha256` nor `token`" };
                self.problems.push(entry.node.problem(&entry.path, message).hint(MAKE));
                None
            }
        }
    }

    fn by_reference(&mut self, node: &Node, key: &str) -> Option<TokenHash> {
        let hint = "write { env = \"NAME\" } or { file = \"PATH\" }, or the token's `sha256` instead";
        let value = self.referred(node, key, hint).and_then(|(reference, value)| {
            // RFC 6750, 2.1: what can be sent at all.
            let is_sendable = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            match value.len() {
                SHORTEST..=LONGEST_TOKEN if value.bytes().all(is_sendable) => Ok(TokenHash::of(value.as_bytes())),
                SHORTEST..=LONGEST_TOKEN => failure(
                    format!("the {reference} holds a character that no token has: only A-Z a-z 0-9 - . _ ~ + / ="),
                    MAKE,
                ),
                length if length < SHORTEST => failure(
                    format!("the {reference} gives fewer than {SHORTEST} characters: it could be guessed"),
                    MAKE,
                ),
                _ => failure(format!("the {reference} gives more than {LONGEST_TOKEN} characters"), MAKE),
            }
        });
        value.map_err(|failure| self.problems.push(node.problem(key, failure.message).hint(failure.hint))).ok()
    }

    /// Beyond loopback somebody must have said who may do what, or that nobody need be asked.
    pub fn check_strangers(&mut self, server: &Server, listen: &Place, tokens: &[Token]) {
        let said = |problem: Problem| problem.at(listen.to_string());
        if server.listen.is_none() && server.socket.is_none() {
            let problem = said(Problem::new(
                "server.listen",
                "is empty, and so is `server.socket`: nobody could ask for anything",
            ));
            self.problems.push(problem.hint("write listen = \"127.0.0.1:7766\" or socket = \"herald.sock\""));
        }
        // A token that is wrong is told of; that there is none would be no news.
        let is_told = self.problems.iter().any(|problem| problem.key.starts_with("server.token"));
        if is_open(server.listen, server, tokens) && !is_told {
            self.problems.push(said(Problem::new(
                "server.listen",
                "this address is reached from beyond this machine, and no token is configured: whoever reaches it could send events and read every delivery",
            ).hint(
                "run `herald token new` and add the [[server.token]] that it prints; or write listen = \"127.0.0.1:7766\"; or, only where something else keeps strangers out, start with --insecure or write insecure = true in [server]",
            )));
        } else if server.insecure && tokens.is_empty() && is_beyond(server.listen) {
            self.warnings.push(said(
                Problem::new(
                    "server.insecure",
                    "whoever reaches this host can send events and read every delivery: no token is asked for",
                )
                .hint("`herald token new` makes one"),
            ));
        }
    }
}

fn sha256(node: &Node) -> Checked<TokenHash> {
    match TokenHash::from_hex(&text(node)?) {
        Some(hash) => Ok(hash),
        // Not printed: it may be the token itself.
        None => wrong(node, "is not a SHA-256 of 64 hexadecimal digits", MAKE),
    }
}

/// One scope, or a list of them that is not empty.
fn scopes(node: &Node) -> Checked<Scopes> {
    match &node.value {
        Value::Array(items) if items.is_empty() => {
            wrong(node, "is empty", "name one or more of \"events:write\", \"read\" and \"manage\"")
        }
        Value::Array(_) => Ok(list(choice(Scope::NAMES))(node)?.into_iter().collect()),
        _ => choice(Scope::NAMES)(node).map(|scope| std::iter::once(scope).collect()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use std::fs;

    use super::*;
    use crate::config::tests::{Case, SECRET};

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn token(keys: &str) -> String {
        format!("[[server.token]]\n{keys}\n")
    }

    #[test]
    fn a_token_is_a_hash_or_a_reference_and_its_scopes() {
        let plain = format!("{SECRET}-{}", "x".repeat(32));
        let case = Case::new(
            token(&format!("name = \"a\"\nsha256 = \"{HASH}\"\nscopes = [\"events:write\", \"read\"]"))
                + &token("name = \"b\"\ntoken = { file = \"b\" }\nscopes = \"manage\""),
        );
        fs::write(case.folder.path().join("b"), format!("{plain}\n")).unwrap();
        let config = case.config();
        let [a, b] = config.tokens.as_slice() else { panic!() };
        assert!(a.scopes.has(Scope::EventsWrite) && a.scopes.has(Scope::Read) && !a.scopes.has(Scope::Manage));
        assert!(bool::from(b.hash.is(&TokenHash::of(plain.as_bytes()))) && b.scopes.has(Scope::Manage));
        assert!(!format!("{config:?}").contains(HASH));
    }

    #[test]
    fn what_is_wrong_with_a_token_is_said_without_it() {
        let case = Case::new(
            [
                token("name = \"a\"\nsha256 = \"s3cret-T0ken\"\nscopes = []"),
                token("name = \"a\"\ntoken = \"s3cret-T0ken\"\nscopes = \"raed\"\nscope = 1"),
                token("name = \"c\"\ntoken = { env = \"SLACK_WEBHOOK_URL\" }"),
                token("sha256 = 3\ntoken = { env = \"A\" }\nscopes = [\"read\"]"),
                token(&format!("name = \"e\"\nsha256 = \"{HASH}\"\nscopes = \"read\"")),
                token(&format!("name = \"f\"\nsha256 = \"{HASH}\"\nscopes = \"read\"")),
                token("name = \"g\"\nscopes = \"read\""),
            ]
            .concat(),
        );
        let starts = [
            "herald.toml:3: server.token.a.sha256: is not a SHA-256 of 64 hexadecimal digits (`herald token new` ",
            "herald.toml:4: server.token.a.scopes: is empty (name one or more of \"events:write\"",
            "herald.toml:5: server.token.a: the token at herald.toml:1 has this name too",
            "herald.toml:7: server.token.a.token: is no reference (write { env",
            "herald.toml:8: server.token.a.scopes: must be `events:write` or `read` or `manage` (did you mean `read`?)",
            "herald.toml:9: server.token.a.scope: there is no such setting (did you mean `scopes`?)",
            "herald.toml:10: server.token.c.scopes: is missing",
            "herald.toml:12: server.token.c.token: the environment variable SLACK_WEBHOOK_URL gives fewer than 32 char",
            "herald.toml:13: server.token[3].name: is missing",
            "herald.toml:13: server.token[3]: has both `sha256` and `token`",
            "herald.toml:21: server.token.f: is the same token as `e`",
            "herald.toml:25: server.token.g: has neither `sha256` nor `token`",
        ];
        let mut problems = case.problems();
        problems.sort_by_key(|problem| starts.iter().position(|start| problem.starts_with(start)));
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}\n  should start with\n{start}\n{problems:#?}");
        }
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        assert_eq!(
            Case::new("[server]\ntoken = \"s3cret-T0ken\"").problems(),
            ["herald.toml:2: server.token: must be a list of tables, not text (write [[server.token]])"]
        );
    }

    #[test]
    fn beyond_loopback_a_token_is_asked_for_or_that_nobody_need_be_asked() {
        const OPEN: &str = "this address is reached from beyond this machine, and no token is configured";
        for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.7:1", "[::ffff:10.0.0.7]:1", "[fe80::1]:1"] {
            let server = format!("[server]\nlisten = \"{listen}\"\n");
            let problems = Case::new(&server).problems();
            assert!(
                problems.len() == 1 && problems[0].starts_with(&format!("herald.toml:2: server.listen: {OPEN}")),
                "{problems:?}"
            );
            for part in
                ["herald token new", "[[server.token]]", "--insecure", "insecure = true", "listen = \"127.0.0.1:7766\""]
            {
                assert!(problems[0].contains(part), "{part} in {problems:?}");
            }
            let insecure = Case::new(format!("{server}insecure = true\n"));
            let config = insecure.config();
            let warnings = insecure.lines(&config.warnings);
            assert!(
                warnings[0].starts_with("herald.toml:2: server.insecure: whoever reaches this host"),
                "{warnings:?}"
            );
            let entry = token(&format!("name = \"a\"\nsha256 = \"{HASH}\"\nscopes = \"read\""));
            assert!(Case::new(server + &entry).config().warnings.is_empty());
        }
        for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(Case::new(format!("[server]\nlisten = \"{listen}\"\n")).config().warnings.is_empty(), "{listen}");
        }
        let outside = Case::new("").env(&[("HERALD_SERVER__LISTEN", "0.0.0.0:1")]);
        assert!(outside.problems()[0].starts_with("environment HERALD_SERVER__LISTEN: server.listen: "));
        let outside = outside.flags(&[("server.insecure", "true")]);
        assert_eq!(outside.config().warnings.iter().count(), 1);
    }
}
