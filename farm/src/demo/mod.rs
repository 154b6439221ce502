//! The demo provider: a small local HTTP server that speaks the scraper vendor's wire format, so
//! that the first run, the tests and a talk without a network use the real client end to end.
//!
//! It owns: invented people (deterministic, decided by the handle), their pictures, every way the
//! vendor is known to fail (one handle each), recorded answers from a folder, and scripts for
//! tests. It must not know: jobs, the database, the real client. Start reading at
//! [`DemoProvider`], then `answers.rs` (what is said) and `character.rs` (who the people are).

mod answers;
mod captions;
mod character;
mod connection;
mod dice;
mod handle;
mod last_resort;
mod persona;
mod picture;
mod posts;
mod profile;
mod recorded;
mod script;
mod server;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use poem::{Server, listener::TcpAcceptor};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::script::{Call, Scripted};
use self::{
    connection::{CuttableAcceptor, Switchboard},
    recorded::Recordings,
    script::Logbook,
    server::Shared,
};

/// How long answers under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How a demo provider is started.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// A folder of recorded answers, which go before the invented ones.
    pub recorded: Option<PathBuf>,
    /// Added to every scrape, so that somebody watching sees the stages go by.
    pub latency: Duration,
    /// How long `demo_slow` takes.
    pub slow: Duration,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 8100)),
            recorded: None,
            latency: Duration::from_millis(150),
            slow: Duration::from_secs(20),
        }
    }
}

impl DemoOptions {
    /// A free port of this machine and no added latency.
    pub fn for_tests() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            latency: Duration::ZERO,
            ..Self::default()
        }
    }
}

/// Why a demo provider did not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The address is taken or not ours.
    #[error("the demo provider cannot listen on {addr} ({source}); choose another port")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of recorded answers is not a readable folder.
    #[error("the folder of recorded answers {} cannot be read ({source})", path.display())]
    Recorded {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A running demo provider; dropping it stops it.
pub struct DemoProvider {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for DemoProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DemoProvider").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl DemoProvider {
    /// Binds the address and serves from a task of its own.
    pub async fn start(options: DemoOptions) -> Result<Self, DemoError> {
        if let Some(path) = &options.recorded {
            let recorded = |source| DemoError::Recorded { path: path.clone(), source };
            let _readable = tokio::fs::read_dir(path).await.map_err(recorded)?;
        }
        let bind = |source| DemoError::Bind { addr: options.addr, source };
        let listener = TcpListener::bind(options.addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let inner = TcpAcceptor::from_tokio(listener).map_err(bind)?;
        let board = Switchboard::default();
        let shared = Arc::new(Shared {
            log: Logbook::default(),
            recorded: options.recorded.clone().map(Recordings::new),
            latency: options.latency,
            slow: options.slow,
            base_url: base_url(addr),
            board: board.clone(),
            shutdown: CancellationToken::new(),
            easels: Shared::easels(),
        });
        let task = tokio::spawn(serve(CuttableAcceptor { inner, board }, Arc::clone(&shared)));
        tracing::info!(
            demo.url = %base_url(addr),
            demo.recorded = ?options.recorded,
            demo.latency_ms = options.latency.as_millis() as u64,
            "demo provider started"
        );
        Ok(Self { addr, shared, task: Some(task) })
    }

    /// The address listened on, with the port that was really taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The value for `DECODO_BASE_URL`.
    pub fn base_url(&self) -> String {
        self.shared.base_url.clone()
    }

    /// Every `POST /v2/scrape` seen, oldest first; the newest 10,000.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.log.calls()
    }

    /// How often a handle was asked for since the start, refused requests included.
    pub fn calls_for(&self, handle: &str) -> usize {
        self.shared.log.count(handle)
    }

    /// Sets the next answers for a handle, in order; the last one stays. An empty script gives the
    /// handle back its usual conduct.
    pub fn script(&self, handle: &str, answers: Vec<Scripted>) {
        self.shared.log.script(handle, answers);
    }

    /// Stops: no new connections, hanging answers are cut, and the port is free on return.
    pub async fn stop(mut self) {
        self.shared.shutdown.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the demo provider's task failed");
        }
    }
}

impl Drop for DemoProvider {
    fn drop(&mut self) {
        self.shared.shutdown.cancel();
    }
}

async fn serve(acceptor: CuttableAcceptor, shared: Arc<Shared>) {
    let stopped = shared.shutdown.clone();
    let served = Server::new_with_acceptor(acceptor)
        .name("demo-provider")
        .run_with_graceful_shutdown(
            server::routes(shared),
            async move { stopped.cancelled().await },
            Some(GRACE),
        )
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the demo provider stopped serving");
    }
}

/// The address a client on this machine uses: "any" addresses are reached through the loopback.
fn base_url(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}
