//! Tickets in Redis: for a cluster. Redis holds nothing that is not in the database too, so every
//! failure here is answered by waiting: no error reaches a worker or a request, and when Redis is
//! back (restarted, wiped, thawed) tickets flow again without anybody's help.
//!
//! Three things live here: short scripts over one sorted set per lane (member = job id, score =
//! arrival), one subscription per process for news, and a writer that puts news together.
//! The keys of a queue share a hash tag. Nothing is kept per finished job.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use entity::enums::{Priority, Queue};
use futures_util::StreamExt;
use redis::{RedisError, RedisResult, Script};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{PATIENCE, Redis};
use crate::ticket::{LANE_CAPACITY, Lane, Signal, TicketQueue};

/// Pause between attempts to subscribe.
const RESUBSCRIBE: Duration = Duration::from_millis(250);
/// How often the subscription is asked whether it is alive, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Job ids in one message.
const IDS_PER_MESSAGE: usize = 512;

/// KEYS: lane. ARGV: capacity, wake channel, queue, ids. Adds what is not there while there is
/// room; wakes workers when the lane was empty (else they are busy, or look anyway).
static PUSH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local before = redis.call('ZCARD', KEYS[1])
local room = tonumber(ARGV[1]) - before
local time = redis.call('TIME')
local arrival = time[1] * 1000000 + time[2]
local added = 0
for i = 4, #ARGV do
  if added >= room then break end
  added = added + redis.call('ZADD', KEYS[1], 'NX', arrival + i, ARGV[i])
end
if added > 0 and before == 0 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return added",
    )
});

/// KEYS: lanes, most urgent first. ARGV: free slots, of which reserved for the first lane, size of
/// a lane that counts as half empty, channel for that, queue.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local taken = {}
local low = false
for i, lane in ipairs(KEYS) do
  local most = tonumber(ARGV[1])
  if i > 1 then most = most - tonumber(ARGV[2]) end
  local want = most - #taken
  if want > 0 then
    local got = redis.call('ZPOPMIN', lane, want)
    for j = 1, #got, 2 do taken[#taken + 1] = got[j] end
    if #got > 0 then
      local left = redis.call('ZCARD', lane)
      local half = tonumber(ARGV[3])
      if left <= half and left + #got / 2 > half then low = true end
    end
  end
end
if low then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return taken",
    )
});

/// The ticket queue of one process in a cluster.
#[derive(Debug)]
pub struct RedisTickets {
    redis: Redis,
    arrivals: Arc<HashMap<Queue, watch::Sender<u64>>>,
    signals: broadcast::Sender<Signal>,
    news: mpsc::Sender<Signal>,
    listener: JoinHandle<()>,
}

impl Drop for RedisTickets {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl RedisTickets {
    /// Subscribes to news; Redis may come later. Needs a running tokio runtime.
    pub fn new(redis: Redis) -> Self {
        let arrivals: HashMap<_, _> =
            Queue::ALL.iter().map(|queue| (*queue, watch::channel(0).0)).collect();
        let arrivals = Arc::new(arrivals);
        let (signals, _) = broadcast::channel(4_096);
        let (news, outbox) = mpsc::channel(16_384);
        tokio::spawn(tell(redis.clone(), outbox));
        let listener = tokio::spawn(listen(redis.clone(), arrivals.clone(), signals.clone()));
        Self { redis, arrivals, signals, news, listener }
    }

    fn lane(&self, lane: Lane) -> String {
        // One hash tag per queue: the script over its lanes stays possible on Redis Cluster.
        format!("{{{}:{}}}:{}", self.redis.prefix(), lane.queue, lane.priority.as_str())
    }
}

#[async_trait]
impl TicketQueue for RedisTickets {
    async fn push(&self, lane: Lane, ids: &[Uuid]) -> usize {
        if ids.is_empty() {
            return 0;
        }
        let mut script = PUSH.key(self.lane(lane));
        script.arg(LANE_CAPACITY).arg(self.redis.name("wake")).arg(lane.queue.as_str());
        for id in ids.iter().take(LANE_CAPACITY) {
            script.arg(id.as_bytes().as_slice());
        }
        self.redis.run_soon(&script).await.unwrap_or(0)
    }

    async fn take(&self, queue: Queue, free: usize, reserved: usize) -> Vec<Uuid> {
        let mut script = TAKE.prepare_invoke();
        for priority in Priority::ALL {
            script.key(self.lane(Lane { queue, priority }));
        }
        script.arg(free.min(LANE_CAPACITY)).arg(reserved).arg(LANE_CAPACITY / 2);
        script.arg(self.redis.name("low")).arg(queue.as_str());
        let asked = async |mut connection| script.invoke_async(&mut connection).await;
        match self.redis.ask::<Vec<Vec<u8>>, _>(asked).await {
            Ok(ids) => ids.iter().filter_map(|id| Uuid::from_slice(id).ok()).collect(),
            Err(error) => {
                // Said aloud by the subscription, once.
                tracing::debug!(error = %error.category(), %queue, "no tickets: Redis refused");
                self.redis.connect_anew();
                tokio::time::sleep(RESUBSCRIBE).await;
                vec![]
            }
        }
    }

    fn arrivals(&self, queue: Queue) -> watch::Receiver<u64> {
        match self.arrivals.get(&queue) {
            Some(arrivals) => arrivals.subscribe(),
            // Every queue has one; without, it would only mean to look now and then.
            None => watch::channel(0).1,
        }
    }

