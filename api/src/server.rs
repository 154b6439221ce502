//! Connections: accepted, answered by the application, closed when they are idle or stuck.
//!
//! hyper is served with directly rather than through poem's server, which gives a request's head
//! no time limit, wakes a task for each read and write of a connection with an idle limit, and
//! hides that a socket takes an answer's head and body in one call.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long is waited for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For the head of a request, from when the connection is open or the request before it is
    /// answered.
    head: Duration,
    /// For a client to read what it was sent.
    unread: Duration,
    /// For open requests, at the end.
    grace: Duration,
}

impl Waits {
    /// Proxies keep a connection for 60 s: it is they who close it.
    pub(crate) const USUAL: Self = Self {
        head: Duration::from_secs(75),
        unread: Duration::from_secs(75),
        grace: Duration::from_secs(5),
    };
}

/// Largest head of a request, in bytes: several times that of a browser with a token.
const MAX_HEAD: usize = 64 << 10;
/// Before accepting is tried again when it failed: for want of files, others must close first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Answers on a listener until it is told to stop, and then those who ask already.
///
/// # Errors
/// When the listener has no address.
pub(crate) async fn serve<E>(
    listener: TcpListener,
    app: E,
    stop: CancellationToken,
    waits: Waits,
) -> io::Result<()>
where
    E: Endpoint<Output = Response> + 'static,
{
    let local = listener.local_addr()?;
    let server = Server { app: Arc::new(app), local, http: http(waits.head), unread: waits.unread };
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stop.cancelled());
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                connections.spawn(server.connection(stream, remote, &graceful));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(waits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still open when the server stopped");
    }
    Ok(())
}

/// What every connection needs.
struct Server<E> {
    app: Arc<E>,
    local: SocketAddr,
    http: Builder,
    unread: Duration,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// The life of a connection.
    fn connection(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        graceful: &GracefulShutdown,
    ) -> impl Future<Output = ()> + Send + use<E> {
        careful(&stream, self.unread);
        let app = Arc::clone(&self.app);
        let local = LocalAddr(self.local.into());
        let remote = RemoteAddr(remote.into());
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let app = Arc::clone(&app);
            let request = Request::from((request, local.clone(), remote.clone(), Scheme::HTTP));
            async move { Ok::<_, io::Error>(hyper::Response::from(app.get_response(request).await)) }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), answer);
        let watched = graceful.watch(connection);
        async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended with an error");
            }
        }
    }
}

/// HTTP/1.1 alone, as proxies speak it to what is behind them.
fn http(head: Duration) -> Builder {
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(MAX_HEAD);
    builder
}

/// Small answers leave at once, and whoever reads nothing is let go by the kernel.
fn careful(stream: &TcpStream, unread: Duration) {
    let set = stream.set_nodelay(true).and_then(|()| {
        let unread = unread.as_millis() as u32;
        rustix::net::sockopt::set_tcp_user_timeout(stream, unread).map_err(io::Error::from)
    });
    if let Err(error) = set {
        // Of a connection that is already gone.
        tracing::debug!(%error, "a connection could not be set up");
    }
}

#[cfg(test)]
mod tests;
