//! What an application posts, what it is answered, and what must have been received of it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard},
};

use herald::clock::pause;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Dice, host::http, receiver::Received, within};

/// The routes that [`wanted`] knows: to three channels by type, by type and alias, and by project.
pub const ROUTES: &str = "[[route]]\nevents = [\"crash.*\"]\nchannel = \"all\"\n\
    [[route]]\nevents = [\"crash.red\", \"other.*\"]\nchannel = \"red\"\n\
    [[route]]\nproject = \"p1\"\nchannel = \"project\"\n";

/// The channels that an event goes to.
fn wanted(kind: &str, project: &str) -> Vec<&'static str> {
    let channels = [("all", kind.starts_with("crash.")), ("red", kind == "crash.red"), ("project", project == "p1")];
    channels.into_iter().filter(|(_, wants)| *wants).map(|(name, _)| name).collect()
}

/// A webhook channel; the path of its URL is its name.
pub fn webhook(name: &str, url: &str) -> String {
    format!("[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{url}\"\n")
}

/// One event, or a list that is accepted whole or not at all.
struct Post {
    body: String,
    /// Ids, and the channels that want them.
    events: Vec<(String, Vec<&'static str>)>,
    answered: bool,
}

/// What was posted by all applications together.
#[derive(Default)]
struct Book {
    posts: Vec<Post>,
    /// Posts without an answer that their application will send again.
    again: VecDeque<usize>,
    events: usize,
}

pub struct Ledger {
    book: Mutex<Book>,
    http: reqwest::Client,
    /// The longest that an application waits between two posts, in milliseconds.
    pace: u64,
    /// What stands in each event beside all else.
    padding: String,
    /// What was not answered is posted again, mostly.
    again: bool,
    accepted: Notify,
}

/// What came of it.
#[derive(Debug)]
pub struct Tally {
    pub answered: usize,
    pub unanswered: usize,
    /// Of those, how many were received all the same.
    pub unanswered_and_received: usize,
    pub deliveries: usize,
    /// Requests beyond the first that was answered with 200.
    pub doubles: usize,
}

impl Ledger {
    pub fn new(pace: u64) -> Self {
        Self {
            book: Mutex::default(),
            http: http(),
            pace,
            padding: String::new(),
            again: true,
            accepted: Notify::new(),
        }
    }

    /// Events are larger by so much.
    pub fn padded(self, bytes: usize) -> Self {
        Self { padding: "x".repeat(bytes), ..self }
    }

    /// Nothing is posted a second time.
    pub fn only_once(self) -> Self {
        Self { again: false, ..self }
    }

    /// As several applications that post one after another each, until the host is not there any more.
    pub async fn post_until_gone(&self, url: &str, dice: &mut Dice) {
        let applications = (0..3).map(|_| self.application(url, dice.fork()));
        futures_util::future::join_all(applications).await;
    }

    async fn application(&self, url: &str, mut dice: Dice) {
        loop {
            pause(dice.up_to(self.pace)).await;
            let number = self.next(&mut dice);
            match self.post(url, number).await {
                Some(StatusCode::ACCEPTED) => {}
                Some(StatusCode::SERVICE_UNAVAILABLE) => self.unanswered(number, &mut dice),
                Some(other) => panic!("a good event was answered with {other}"),
                None => return self.unanswered(number, &mut dice),
            }
        }
    }

    /// Not every application tries again.
    fn unanswered(&self, number: usize, dice: &mut Dice) {
        if self.again && !dice.one_in(3) {
            self.book().again.push_back(number);
        }
    }

    /// A post that was sent before, or a new one.
    fn next(&self, dice: &mut Dice) -> usize {
        let mut book = self.book();
        if dice.one_in(2)
            && let Some(number) = book.again.pop_front()
        {
            return number;
        }
        let count = if dice.one_in(5) { 2 + dice.below(3) } else { 1 };
        let (mut bodies, mut events) = (Vec::new(), Vec::new());
        for _ in 0..count {
            book.events += 1;
            let id = format!("e{}", book.events);
            let kind = ["crash.red", "crash.blue", "nobody.wants"][dice.below(3)];
            let project = ["p1", "p2"][dice.below(2)];
            bodies.push(json!({ "type": kind, "id": id, "project": project, "body": self.padding }));
            events.push((id, wanted(kind, project)));
        }
        let body = if count == 1 { bodies[0].to_string() } else { Value::Array(bodies).to_string() };
        book.posts.push(Post { body, events, answered: false });
        book.posts.len() - 1
    }

