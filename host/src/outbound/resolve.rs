//! Hosts to addresses, with the guard between: the client connects only to addresses that came out of here, so the
//! address that was checked is the address that is connected to.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::Shared};
use url::Host;

use super::check::{Options, Refused};

pub(super) type Failed = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Found = Result<Vec<SocketAddr>, Unresolved>;
pub(super) type Lookup = Pin<Box<dyn Future<Output = Found> + Send>>;

/// The name has no address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unresolved(Arc<str>);

impl From<io::Error> for Unresolved {
    fn from(error: io::Error) -> Self {
        Self(error.to_string().into())
    }
}

/// The system's resolver behind the guard.
#[derive(Clone)]
pub(super) struct Guarded {
    options: Arc<Options>,
    lookups: Lookups,
}

impl Guarded {
    pub(super) fn new(options: Arc<Options>) -> Self {
        Self::by(options, system)
    }

    /// With names looked up in this way.
    pub(super) fn by(options: Arc<Options>, lookup: fn(String) -> Lookup) -> Self {
        Self { options, lookups: Lookups::new(lookup) }
    }

    /// Where the host may be connected to. A literal address was checked before any secret was put in; here none gets past.
    pub(super) async fn addresses(&self, host: Host<&str>, port: u16) -> Result<Vec<SocketAddr>, Failed> {
        let found = match host {
            Host::Ipv4(ip) => vec![SocketAddr::new(IpAddr::V4(ip), port)],
            Host::Ipv6(ip) => vec![SocketAddr::new(IpAddr::V6(ip), port)],
            Host::Domain(name) => {
                let mut found = self.lookups.find(name).await?;
                for address in &mut found {
                    address.set_port(port);
                }
                found
            }
        };
        passed(&self.options, &host.to_string(), found)
    }

    /// Where somebody is whom the operator names in the config: any address will do.
    pub(super) async fn unguarded(&self, host: &Host<String>, port: u16) -> Found {
        Ok(match host {
            Host::Ipv4(ip) => vec![SocketAddr::new(IpAddr::V4(*ip), port)],
            Host::Ipv6(ip) => vec![SocketAddr::new(IpAddr::V6(*ip), port)],
            Host::Domain(name) => {
                let found = self.lookups.find(name).await?;
                found.into_iter().map(|address| SocketAddr::new(address.ip(), port)).collect()
            }
        })
    }
}

fn system(name: String) -> Lookup {
    Box::pin(async move {
        // The port is the caller's to set.
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.collect())
    })
}

/// Lookups under way, one for each name. Each holds a thread until the name server has answered or was given up, which
/// takes longer than an exchange waits: without this, one name that hangs would in time take all threads from the others.
#[derive(Clone)]
struct Lookups {
    start: fn(String) -> Lookup,
    under_way: Arc<Mutex<HashMap<String, Shared<Lookup>>>>,
}

impl Lookups {
    fn new(start: fn(String) -> Lookup) -> Self {
        Self { start, under_way: Arc::default() }
    }

    /// Joins the lookup that is under way, or begins one. It comes to its end even when nobody waits for it any more.
    fn find(&self, name: &str) -> Shared<Lookup> {
        let mut under_way = self.lock();
        if let Some(lookup) = under_way.get(name).filter(|lookup| lookup.peek().is_none()) {
            return lookup.clone();
        }
        let (lookups, own) = (self.clone(), name.to_owned());
        let task = tokio::spawn(async move {
            let found = (lookups.start)(own.clone()).await;
            lookups.lock().remove(&own);
            found
        });
        let lookup: Lookup = Box::pin(async move { task.await.map_err(io::Error::from)? });
        let lookup = lookup.shared();
        under_way.insert(name.to_owned(), lookup.clone());
        lookup
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Shared<Lookup>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses that may be connected to; when none may, the first refusal.
fn passed(options: &Options, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Failed> {
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
        None if allowed.is_empty() => Err(Unresolved("the name has no addresses".into()).into()),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn only_allowed_addresses_of_a_name_pass() {
        let found = |ips: &[&str]| -> Vec<SocketAddr> {
            ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect()
        };
        let options = Options::default();
        let mixed = passed(&options, "a.com", found(&["10.0.0.1", "8.8.8.8", "::1"])).unwrap();
        assert_eq!(mixed, found(&["8.8.8.8"]));
        let refused = passed(&options, "a.com", found(&["169.254.169.254", "::1"])).unwrap_err();
        let refused = refused.downcast::<Refused>().unwrap();
        assert_eq!(
            refused.message,
            "a.com resolves to 169.254.169.254, a metadata address; only public addresses are sent to"
        );
        assert!(refused.hint.unwrap().ends_with(r#"outbound.allow_addresses = ["169.254.169.254/32"]"#));
        assert!(passed(&options, "a.com", vec![]).unwrap_err().downcast::<Unresolved>().is_ok());
    }

    #[tokio::test]
    async fn a_name_that_hangs_takes_one_thread_however_often_it_is_asked_for() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static ANSWERED: Semaphore = Semaphore::const_new(0);
        let address = SocketAddr::from(([8, 8, 8, 8], 0));
        let lookups = Lookups::new(|name| {
            Box::pin(async move {
                ASKED.fetch_add(1, Ordering::SeqCst);
                if name == "hangs.example" {
                    drop(ANSWERED.acquire().await);
                }
                Ok(vec![SocketAddr::from(([8, 8, 8, 8], 0))])
            })
        });
        let mut waiting: Vec<_> = (0..100).map(|_| lookups.find("hangs.example")).collect();
        // Most of those who asked give up before there is an answer.
        waiting.truncate(2);
        assert_eq!(lookups.find("good.example").await.unwrap(), [address], "another name is not held up");
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
        ANSWERED.add_permits(2);
        for lookup in waiting {
            assert_eq!(lookup.await.unwrap(), [address]);
        }
        assert_eq!(lookups.find("hangs.example").await.unwrap(), [address]);
        assert_eq!(ASKED.load(Ordering::SeqCst), 3, "an answer is not kept");
    }
}
