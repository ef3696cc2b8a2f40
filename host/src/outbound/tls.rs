//! TLS as it is spoken on the way out: 1.2 and 1.3, by ring, with certificates verified in any case.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    sign::SingleCertAndKey,
};
use rustls_platform_verifier::Verifier;

use crate::model::Tls;

/// The machine's own authorities, read once; none when it has none that can be used.
#[derive(Clone)]
pub(super) struct Machine(Option<Arc<Verifier>>);

impl Machine {
    /// Without any it warns, and https will fail, but where a channel names its own.
    pub(super) fn read() -> Self {
        Self(match Verifier::new(Arc::new(ring::default_provider())) {
            Ok(verifier) => Some(Arc::new(verifier)),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "no https receiver can be trusted: install CA certificates, or name them in SSL_CERT_FILE"
                );
                None
            }
        })
    }
}

/// Trusts the machine's authorities, or in their place those that `tls` names, and shows what it gives to be shown.
pub(super) fn config(machine: &Machine, tls: &Tls) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match (&tls.roots, &machine.0) {
        (Some(roots), _) => builder.with_root_certificates(roots.roots()),
        (None, Some(verifier)) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::<Verifier>::clone(verifier))
        }
        (None, None) => builder.with_root_certificates(RootCertStore::empty()),
    };
    let mut config = match &tls.identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key()))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
