//! The good channel: its events, at a fixed rate, and its receiver, which notes when each arrives; and the events of
//! the other channels.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::measure::now;
use crate::measure::wire::{self, Connection};

/// Posts go out on so many connections in turns: one that is answered late does not hold up the next.
const POSTERS: u32 = 4;
/// How long after the end of a phase its last event may arrive.
const LATE: Duration = Duration::from_secs(5);

type Times = Arc<Mutex<Vec<Option<Instant>>>>;

fn note(times: &Times, number: usize, at: Instant) {
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    if times.len() <= number {
        times.resize(number + 1024, None);
    }
    // The first arrival counts.
    if let Some(time) = times.get_mut(number) {
        time.get_or_insert(at);
    }
}

/// The good receiver.
pub struct Good {
    address: SocketAddr,
    arrived: Times,
}

impl Good {
    /// Listens on loopback, with a thread for each connection.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let good = Self { address: listener.local_addr()?, arrived: Times::default() };
        let arrived = Arc::clone(&good.arrived);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let arrived = Arc::clone(&arrived);
                thread::spawn(move || receive(stream, &arrived));
            }
        });
        Ok(good)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn receive(stream: TcpStream, arrived: &Times) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some((_, body)) = wire::read_message(&mut stream)? {
        let at = now();
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        let event: serde_json::Value = serde_json::from_str(&body)?;
        // Only of what is measured.
        if let Some(number) = event.pointer("/data/number").and_then(serde_json::Value::as_u64) {
            note(arrived, usize::try_from(number)?, at);
        }
    }
    Ok(())
}

/// Events on their way to the host.
pub struct Feed {
    posted: Times,
    answered: Times,
    arrived: Times,
    /// Events of the others a second.
    others: Arc<AtomicU32>,
    /// They go to good receivers.
    friendly: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Feed {
    /// Begins with the good events.
    pub fn start(host: SocketAddr, rate: u32, good: &Good, channels: &[String]) -> Result<Self> {
        let mut feed = Self {
            posted: Times::default(),
            answered: Times::default(),
            arrived: Arc::clone(&good.arrived),
            others: Arc::default(),
            friendly: Arc::default(),
            ended: Arc::default(),
            threads: Vec::new(),
        };
        let begin = now();
        for poster in 0..POSTERS {
            let (mut connection, posted, answered, ended) =
                (Connection::open(host)?, feed.posted.clone(), feed.answered.clone(), feed.ended.clone());
            feed.threads.push(thread::spawn(move || {
                for number in (poster..).step_by(POSTERS as usize) {
                    sleep_until(begin + Duration::from_secs(1) * number / rate);
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let event = format!(r#"{{"type":"good","title":"A good event","data":{{"number":{number}}}}}"#);
                    // Not when it was due: how late this thread is woken is not the host's doing.
                    note(&posted, number as usize, now());
                    post(&mut connection, &event)?;
                    note(&answered, number as usize, now());
                }
                Ok(())
            }));
        }
        for poster in 0..POSTERS as usize {
            let own: Vec<String> = channels.iter().skip(poster).step_by(POSTERS as usize).cloned().collect();
            let (connection, others, friendly, ended) =
                (Connection::open(host)?, feed.others.clone(), feed.friendly.clone(), feed.ended.clone());
            feed.threads.push(thread::spawn(move || feed_others(connection, &own, &others, &friendly, &ended)));
        }
        Ok(feed)
    }

    /// So many events a second on each of the other channels from now on.
    pub fn others(&self, rate: u32, friendly: bool) {
        self.friendly.store(friendly, Ordering::Relaxed);
        self.others.store(rate, Ordering::Relaxed);
    }

    /// How long each good event took that was posted between the two: to the answer, and to the receiver.
    pub fn times(&self, begin: Instant, end: Instant) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let copy = |times: &Times| times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let posted = copy(&self.posted).into_iter().enumerate().filter_map(|(number, at)| Some((number, at?)));
        let posted: Vec<(usize, Instant)> = posted.filter(|(_, at)| (begin..end).contains(at)).collect();
        let took = |until: &Times| -> Vec<Duration> {
            let until = copy(until);
            posted.iter().filter_map(|(number, at)| Some(until.get(*number).copied()?? - *at)).collect()
        };
        loop {
            let (answered, arrived) = (took(&self.answered), took(&self.arrived));
            if !posted.is_empty() && answered.len() == posted.len() && arrived.len() == posted.len() {
                return Ok((answered, arrived));
            }
            if now() > end + LATE {
                bail!("of {} good events only {} arrived within {LATE:?}", posted.len(), arrived.len());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends, and tells what went wrong on the way.
    pub fn stop(self) -> Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread that posts panicked"),
            }
        }
        Ok(())
    }
}

fn feed_others(
    mut connection: Connection,
    channels: &[String],
    rate: &AtomicU32,
    friendly: &AtomicBool,
    ended: &AtomicBool,
) -> Result<()> {
    while !ended.load(Ordering::Relaxed) && !channels.is_empty() {
        // Spread evenly: a burst would measure itself.
        for channel in channels {
            let rate = rate.load(Ordering::Relaxed) * u32::try_from(channels.len())?;
            thread::sleep(Duration::from_secs(1) / if rate > 0 { rate } else { 100 });
            if rate > 0 {
                let name = if friendly.load(Ordering::Relaxed) { self::friendly(channel) } else { channel.clone() };
                post(&mut connection, &format!(r#"{{"type":"{name}","title":"An event of others"}}"#))?;
            }
        }
    }
    Ok(())
}

/// The channel beside a hostile one whose receiver is good.
pub fn friendly(channel: &str) -> String {
    format!("{channel}-friendly")
}

fn post(connection: &mut Connection, event: &str) -> Result<()> {
    match connection.request("POST", "/v1/events", event)? {
        (202, _) => Ok(()),
        (status, body) => bail!("an event was answered {status}: {body}"),
    }
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(now()));
}
