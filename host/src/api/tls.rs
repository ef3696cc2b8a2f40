//! TLS for the API: TLS 1.2 and 1.3, by rustls with ring.
//!
//! Must not read files: what stands in them comes in.

use std::{io, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A certificate and its key, ready to be spoken under. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// What is said to a client that speaks plain HTTP here.
const PLAIN: &str = "{\"code\":\"tls_wanted\",\"message\":\"this host speaks TLS, and this was plain HTTP\",\"hint\":\"write https:// instead of http://\"}";

impl Tls {
    /// Of a chain of certificates, the host's own first, and its key, both PEM; or why they are no such thing. Neither is
    /// ever in what is said.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| "the certificate is not PEM")?;
        if chain.is_empty() {
            return Err("there is no certificate in the file: PEM begins with -----BEGIN CERTIFICATE-----".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| "there is no private key in it: PEM begins with -----BEGIN PRIVATE KEY-----, unencrypted")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| format!("certificate and key do not fit: {error}"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// The handshake, for as long as the client takes.
    pub(super) async fn accept(self, mut socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if socket.peek(&mut first).await? > 0 && first != [HANDSHAKE] {
            let length = PLAIN.len();
            let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n";
            let answer = format!("{head}content-length: {length}\r\n\r\n{PLAIN}");
            // What is left unread would reset the connection, and the answer might be lost.
            let _ = socket.try_read(&mut [0; 8 << 10]);
            socket.write_all(answer.as_bytes()).await?;
            socket.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP where TLS is spoken"));
        }
        TlsAcceptor::from(self.0).accept(socket).await
    }
}
