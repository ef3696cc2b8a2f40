//! Sizes: a number of bytes, with or without a unit.
//!
//! Must not print the value that it refuses, nor look at anything but the node.

use std::ops::RangeInclusive;

use super::{
    raw::{Node, Value},
    value::{Checked, within, wrong, wrong_type},
};

const UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A number of bytes, `1048576` or `"1 MiB"`, in a range.
pub(super) fn size<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Checked<T> {
    const HINT: &str = "write a whole number of bytes, or one with its unit: \"64 KiB\", \"1 MiB\", \"2 GiB\"";
    move |node| {
        let bytes = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => match parse_size(text) {
                None => return wrong(node, "is not a size", HINT),
                bytes => bytes,
            },
            _ => return wrong_type(node, "a size such as \"1 MiB\""),
        };
        let bytes = within(node, bytes, &range, |limit| show_size(*limit))?;
        T::try_from(bytes).or_else(|_| wrong(node, "is more than this machine can count", "write less"))
    }
}

/// A size in a range, or 0, which stands for no limit.
pub(super) fn limit(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Checked<u64> {
    let size = size(range);
    move |node| match &node.value {
        Value::Integer(0) => Ok(0),
        Value::Text(text) if text.trim() == "0" => Ok(0),
        _ => size(node).map_err(|mut faults| {
            for fault in &mut faults {
                fault.problem.hint.get_or_insert_with(|| "0 stands for no limit".to_owned());
            }
            faults
        }),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start();
    let factor = match unit {
        "" => 1,
        _ => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn show_size(bytes: u64) -> String {
    let binary = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = binary.iter().find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| format!("{bytes} bytes"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;
    use crate::config::value::tests::read;

    #[test]
    fn sizes() {
        let size = |toml| read(toml, size(1 << 10..=1 << 30));
        assert_eq!(size("2048"), Ok(2048));
        assert_eq!(size("\"1 MiB\""), Ok(1 << 20));
        assert_eq!(size("\"64KiB\""), Ok(64 << 10));
        assert_eq!(size("\"5 kB\""), Ok(5000));
        for out in ["-1", "0", "1023", "\"2 GiB\"", "\"1 KB\""] {
            assert_eq!(size(out).unwrap_err(), "here: must lie between 1 KiB and 1 GiB");
        }
        for none in ["\"1 XB\"", "\"s3cret\"", "\"1.5 MiB\"", "\"99999999999999 GiB\"", "\"-1 MiB\""] {
            assert!(size(none).unwrap_err().starts_with("here: is not a size (write"), "{none}");
        }
        assert_eq!(size("true").unwrap_err(), "here: must be a size such as \"1 MiB\", not true or false");
    }

    #[test]
    fn limits() {
        let limit = |toml| read(toml, limit(1 << 20..=1 << 48));
        assert_eq!(limit("0"), Ok(0));
        assert_eq!(limit("\"0\""), Ok(0));
        assert_eq!(limit("\"10 GiB\""), Ok(10 << 30));
        assert_eq!(limit("\"2 TB\""), Ok(2_000_000_000_000));
        for out in ["-1", "10", "\"0 MiB\"", "\"257 TiB\""] {
            assert_eq!(limit(out).unwrap_err(), "here: must lie between 1 MiB and 256 TiB (0 stands for no limit)");
        }
        assert!(limit("\"s3cret\"").unwrap_err().starts_with("here: is not a size (write"));
    }
}
