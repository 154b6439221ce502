//! One batch through one analyzer, whatever the analyzer does.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::queue::Batch;
use super::request::{Answers, Content};
use crate::analysis::{Analysis, Analyzer, Offence};
use crate::text::Prepared;

/// How a batch ended.
pub(super) enum Outcome {
    /// One answer for each caption, in their order.
    Answered(Answers),
    /// The analyzer says that it is broken, or panicked on two different batches in a row, after
    /// which it may be. The batch is still to be computed, by another one.
    Broken,
    /// The thread was given up meanwhile: nobody wants the answers.
    Abandoned,
}

/// An analyzer with what is known about its health.
pub(super) struct Tried {
    analyzer: Box<dyn Analyzer>,
    /// The captions that broke its last batch.
    offenders: Vec<Content>,
}

impl Tried {
    pub(super) fn new(analyzer: Box<dyn Analyzer>) -> Self {
        Self { analyzer, offenders: Vec::new() }
    }

    /// Computes the batch. `beat` is called with the number of captions before each call of the
    /// analyzer, and says whether to go on.
    pub(super) fn run(&mut self, batch: &Batch, mut beat: impl FnMut(usize) -> bool) -> Outcome {
        let captions: Vec<Prepared> = batch.flights.iter().map(|f| f.caption.clone()).collect();
        if !batch.singly {
            if !beat(captions.len()) {
                return Outcome::Abandoned;
            }
            match self.call(&captions) {
                Ok(answers) => {
                    self.offenders.clear();
                    return Outcome::Answered(answers);
                }
                Err(_) if self.analyzer.is_broken() => return Outcome::Broken,
                // One that is known to break any batch says nothing new about the analyzer.
                Err(_) if !self.offenders.is_empty() && !self.is_known(batch) => {
                    return Outcome::Broken;
                }
                Err(reason) if captions.len() == 1 => {
                    self.offenders = vec![batch.flights[0].content];
                    return Outcome::Answered(vec![Err(Offence::Model(reason))]);
                }
                Err(_) => {}
            }
        }
        self.singly(batch, &captions, beat)
    }

    /// Drops the analyzer. A broken one may panic on its way out, and nobody is served by that.
    pub(super) fn retire(self) {
        let _ = guarded(move || drop(self.analyzer));
    }

    fn is_known(&self, batch: &Batch) -> bool {
        batch.flights.iter().any(|flight| self.offenders.contains(&flight.content))
    }

    fn singly(
        &mut self,
        batch: &Batch,
        captions: &[Prepared],
        mut beat: impl FnMut(usize) -> bool,
    ) -> Outcome {
        let mut answers = Answers::with_capacity(captions.len());
        let mut offenders = Vec::new();
        for (flight, caption) in batch.flights.iter().zip(captions) {
            if !beat(1) {
                return Outcome::Abandoned;
            }
            match self.call(std::slice::from_ref(caption)) {
                Ok(answer) => answers.extend(answer),
                Err(_) if self.analyzer.is_broken() => return Outcome::Broken,
                Err(reason) => {
                    offenders.push(flight.content);
                    answers.push(Err(Offence::Model(reason)));
                }
            }
        }
        self.offenders = offenders;
        Outcome::Answered(answers)
    }

    /// The checked answers, one for each caption, or why there are none.
    fn call(&mut self, captions: &[Prepared]) -> Result<Answers, String> {
        // Not the panic's own words: they may quote the caption.
        let answers = guarded(|| self.analyzer.analyze(captions)).map_err(|_| "panicked")?;
        if answers.len() != captions.len() {
            return Err(format!("{} answers for {} captions", answers.len(), captions.len()));
        }
        Ok(answers.into_iter().map(|answer| answer.and_then(checked)).collect())
    }
}

/// Calls it, and turns a panic into its message.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.as_deref().unwrap_or("without a message"))
}

/// The answer, if all its numbers are numbers.
fn checked(answer: Analysis) -> Result<Analysis, Offence> {
    let Analysis { sentiment, language, category, .. } = &answer;
    let numbers = [sentiment.score, sentiment.confidence, language.confidence, category.confidence];
    let all = sentiment.all.iter().map(|(_, p)| p).chain(category.scores.iter().map(|(_, p)| p));
    if numbers.iter().chain(all).all(|number| number.is_finite()) {
        Ok(answer)
    } else {
        Err(Offence::Model("answered with something that is no number".to_owned()))
    }
}
