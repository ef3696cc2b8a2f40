//! Prefixed ids, ordered by the time of their making.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use ulid::Ulid;

use super::Millis;

/// The text is not the prefix and 26 characters of Crockford's base 32.
#[derive(Debug, thiserror::Error)]
#[error("not {what}: they look like {prefix}01kb0c6zj3v5t8w2n4x7q9r1se")]
pub struct InvalidId {
    what: &'static str,
    prefix: &'static str,
}

/// Makes, of each kind of id, a type with its prefix.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ulid);

        impl $name {
            /// Makes an id of the time and 80 random bits.
            pub fn new(now: Millis, random: u128) -> Self {
                Self(Ulid::from_parts(now, random))
            }

            /// For the store: 16 bytes that sort as the ids do.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// The reverse of [`Self::to_bytes`].
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; ulid::ULID_LEN];
                let text = self.0.array_to_str(&mut text);
                text.make_ascii_lowercase();
                write!(f, "{}{text}", $prefix)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = InvalidId { what: $what, prefix: $prefix };
                let Some(rest) = text.strip_prefix($prefix) else { return Err(invalid) };
                Ulid::from_string(rest).map(Self).map_err(|_| invalid)
            }
        }
    )*};
}

ids! {
    /// A delivery's id, `dlv_…`: the same for every attempt, so that receivers can drop doubles.
    DeliveryId = "dlv_", "a delivery id";
    /// The id of bulk work, `job_…`.
    JobId = "job_", "a job id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_text_and_its_bytes() {
        let id = DeliveryId::new(1_700_000_000_000, 42);
        assert_eq!(id.to_string().parse::<DeliveryId>().unwrap(), id);
        assert_eq!(DeliveryId::from_bytes(id.to_bytes()), id);
        assert!(DeliveryId::new(1_700_000_000_001, 0) > id, "later ids sort later");
        for nonsense in ["", "dlv_", "evt_01kb0c6zj3v5t8w2n4x7q9r1se", "dlv_01kb0c6zj3v5t8w2n4x7q9r1s", "dlv_é"] {
            assert!(nonsense.parse::<DeliveryId>().is_err(), "{nonsense}");
        }
    }
}
