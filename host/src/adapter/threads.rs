//! The threads that adapters are called on, shared fairly among the channels.
//!
//! A spinning guest holds one of these threads until its time is over, never one of the async runtime's. The channels
//! take turns, and slow ones have threads of their own, which give way: neither many calls nor long ones of a channel
//! keep another one waiting, for a thread or for a core.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    call::CallError,
    component::Adapter,
    engine::MOST_CALLS,
    pace::{Pace, Paces},
    turns::Turns,
    waited,
};
use crate::{
    clock::{Stopwatch, thread_time},
    model::{Context, Event, Refusal, Request, Response, Verdict},
};

type Job = Box<dyn FnOnce() + Send>;

/// The threads that adapters run on. Dropping the last handle ends them, after what is queued.
#[derive(Clone)]
pub struct CallThreads(Arc<Handle>);

/// Counted apart from the pool, which the threads hold themselves.
struct Handle(Arc<Pool>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.wake_all();
    }
}

impl CallThreads {
    /// Starts as many for the quick channels, 0 meaning as many as there are cores, and one less for the slow ones; at
    /// least one each, and together no more than there are sandboxes for.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let quick = match threads {
            0 => thread::available_parallelism()?.get(),
            n => n,
        };
        let quick = quick.min(MOST_CALLS - 1);
        let slow = (quick - 1).clamp(1, MOST_CALLS - quick);
        let pool = Arc::new(Pool::new());
        // Made first: when a thread can't be started, it ends the others.
        let handle = Handle(pool.clone());
        for (pace, name, threads) in [(Pace::Quick, "adapter-call", quick), (Pace::Slow, "adapter-slow", slow)] {
            for _ in 0..threads {
                let pool = pool.clone();
                thread::Builder::new().name(name.to_owned()).spawn(move || pool.work(pace))?;
            }
        }
        Ok(Self(Arc::new(handle)))
    }

    /// [`Adapter::render`] on one of these threads, when it is the channel's turn.
    pub async fn render(
        &self,
        adapter: &Arc<Adapter>,
        context: &Arc<Context>,
        event: &Arc<Event>,
    ) -> Result<Result<Request, Refusal>, CallError> {
        let (adapter, event, of) = (adapter.clone(), event.clone(), context.clone());
        self.run("render", &context.channel, move || adapter.render(&of, &event)).await
    }

    /// [`Adapter::interpret`] on one of these threads, when it is the channel's turn.
    pub async fn interpret(
        &self,
        adapter: &Arc<Adapter>,
        context: &Arc<Context>,
        event: &Arc<Event>,
        state: Vec<u8>,
        response: Arc<Response>,
    ) -> Result<Verdict, CallError> {
        let (adapter, event, of) = (adapter.clone(), event.clone(), context.clone());
        self.run("interpret", &context.channel, move || adapter.interpret(&of, &event, &state, &response)).await
    }

    async fn run<R: Send + 'static>(
        &self,
        function: &'static str,
        channel: &str,
        call: impl FnOnce() -> Result<R, CallError> + Send + 'static,
    ) -> Result<R, CallError> {
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more when the host stops in the middle: the answer is not missed, nor is the call.
            if !sender.is_closed() {
                let _ = sender.send(call());
            }
        });
        if let Some(wake) = self.0.0.submit(channel, job) {
            // First what else this worker of the runtime has in hand: the calls that it brings are made in one go, by a
            // thread that is woken once.
            tokio::task::yield_now().await;
            drop(wake);
        }
        let lost = || CallError {
            function,
            message: "was not finished by the host".to_owned(),
            may_pass: true,
            over_limit: false,
            backtrace: None,
        };
        receiver.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// What the threads share.
struct Pool {
    /// Held for moments, never while a call runs.
    state: Mutex<State>,
    /// Wakes a thread of the quick channels.
    quick: Condvar,
    /// Wakes one of the slow.
    slow: Condvar,
}

struct State {
    /// What waits, by channel.
    turns: Turns<Arc<str>, Job>,
    paces: Paces<Arc<str>>,
    /// How many threads of the quick channels sleep: nobody is woken when none does.
    idle: usize,
    /// Somebody is about to wake one.
    waking: bool,
    ended: bool,
}

/// Wakes a thread of the quick channels when it is dropped.
struct Wake<'a>(&'a Pool);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waking = false;
        if state.idle > 0 && state.has_next(Pace::Quick) {
            drop(state);
            self.0.quick.notify_one();
        }
    }
}

