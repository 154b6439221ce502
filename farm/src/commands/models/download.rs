//! One file: fetched into `<file>.part`, gone on with where it broke off, and given its name when
//! its length and checksum are right.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use models::store::{Model, Pin, StoreError, sha256};
use reqwest::{Response, StatusCode};
use sha1::{Digest, Sha1};

use super::fault::Fault;
use super::hub::{Hub, Known, Sum, innermost};
use super::progress::Progress;
use super::pull::off_thread;

/// Attempts for a file, all in all.
const ATTEMPTS: u32 = 6;
/// How often a file may arrive with a wrong content: once can be a piece of an older attempt.
const WRONG: u32 = 2;

/// How long to wait before an attempt, doubled for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(pub(super) Duration);

/// Where a file is until it is whole.
pub(super) fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Fetches a file of a checkpoint to `path`, whose folder is there, and answers with its size and
/// SHA-256.
pub(super) async fn download(
    hub: &Hub,
    model: &Model,
    file: &str,
    known: &Known,
    path: &Path,
    patience: Patience,
    progress: &mut Progress,
) -> Result<Pin, Fault> {
    let one = One { hub, model, file, known, part: part(path) };
    let mut wrong = 0;
    // A host that was never heard of in this download is not waited for.
    let mut heard = false;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(patience.0 * 2_u32.pow(attempt - 1)).await;
        }
        let attempted = one.attempt(progress).await;
        heard |= !matches!(attempted, Err(Fault::Unreachable { .. }));
        match attempted {
            Err(fault) if heard && fault.passes() && attempt + 1 < ATTEMPTS => continue,
            attempted => attempted?,
        }
        match one.checked().await {
            Ok(pin) => {
                fs::rename(&one.part, path).map_err(StoreError::io(path))?;
                return Ok(pin);
            }
            Err(fault @ Fault::WrongSum { .. }) => {
                fs::remove_file(&one.part).map_err(StoreError::io(&one.part))?;
                wrong += 1;
                if wrong == WRONG {
                    return Err(fault);
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    Err(one.broken(0, "its content was wrong and it did not arrive again".to_owned()))
}

struct One<'a> {
    hub: &'a Hub,
    model: &'a Model,
    file: &'a str,
    known: &'a Known,
    part: PathBuf,
}

impl One<'_> {
    /// Fetches what is missing of the part.
    async fn attempt(&self, progress: &mut Progress) -> Result<(), Fault> {
        let mut have = fs::metadata(&self.part).map_or(0, |part| part.len());
        if have > self.known.size {
            have = 0;
        }
        if have == self.known.size {
            return Ok(());
        }
        let answer = self.hub.get(self.model, self.file, have).await?;
        let have = match answer.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&answer, have) => have,
            StatusCode::OK => {
                if let Some(length) = answer.content_length()
                    && length != self.known.size
                {
                    return Err(self.wrong_length(length.to_string()));
                }
                0
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                // The part is of no use to this host.
                let _ = fs::remove_file(&self.part);
                return Err(self.broken(0, "it sent another part than was asked for".to_owned()));
            }
            StatusCode::NOT_FOUND => return Err(self.not_there().await),
            status => {
                let what = format!("{} of {}", self.file, self.model.repository);
                return Err(self.hub.refused(status, what));
            }
        };
        self.receive(answer, have, progress).await
    }

    async fn receive(
        &self,
        mut answer: Response,
        mut have: u64,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let io = || StoreError::io(&self.part);
        // Written from this thread: nothing else runs on it, and the system buffers.
        let mut part = OpenOptions::new()
            .create(true)
            .truncate(false)
            .append(true)
            .open(&self.part)
            .map_err(io())?;
        part.set_len(have).map_err(io())?;
        progress.at(have);
        loop {
            let piece = match answer.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => return Err(self.broken(have, innermost(&error))),
            };
            have += piece.len() as u64;
            if have > self.known.size {
                fs::remove_file(&self.part).map_err(io())?;
                return Err(self.wrong_length("more".to_owned()));
            }
            part.write_all(&piece).map_err(io())?;
            progress.at(have);
        }
        part.sync_all().map_err(io())?;
        if have < self.known.size {
            return Err(self.broken(have, "the answer ended".to_owned()));
        }
        Ok(())
    }

    fn broken(&self, have: u64, why: String) -> Fault {
        let (host, file) = (self.hub.host(), self.file.to_owned());
        Fault::Broken { host, file, have, size: self.known.size, why }
    }

    /// Compares the part with its checksum.
    async fn checked(&self) -> Result<Pin, Fault> {
        let (path, size, sum) = (self.part.clone(), self.known.size, self.known.sum.clone());
        match off_thread(move || check(&path, size, &sum)).await? {
            Ok(pin) => Ok(pin),
            Err((kind, want, is)) => {
                let (repository, file) = (self.model.repository.clone(), self.file.to_owned());
                Err(Fault::WrongSum { repository, file, kind, want, is })
            }
        }
    }

    fn wrong_length(&self, is: String) -> Fault {
        Fault::WrongLength {
            host: self.hub.host(),
            repository: self.model.repository.clone(),
            file: self.file.to_owned(),
            want: self.known.size,
            is,
        }
    }

    /// Says what there is instead of weights that are not there.
    async fn not_there(&self) -> Fault {
        let only_pickled = self.file == self.model.weights()
            && self.hub.files(self.model).await.is_ok_and(|files| pickled(&files));
        no_file(self.model, self.file, only_pickled)
    }
}

/// Whether a revision has weights in a format that is not loaded.
pub(super) fn pickled(files: &std::collections::BTreeMap<String, Known>) -> bool {
    files.contains_key("pytorch_model.bin")
}

/// A file that a revision does not have.
pub(super) fn no_file(model: &Model, file: &str, only_pickled: bool) -> Fault {
    let hint = if only_pickled {
        ", only pytorch_model.bin, which is not loaded; scripts/ai/convert.py makes safetensors of it"
    } else {
        ""
    };
    let Model { repository, revision, .. } = model.clone();
    Fault::NoFile { repository, file: file.to_owned(), revision, hint }
}

/// Kind of checksum, the wanted one, and the one it has.
pub(super) type Differs = (&'static str, String, String);

/// Compares a file with its checksum. Takes seconds: not for an async thread.
pub(super) fn check(path: &Path, size: u64, sum: &Sum) -> Result<Result<Pin, Differs>, StoreError> {
    let is = sha256(path)?;
    Ok(match sum {
        Sum::Sha256(want) if *want != is => Err(("sha256", want.clone(), is)),
        Sum::GitBlob(want) => {
            let blob = git_blob(path, size)?;
            if *want == blob {
                Ok(Pin { size, sha256: is })
            } else {
                Err(("git object id", want.clone(), blob))
            }
        }
        Sum::Sha256(_) => Ok(Pin { size, sha256: is }),
    })
}

/// Git's object id of a file's content.
fn git_blob(path: &Path, size: u64) -> Result<String, StoreError> {
    let mut hash = Sha1::new();
    hash.update(format!("blob {size}\0"));
    let mut file = File::open(path).map_err(StoreError::io(path))?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).map_err(StoreError::io(path))? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    Ok(jobs::hex(&hash.finalize()))
}

/// Whether a partial answer begins where it was asked to: `bytes 5-9/10`.
fn begins_at(answer: &Response, from: u64) -> bool {
    let range = answer.headers().get("content-range").and_then(|range| range.to_str().ok());
    let begin = range
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split_once('-'))
        .and_then(|(begin, _)| begin.parse().ok());
    begin == Some(from)
}
