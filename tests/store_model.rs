//! The store against a model of it: whatever is done in whatever order, states, order and counts are what they must be.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use herald::{
    model::{Action, Attempt, DeliveryId, Event, EventType, FailReason, Outcome, State},
    store::{Acted, Due, Filter, HopAfter, NewDelivery, NewEvent, Next, Prune, Settled, Settlement, Store},
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    /// An event on both channels; its subject, if it has one.
    Accept(Option<u8>),
    /// An attempt of one of those that are due begins.
    Begin(u8),
    /// One that is under way ends.
    End(u8, End),
    Retry(u8),
    Cancel(u8),
    /// Time passes.
    Pass(u16),
    /// The host is killed and starts again.
    Reopen,
    /// What ended so long ago is taken away.
    Prune(u16),
}

#[derive(Debug, Clone, Copy)]
enum End {
    Delivered,
    Again(u16),
    Rejected,
    /// With a fallback to the plain channel.
    Exhausted,
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        3 => Just(End::Delivered),
        2 => (0_u16..500).prop_map(End::Again),
        1 => Just(End::Rejected),
        1 => Just(End::Exhausted),
    ];
    prop_oneof![
        6 => proptest::option::weighted(0.8, 0_u8..3).prop_map(Op::Accept),
        8 => any::<u8>().prop_map(Op::Begin),
        8 => (any::<u8>(), end).prop_map(|(which, end)| Op::End(which, end)),
        2 => any::<u8>().prop_map(Op::Retry),
        2 => any::<u8>().prop_map(Op::Cancel),
        3 => (0_u16..400).prop_map(Op::Pass),
        1 => Just(Op::Reopen),
        1 => (0_u16..2000).prop_map(Op::Prune),
    ]
}

/// What is known of a delivery without asking the store.
#[derive(Debug, Clone)]
struct Known {
    channel: &'static str,
    subject: Option<String>,
    state: State,
    /// Somebody has had it retried: it may be behind later ones.
    retried: bool,
    since: u64,
    ended_at: u64,
}

struct Model {
    store: Store,
    now: u64,
    known: BTreeMap<DeliveryId, Known>,
    under_way: Vec<Due>,
    events: u64,
    /// Of each subject of the ordered channel, what has ended, in that order.
    ended: BTreeMap<String, Vec<DeliveryId>>,
}

const CHANNELS: [&str; 2] = ["ordered", "plain"];

fn attempt(number: u32) -> Attempt {
    Attempt {
        number,
        started_at: 1,
        duration_us: 1,
        outcome: Outcome::Retry,
        reason: None,
        blame: None,
        adapter: None,
        exchanges: Vec::new(),
    }
}

fn event(number: u64, now: u64, subject: Option<String>) -> Event {
    Event {
        id: format!("e{number}"),
        source: String::new(),
        kind: EventType::new("test").unwrap(),
        title: String::new(),
        body: String::new(),
        url: None,
        project: None,
        subject,
        occurred_at: now,
        received_at: now,
        data: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
        payload: "{}".into(),
    }
}

impl Model {
    fn new_id(&self) -> DeliveryId {
        DeliveryId::new(self.now, rand::random())
    }

