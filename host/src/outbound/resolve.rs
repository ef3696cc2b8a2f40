//! Names to addresses, with the guard between: the client connects only to addresses that came out of here, so the
//! address that was checked is the address that is connected to.
//!
//! The client does not ask for literal addresses: those are checked in [`super::check`].

use std::{io, net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{
    check::{Options, Refused},
    progress,
};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The system's resolver behind the guard.
pub(super) struct Guarded(pub(super) Arc<Options>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let options = Arc::clone(&self.0);
        let resolved = progress::resolving();
        Box::pin(async move {
            // The port is the client's to set.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            resolved();
            let addresses = passed(&options, name.as_str(), found?)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The addresses that may be connected to; when none may, the first refusal.
fn passed(options: &Options, name: &str, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Failed> {
    let mut refusal: Option<Refused> = None;
    let mut allowed = Vec::new();
    for address in found {
        match options.check_address(name, address.ip()) {
            Ok(()) => allowed.push(address),
            Err(refused) => refusal = refusal.or(Some(refused)),
        }
    }
    match refusal {
        Some(refused) if allowed.is_empty() => Err(refused.into()),
        None if allowed.is_empty() => Err(io::Error::other("the name has no addresses").into()),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_addresses_of_a_name_pass() {
        let found = |ips: &[&str]| -> Vec<SocketAddr> {
            ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect()
        };
        let options = Options::default();
        let mixed = passed(&options, "a.com", found(&["10.0.0.1", "8.8.8.8", "::1"]).into_iter()).unwrap();
        assert_eq!(mixed, found(&["8.8.8.8"]));
        let refused = passed(&options, "a.com", found(&["169.254.169.254", "::1"]).into_iter()).unwrap_err();
        let refused = refused.downcast::<Refused>().unwrap();
        assert_eq!(
            refused.message,
            "a.com resolves to 169.254.169.254, a metadata address; only public addresses are sent to"
        );
        assert!(refused.hint.unwrap().ends_with(r#"outbound.allow_addresses = ["169.254.169.254/32"]"#));
        assert!(passed(&options, "a.com", std::iter::empty()).unwrap_err().downcast::<io::Error>().is_ok());
    }
}
