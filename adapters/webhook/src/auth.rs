//! The setting `auth`: which scheme, and its particulars. The host does the work.

use herald_channel::{Auth, AwsSigv4, ClientAuth, Hash, Hmac, Oauth2, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scheme {
    Basic {
        #[schemars(regex(pattern = "^[^:]*$"))]
        username: String,
        #[schemars(length(min = 0))]
        password: Secret,
    },
    /// A token that doesn't change.
    Bearer(Secret),
    Hmac {
        secret: Secret,
        /// Where the digest of the body stands, in hexadecimal digits.
        #[schemars(length(min = 1))]
        header: String,
        #[serde(default)]
        hash: Digest,
        /// What stands before the digest: `sha256=`, say.
        #[serde(default)]
        prefix: String,
    },
    /// A token by the client credentials grant. Herald asks for it, and again when it has expired or the receiver answers 401.
    Oauth2 {
        #[schemars(url)]
        token_url: String,
        #[schemars(length(min = 1))]
        client_id: String,
        client_secret: Secret,
        #[serde(default)]
        #[schemars(inner(length(min = 1)))]
        scopes: Vec<String>,
        /// Where id and secret stand: in the header `authorization`, or in the form.
        #[serde(default)]
        client_auth: Client,
        #[schemars(length(min = 1))]
        audience: Option<String>,
    },
    /// AWS Signature Version 4.
    AwsSigv4 {
        #[schemars(length(min = 1))]
        access_key_id: String,
        secret_access_key: Secret,
        session_token: Option<Secret>,
        /// `eu-west-1`, say.
        #[schemars(length(min = 1))]
        region: String,
        /// As the signature names it: `execute-api`, `sns`, `lambda`.
        #[schemars(length(min = 1))]
        service: String,
    },
}

#[derive(Deserialize, Serialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

#[derive(Deserialize, Serialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    #[default]
    Basic,
    Body,
}

impl From<Scheme> for Auth {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Basic { username, password } => Self::Basic((username, password.into())),
            Scheme::Bearer(token) => Self::Bearer(token.into()),
            Scheme::Hmac { secret, header, hash, prefix } => {
                let hash = match hash {
                    Digest::Sha1 => Hash::Sha1,
                    Digest::Sha256 => Hash::Sha256,
                    Digest::Sha512 => Hash::Sha512,
                };
                Self::Hmac(Hmac { secret: secret.into(), hash, header, prefix })
            }
            Scheme::Oauth2 { token_url, client_id, client_secret, scopes, client_auth, audience } => {
                let client_auth = match client_auth {
                    Client::Basic => ClientAuth::Basic,
                    Client::Body => ClientAuth::Body,
                };
                let client_secret = client_secret.into();
                Self::Oauth2(Oauth2 { token_url, client_id, client_secret, scopes, client_auth, audience })
            }
            Scheme::AwsSigv4 { access_key_id, secret_access_key, session_token, region, service } => {
                Self::AwsSigv4(AwsSigv4 {
                    access_key_id,
                    secret_access_key: secret_access_key.into(),
                    session_token: session_token.map(Secret::into),
                    region,
                    service,
                })
            }
        }
    }
}
