//! What others know of a channel's lane, and what they do to it: wake, pause, disable, enable.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::{inbox::Inbox, record::Ended, reread::Renewal};
use crate::{
    model::{Blame, Breaker, Change, ChannelState, Disabled, Health, Millis, Sign},
    store::Due,
};

/// A channel's lane, as others see it.
pub(super) struct Lane {
    pub name: String,
    pub notify: Notify,
    /// The store may know of more that is due.
    pub stale: AtomicBool,
    /// What was accepted just now.
    pub inbox: Inbox,
    /// What has been read ahead may have been changed by somebody.
    pub changed: AtomicBool,
    /// Attempts that have ended, for the lane to write down.
    reports: Mutex<Vec<Report>>,
    /// Attempts under way.
    active: AtomicUsize,
    /// Counts how often it has looked at what may be begun.
    looks: AtomicU64,
    /// The channel's rate lets nothing begin before.
    pub limited_until: AtomicU64,
    /// When its secrets were read again.
    pub renewal: Renewal,
    /// Held for moments only.
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    channel: ChannelState,
    /// Why nothing can be begun: no adapter, say.
    rests: Option<String>,
}

/// Whether something may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// As much as there is room for.
    Open,
    /// One delivery, to see how the receiver fares.
    Probe,
    /// Nothing before.
    Until(Millis),
}

/// What an attempt tells of its channel.
pub(super) struct Told<'a> {
    pub sign: Sign,
    pub began: Millis,
    pub now: Millis,
    /// The service asked for quiet until then.
    pub quiet_until: Option<Millis>,
    /// The service will take nothing more: what it said.
    pub disable: Option<&'a str>,
    /// Why the attempt did not succeed.
    pub reason: &'a str,
    /// What was to be delivered is what Herald tells of channels: that this fails is not told, or two channels could tell of
    /// one another without end.
    pub quiet: bool,
}