    fn pick(&self, which: u8) -> Option<DeliveryId> {
        let ids: Vec<_> = self.known.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[usize::from(which) % ids.len()])
    }

    fn end(&mut self, id: DeliveryId, state: State) {
        let known = self.known.get_mut(&id).unwrap();
        (known.state, known.ended_at) = (state, self.now);
        if let ("ordered", Some(subject), false) = (known.channel, known.subject.clone(), known.retried) {
            self.ended.entry(subject).or_default().push(id);
        }
    }

    async fn apply(&mut self, op: Op, path: &Path) {
        match op {
            Op::Accept(subject) => self.accept(subject.map(|subject| format!("s{subject}"))).await,
            Op::Begin(which) => self.begin(which).await,
            Op::End(which, end) => self.settle(which, end).await,
            Op::Retry(which) => self.act(Action::Retry, which).await,
            Op::Cancel(which) => self.act(Action::Cancel, which).await,
            Op::Pass(time) => self.now += u64::from(time),
            Op::Prune(age) => {
                let before = self.now.saturating_sub(u64::from(age));
                let what = Prune { before, bytes: u64::MAX, rest: before, thin: None };
                while self.store.prune(what).await.unwrap().more {}
                self.known.retain(|_, known| known.state == State::Pending || known.ended_at >= before);
                self.store.give_back().await.unwrap();
            }
            Op::Reopen => {
                // The lock on the file goes with the last handle.
                let other = tempfile::tempdir().unwrap();
                drop(std::mem::replace(&mut self.store, Store::open(&other.path().join("x.db")).unwrap()));
                self.store = Store::open(path).unwrap();
                self.under_way.clear();
            }
        }
    }

    async fn accept(&mut self, subject: Option<String>) {
        let mut deliveries = Vec::new();
        for channel in CHANNELS {
            let id = self.new_id();
            let sequence = subject.clone().filter(|_| channel == "ordered");
            deliveries.push(NewDelivery { id, channel: channel.to_owned(), sequence, first: false });
            let known = Known {
                channel,
                subject: subject.clone(),
                state: State::Pending,
                retried: false,
                since: self.now,
                ended_at: 0,
            };
            self.known.insert(id, known);
        }
        self.events += 1;
        let event = event(self.events, self.now, subject).into();
        self.store.accept(vec![NewEvent { event, deliveries }]).await.unwrap();
    }

    async fn begin(&mut self, which: u8) {
        let channel = CHANNELS[usize::from(which) % 2];
        let in_hand = self.under_way.iter().map(|due| due.delivery.id).collect();
        let mut due = self.store.due(channel, self.now, in_hand, 100).await.unwrap().due;
        if !due.is_empty() {
            self.under_way.push(due.swap_remove(usize::from(which) % due.len()));
        }
    }

    async fn settle(&mut self, which: u8, end: End) {
        if self.under_way.is_empty() {
            return;
        }
        let due = self.under_way.swap_remove(usize::from(which) % self.under_way.len());
        let channel = due.delivery.channel.clone();
        let id = due.delivery.id;
        let (next, state) = match end {
            End::Delivered => (Next::Delivered, State::Delivered),
            End::Again(after) => (Next::Again { at: self.now + u64::from(after), step: 1 }, State::Pending),
            End::Rejected => (Next::Failed(FailReason::Rejected), State::Failed),
            End::Exhausted => (Next::Failed(FailReason::Exhausted), State::Failed),
        };
        let falls_back = matches!(end, End::Exhausted) && channel == "ordered";
        let settlement = Settlement {
            seq: due.seq,
            since: due.delivery.since,
            channel: channel.clone(),
            attempt: attempt(due.delivery.attempts + 1),
            next,
            now: self.now,
            hop: HopAfter::None,
            thread: None,
            state: None,
            news: Vec::new(),
            failure: None,
            // Its event has a delivery there already, unless that was pruned: either way it is no second one.
            fallback: falls_back.then(|| NewDelivery {
                id: self.new_id(),
                channel: "plain".to_owned(),
                sequence: None,
                first: false,
            }),
        };
        let fallback = settlement.fallback.as_ref().map(|new| new.id);
        self.store.settle(vec![Arc::new(Settled::new(settlement).unwrap())]).await.unwrap();
        // What somebody has done meanwhile stands, but what was taken was taken; what was pruned is gone.
        let stands =
            self.known.get(&id).is_some_and(|known| known.state == State::Pending && known.since == due.delivery.since);
        if state == State::Delivered && self.known.contains_key(&id) || stands && state != State::Pending {
            self.end(id, state);
        }
        if let Some(fallback) = fallback
            && self.store.delivery(fallback).await.unwrap().is_some()
        {
            let known = Known {
                channel: "plain",
                subject: None,
                state: State::Pending,
                retried: false,
                since: self.now,
                ended_at: 0,
            };
            self.known.insert(fallback, known);
        }
    }

    async fn act(&mut self, action: Action, which: u8) {
        let Some(id) = self.pick(which) else { return };
        let acted = self.store.act(action, id, self.now).await.unwrap();
        let known = self.known[&id].clone();
        match (action, known.state) {
            (Action::Retry, State::Delivered)
            | (Action::Cancel, State::Delivered | State::Failed | State::Cancelled) => {
                assert_eq!(acted, Acted::Not(known.state));
            }
            (Action::Cancel, _) => {
                assert_eq!(acted, Acted::Done(known.channel.to_owned()));
                self.known.get_mut(&id).unwrap().retried = true;
                self.end(id, State::Cancelled);
            }
            _ => {
                assert_eq!(acted, Acted::Done(known.channel.to_owned()));
                let known = self.known.get_mut(&id).unwrap();
                (known.state, known.retried, known.since) = (State::Pending, true, self.now);
            }
        }
    }

    async fn check(&self) {
        let all = self.store.page(Filter { limit: 100_000, ..Filter::default() }).await.unwrap();
        let states: BTreeMap<_, _> = all.iter().map(|listed| (listed.delivery.id, listed.delivery.state)).collect();
        let expected: BTreeMap<_, _> = self.known.iter().map(|(id, known)| (*id, known.state)).collect();
        assert_eq!(states, expected, "states");
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        for listed in &all {
            *counts.entry((listed.delivery.channel.clone(), listed.delivery.state.to_string())).or_default() += 1;
        }
        let kept = self.store.counts().await.unwrap();
        let kept: BTreeMap<_, _> =
            kept.into_iter().map(|count| ((count.channel, count.state.to_string()), count.count)).collect();
        assert_eq!(kept, counts, "counts");
        let mut heads: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for listed in all.iter().filter(|listed| listed.delivery.state == State::Pending) {
            let known = &self.known[&listed.delivery.id];
            match &known.subject {
                Some(subject) if known.channel == "ordered" => {
                    let (due, waiting) = heads.entry(subject.clone()).or_default();
                    *(if listed.delivery.due_at.is_some() { due } else { waiting }) += 1;
                }
                _ => assert!(listed.delivery.due_at.is_some(), "only what is ordered waits for others"),
            }
        }
        assert!(heads.values().all(|(due, _)| *due == 1), "one of each subject is due: {heads:?}");
        for ended in self.ended.values() {
            let seqs: Vec<_> = ended.iter().collect();
            assert!(seqs.is_sorted_by_key(|id| order(id)), "subjects end in order: {ended:?}");
        }
    }
}

/// The time in an id: they are made in the order of acceptance, one event a millisecond.
fn order(id: &DeliveryId) -> u64 {
    u64::from_be_bytes(id.to_bytes()[..8].try_into().unwrap()) >> 16
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn states_order_and_counts_are_right_whatever_is_done(ops in proptest::collection::vec(op(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("herald.db");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(&path).unwrap();
            let mut model =
                Model { store, now: 1_700_000_000_000, known: BTreeMap::new(), under_way: Vec::new(), events: 0, ended: BTreeMap::new() };
            for op in ops {
                model.apply(op, &path).await;
                // Ids of one millisecond are not ordered.
                model.now += 1;
                model.check().await;
            }
        });
        // SQLite does not look after what refers to what; the store must.
        let connection = rusqlite::Connection::open(&path).unwrap();
        let mut lost = connection.prepare("PRAGMA foreign_key_check").unwrap();
        prop_assert!(!lost.exists([]).unwrap());
        let orphans = "SELECT 1 FROM attempts WHERE seq >> 20 NOT IN (SELECT seq FROM deliveries)";
        prop_assert!(!connection.prepare(orphans).unwrap().exists([]).unwrap());
    }
}
