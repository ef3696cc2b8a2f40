//! The threads that adapters are called on, shared fairly among the channels.
//!
//! A spinning guest holds one of these threads until its time is over, never one of the async runtime's. The channels
//! take turns, and slow ones leave a thread to the quick ones: neither many calls nor long ones of a channel keep
//! another one waiting.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{call::CallError, component::Adapter, engine::MOST_CALLS, pace::Paces, turns::Turns};
use crate::{
    clock::Stopwatch,
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
        self.0.wake.notify_all();
    }
}

impl CallThreads {
    /// Starts them; 0 means as many as there are cores. More than there are sandboxes would be of no use.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let threads = match threads {
            0 => thread::available_parallelism()?.get(),
            n => n,
        };
        let threads = threads.min(MOST_CALLS);
        let pool = Arc::new(Pool::new(threads));
        // Made first: when a thread can't be started, it ends the others.
        let handle = Handle(pool.clone());
        for _ in 0..threads {
            let pool = pool.clone();
            thread::Builder::new().name("adapter-call".to_owned()).spawn(move || pool.work())?;
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
            // Nobody waits any more when the host stops in the middle: the answer is not missed.
            let _ = sender.send(call());
        });
        if let Some(wake) = self.0.0.submit(channel, job) {
            // First what else this worker of the runtime has in hand: the calls that it brings are made in one go, by a
            // thread that is woken once.
            tokio::task::yield_now().await;
            drop(wake);
        }
        let lost = || CallError { function, message: "was not finished by the host".to_owned(), may_pass: true };
        receiver.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// What the threads share.
struct Pool {
    /// Held for moments, never while a call runs.
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    /// What waits, by channel.
    turns: Turns<Arc<str>, Job>,
    paces: Paces<Arc<str>>,
    /// How many threads sleep: nobody is woken when none does.
    idle: usize,
    /// Somebody is about to wake a thread.
    waking: bool,
    ended: bool,
}

/// Wakes a thread when it is dropped.
struct Wake<'a>(&'a Pool);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waking = false;
        if state.idle > 0 && state.has_next() {
            drop(state);
            self.0.wake.notify_one();
        }
    }
}

impl State {
    fn next(&mut self) -> Option<(Arc<str>, Job)> {
        let next = self.turns.pop(|channel| self.paces.may_begin(channel))?;
        self.paces.begin(&next.0);
        Some(next)
    }

    fn has_next(&self) -> bool {
        self.turns.any(|channel| self.paces.may_begin(channel))
    }
}

impl Pool {
    fn new(threads: usize) -> Self {
        let state = State { turns: Turns::new(), paces: Paces::new(threads), idle: 0, waking: false, ended: false };
        Self { state: Mutex::new(state), wake: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job begins when its turn comes. Where a thread has to be woken for it, and nobody is about to do so, that is
    /// left to the caller.
    fn submit(&self, channel: &str, job: Job) -> Option<Wake<'_>> {
        let mut state = self.lock();
        state.turns.push(channel, job);
        (state.idle > 0 && !std::mem::replace(&mut state.waking, true)).then(|| Wake(self))
    }

    /// What a thread does, until all is done and the last handle is gone.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some((channel, job)) = state.next() {
                // An end of a call may have let more begin than this thread takes.
                if state.idle > 0 && state.has_next() {
                    self.wake.notify_one();
                }
                drop(state);
                let took = run(job);
                state = self.lock();
                state.paces.end(&channel, took);
            } else if state.ended {
                // What may not begin yet is left to the threads that slow calls hold now.
                return;
            } else {
                state.idle += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

/// How long it took. A panic would be a defect of the host's; it must cost that one call and not the thread.
fn run(job: Job) -> Duration {
    let watch = Stopwatch::start();
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        tracing::error!("a call of an adapter panicked in the host; please report this");
    }
    watch.elapsed()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    impl CallThreads {
        /// A call that tells when it begins, and when it has got through the gate.
        fn tell(&self, channel: &'static str, gate: &Arc<Mutex<()>>, told: &mpsc::Sender<(&'static str, bool)>) {
            let (gate, told) = (gate.clone(), told.clone());
            let job = move || {
                told.send((channel, false)).unwrap();
                drop(gate.lock().unwrap());
                told.send((channel, true)).unwrap();
            };
            drop(self.0.0.submit(channel, Box::new(job)));
        }
    }

