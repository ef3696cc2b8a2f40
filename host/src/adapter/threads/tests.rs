//! Who has a thread when.

#![allow(clippy::unwrap_used)]

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
fn slow_calls_take_no_thread_from_a_quick_channel() {
    let threads = CallThreads::start(1).unwrap();
    for channel in ["slow", "slow too"].map(Arc::from) {
        threads.0.0.lock().paces.took(&channel, Duration::from_secs(1));
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

#[test]
fn calls_that_wait_go_over_to_the_slow_threads_with_their_channel() {
    let threads = CallThreads::start(1).unwrap();
    let (gate, (tell, told)) = (Arc::new(Mutex::new(())), mpsc::channel());
    let shut = gate.lock().unwrap();
    (0..20).for_each(|_| threads.tell("ops", &gate, &tell));
    assert_eq!(told.recv_timeout(DEADLINE), Ok(("ops", false)));
    threads.0.0.lock().paces.took(&Arc::from("ops"), Duration::from_mins(1));
    let quick = Arc::new(Mutex::new(()));
    threads.tell("quick", &quick, &tell);
    let pool = Arc::downgrade(&threads.0.0);
    drop((shut, tell, threads));
    assert_eq!(ended(&told).len(), 21);
    until("the threads' end", || pool.strong_count() == 0);
}

#[cfg(target_os = "linux")]
#[test]
fn the_threads_of_slow_channels_give_way_to_all_others() {
    let threads = CallThreads::start(1).unwrap();
    let (tell, told) = mpsc::channel();
    let submit = |channel: &str| {
        let tell = tell.clone();
        let policy = || thread_priority::thread_schedule_policy().unwrap();
        drop(threads.0.0.submit(channel, Box::new(move || tell.send(policy()).unwrap())));
        told.recv_timeout(DEADLINE).unwrap()
    };
    let normal = thread_priority::ThreadSchedulePolicy::Normal;
    assert_eq!(submit("ops"), normal(thread_priority::NormalThreadSchedulePolicy::Other));
    threads.0.0.lock().paces.took(&Arc::from("ops"), Duration::from_secs(1));
    assert_eq!(submit("ops"), normal(thread_priority::NormalThreadSchedulePolicy::Idle));
}

#[test]
fn a_channel_whose_calls_wait_for_a_processor_is_not_slow() {
    let (mut used, pause) = (thread_time(), Duration::from_millis(50));
    // As it is for a thread that others go before.
    let took = run(Box::new(move || thread::sleep(pause)), &mut used);
    if used.is_some() {
        assert!(took < pause, "{took:?}");
    }
    // What a call waits for in the host counts, though it takes no processor either.
    let waits = move || {
        thread::sleep(pause);
        waited::note(pause);
    };
    assert!(run(Box::new(waits), &mut used) >= pause);
}
