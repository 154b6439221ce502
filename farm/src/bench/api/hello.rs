//! A bare poem server that says hello, as the ceiling of what the framework could do: no routes,
//! no database, nobody to know. A hidden subcommand, so that it runs in a process of its own as
//! the API does.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
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
    /// How much is said: so many bytes.
    #[arg(long, default_value_t = HELLO.len())]
    bytes: usize,
}

const HELLO: &str = "Hello, world!";

/// Serves until it is killed.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let (_, server) = start(options.port, options.bytes).await?;
    let served = server.await.map_err(Failure::during("hello"))?;
    served.map_err(Failure::during("hello"))
}

/// Starts it in this process; port 0 takes a free one.
pub(super) async fn start(
    port: u16,
    bytes: usize,
) -> Result<(SocketAddr, JoinHandle<std::io::Result<()>>), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).into_acceptor().await;
    let acceptor = listener.map_err(Failure::during(format!("port {port}")))?;
    let addrs = acceptor.local_addr();
    let addr = addrs.iter().find_map(|addr| addr.as_socket_addr().copied());
    let addr = addr.ok_or_else(|| Failure::new(format!("port {port} has no address")))?;
    let said = Bytes::from(HELLO.chars().cycle().take(bytes).collect::<String>());
    let app = Route::new().at("/", get(make_sync(move |_| said.clone())));
    Ok((addr, tokio::spawn(Server::new_with_acceptor(acceptor).run(app))))
}
