//! A request whose bytes are made once; only numbers in it change.

use std::io::Write;

use anyhow::{Result, bail};

use crate::wire::{DIGITS, MARK};

/// What stands before the number of an event, and before its turn.
const NUMBER: &str = "number";
const TURN: &str = "turn";

/// A request, and where its numbers stand.
pub struct Request {
    bytes: Vec<u8>,
    sent: Vec<usize>,
    number: Vec<usize>,
    turn: Vec<usize>,
}

impl Request {
    /// Of the text, `SENTAT` becomes the time, `NUMBER` a number that no other event has, `TURN` one that comes again.
    pub fn new(path: &str, template: &str) -> Result<Self> {
        let digits = "0".repeat(DIGITS);
        let mut body = template.trim().to_owned();
        for (name, mark) in [("SENTAT", MARK), ("NUMBER", NUMBER), ("TURN", TURN)] {
            body = body.replace(name, &format!("{mark}{digits}"));
        }
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let bytes = (head + &body).into_bytes();
        let places = |mark: &str| {
            let before = format!("{mark}{digits}");
            memchr::memmem::find_iter(&bytes, &before).map(|at| at + mark.len()).collect()
        };
        let (sent, number, turn): (Vec<_>, Vec<_>, _) = (places(MARK), places(NUMBER), places(TURN));
        if sent.is_empty() || number.is_empty() {
            bail!("the body has no SENTAT or no NUMBER");
        }
        Ok(Self { bytes, sent, number, turn })
    }

    /// The bytes with these numbers.
    pub fn with(&mut self, sent: u64, number: u64, turn: u64) -> Result<&[u8]> {
        for (places, value) in [(&self.sent, sent), (&self.number, number), (&self.turn, turn)] {
            for at in places {
                if let Some(mut digits) = self.bytes.get_mut(*at..*at + DIGITS) {
                    write!(digits, "{value:0DIGITS$}")?;
                }
            }
        }
        Ok(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_numbers_of_a_request_change() {
        let mut request = Request::new("/", r#"{"id":"NUMBER","at":"SENTAT","again":"NUMBER","type":"TURN"}"#).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let first = text(request.with(1, 2, 3).unwrap());
        let body = first.split("\r\n\r\n").nth(1).unwrap();
        let twenty = |number: u64| format!("{number:020}");
        let expected = format!(
            r#"{{"id":"number{0}","at":"sentat{1}","again":"number{0}","type":"turn{2}"}}"#,
            twenty(2),
            twenty(1),
            twenty(3)
        );
        assert_eq!(body, expected);
        assert!(first.contains(&format!("content-length: {}\r\n", body.len())), "{first}");
        let second = text(request.with(u64::MAX, 0, 0).unwrap());
        assert_eq!(second.len(), first.len());
        assert!(second.contains(&format!("sentat{}", u64::MAX)), "{second}");
    }

    #[test]
    fn a_body_without_its_marks_is_refused() {
        assert!(Request::new("/", "{}").is_err());
    }
}
