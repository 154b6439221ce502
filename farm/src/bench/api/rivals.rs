//! Other servers for the same machine and the same load: poem without a farm, and FastAPI.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use jobs::process::Failure;

use super::connection::Request;
use super::load::Target;
use super::site::{Site, answers};
use crate::bench::peers::{Peer, Peers};
use crate::bench::stack::Stack;
use crate::roles::Role;
use crate::servers::free_port;

/// Started once; idle while others are measured.
#[derive(Debug)]
pub(super) struct Rivals {
    /// poem, saying hello.
    pub(super) hello: Arc<Target>,
    /// FastAPI, saying hello and showing the profile.
    pub(super) fastapi: Option<(Arc<Target>, Arc<Target>)>,
    pub(super) poem: Role,
    /// poem, saying as many bytes as the profile has: what these alone cost.
    pub(super) bytes: Arc<Target>,
    pub(super) long: Role,
    _uvicorn: Option<Peer>,
}

impl Rivals {
    pub(super) async fn open(stack: &Stack, site: &Site, peers: bool) -> Result<Self, Failure> {
        let (poem, hello) = said(stack, "").await?;
        let (long, bytes) = said(stack, &format!("--bytes {}", site.profile.len())).await?;
        if !peers {
            return Ok(Self { hello, fastapi: None, poem, bytes, long, _uvicorn: None });
        }
        let file = stack.folder().join("profile.json");
        let written = std::fs::write(&file, &site.profile);
        written.map_err(Failure::during("the profile was not written"))?;
        let port = free_port()?;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let uvicorn = Peers::install().await?.fastapi(port, &site.secret, &file).await?;
        let target = |request| Target::new(at, vec![request], 200);
        let fastapi = (target(Request::get("/", "")), target(site.profile()));
        let fastapi = Some(fastapi);
        Ok(Self { hello, fastapi, poem, bytes, long, _uvicorn: Some(uvicorn) })
    }
}

/// poem in a process of its own.
async fn said(stack: &Stack, args: &str) -> Result<(Role, Arc<Target>), Failure> {
    let port = free_port()?;
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut poem = stack.role(&format!("bench hello --port {port} {args}"), &[])?;
    answers(&mut poem, at, &Request::get("/", "")).await?;
    Ok((poem, Target::new(at, vec![Request::get("/", "")], 200)))
}