impl Lane {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            notify: Notify::new(),
            stale: AtomicBool::new(true),
            inbox: Inbox::default(),
            changed: AtomicBool::new(false),
            reports: Mutex::default(),
            active: AtomicUsize::new(0),
            looks: AtomicU64::new(0),
            limited_until: AtomicU64::new(0),
            renewal: Renewal::default(),
            state: Mutex::default(),
        }
    }

    /// There may be something to do.
    pub fn wake(&self) {
        self.stale.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// This has just been accepted.
    pub fn offer(&self, due: Due) {
        if self.inbox.put(due) {
            self.notify.notify_one();
        } else {
            self.wake();
        }
    }

    /// Somebody has changed what is due.
    pub fn refresh(&self) {
        self.changed.store(true, Ordering::Release);
        self.wake();
    }

    fn report(&self, report: Report) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        self.notify.notify_one();
    }

    /// The attempts that have ended since the last time.
    pub fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Attempts under way: those whose outcome is known and only waits to be written down are not among them.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// It has looked at what may be begun, and has begun what it could.
    pub fn note_look(&self) {
        self.looks.fetch_add(1, Ordering::AcqRel);
    }

    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Acquire)
    }

    /// Why nothing can be begun, until somebody does something about it.
    pub fn rests(&self) -> Option<String> {
        let state = self.state();
        // Known at once, before the lane itself has seen it.
        if state.channel.disabled.is_some() { Some(self.disabled_text()) } else { state.rests.clone() }
    }

    /// Whether somebody has to enable it before anything is begun.
    pub fn is_disabled(&self) -> bool {
        self.state().channel.disabled.is_some()
    }

    fn disabled_text(&self) -> String {
        format!("it is disabled; `herald channels enable {}` lets it deliver again", self.name)
    }

    pub fn set_rests(&self, why: Option<&str>) {
        self.state().rests = why.map(str::to_owned);
    }

    /// Why nothing is begun now: nothing can be, or the channel waits for its receiver.
    pub fn waits(&self, now: Millis) -> Option<String> {
        let state = self.state();
        let health = &state.channel.health;
        let until = |at: Millis| {
            let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
            at.map_or_else(String::new, |at| format!(" until {at}"))
        };
        let quiet = state.channel.paused_until;
        match &health.tripped {
            _ if state.channel.disabled.is_some() => Some(self.disabled_text()),
            _ if state.rests.is_some() => state.rests.clone(),
            _ if quiet > now => Some(format!("the service asked for quiet{}", until(quiet))),
            Some(tripped) => {
                let why =
                    if tripped.blame == Blame::Adapter { "its adapter hits its limits" } else { "its receiver fails" };
                Some(if tripped.until > now {
                    format!("{why}; it waits{}, then one delivery tries again", until(tripped.until))
                } else {
                    format!("{why}; the next delivery tries again")
                })
            }
            None => match self.limited_until.load(Ordering::Relaxed) {
                at if at > now => Some(format!("its rate lets nothing begin{}", until(at))),
                _ => None,
            },
        }
    }

    /// What is remembered of the channel.
    pub fn channel(&self) -> ChannelState {
        self.state().channel.clone()
    }

    /// Takes over what the store remembers; false when something newer is known.
    pub fn remember(&self, channel: ChannelState) -> bool {
        let mut state = self.state();
        let newer = channel.version > state.channel.version;
        if newer {
            state.channel = channel;
        }
        newer
    }

    pub fn gate(&self, now: Millis) -> Gate {
        let state = self.state();
        let quiet = state.channel.paused_until;
        match &state.channel.health.tripped {
            _ if quiet > now => Gate::Until(quiet),
            Some(tripped) if tripped.until > now => Gate::Until(tripped.until),
            Some(_) => Gate::Probe,
            None => Gate::Open,
        }
    }

    /// Notes what an attempt tells. What has changed, and the channel's state when it is worth writing down.
    pub fn note(&self, told: &Told<'_>, breaker: &Breaker) -> (Option<Change>, Option<ChannelState>) {
        let mut state = self.state();
        let channel = &mut state.channel;
        if channel.disabled.is_some() {
            return (None, None);
        }
        let mut before = channel.clone();
        let since = channel.health.failing_since;
        let mut change = channel.health.note(told.sign, told.began, told.now, breaker);
        if told.quiet && change == Some(Change::Failing) {
            (channel.health.told, change) = (false, None);
        }
        channel.paused_until = channel.paused_until.max(told.quiet_until.unwrap_or_default());
        let given_up = || {
            let since = since.and_then(|at| jiff::Timestamp::from_millisecond(i64::try_from(at).ok()?).ok());
            let since = since.map_or_else(String::new, |since| format!(" since {since}"));
            format!("it has failed{since}; the last time: {}", told.reason)
        };
        let disable = told.disable.map(str::to_owned).or_else(|| (change == Some(Change::GivenUp)).then(given_up));
        if let Some(reason) = disable {
            channel.disabled = Some(Disabled { at: told.now, reason });
            channel.health = Health::disabled();
            change = Some(Change::GivenUp);
        }
        before.health.failures = channel.health.failures;
        let differs = before != *channel;
        channel.version += u64::from(differs);
        (change, differs.then(|| channel.clone()))
    }

    /// What the channel is when somebody disables it; none when it is so already.
    pub fn disabled(&self, now: Millis, reason: &str) -> Option<ChannelState> {
        let mut channel = self.channel();
        if channel.disabled.is_some() {
            return None;
        }
        channel.disabled = Some(Disabled { at: now, reason: reason.to_owned() });
        channel.health = Health::disabled();
        channel.version += 1;
        Some(channel)
    }

    /// What the channel is when somebody lets it deliver again: neither a pause nor a breaker holds it up.
    pub fn enabled(&self, now: Millis) -> ChannelState {
        let mut channel = self.channel();
        channel.disabled = None;
        channel.paused_until = 0;
        channel.health.urge(now);
        channel.version += 1;
        channel
    }

    /// Somebody wants an attempt now: the breaker lets one through. A service that asked for quiet gets it all the same.
    pub fn urge(&self, now: Millis) {
        self.state().channel.health.urge(now);
    }

    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room that an attempt takes up.
pub(super) struct Slot(Arc<Lane>);

impl Slot {
    fn take(lane: &Arc<Lane>) -> Self {
        lane.active.fetch_add(1, Ordering::AcqRel);
        Self(lane.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An attempt under way. Its lane learns of its end, also when it ends in the middle.
pub(super) struct Begun {
    pub lane: Arc<Lane>,
    seq: i64,
    slot: Option<Slot>,
    is_over: bool,
}

/// How an attempt has ended.
pub(super) enum Report {
    Ended(Ended),
    /// In the middle: of the delivery in that row.
    Lost(i64),
}

impl Begun {
    pub fn new(lane: &Arc<Lane>, seq: i64) -> Self {
        Self { slot: Some(Slot::take(lane)), lane: lane.clone(), seq, is_over: false }
    }

    /// The room is not needed any more.
    pub fn leave(&mut self) -> Option<Slot> {
        self.slot.take()
    }

    pub fn end(mut self, ended: Ended) {
        self.is_over = true;
        self.lane.report(Report::Ended(ended));
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_over {
            self.slot = None;
            self.lane.report(Report::Lost(self.seq));
        }
    }
}