    fn ended(told: &mpsc::Receiver<(&'static str, bool)>) -> Vec<&'static str> {
        // Until every call has dropped its sender.
        let all = std::iter::from_fn(|| told.recv_timeout(DEADLINE).ok());
        all.filter_map(|(channel, ended)| ended.then_some(channel)).collect()
    }

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let watch = Stopwatch::start();
        while !is_so() {
            assert!(watch.elapsed() < DEADLINE, "no sign of this: {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn a_call_is_served_second_though_500_of_another_channel_wait() {
        let threads = CallThreads::start(1).unwrap();
        let (gate, (tell, told)) = (Arc::new(Mutex::new(())), mpsc::channel());
        let shut = gate.lock().unwrap();
        threads.tell("first", &gate, &tell);
        assert_eq!(told.recv_timeout(DEADLINE), Ok(("first", false)), "the thread is held");
        (0..500).for_each(|_| threads.tell("busy", &gate, &tell));
        threads.tell("other", &gate, &tell);
        drop((shut, tell));
        let ended = ended(&told);
        assert_eq!(ended[..4], ["first", "busy", "other", "busy"]);
        assert_eq!(ended.len(), 502);
    }

    #[test]
    fn calls_that_come_together_wake_a_thread_once() {
        let threads = CallThreads::start(1).unwrap();
        let pool = &threads.0.0;
        until("a sleeping thread", || pool.lock().idle == 1);
        let (tell, told) = mpsc::channel();
        let submit = |number| {
            let tell = tell.clone();
            pool.submit("ops", Box::new(move || tell.send(number).unwrap()))
        };
        let wake = submit(1);
        assert!(wake.is_some() && submit(2).is_none() && submit(3).is_none());
        assert!(told.try_recv().is_err(), "nothing has begun");
        // As a delivery that is given up does.
        drop(wake);
        assert_eq!([(); 3].map(|()| told.recv_timeout(DEADLINE).unwrap()), [1, 2, 3]);
    }

    #[test]
    fn slow_calls_leave_a_thread_to_a_quick_channel() {
        let threads = CallThreads::start(2).unwrap();
        for channel in ["slow", "slow too"].map(Arc::from) {
            let paces = &mut threads.0.0.lock().paces;
            paces.begin(&channel);
            paces.end(&channel, Duration::from_secs(1));
        }
        let (gate, (tell, told)) = (Arc::new(Mutex::new(())), mpsc::channel());
        let shut = gate.lock().unwrap();
        for channel in ["slow", "slow", "slow too"] {
            threads.tell(channel, &gate, &tell);
        }
        assert_eq!(told.recv_timeout(DEADLINE), Ok(("slow", false)));
        let open = Arc::new(Mutex::new(()));
        for channel in ["quick", "quick too", "another one"] {
            threads.tell(channel, &open, &tell);
            assert_eq!(told.recv_timeout(DEADLINE), Ok((channel, false)));
            assert_eq!(told.recv_timeout(DEADLINE), Ok((channel, true)));
        }
        drop((shut, tell, threads));
        assert_eq!(ended(&told).len(), 3, "what is queued is done all the same");
    }

    #[test]
    fn all_threads_that_may_begin_something_do() {
        let threads = CallThreads::start(3).unwrap();
        let (gate, (tell, told)) = (Arc::new(Mutex::new(())), mpsc::channel());
        let (shut, slow, pool) = (gate.lock().unwrap(), Arc::from("slow"), &threads.0.0);
        let end = |calls| (0..calls).for_each(|_| pool.lock().paces.end(&slow, Duration::from_secs(1)));
        (0..3).for_each(|_| pool.lock().paces.begin(&slow));
        end(1);
        // It is as though two slow calls were running: these two may not begin.
        threads.tell("slow", &gate, &tell);
        threads.tell("slow", &gate, &tell);
        until("three sleeping threads", || pool.lock().idle == 3);
        end(2);
        // One call wakes one thread, which has to wake the next.
        threads.tell("quick", &gate, &tell);
        let mut begun = [(); 3].map(|()| told.recv_timeout(DEADLINE).unwrap());
        begun.sort_unstable();
        assert_eq!(begun, [("quick", false), ("slow", false), ("slow", false)]);
        drop((shut, tell));
    }

    #[tokio::test]
    async fn a_call_that_panics_costs_that_call_only() {
        let threads = CallThreads::start(1).unwrap();
        let lost = threads.run::<()>("render", "ops", || panic!("on purpose"));
        let lost = timeout(DEADLINE, lost).await.unwrap().unwrap_err();
        assert_eq!((lost.to_string().as_str(), lost.may_pass), ("`render` was not finished by the host", true));
        assert_eq!(timeout(DEADLINE, threads.run("render", "ops", || Ok(1))).await.unwrap(), Ok(1));
    }

    #[test]
    fn the_threads_end_with_the_last_handle_when_all_is_done() {
        let threads = CallThreads::start(3).unwrap();
        let pool = Arc::downgrade(&threads.0.0);
        let (gate, (tell, told)) = (Arc::new(Mutex::new(())), mpsc::channel());
        let shut = gate.lock().unwrap();
        (0..20).for_each(|_| threads.tell("ops", &gate, &tell));
        drop((threads.clone(), threads, shut, tell));
        assert_eq!(ended(&told).len(), 20);
        until("the threads' end", || pool.strong_count() == 0);
    }
}
