//! Receivers that do what no good receiver does, each in one way, until they are told to be good.
//!
//! Nothing but the standard library and `socket2` in here, and a thread for each connection: `cargo xtask measure isolation`
//! includes this file, too.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

/// Between two bytes of what drips.
const DRIP: Duration = Duration::from_millis(20);
/// Between two pieces of what never ends: of 16 KiB each, 1 Gbit/s over eight connections.
const FLOOD: Duration = Duration::from_millis(1);
const PIECE: usize = 16 * 1024;
/// How long a connection waits in vain where nobody accepts any.
const FULL: Duration = Duration::from_millis(50);

/// One way to be no good.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    pub name: &'static str,
    /// Whether it is to be spoken to by https; it never speaks it.
    pub https: bool,
    act: Act,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    /// Nobody listens.
    Refuse,
    /// Somebody listens, accepts nothing, and the queue is full.
    Full,
    /// Says this after the request, and then …
    Say(&'static [u8], Then),
    /// Says this at once, whatever comes, and then …
    Blurt(&'static [u8], Then),
    /// Says this when the head of the request is there, and closes.
    Interrupt(&'static [u8]),
    /// Says this after the request, and then bytes one by one, slowly.
    Drip(&'static [u8]),
    /// Says this after the request, and then the other over and over.
    Flood(&'static [u8], &'static [u8]),
    /// An answer with so many headers.
    Headers(usize),
}

#[derive(Debug, Clone, Copy)]
enum Then {
    /// Waits for another request.
    Again,
    /// Says no more, and keeps the connection until the other end has closed it.
    Hold,
    Close,
    Reset,
}

const fn plain(name: &'static str, act: Act) -> Behaviour {
    Behaviour { name, https: false, act }
}

const fn https(name: &'static str, act: Act) -> Behaviour {
    Behaviour { name, https: true, act }
}

/// All ways.
#[rustfmt::skip]
pub const ALL: &[Behaviour] = &[
    // No connection.
    plain("refuses", Act::Refuse),
    plain("never-accepts", Act::Full),
    // No answer.
    plain("silent", Act::Say(b"", Then::Hold)),
    plain("closes-at-once", Act::Blurt(b"", Then::Close)),
    plain("closes-unanswered", Act::Say(b"", Then::Close)),
    plain("resets", Act::Say(b"", Then::Reset)),
    // Too slow.
    plain("drips-headers", Act::Drip(b"HTTP/1.1 200 OK\r\nx-drip: ")),
    plain("drips-body", Act::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")),
    // Without end.
    plain("endless-body", Act::Flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x")),
    plain("endless-body-refused", Act::Flood(b"HTTP/1.1 503 Busy\r\n\r\n", b"x")),
    plain("endless-headers", Act::Flood(b"HTTP/1.1 200 OK\r\n", b"x-more: of the same\r\n")),
    plain("endless-header", Act::Flood(b"HTTP/1.1 200 OK\r\nx-long: ", b"x")),
    plain("endless-1xx", Act::Flood(b"", b"HTTP/1.1 102 Processing\r\n\r\n")),
    plain("endless-chunk-extension", Act::Flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;", b"x")),
    plain("endless-trailers", Act::Flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", b"x-more: y\r\n")),
    // More or less than an answer.
    plain("continues", Act::Say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Then::Again)),
    plain("switches-protocols", Act::Say(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n", Then::Hold)),
    plain("answers-early", Act::Interrupt(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy")),
    plain("answers-twice", Act::Say(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusyHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Then::Again)),
    plain("many-headers", Act::Headers(200)),
    plain("far-too-many-headers", Act::Headers(5000)),
    // Cut off.
    plain("cut-in-status-line", Act::Say(b"HTTP/1.1 20", Then::Close)),
    plain("cut-in-headers", Act::Say(b"HTTP/1.1 200 OK\r\nconte", Then::Close)),
    plain("cut-in-body", Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", Then::Close)),
    plain("cut-in-chunk", Act::Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n100\r\nhalf", Then::Close)),
    plain("resets-in-headers", Act::Say(b"HTTP/1.1 200 OK\r\nconte", Then::Reset)),
    plain("resets-in-body", Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", Then::Reset)),
    // Not HTTP, or not as it should be.
    plain("garbage", Act::Say(b"\x00\x9f\xff\x02\x17\xc3\x28\r\n\r\n\x80\x81", Then::Close)),
    plain("greets", Act::Blurt(b"220 mail.example.com ESMTP\r\n", Then::Hold)),
    plain("http-0.9", Act::Say(b"<html>hello</html>\n", Then::Close)),
    plain("http-2-unasked", Act::Say(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", Then::Hold)),
    plain("tls-alert", Act::Say(b"\x15\x03\x01\x00\x02\x02\x16", Then::Close)),
    plain("two-lengths", Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", Then::Close)),
    plain("negative-length", Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok", Then::Close)),
    plain("nul-in-header", Act::Say(b"HTTP/1.1 200 OK\r\nx-nul: a\0b\r\ncontent-length: 2\r\n\r\nok", Then::Close)),
    plain("status-of-four-digits", Act::Say(b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok", Then::Close)),
    plain("broken-chunk", Act::Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n", Then::Close)),
    // No TLS.
    https("tls-hangs", Act::Say(b"", Then::Hold)),
    https("tls-closes", Act::Say(b"", Then::Close)),
    https("tls-resets", Act::Say(b"", Then::Reset)),
    https("tls-is-plain", Act::Say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Then::Close)),
];

/// A receiver on a loopback port.
pub struct Hostile {
    pub behaviour: Behaviour,
    pub address: SocketAddr,
    shared: Arc<Shared>,
    /// While nobody accepts, and the connections that fill the queue.
    waiting: Option<(Socket, Vec<TcpStream>)>,
}

#[derive(Default)]
struct Shared {
    good: AtomicBool,
    /// Requests that were answered well.
    served: AtomicUsize,
}

impl Hostile {
    pub fn start(behaviour: Behaviour) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket.local_addr()?.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
        let mut new = Self { behaviour, address, shared: Arc::default(), waiting: None };
        match behaviour.act {
            Act::Refuse => new.waiting = Some((socket, Vec::new())),
            Act::Full => {
                socket.listen(1)?;
                let mut queue = Vec::new();
                while let Ok(stream) = TcpStream::connect_timeout(&address, FULL) {
                    queue.push(stream);
                }
                new.waiting = Some((socket, queue));
            }
            _ => new.accept(socket)?,
        }
        Ok(new)
    }

    pub fn url(&self) -> String {
        let scheme = if self.behaviour.https { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Answers `200 ok` from the next request on, in plain HTTP.
    pub fn turn_good(&mut self) -> io::Result<()> {
        self.shared.good.store(true, Ordering::SeqCst);
        match self.waiting.take() {
            Some((socket, _)) => self.accept(socket),
            None => Ok(()),
        }
    }

    /// How many requests have been answered well.
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::SeqCst)
    }

    fn accept(&self, socket: Socket) -> io::Result<()> {
        socket.listen(1024)?;
        let listener = TcpListener::from(socket);
        let (act, shared) = (self.behaviour.act, Arc::clone(&self.shared));
        thread::Builder::new().spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A connection that breaks is what this is about; one that gets no thread is closed.
                let _ = thread::Builder::new().stack_size(64 * 1024).spawn(move || connection(stream, act, &shared));
            }
        })?;
        Ok(())
    }
}

fn connection(mut stream: TcpStream, act: Act, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let good = || shared.good.load(Ordering::SeqCst);
    if let Act::Blurt(words, then) = act
        && !good()
    {
        stream.write_all(words)?;
        return end(stream, then).map(drop);
    }
    while read_request(&mut stream, matches!(act, Act::Interrupt(_)) && !good())? {
        if good() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            shared.served.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let (first, then) = match act {
            Act::Say(words, then) => (words, then),
            Act::Interrupt(words) => (words, Then::Close),
            Act::Drip(first) => {
                stream.write_all(first)?;
                loop {
                    stream.write_all(b"x")?;
                    thread::sleep(DRIP);
                }
            }
            Act::Flood(first, more) => {
                stream.write_all(first)?;
                let piece = more.repeat(PIECE / more.len());
                loop {
                    stream.write_all(&piece)?;
                    thread::sleep(FLOOD);
                }
            }
            Act::Headers(count) => {
                let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
                for number in 0..count {
                    write!(answer, "x-{number}: {number}\r\n")?;
                }
                answer.extend_from_slice(b"content-length: 2\r\n\r\nok");
                stream.write_all(&answer)?;
                continue;
            }
            Act::Refuse | Act::Full | Act::Blurt(..) => (&b""[..], Then::Close),
        };
        stream.write_all(first)?;
        match end(stream, then)? {
            Some(same) => stream = same,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Does what comes after the answer: gives the connection back when another request may come.
fn end(mut stream: TcpStream, then: Then) -> io::Result<Option<TcpStream>> {
    match then {
        Then::Again => return Ok(Some(stream)),
        Then::Close => {}
        Then::Hold => drop(io::copy(&mut stream, &mut io::sink())?),
        Then::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO))?,
    }
    Ok(None)
}

/// Reads a request, its body too unless only the head is wanted, or the first packet of TLS; false when the other end
/// has closed.
fn read_request(stream: &mut TcpStream, head_only: bool) -> io::Result<bool> {
    let mut read = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let mut length = None;
    while length.is_none_or(|length| read.len() < length) {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(false);
        }
        read.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if read.first() == Some(&0x16) {
            return Ok(true);
        }
        length = length.or_else(|| request_length(&read));
        if head_only && length.is_some() {
            return Ok(true);
        }
    }
    Ok(true)
}

/// The length of a request, when its head is there.
fn request_length(read: &[u8]) -> Option<usize> {
    let end = read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(read.get(..end)?).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    Some(end + length.unwrap_or(0))
}
