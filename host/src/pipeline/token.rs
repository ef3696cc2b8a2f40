//! The exchanges of a request that needs an access token: perhaps one for the token, the request, and once more with another
//! token when the receiver doesn't take this one.

use std::sync::Arc;

use super::deliver::{End, Work, broken};
use crate::{
    clock::Stopwatch,
    model::{Blame, FailReason, Oauth2, Request, Response, Verdict, judge_by_status},
    outbound::{AccessToken, NoToken, Sealed, token_request},
};

const UNAUTHORIZED: u16 = 401;

impl Work<'_> {
    /// All of it within the time of one exchange.
    pub async fn exchange_by_token(
        &mut self,
        request: &Request,
        oauth: &Oauth2,
        sealed: &Sealed,
    ) -> Result<Arc<Response>, End> {
        let watch = Stopwatch::start();
        let mut refused = None;
        loop {
            let token = self.token(oauth, sealed, refused.as_ref(), watch).await?;
            self.secrets = token.among(&self.secrets);
            let left = self.served.channel.timeout.saturating_sub(watch.elapsed());
            let response = self.send(&token.put_into(request), sealed, left).await?;
            if response.status != UNAUTHORIZED || refused.is_some() {
                return Ok(response);
            }
            refused = Some(token);
        }
    }

    /// The token to send with; `refused` is one that the receiver has just refused.
    async fn token(
        &mut self,
        oauth: &Oauth2,
        sealed: &Sealed,
        refused: Option<&Arc<AccessToken>>,
        watch: Stopwatch,
    ) -> Result<Arc<AccessToken>, End> {
        let client = &self.served.channel.client;
        let request = token_request(oauth, sealed, &self.destination(client.options()))?;
        let (host, shown) = (request.host(), request.sent(&self.secrets));
        let left = self.served.channel.timeout.saturating_sub(watch.elapsed());
        let now = self.inner.clock.now();
        let asked = self.inner.tokens.get(client, request, refused, (now, left), &self.secrets).await;
        if let Ok(token) = &asked.token {
            self.secrets = token.among(&self.secrets);
        }
        let noted = asked.sent.map(|sent| self.note(shown, sent));
        let why = match asked.token {
            Ok(token) => return Ok(token),
            Err(why) => why,
        };
        let endpoint = format!("no access token from the token endpoint {host}");
        let retry = |words: String| End::Retry {
            reason: format!("{endpoint}: {words}"),
            after_ms: None,
            blame: Blame::Receiver,
        };
        Err(match (why, noted) {
            (NoToken::Unusable(words), _) => retry(words),
            (_, Some(Ok(response))) => self.refusal(&endpoint, &response),
            (_, Some(Err(end))) => end.about(&endpoint),
            // Whoever was asking took all of the time.
            _ => broken(crate::model::TransportError::Timeout, "another attempt's request for it took too long")
                .about(&endpoint),
        })
    }

    /// What an answer other than 2xx means for the delivery.
    fn refusal(&self, endpoint: &str, response: &Response) -> End {
        let answered = match error_code(&response.body) {
            Some(code) => format!("it answered {}, {code}", response.status),
            None => format!("it answered {}", response.status),
        };
        match judge_by_status(response, self.inner.clock.now()) {
            Verdict::Retry { after_ms, .. } => {
                End::Retry { reason: format!("{endpoint}: {answered}"), after_ms, blame: Blame::Receiver }
            }
            _ => End::Failed {
                reason: FailReason::Rejected,
                blame: Blame::Settings,
                message: format!("{endpoint}: {answered}; look at the channel's `token_url`, client and scopes"),
            },
        }
    }
}

/// `invalid_client`, say (RFC 6749, 5.2): a word, or nothing.
pub(super) fn error_code(body: &str) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(body).ok()?;
    let code = answer.get("error")?.as_str()?;
    let is_word = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    is_word.then(|| code.to_owned())
}
