//! An analyzer in a process of its own: `AI_ISOLATION=process`.
//!
//! Threads cannot be ended: one that hangs in native code keeps its memory and its CPU until the
//! whole worker is replaced, and a crash there, or a want of memory, takes the worker along. A
//! process can be killed, and is started again with the next batch.
//!
//! The process is this program, called with [`child::CALL`]; the two speak [`wire`].

pub mod child;
mod process;
#[cfg(test)]
mod tests;
mod wire;

use std::process::Command;
use std::time::{Duration, Instant};

use crate::analysis::{Analysis, Analyzer, ModelId, Offence};
use crate::engine::{LoadError, Progress, Settings};
use crate::text::Prepared;
use crate::tier::Tier;
use process::Process;
use wire::Said;

/// How long the process may take before it is killed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To load.
    pub load: Duration,
    /// For a batch, and `caption` for each of its captions; what must be loaded again meanwhile
    /// counts.
    pub batch: Duration,
    /// See `batch`.
    pub caption: Duration,
}

impl Limits {
    /// Four fifths of what the engine waits for, which then need not give the thread up.
    pub fn within(engine: &Settings) -> Self {
        let most = |time: Duration| time / 5 * 4;
        Self {
            load: most(engine.per_load),
            batch: most(engine.per_batch),
            caption: most(engine.per_caption),
        }
    }
}

/// How the process is called.
pub type Call = dyn Fn() -> Command + Send;

/// Asks a process; one that is gone is started again when it is needed.
pub struct Isolated {
    tier: Tier,
    models: Vec<ModelId>,
    bytes: u64,
    call: Box<Call>,
    limits: Limits,
    process: Option<Process>,
    /// It could not be started again.
    broken: bool,
}

impl std::fmt::Debug for Isolated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Isolated").field("tier", &self.tier).finish_non_exhaustive()
    }
}

impl Isolated {
    /// Starts the process and waits until its models are loaded.
    ///
    /// # Errors
    /// The process's own, or what became of it.
    pub fn load(
        tier: Tier,
        call: Box<Call>,
        limits: Limits,
        progress: &Progress,
    ) -> Result<Self, LoadError> {
        let (models, bytes, process, broken) = (Vec::new(), 0, None, false);
        let mut this = Self { tier, models, bytes, call, limits, process, broken };
        this.process = Some(this.start(Instant::now() + limits.load, progress)?);
        Ok(this)
    }

    fn start(&mut self, until: Instant, progress: &Progress) -> Result<Process, LoadError> {
        let failed = |reason| LoadError::Failed(format!("its process {reason}"));
        let mut process = Process::start((self.call)()).map_err(failed)?;
        loop {
            match process.said(until).map_err(failed)? {
                Said::Progress(percent) => progress.set(percent),
                Said::Loaded { models, bytes } => {
                    (self.models, self.bytes) = (models, bytes);
                    return Ok(process);
                }
                Said::NotLoaded(error) => return Err(error),
                Said::Answers(_) | Said::Panicked => return Err(failed(NONSENSE.to_owned())),
            }
        }
    }

    /// What the process answers, or what became of it.
    fn ask(
        &mut self,
        captions: &[Prepared],
        until: Instant,
    ) -> Result<Vec<Result<Analysis, Offence>>, String> {
        // Out of its place meanwhile: one that fails is killed by being dropped.
        let mut process = match self.process.take() {
            Some(process) => process,
            None => self.start(until, &Progress::default()).map_err(|error| {
                self.broken = true;
                error.to_string()
            })?,
        };
        process.tell(captions)?;
        let answers = match process.said(until)? {
            Said::Answers(answers) => answers,
            // It goes on: the panic was caught there as it would be here.
            Said::Panicked => {
                self.process = Some(process);
                return Err("panicked".to_owned());
            }
            Said::Progress(_) | Said::Loaded { .. } | Said::NotLoaded(_) => {
                return Err(NONSENSE.to_owned());
            }
        };
        self.process = Some(process);
        Ok(answers)
    }
}

const NONSENSE: &str = "said what it was not asked";

impl Analyzer for Isolated {
    fn tier(&self) -> Tier {
        self.tier
    }

    fn models(&self) -> Vec<ModelId> {
        self.models.clone()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_broken(&self) -> bool {
        self.broken
    }

    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>> {
        let time = self.limits.caption.saturating_mul(captions.len() as u32);
        let until = Instant::now() + self.limits.batch + time;
        let mut answered = self.ask(captions, until);
        // One that is gone may have been ended by somebody else: a caption alone is asked for again
        // before it is blamed.
        let again = captions.len() == 1 && self.process.is_none() && !self.broken;
        if answered.is_err() && again && Instant::now() < until {
            answered = self.ask(captions, until);
        }
        match (answered, captions) {
            (Ok(answers), _) => answers,
            (Err(reason), [_]) if !self.broken => {
                vec![Err(Offence::Model(format!("its process {reason}")))]
            }
            (Err(reason), _) => {
                tracing::warn!(ai.tier = %self.tier, reason, "the process of a batch failed");
                // No answers: the engine asks for each caption alone, or another analyzer.
                Vec::new()
            }
        }
    }
}