    async fn len(&self, lane: Lane) -> usize {
        let mut command = redis::cmd("ZCARD");
        command.arg(self.lane(lane));
        let asked = async |mut connection| command.query_async(&mut connection).await;
        self.redis.ask_soon(asked).await.unwrap_or(LANE_CAPACITY)
    }

    async fn wipe(&self) {
        for queue in Queue::ALL {
            let lanes = Priority::ALL.map(|priority| self.lane(Lane { queue: *queue, priority }));
            let mut command = redis::cmd("DEL");
            command.arg(&lanes);
            let asked = async |mut connection| command.query_async(&mut connection).await;
            let _: Option<i64> = self.redis.ask_soon(asked).await;
        }
    }

    fn publish(&self, signal: Signal) {
        // Full only while Redis is away; whoever waits reads again every two seconds.
        let _ = self.news.try_send(signal);
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    async fn check(&self) -> Result<(), String> {
        let ping = redis::cmd("PING");
        let asked = async |mut connection| ping.query_async(&mut connection).await;
        match tokio::time::timeout(PATIENCE, self.redis.ask::<String, _>(asked)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("Redis refuses: {}", error.category())),
            Err(_) => Err("Redis does not answer".to_owned()),
        }
    }
}

/// Sends news, as many ids in a message as have come in; ends with the last sender.
async fn tell(redis: Redis, mut outbox: mpsc::Receiver<Signal>) {
    let mut batch = vec![];
    while outbox.recv_many(&mut batch, 1_024).await > 0 {
        let (mut changed, mut stop, mut low) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for signal in batch.drain(..) {
            match signal {
                Signal::Changed(ids) => changed.extend(ids),
                Signal::Stop(ids) => stop.extend(ids),
                Signal::Low(queue) => {
                    low.insert(queue);
                }
            }
        }
        let mut pipe = redis::pipe();
        for (channel, ids) in [("stop", stop), ("changed", changed)] {
            let ids: Vec<Uuid> = ids.into_iter().collect();
            for chunk in ids.chunks(IDS_PER_MESSAGE) {
                let bytes: Vec<u8> = chunk.iter().flat_map(|id| *id.as_bytes()).collect();
                pipe.cmd("PUBLISH").arg(redis.name(channel)).arg(bytes).ignore();
            }
        }
        for queue in low {
            pipe.cmd("PUBLISH").arg(redis.name("low")).arg(queue.as_str()).ignore();
        }
        let asked = async |mut connection| pipe.query_async(&mut connection).await;
        let _: Option<()> = redis.ask_soon(asked).await;
    }
}

/// Hears news for ever; after every gap it wakes everybody, because something may have been
/// missed.
async fn listen(
    redis: Redis,
    arrivals: Arc<HashMap<Queue, watch::Sender<u64>>>,
    signals: broadcast::Sender<Signal>,
) {
    let mut away = false;
    loop {
        match subscribed(&redis, &arrivals, &signals, &mut away).await {
            // The connection ended.
            Ok(()) => away = true,
            Err(error) => {
                if !away {
                    tracing::warn!(error = %error.category(), "Redis is away; trying until it is back");
                }
                away = true;
            }
        }
        tokio::time::sleep(RESUBSCRIBE).await;
    }
}

async fn subscribed(
    redis: &Redis,
    arrivals: &HashMap<Queue, watch::Sender<u64>>,
    signals: &broadcast::Sender<Signal>,
    away: &mut bool,
) -> RedisResult<()> {
    let connecting = tokio::time::timeout(PATIENCE, redis.client().get_async_pubsub());
    let timed_out = |_| RedisError::from((redis::ErrorKind::Io, "no answer"));
    let (mut sink, mut stream) = connecting.await.map_err(timed_out)??.split();
    let channels = ["wake", "low", "changed", "stop"].map(|name| redis.name(name));
    tokio::time::timeout(PATIENCE, sink.subscribe(&channels[..])).await.map_err(timed_out)??;
    if std::mem::take(away) {
        tracing::info!("Redis is back");
        redis.is_back();
    }
    for arrivals in arrivals.values() {
        arrivals.send_modify(|count| *count += 1);
    }
    for queue in Queue::ALL {
        let _ = signals.send(Signal::Low(*queue));
    }
    let mut ping = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(message) = message else { return Ok(()) };
                let channel = message.get_channel_name();
                let name = channel.strip_prefix(redis.prefix()).unwrap_or(channel);
                let payload = message.get_payload_bytes();
                let queue = || std::str::from_utf8(payload).ok().and_then(|word| word.parse().ok());
                let ids = || payload.chunks_exact(16).filter_map(|id| Uuid::from_slice(id).ok());
                // What cannot be read is from another version: the re-reads cover it.
                let signal = match name {
                    ":wake" => {
                        if let Some(arrivals) = queue().and_then(|queue| arrivals.get(&queue)) {
                            arrivals.send_modify(|count| *count += 1);
                        }
                        continue;
                    }
                    ":low" => queue().map(Signal::Low),
                    ":changed" => Some(Signal::Changed(ids().collect())),
                    ":stop" => Some(Signal::Stop(ids().collect())),
                    _ => None,
                };
                if let Some(signal) = signal {
                    // Nobody listening is fine.
                    let _ = signals.send(signal);
                }
            }
            _ = ping.tick() => {
                // A connection that is only half there says nothing for ever.
                tokio::time::timeout(PING_TIMEOUT, sink.ping::<()>()).await.map_err(timed_out)??;
            }
        }
    }
}
