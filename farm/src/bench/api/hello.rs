//! A bare poem server that says hello, as the ceiling of what the framework could do: no routes,
//! no database, nobody to know. A hidden subcommand, so that it runs in a process of its own as
//! the API does.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use jobs::process::Failure;
use poem::endpoint::make_sync;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Route, Server, get};
use tokio::task::JoinHandle;

/// Where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1.
    #[arg(long)]
    port: u16,
}

/// Serves until it is killed.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let (_, server) = start(options.port).await?;
    let served = server.await.map_err(Failure::during("hello"))?;
    served.map_err(Failure::during("hello"))
}

/// Starts it in this process; port 0 takes a free one.
pub(super) async fn start(
    port: u16,
) -> Result<(SocketAddr, JoinHandle<std::io::Result<()>>), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).into_acceptor().await;
    let acceptor = listener.map_err(Failure::during(format!("port {port}")))?;
    let addrs = acceptor.local_addr();
    let addr = addrs.iter().find_map(|addr| addr.as_socket_addr().copied());
    let addr = addr.ok_or_else(|| Failure::new(format!("port {port} has no address")))?;
    let app = Route::new().at("/", get(make_sync(|_| "Hello, world!")));
    Ok((addr, tokio::spawn(Server::new_with_acceptor(acceptor).run(app))))
}
