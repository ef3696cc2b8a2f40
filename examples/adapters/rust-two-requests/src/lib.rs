//! The channel type `tickets`: a ticket for each subject, and a comment in it for each event.
//!
//! The service takes two requests for the first event of a subject: one that opens a ticket and is answered with its
//! number, and one that comments on it. Later events of the subject comment on the ticket that is there.

use herald_channel::{
    About, Auth, Channel, Context, Event, Hop, Receipt, Refusal, Request, Response, Secret, Verdict, replies,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The adapter.
pub struct Tickets;

/// A channel's settings. Their schema, `settings.schema.json`, is written from this by `cargo test`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Of the service, without a slash at its end.
    #[schemars(url, title = "Address")]
    url: String,
    /// The service's token.
    // A secret: the adapter sees a random handle in its place.
    #[schemars(title = "Token")]
    token: Secret,
}

impl Settings {
    fn post(&self, path: &str, body: &impl Serialize) -> Result<Request, Refusal> {
        let mut request = Request::json("POST", format!("{}{path}", self.url), body)?;
        request.auth = Some(Auth::Bearer(self.token.as_str().to_owned()));
        Ok(request)
    }

    fn open(&self, event: &Event) -> Result<Request, Refusal> {
        #[derive(Serialize)]
        struct Opening<'a> {
            summary: &'a str,
        }
        self.post("/tickets", &Opening { summary: event.subject.as_ref().unwrap_or(&event.title) })
    }

    fn comment(&self, ticket: &str, event: &Event) -> Result<Request, Refusal> {
        #[derive(Serialize)]
        struct Comment<'a> {
            text: &'a str,
        }
        self.post(&format!("/tickets/{ticket}/comments"), &Comment { text: &event.title })
    }
}

/// What is kept between two requests. The host writes it down before it sends the second one, so that a crash in between
/// opens no second ticket.
#[derive(Serialize, Deserialize)]
enum Waiting {
    /// For the number of a ticket that takes the place of one that is gone.
    ForTicket,
    /// For the answer to a comment on this ticket.
    ForComment(String),
}

#[derive(Deserialize)]
struct Opened {
    id: u64,
}

impl Channel for Tickets {
    type Settings = Settings;

    const ABOUT: About = About {
        title: "Tickets",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Opens a ticket for a subject, and comments on it.",
        hosts: &[],
    };

    /// The first request. `context.reference` is what the last delivered event of this subject has left: its ticket.
    fn render(settings: Settings, context: &Context, event: &Event) -> Result<Request, Refusal> {
        match &context.reference {
            Some(ticket) => settings.comment(ticket, event),
            None => settings.open(event),
        }
    }

    /// `state` is empty when this is the answer to what `render` made, else what went with the request before.
    fn interpret(context: &Context, event: &Event, state: &[u8], response: &Response) -> Verdict {
        let waiting = match (serde_json::from_slice(state), &context.reference) {
            (Ok(waiting), _) => waiting,
            (Err(_), Some(ticket)) => Waiting::ForComment(ticket.clone()),
            (Err(_), None) => Waiting::ForTicket,
        };
        match (waiting, replies::by_status(context, response)) {
            (Waiting::ForTicket, Verdict::Delivered(_)) => match serde_json::from_str::<Opened>(&response.body) {
                Ok(opened) => {
                    let ticket = opened.id.to_string();
                    next(context, |settings| settings.comment(&ticket, event), Waiting::ForComment(ticket.clone()))
                }
                Err(error) => Verdict::Rejected(format!("the answer names no ticket: {error}")),
            },
            // What later events of this subject get as their reference.
            (Waiting::ForComment(ticket), Verdict::Delivered(_)) => {
                Verdict::Delivered(Receipt { reference: Some(ticket) })
            }
            // The ticket of an earlier event is gone: a new one.
            (Waiting::ForComment(_), _) if response.status == 404 && state.is_empty() => {
                next(context, |settings| settings.open(event), Waiting::ForTicket)
            }
            (_, other) => other,
        }
    }
}

/// One more request of this delivery, and what is to be known when its answer comes.
fn next(context: &Context, request: impl FnOnce(&Settings) -> Result<Request, Refusal>, waiting: Waiting) -> Verdict {
    let request = context.settings::<Settings>().and_then(|settings| request(&settings));
    match (request, serde_json::to_vec(&waiting)) {
        (Ok(request), Ok(state)) => Verdict::Next(Hop { request, state }),
        _ => Verdict::Rejected("the second request can't be made".into()),
    }
}

herald_channel::conversational_channel!(Tickets);

#[cfg(test)]
mod tests {
    #[test]
    fn schema() {
        herald_channel::schema::check::<super::Tickets>(env!("CARGO_MANIFEST_DIR"));
    }
}
