//! Connections that a handler can cut: the acceptor wraps each TCP stream with a switch, and once
//! the switch is thrown nothing more is written, so the client sees the line go dead before the
//! first byte of an answer. Poem itself always answers something.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use poem::{
    http::uri::Scheme,
    listener::{Acceptor, TcpAcceptor},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The open connections and their switches.
#[derive(Debug, Clone, Default)]
pub struct Switchboard(Arc<Mutex<HashMap<SocketAddr, Arc<AtomicBool>>>>);

impl Switchboard {
    /// Lets nothing more out on the connection from `peer`.
    pub fn cut(&self, peer: SocketAddr) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(switch) = lines.get(&peer) {
            switch.store(true, Ordering::Release);
        }
    }

    fn connect(&self, peer: SocketAddr) -> Arc<AtomicBool> {
        let switch = Arc::new(AtomicBool::new(false));
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.insert(peer, Arc::clone(&switch));
        switch
    }

    fn disconnect(&self, peer: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
    }
}

/// A TCP acceptor whose connections stand on a switchboard.
pub struct CuttableAcceptor {
    /// Where connections come from.
    pub inner: TcpAcceptor,
    /// Where they are registered.
    pub board: Switchboard,
}

impl Acceptor for CuttableAcceptor {
    type Io = Line;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Line, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, local, remote, scheme) = self.inner.accept().await?;
        let peer = stream.peer_addr()?;
        let switch = self.board.connect(peer);
        let line = Line { stream, switch, peer, board: self.board.clone() };
        Ok((line, local, remote, scheme))
    }
}

/// One connection.
pub struct Line {
    stream: TcpStream,
    switch: Arc<AtomicBool>,
    peer: SocketAddr,
    board: Switchboard,
}

impl Line {
    fn is_cut(&self) -> bool {
        self.switch.load(Ordering::Acquire)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.board.disconnect(self.peer);
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
