//! A caller's request, and the captions that are computed for one or more of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use crate::analysis::{Analysis, Offence};
use crate::text::Prepared;

/// One answer for each caption, in their order.
pub(super) type Answers = Vec<Result<Analysis, Offence>>;

/// A request under way.
#[derive(Debug)]
pub(super) struct Request {
    cancel: CancellationToken,
    /// `None` once it is answered.
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    tell: oneshot::Sender<Result<Answers, EngineError>>,
    answers: Vec<Option<Result<Analysis, Offence>>>,
    missing: usize,
}

impl Request {
    /// A request for so many captions, at least one, and where it will be answered.
    pub(super) fn new(
        captions: usize,
        cancel: CancellationToken,
    ) -> (Arc<Self>, oneshot::Receiver<Result<Answers, EngineError>>) {
        let (tell, told) = oneshot::channel();
        let open = Open { tell, answers: vec![None; captions], missing: captions };
        (Arc::new(Self { cancel, open: Mutex::new(Some(open)) }), told)
    }

    /// Takes the answer for one caption; the last one answers the request.
    pub(super) fn answer(&self, index: usize, answer: Result<Analysis, Offence>) {
        let mut slot = self.lock();
        let Some(open) = slot.as_mut() else { return };
        if let Some(place @ None) = open.answers.get_mut(index) {
            *place = Some(answer);
            open.missing -= 1;
        }
        if open.missing == 0
            && let Some(open) = slot.take()
        {
            // Whoever asked may be gone.
            let _ = open.tell.send(Ok(open.answers.into_iter().flatten().collect()));
        }
    }

    /// Answers the whole request, unless it is answered already.
    pub(super) fn fail(&self, error: EngineError) {
        if let Some(open) = self.lock().take() {
            let _ = open.tell.send(Err(error));
        }
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.lock().as_ref().is_none_or(|open| open.tell.is_closed())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a caption is known by: SHA-256 of the text and its hashtags.
pub(super) type Content = [u8; 32];

/// The content hash of a caption.
pub(super) fn content(caption: &Prepared) -> Content {
    let mut hash = Sha256::new();
    for part in std::iter::once(&caption.text).chain(&caption.hashtags) {
        // The length keeps ["ab", "c"] and ["a", "bc"] apart.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// One caption of a request.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its place in the request.
    pub(super) index: usize,
    pub(super) content: Content,
    /// Tokens, about.
    pub(super) tokens: usize,
    pub(super) caption: Prepared,
}

impl Asked {
    pub(super) fn new(index: usize, caption: Prepared, cost: fn(&Prepared) -> usize) -> Self {
        Self { index, content: content(&caption), tokens: cost(&caption).max(1), caption }
    }
}

/// A caption that waits or is computed, once for all who asked for it.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) content: Content,
    pub(super) caption: Prepared,
    /// Tokens, about.
    pub(super) tokens: usize,
    /// It may be what broke its last batch: it shares none.
    pub(super) alone: bool,
    /// Who asked, and for which of their captions.
    waiters: Mutex<Vec<(Arc<Request>, usize)>>,
}

impl Flight {
    /// The flight of a caption nobody has asked for yet.
    pub(super) fn new(asked: Asked, request: &Arc<Request>, alone: bool) -> Self {
        let Asked { index, content, tokens, caption } = asked;
        let waiters = Mutex::new(vec![(request.clone(), index)]);
        Self { content, caption, tokens, alone, waiters }
    }

    /// Adds somebody who waits for it.
    pub(super) fn join(&self, request: &Arc<Request>, index: usize) {
        self.lock().push((request.clone(), index));
    }

    /// Answers everybody who waits for it.
    pub(super) fn answer(&self, answer: &Result<Analysis, Offence>) {
        let waiters = std::mem::take(&mut *self.lock());
        for (request, index) in waiters {
            request.answer(index, answer.clone());
        }
    }

    /// Answers everybody who waits for it with a failure of their whole request.
    pub(super) fn fail(&self, error: &EngineError) {
        let waiters = std::mem::take(&mut *self.lock());
        for (request, _) in waiters {
            request.fail(error.clone());
        }
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_over(&self) -> bool {
        self.lock().iter().all(|(request, _)| request.is_over())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<Request>, usize)>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_hash_tells_text_and_each_hashtag_apart() {
        let hash = |text: &str, tags: &[&str]| {
            let hashtags = tags.iter().map(ToString::to_string).collect();
            content(&Prepared { text: text.into(), hashtags })
        };
        assert_eq!(hash("a", &["b", "c"]), hash("a", &["b", "c"]));
        let all =
            [hash("a", &["b", "c"]), hash("a", &["bc"]), hash("ab", &["c"]), hash("abc", &[])];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other != one));
        }
    }
}
