//! Puts the secrets into a request, in the place of their handles, in so many places and no more.
//!
//! Must not begin before the request's host has passed: that is [`mod@super::prepare`]'s work.

use std::{borrow::Cow, cell::Cell};

use super::{
    check::Refused,
    secrets::{HANDLE, Sealed},
};

/// No request needs secrets in more places. A secret may be 64 KiB long, its handle is short: a body of nothing but handles
/// would grow without bounds.
const MOST_PLACES: usize = 100;

/// Puts the secrets of one call into one request, in so many places and no more.
pub(super) struct Filling<'s> {
    sealed: &'s Sealed,
    left: Cell<usize>,
}

impl<'s> Filling<'s> {
    /// Begins one.
    pub fn of(sealed: &'s Sealed) -> Self {
        Self { sealed, left: Cell::new(MOST_PLACES) }
    }

    /// Whether there is something to put in.
    pub fn is_in(&self, text: &str) -> bool {
        self.sealed.is_in(text)
    }

    /// The text with each handle replaced by its value, escaped for where it stands.
    pub fn text<'t>(&self, text: &'t str, escape: impl Fn(&str) -> String) -> Result<Cow<'t, str>, Refused> {
        let mut filled = String::new();
        let mut done = 0;
        while let Some((at, value)) = self.next(text.as_bytes(), done)? {
            filled.push_str(text.get(done..at).unwrap_or_default());
            filled.push_str(&escape(value));
            done = at + HANDLE;
        }
        if done == 0 {
            return Ok(Cow::Borrowed(text));
        }
        filled.push_str(text.get(done..).unwrap_or_default());
        Ok(Cow::Owned(filled))
    }

    /// The text with each handle replaced by its value as it is.
    pub fn plain(&self, text: &str) -> Result<String, Refused> {
        self.text(text, str::to_owned).map(Cow::into_owned)
    }

    /// The bytes with each handle replaced by its value as it is.
    pub fn bytes<'t>(&self, bytes: &'t [u8]) -> Result<Cow<'t, [u8]>, Refused> {
        let mut filled = Vec::new();
        let mut done = 0;
        while let Some((at, value)) = self.next(bytes, done)? {
            filled.extend_from_slice(bytes.get(done..at).unwrap_or_default());
            filled.extend_from_slice(value.as_bytes());
            done = at + HANDLE;
        }
        if done == 0 {
            return Ok(Cow::Borrowed(bytes));
        }
        filled.extend_from_slice(bytes.get(done..).unwrap_or_default());
        Ok(Cow::Owned(filled))
    }

    fn next(&self, text: &[u8], from: usize) -> Result<Option<(usize, &'s str)>, Refused> {
        let found = self.sealed.find(text, from);
        if found.is_some() {
            let left = self.left.get().checked_sub(1).ok_or_else(|| {
                Refused::adapter(format!("the request has secrets in more than {MOST_PLACES} places"))
            })?;
            self.left.set(left);
        }
        Ok(found)
    }
}
