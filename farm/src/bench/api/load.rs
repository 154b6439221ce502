//! Load, in two shapes, because they answer two questions.
//!
//! **Closed loop**: so many connections, each asks again as soon as it is answered. It finds how
//! many requests a server can answer per second. Its waiting times say little: a server that
//! stalls is simply asked less, so most of the stall is never measured (coordinated omission).
//!
//! **Open loop**: requests are due at fixed times, whether or not earlier ones were answered, as
//! those of users who do not know of each other. It finds how long one waits at a given rate.
//! A wait counts from the time the request was due, not from when it could be sent: what queues
//! behind a stall, here or there, is in the figure.
//!
//! It runs on threads of its own, beside the server on the same machine, and at most on half of
//! the cores. An answer that is not the expected one ends the run: no figure is made of failures.

use std::net::{SocketAddr, TcpStream as Socket};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use jobs::process::Failure;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::connection::{Connection, Request};
use crate::bench::figure::Latencies;
use crate::bench::host;

/// How much longer than planned a load may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who is asked what.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) at: SocketAddr,
    /// By turns; connections start at different ones.
    pub(super) requests: Vec<Request>,
    /// The only status that is an answer.
    pub(super) status: u16,
    /// The next number for a request that has one.
    pub(super) numbers: AtomicU64,
}

impl Target {
    pub(super) fn new(at: SocketAddr, requests: Vec<Request>, status: u16) -> Arc<Self> {
        Arc::new(Self { at, requests, status, numbers: AtomicU64::new(0) })
    }
}

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) connections: usize,
    pub(super) time: Duration,
    /// Requests per second of an open loop; none of a closed one.
    pub(super) rate: Option<u32>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// From the start to the last answer.
    took: Duration,
    /// One per answer.
    pub(super) waits: Latencies,
}

impl Outcome {
    /// Answers per second.
    pub(super) fn per_second(&self) -> f64 {
        self.waits.len() as f64 / self.took.as_secs_f64()
    }

    /// Adds what came later.
    pub(super) fn then(&mut self, other: Self) {
        self.took += other.took;
        self.waits.join(other.waits);
    }

    /// Adds what came beside it.
    fn join(&mut self, other: Self) {
        self.took = self.took.max(other.took);
        self.waits.join(other.waits);
    }
}

/// Runs a load to its end.
pub(super) async fn run(target: &Arc<Target>, load: Load) -> Result<Outcome, Failure> {
    let target = Arc::clone(target);
    let ran = tokio::task::spawn_blocking(move || on_threads(&target, load)).await;
    ran.map_err(Failure::during("the load"))?
}

/// A connection, which of the requests it begins with, and when they are due in an open loop.
type Seat = (Socket, usize, Option<UnboundedReceiver<Instant>>);

fn on_threads(target: &Arc<Target>, load: Load) -> Result<Outcome, Failure> {
    let threads = (host::cores() / 2).clamp(1, load.connections.max(1));
    let mut seats: Vec<Vec<Seat>> = (0..threads).map(|_| vec![]).collect();
    let mut dues = vec![];
    for turn in 0..load.connections {
        let (due, calls) = match load.rate.map(|_| unbounded_channel()) {
            Some((due, calls)) => (Some(due), Some(calls)),
            None => (None, None),
        };
        dues.extend(due);
        seats[turn % threads].push((open(target.at)?, turn, calls));
    }
    // All connections stand before the clock starts.
    let start = Instant::now();
    std::thread::scope(|scope| {
        if let Some(rate) = load.rate {
            scope.spawn(move || pace(start, load.time, rate, &dues));
        }
        let thread = |seats| scope.spawn(move || on_one_thread(target, load.time, start, seats));
        let running: Vec<_> = seats.into_iter().map(thread).collect();
        let mut all = Outcome::default();
        for thread in running {
            all.join(thread.join().map_err(|_| Failure::new("a thread of the load panicked"))??);
        }
        Ok(all)
    })
}

