//! Fetches what foreign URLs lead to, and only from public hosts: every hop of a redirect is
//! judged, and so is each address that is connected to.
//!
//! The only client for URLs that come from others. Names are resolved once, by the client itself,
//! and it connects to what was judged: a name that means something else a moment later has no
//! moment for it.

mod address;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jobs::process::Failure;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect};
use url::Url;

pub use address::{Allowed, Refused};
use address::{Way, judge, public};

/// Redirects followed.
const HOPS: usize = 5;
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for the next bytes.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest time for a whole fetch, redirects included: one that drips must not hold its place.
const WHOLE: Duration = Duration::from_secs(30);

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address, or one it leads to, is not gone to.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// Another answer than the body.
    #[error("its host answers {0}")]
    Status(StatusCode),
    /// More than was asked for.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// Not within its time.
    #[error("its host takes too long")]
    TooSlow,
    /// Redirects without an end, or to nowhere.
    #[error("its host redirects {0}")]
    Redirects(&'static str),
    /// No answer, or a broken one.
    #[error("its host cannot be reached: {0}")]
    Unreachable(String),
}

/// What was fetched before, to be told when it has not changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Its entity tag.
    pub etag: Option<&'a str>,
    /// When its host said it was changed.
    pub last_modified: Option<&'a str>,
}

/// What its host says.
#[derive(Debug)]
pub enum Fetched {
    /// It is what was fetched before.
    Unchanged,
    /// This.
    Body {
        /// All of it.
        bytes: Bytes,
        /// Its entity tag.
        etag: Option<String>,
        /// When its host says it was changed.
        last_modified: Option<String>,
        /// What its host calls it.
        content_type: Option<String>,
    },
}

/// What a name means: its addresses.
type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The client for foreign URLs.
#[derive(Clone)]
pub struct Foreign {
    guarded: Client,
    trusted: Client,
    allowed: Arc<[Allowed]>,
    /// Longest time for a whole fetch.
    whole: Duration,
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foreign").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Foreign {
    /// A client that goes to public hosts, and to those an operator allows.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new(allowed: Vec<Allowed>) -> Result<Self, Failure> {
        let system: Lookup = Arc::new(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        });
        Self::with_lookup(allowed, system)
    }

    fn with_lookup(allowed: Vec<Allowed>, lookup: Lookup) -> Result<Self, Failure> {
        let build = |builder: ClientBuilder| {
            builder.build().map_err(Failure::during("the client for pictures"))
        };
        let guarded = build(builder().dns_resolver(Arc::new(Guard(lookup))))?;
        let trusted = build(builder())?;
        Ok(Self { guarded, trusted, allowed: allowed.into(), whole: WHOLE })
    }

    /// Fetches what a URL leads to, at most `most` bytes of it.
    ///
    /// # Errors
    /// [`FetchError`]; what was fetched until then is dropped.
    pub async fn get(
        &self,
        url: &str,
        known: Known<'_>,
        most: usize,
    ) -> Result<Fetched, FetchError> {
        let fetched = tokio::time::timeout(self.whole, self.follow(url, known, most)).await;
        fetched.unwrap_or(Err(FetchError::TooSlow))
    }

    async fn follow(
        &self,
        url: &str,
        known: Known<'_>,
        most: usize,
    ) -> Result<Fetched, FetchError> {
        let mut url = Url::parse(url).map_err(|_| Refused::NoUrl)?;
        for _ in 0..=HOPS {
            let response = self.hop(&url, known).await?;
            let status = response.status();
            match status {
                StatusCode::NOT_MODIFIED if known.etag.or(known.last_modified).is_some() => {
                    return Ok(Fetched::Unchanged);
                }
                StatusCode::OK => return body(response, most).await,
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let to = text(response.headers(), &header::LOCATION);
                    let to = to.and_then(|to| url.join(&to).ok());
                    url = to.ok_or(FetchError::Redirects("to nowhere"))?;
                }
                _ => return Err(FetchError::Status(status)),
            }
        }
        Err(FetchError::Redirects("too often"))
    }

    async fn hop(&self, url: &Url, known: Known<'_>) -> Result<Response, FetchError> {
        let way = judge(url, &self.allowed)?;
        let client = match way {
            Way::Trusted => &self.trusted,
            Way::Guarded => &self.guarded,
        };
        let mut request = client.get(url.clone()).header(header::ACCEPT, "image/*");
        if let Some(etag) = known.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        } else if let Some(at) = known.last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, at);
        }
        let response = request.send().await.map_err(failed)?;
        // What was judged is what was connected to; seen once more, for nothing is cheaper.
        if let (Way::Guarded, Some(peer)) = (way, response.remote_addr()) {
            public(peer.ip())?;
        }
        Ok(response)
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent("farm")
        // Few hosts, many pictures.
        .pool_idle_timeout(Duration::from_secs(30))
}

async fn body(mut response: Response, most: usize) -> Result<Fetched, FetchError> {
    let declared = response.content_length().unwrap_or(0);
    if declared > most as u64 {
        return Err(FetchError::TooLarge(most));
    }
    let etag = text(response.headers(), &header::ETAG);
    let last_modified = text(response.headers(), &header::LAST_MODIFIED);
    let content_type = text(response.headers(), &header::CONTENT_TYPE);
    // A host that lies about the length is not believed with memory.
    let mut bytes = Vec::with_capacity(declared.min(1 << 20) as usize);
    while let Some(part) = response.chunk().await.map_err(failed)? {
        if bytes.len() + part.len() > most {
            return Err(FetchError::TooLarge(most));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(Fetched::Body { bytes: bytes.into(), etag, last_modified, content_type })
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= 1_024).then(|| value.to_owned())
}

/// What was behind it: a refusal of ours, or the network.
fn failed(error: reqwest::Error) -> FetchError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut last = String::new();
    while let Some(error) = source {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return FetchError::Refused(refused.clone());
        }
        // The URL holds a signature: only what is behind it is said.
        last = error.to_string();
        source = error.source();
    }
    if error.is_timeout() {
        return FetchError::TooSlow;
    }
    FetchError::Unreachable(last)
}

/// Resolves names, and refuses those that lead anywhere but to public hosts.
struct Guard(Lookup);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.0)(name.as_str().to_owned());
        Box::pin(async move {
            let found = found.await?;
            // One bad address among good ones is an attack, not an accident.
            for ip in &found {
                public(*ip)?;
            }
            let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