impl State {
    fn next(&mut self, pace: Pace) -> Option<(Arc<str>, Job)> {
        self.turns.pop(|channel| self.paces.of(channel) == pace)
    }

    /// No call waits, and none will come. What waits for a thread of the other pace may yet be for this one.
    fn is_done(&self) -> bool {
        self.ended && !self.turns.any(|_| true)
    }

    fn has_next(&self, pace: Pace) -> bool {
        self.turns.any(|channel| self.paces.of(channel) == pace)
    }
}

impl Pool {
    fn new() -> Self {
        let state = State { turns: Turns::new(), paces: Paces::new(), idle: 0, waking: false, ended: false };
        Self { state: Mutex::new(state), quick: Condvar::new(), slow: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        self.quick.notify_all();
        self.slow.notify_all();
    }

    fn wake(&self, pace: Pace) -> &Condvar {
        match pace {
            Pace::Quick => &self.quick,
            Pace::Slow => &self.slow,
        }
    }

    /// The job begins when its turn comes. Where a thread has to be woken for it, and nobody is about to do so, that is
    /// left to the caller.
    fn submit(&self, channel: &str, job: Job) -> Option<Wake<'_>> {
        let mut state = self.lock();
        state.turns.push(channel, job);
        match state.paces.of(channel) {
            Pace::Quick => (state.idle > 0 && !std::mem::replace(&mut state.waking, true)).then(|| Wake(self)),
            Pace::Slow => {
                self.slow.notify_one();
                None
            }
        }
    }

    /// What a thread does, until all is done and the last handle is gone.
    fn work(&self, pace: Pace) {
        if pace == Pace::Slow {
            give_way();
        }
        let mut used = thread_time();
        let mut state = self.lock();
        loop {
            if let Some((channel, job)) = state.next(pace) {
                // More may have come than this thread takes.
                if pace == Pace::Quick && state.idle > 0 && state.has_next(pace) {
                    self.quick.notify_one();
                }
                drop(state);
                let took = run(job, &mut used);
                state = self.lock();
                state.paces.took(&channel, took);
                // What else the channel has waiting may be for the others now.
                if state.paces.of(&channel) != pace {
                    self.wake(state.paces.of(&channel)).notify_all();
                }
            } else if state.is_done() {
                self.wake_all();
                return;
            } else {
                state = self.sleep(state, pace);
            }
        }
    }

    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>, pace: Pace) -> MutexGuard<'a, State> {
        let quick = usize::from(pace == Pace::Quick);
        state.idle += quick;
        state = self.wake(pace).wait(state).unwrap_or_else(PoisonError::into_inner);
        state.idle -= quick;
        state
    }
}

/// Lets every other thread go first, from now on: one that is woken takes the core at once, in the middle of a slow
/// call's slice of time. So a slow call may take long on a busy machine; only its processor time counts.
fn give_way() {
    // On Linux a policy is a thread's (sched(7), SCHED_IDLE); elsewhere it would be the whole host's.
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy::Idle, ThreadPriority, ThreadSchedulePolicy::Normal,
            set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
        };
        // It also sets the niceness, which not everybody may do, and which is of no account then.
        let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, Normal(Idle));
        if thread_schedule_policy() != Ok(Normal(Idle)) {
            tracing::warn!(?set, "the threads of slow adapters keep the priority of the others");
        }
    }
}

/// How long it took of its own doing: what its thread has had of a processor since it had `used` so much, and what the call has
/// waited for. That others had the processor meanwhile says nothing of the channel. Were that counted, a busy machine would
/// make quick channels slow, and then keep them so, as the threads of slow ones wait for everybody else.
///
/// A panic would be a defect of the host's; it must cost that one call and not the thread.
fn run(job: Job, used: &mut Option<Duration>) -> Duration {
    let watch = Stopwatch::start();
    waited::take();
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        tracing::error!("a call of an adapter panicked in the host; please report this");
    }
    let (elapsed, now) = (watch.elapsed(), thread_time());
    let before = std::mem::replace(used, now);
    // Where no thread's time can be told, the clock's counts.
    let computed = now.zip(before).map_or(elapsed, |(now, before)| now.saturating_sub(before));
    computed.saturating_add(waited::take()).min(elapsed)
}

#[cfg(test)]
mod tests;