fn open(to: SocketAddr) -> Result<Socket, Failure> {
    let socket = Socket::connect(to).map_err(Failure::during(format!("no connection to {to}")))?;
    let ready = socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true));
    ready.map_err(Failure::during("a connection"))?;
    Ok(socket)
}

/// Tells connections by turns when their next request is due. Sleeps in a thread of its own: a
/// timer of the runtime would be up to a millisecond late.
fn pace(start: Instant, time: Duration, rate: u32, dues: &[UnboundedSender<Instant>]) {
    let count = (time.as_secs_f64() * f64::from(rate)) as u32;
    for (number, due) in (0..count).zip(dues.iter().cycle()) {
        let at = start + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if due.send(at).is_err() {
            // The connection failed, and says so itself.
            return;
        }
    }
}

fn on_one_thread(
    target: &Arc<Target>,
    time: Duration,
    start: Instant,
    seats: Vec<Seat>,
) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::during("the load's runtime did not start"))?;
    let all = async {
        let mut asking = JoinSet::new();
        for (socket, turn, calls) in seats {
            let socket = tokio::net::TcpStream::from_std(socket);
            let connection = Connection::of(socket.map_err(Failure::during("a connection"))?);
            let target = Arc::clone(target);
            match calls {
                Some(calls) => asking.spawn(when_due(target, connection, turn, start, calls)),
                None => asking.spawn(without_pause(target, connection, turn, start, time)),
            };
        }
        let mut all = Outcome::default();
        while let Some(one) = asking.join_next().await {
            all.join(one.map_err(Failure::during("a connection"))??);
        }
        Ok(all)
    };
    let all = runtime.block_on(async { tokio::time::timeout(time + PATIENCE, all).await });
    all.unwrap_or_else(|_| Err(Failure::new(format!("{} does not keep up", target.at))))
}

/// One connection of a closed loop.
async fn without_pause(
    target: Arc<Target>,
    mut connection: Connection,
    first: usize,
    start: Instant,
    time: Duration,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let by_turns = target.requests.iter().cycle().skip(first % target.requests.len());
    for request in by_turns {
        let began = Instant::now();
        // At least one answer each, however slow.
        if began >= start + time && outcome.waits.len() > 0 {
            break;
        }
        connection.ask(request, &target.numbers, target.status).await?;
        outcome.waits.add(began.elapsed());
    }
    outcome.took = start.elapsed();
    Ok(outcome)
}

/// One connection of an open loop.
async fn when_due(
    target: Arc<Target>,
    mut connection: Connection,
    first: usize,
    start: Instant,
    mut calls: UnboundedReceiver<Instant>,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut by_turns = target.requests.iter().cycle().skip(first % target.requests.len());
    while let (Some(due), Some(request)) = (calls.recv().await, by_turns.next()) {
        connection.ask(request, &target.numbers, target.status).await?;
        outcome.waits.add(due.elapsed());
        outcome.took = start.elapsed();
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::api::hello;

    async fn loaded(load: Load, status: u16) -> Result<Outcome, Failure> {
        let (at, server) = hello::start(0, 13).await.unwrap();
        let target = Target::new(at, vec![Request::get("/", "")], status);
        let outcome = run(&target, load).await;
        server.abort();
        outcome
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_loop_asks_as_often_as_it_was_told() {
        let time = Duration::from_millis(200);
        let open = Load { connections: 3, time, rate: Some(100) };
        assert_eq!(loaded(open, 200).await.unwrap().waits.len(), 20);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_closed_loop_asks_at_least_once_and_takes_no_other_answer() {
        let closed = Load { connections: 3, time: Duration::ZERO, rate: None };
        let outcome = loaded(closed, 200).await.unwrap();
        assert!(outcome.waits.len() == 3 && outcome.per_second() > 0.0);
        let failure = loaded(closed, 204).await.unwrap_err();
        assert_eq!(failure.0, "GET /: answered 200, not 204: Hello, world!");
    }
}