    /// The status of the answer, if there is one.
    async fn post(&self, url: &str, number: usize) -> Option<StatusCode> {
        let body = self.book().posts[number].body.clone();
        let answer = within("an answer", self.http.post(format!("{url}/v1/events")).body(body).send()).await.ok()?;
        let status = answer.status();
        if status == StatusCode::ACCEPTED {
            self.book().posts[number].answered = true;
            self.accepted.notify_waiters();
        }
        // Read to its end, so that the connection is used again.
        let _ = within("the end of an answer", answer.bytes()).await;
        Some(status)
    }

    /// Returns with the next 202.
    pub async fn next_accepted(&self) {
        within("a 202", self.accepted.notified()).await;
    }

    /// How many deliveries to a channel are certain, and how many there may be.
    pub fn deliveries(&self, channel: &str) -> (usize, usize) {
        let book = self.book();
        let count = |answered: bool| {
            let posts = book.posts.iter().filter(|post| post.answered || !answered);
            posts.flat_map(|post| &post.events).filter(|(_, channels)| channels.contains(&channel)).count()
        };
        (count(true), count(false))
    }

    /// Whether there is such an event, and goes to that channel.
    pub fn knows(&self, event: &str, channel: &str) -> bool {
        let book = self.book();
        let mut events = book.posts.iter().flat_map(|post| &post.events);
        events.any(|(id, channels)| id == event && channels.contains(&channel))
    }

    /// Panics unless all that was answered with 202 was received where it was wanted and nowhere else, all that was not
    /// answered was received whole or not at all, and doubles are doubles of one delivery.
    pub fn judge(&self, received: &[Received]) -> Tally {
        let mut ids: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
        let mut taken: BTreeMap<(String, String), usize> = BTreeMap::new();
        for request in received {
            let what = (event_id(request), request.path.trim_start_matches('/').to_owned());
            ids.entry(what.clone()).or_default().insert(request.header("herald-delivery-id"));
            *taken.entry(what).or_default() += usize::from(request.status == 200);
        }
        let deliveries = ids.len();
        let several: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(several.is_empty(), "one event on one channel under several delivery ids: {several:?}");
        let distinct: BTreeSet<_> = ids.values().flatten().collect();
        assert_eq!(distinct.len(), deliveries, "a delivery id stands for several deliveries");
        let doubles = taken.values().map(|count| count.saturating_sub(1)).sum();
        let mut tally = Tally { answered: 0, unanswered: 0, unanswered_and_received: 0, deliveries, doubles };
        for post in &self.book().posts {
            let (mut came, mut missing) = (Vec::new(), Vec::new());
            for (id, channel) in post.events.iter().flat_map(|(id, all)| all.iter().map(move |one| (id, *one))) {
                let what = (id.clone(), channel.to_owned());
                ids.remove(&what);
                if taken.get(&what).is_some_and(|count| *count > 0) { came.push(what) } else { missing.push(what) }
            }
            if post.answered {
                tally.answered += 1;
                assert!(missing.is_empty(), "answered with 202 and lost: {missing:?}");
            } else {
                tally.unanswered += 1;
                tally.unanswered_and_received += usize::from(!came.is_empty());
                assert!(came.is_empty() || missing.is_empty(), "half of a post: {came:?} without {missing:?}");
            }
        }
        assert!(ids.is_empty(), "received where nobody wants it: {:?}", ids.keys());
        tally
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

/// A guest made to order sends the bare id.
fn event_id(request: &Received) -> String {
    match serde_json::from_slice::<Value>(&request.body) {
        Ok(Value::Object(event)) => event["id"].as_str().unwrap().to_owned(),
        _ => request.text().to_owned(),
    }
}
