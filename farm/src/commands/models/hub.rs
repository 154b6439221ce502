//! The host of checkpoints: addresses, and what it says of a revision.

use std::collections::BTreeMap;
use std::time::Duration;

use models::store::Model;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use url::{Host, Url};

use super::fault::Fault;

/// Longest list of a revision's files that is read.
const LONGEST_LIST: usize = 4 << 20;

/// What a file's content must be, by whichever checksum the host knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    /// SHA-256, hex: of files in large-file storage, and of pinned ones.
    Sha256(String),
    /// Git's object id, hex: SHA-1 of `blob <size>\0` and the content.
    GitBlob(String),
}

/// Size and checksum of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) size: u64,
    pub(super) sum: Sum,
}

/// A host that speaks as huggingface.co does.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    client: Client,
    endpoint: Url,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: u64,
    oid: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

impl Hub {
    /// Makes no call.
    pub(super) fn new(endpoint: &Url) -> Result<Self, reqwest::Error> {
        let mut builder = Client::builder()
            .user_agent(concat!("farm/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            // Between two pieces, not for the whole: large files take minutes.
            .read_timeout(Duration::from_secs(30))
            // A broken file is gone on with where it broke off; that is done here.
            .retry(reqwest::retry::never());
        if is_loopback(endpoint) {
            builder = builder.no_proxy();
        }
        Ok(Self { client: builder.build()?, endpoint: endpoint.clone() })
    }

    /// For sentences.
    pub(super) fn host(&self) -> String {
        self.endpoint.host_str().unwrap_or("the host").to_owned()
    }

    /// Asks for a file, from byte `from` on. The answer may begin at 0 all the same.
    pub(super) async fn get(
        &self,
        model: &Model,
        file: &str,
        from: u64,
    ) -> Result<Response, Fault> {
        let url = self.address(&format!("{}/resolve/{}/{file}", model.repository, model.revision));
        let mut request = self.client.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    /// The files of a revision: their sizes and checksums.
    pub(super) async fn files(&self, model: &Model) -> Result<BTreeMap<String, Known>, Fault> {
        let Model { repository, revision, .. } = model;
        let url = self.address(&format!("api/models/{repository}/tree/{revision}?recursive=true"));
        let sent = self.client.get(url).send().await;
        let mut answer = sent.map_err(|error| self.unreachable(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(answer.status(), format!("{repository} at {revision}")));
        }
        let strange =
            |why: String| Fault::Strange { host: self.host(), repository: repository.clone(), why };
        let mut body = vec![];
        while let Some(piece) = answer.chunk().await.map_err(|error| self.unreachable(&error))? {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST_LIST {
                return Err(strange("it is too long".to_owned()));
            }
        }
        let entries: Vec<Entry> =
            serde_json::from_slice(&body).map_err(|error| strange(error.to_string()))?;
        let files = entries.into_iter().filter(|entry| entry.kind == "file");
        Ok(files.map(|entry| (entry.path.clone(), known(entry))).collect())
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> Fault {
        Fault::Unreachable { host: self.host(), why: innermost(error) }
    }

    pub(super) fn refused(&self, status: StatusCode, what: String) -> Fault {
        Fault::Refused { host: self.host(), status: status.as_u16(), what }
    }

    fn address(&self, path: &str) -> String {
        format!("{}/{path}", self.endpoint.as_str().trim_end_matches('/'))
    }
}

fn known(entry: Entry) -> Known {
    match entry.lfs {
        Some(lfs) => Known { size: lfs.size, sum: Sum::Sha256(lfs.oid) },
        None => Known { size: entry.size, sum: Sum::GitBlob(entry.oid) },
    }
}

/// What an error comes down to: the client wraps it in the whole address.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}
