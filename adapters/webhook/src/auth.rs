//! The setting `auth`: which scheme, and its particulars. The host does the work.

use herald_channel::{Auth, AwsSigv4, ClientAuth, Hash, Hmac, Oauth2};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    Basic {
        username: String,
        password: String,
    },
    Bearer(String),
    Hmac {
        secret: String,
        header: String,
        #[serde(default)]
        hash: Digest,
        #[serde(default)]
        prefix: String,
    },
    Oauth2 {
        token_url: String,
        client_id: String,
        client_secret: String,
        #[serde(default)]
        scopes: Vec<String>,
        #[serde(default)]
        client_auth: Client,
        audience: Option<String>,
    },
    AwsSigv4 {
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
        region: String,
        service: String,
    },
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
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
