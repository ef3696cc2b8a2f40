//! Tokens: who may do what by the API.
//!
//! Of a token only its SHA-256 is known. A plain hash is enough, without salt or a slow function: those keep passwords,
//! which people choose, from being guessed, and a token is 32 random bytes, which nobody guesses.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// What a token may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To post events.
    EventsWrite,
    /// To see what there is: deliveries with their requests and responses, channels, adapters, metrics.
    Read,
    /// To change what happens: retry, cancel, replay, test, enable, disable, stop.
    Manage,
}

impl Scope {
    /// All of them, by the names that they have in the config.
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("events:write", Self::EventsWrite), ("read", Self::Read), ("manage", Self::Manage)];

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, scope)| *scope)
    }

    fn bit(self) -> u8 {
        match self {
            Self::EventsWrite => 1,
            Self::Read => 2,
            Self::Manage => 4,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EventsWrite => "events:write",
            Self::Read => "read",
            Self::Manage => "manage",
        })
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether it is one of them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// The SHA-256 of a token. Not printed: nobody who reads a log needs it.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of a token as it is sent.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Written as 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        Some(Self(hash))
    }

    /// The reverse of [`Self::from_hex`].
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Whether it is the same, in a time that does not tell how much of it is.
    pub fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A token as the config knows it.
#[derive(Debug, Clone)]
pub struct Token {
    /// For people.
    pub name: String,
    /// What is known of the token itself.
    pub hash: TokenHash,
    /// What it allows.
    pub scopes: Scopes,
}

/// A longer one is not looked at: none has more bytes.
pub const LONGEST_TOKEN: usize = 512;

/// What whoever presents this text may do; `None`: it is none of the tokens. The time depends on how many there are, not
/// on which it is or how much of one was guessed.
pub fn scopes_of(presented: &[u8], tokens: &[Token]) -> Option<Scopes> {
    if presented.len() > LONGEST_TOKEN {
        return None;
    }
    let hash = TokenHash::of(presented);
    let (mut known, mut bits) = (Choice::from(0), 0);
    for token in tokens {
        let same = token.hash.is(&hash);
        known |= same;
        bits |= u8::conditional_select(&0, &token.scopes.0, same);
    }
    bool::from(known).then_some(Scopes(bits))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_token_allows_its_scopes_and_another_text_nothing() {
        let token = |text: &str, scopes: &[Scope]| Token {
            name: text.to_owned(),
            hash: TokenHash::of(text.as_bytes()),
            scopes: scopes.iter().copied().collect(),
        };
        let tokens = [token("first", &[Scope::EventsWrite]), token("second", &[Scope::Read, Scope::Manage])];
        let first = scopes_of(b"first", &tokens).unwrap();
        assert_eq!(
            [Scope::EventsWrite, Scope::Read, Scope::Manage].map(|scope| first.has(scope)),
            [true, false, false]
        );
        let second = scopes_of(b"second", &tokens).unwrap();
        assert_eq!(
            [Scope::EventsWrite, Scope::Read, Scope::Manage].map(|scope| second.has(scope)),
            [false, true, true]
        );
        for other in ["", "firs", "first ", "First", &"x".repeat(LONGEST_TOKEN + 1)] {
            assert_eq!(scopes_of(other.as_bytes(), &tokens), None, "{other}");
        }
        assert_eq!(scopes_of(b"first", &[]), None);
    }

    #[test]
    fn a_hash_is_written_as_sha256sum_writes_it_and_not_printed() {
        let hash = TokenHash::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_hex(), hex);
        assert!(bool::from(TokenHash::from_hex(&hex.to_uppercase()).unwrap().is(&hash)));
        assert!(TokenHash::from_hex(&hex[1..]).is_none() && TokenHash::from_hex("").is_none());
        assert_eq!(format!("{hash:?}"), "…");
    }

    #[test]
    fn scopes_have_one_name_each() {
        for (name, scope) in Scope::NAMES {
            assert_eq!((scope.to_string().as_str(), Scope::from_name(name)), (*name, Some(*scope)));
        }
        assert_eq!(Scope::from_name("admin"), None);
    }
}
