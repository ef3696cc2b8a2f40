//! How the host authenticates a request, as files write it down. As in the settings of the webhook adapter; the names of
//! members may be written in JavaScript's way, too.

use herald_channel::{Auth, AwsSigv4, ClientAuth, Hash, Hmac, Oauth2};
use serde::Deserialize;

/// One scheme with its particulars.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum Scheme {
    Basic {
        username: String,
        password: String,
    },
    Bearer(String),
    #[serde(alias = "standardWebhooks")]
    StandardWebhooks(Vec<String>),
    Hmac {
        secret: String,
        header: String,
        #[serde(default)]
        hash: Digest,
        #[serde(default)]
        prefix: String,
    },
    Oauth2 {
        #[serde(alias = "tokenUrl")]
        token_url: String,
        #[serde(alias = "clientId")]
        client_id: String,
        #[serde(alias = "clientSecret")]
        client_secret: String,
        #[serde(default)]
        scopes: Vec<String>,
        #[serde(default, alias = "clientAuth")]
        client_auth: Client,
        audience: Option<String>,
    },
    #[serde(alias = "awsSigv4")]
    AwsSigv4 {
        #[serde(alias = "accessKeyId")]
        access_key_id: String,
        #[serde(alias = "secretAccessKey")]
        secret_access_key: String,
        #[serde(alias = "sessionToken")]
        session_token: Option<String>,
        region: String,
        service: String,
    },
}

/// The hash of [`Scheme::Hmac`].
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Digest {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

/// How the client of [`Scheme::Oauth2`] says who it is.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Client {
    #[default]
    Basic,
    Body,
}

impl From<Scheme> for Auth {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Basic { username, password } => Self::Basic((username, password)),
            Scheme::Bearer(token) => Self::Bearer(token),
            Scheme::StandardWebhooks(secrets) => Self::StandardWebhooks(secrets),
            Scheme::Hmac { secret, header, hash, prefix } => {
                let hash = match hash {
                    Digest::Sha1 => Hash::Sha1,
                    Digest::Sha256 => Hash::Sha256,
                    Digest::Sha512 => Hash::Sha512,
                };
                Self::Hmac(Hmac { secret, hash, header, prefix })
            }
            Scheme::Oauth2 { token_url, client_id, client_secret, scopes, client_auth, audience } => {
                let client_auth = match client_auth {
                    Client::Basic => ClientAuth::Basic,
                    Client::Body => ClientAuth::Body,
                };
                Self::Oauth2(Oauth2 { token_url, client_id, client_secret, scopes, client_auth, audience })
            }
            Scheme::AwsSigv4 { access_key_id, secret_access_key, session_token, region, service } => {
                Self::AwsSigv4(AwsSigv4 { access_key_id, secret_access_key, session_token, region, service })
            }
        }
    }
}
