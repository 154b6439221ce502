//! A tier the engine may stand on: its loader, its circuit, and what is known of its models.

use std::time::Duration;

use super::breaker::{Breaker, BreakerPolicy, Circuit};
use super::cache::{Maker, maker};
use super::request::{Content, Flight};
use super::settings::Loader;
use crate::analysis::ModelId;

/// What an analyzer says of itself once it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) models: Vec<ModelId>,
    pub(super) bytes: u64,
}

pub(super) struct Rung {
    pub(super) loader: Loader,
    pub(super) breaker: Breaker,
    /// Of the last good load, and who that is.
    pub(super) facts: Option<(Facts, Maker)>,
    pub(super) load_took: Option<Duration>,
    pub(super) load_error: Option<String>,
    /// Its circuit was opened by a load, so that a load closes it.
    opened_by_load: bool,
    /// The caption of the last failing batch that had but one.
    offender: Option<Content>,
}

impl Rung {
    pub(super) fn new(loader: Loader, policy: BreakerPolicy) -> Self {
        Self {
            loader,
            breaker: Breaker::new(policy),
            facts: None,
            load_took: None,
            load_error: None,
            opened_by_load: false,
            offender: None,
        }
    }

    pub(super) fn loaded(&mut self, facts: Facts, took: Duration) {
        let maker = maker(&facts.models);
        self.facts = Some((facts, maker));
        self.load_took = Some(took);
        self.load_error = None;
        if std::mem::take(&mut self.opened_by_load) {
            self.breaker.reset();
        }
    }

    /// A load failed. `spared` when the tier answers elsewhere or has none below it: its circuit
    /// stays as it is.
    pub(super) fn load_failed(&mut self, now: Duration, reason: &str, spared: bool) {
        self.load_error = Some(reason.to_owned());
        if !spared {
            self.opened_by_load |= self.breaker.circuit(now) == Circuit::Closed;
            self.breaker.trip(now, reason);
        }
    }

    pub(super) fn succeeded(&mut self, now: Duration) {
        self.breaker.record(now, None);
    }

    /// A batch failed as a whole. True when this opened the circuit.
    pub(super) fn failed(
        &mut self,
        now: Duration,
        reason: &str,
        flights: &[std::sync::Arc<Flight>],
    ) -> bool {
        let offender = match flights {
            [one] => Some(one.content),
            _ => None,
        };
        // One caption that never works, asked for again and again, says nothing about the tier.
        if offender.is_some() && offender == self.offender {
            return false;
        }
        self.offender = offender;
        let opened = self.breaker.record(now, Some(reason));
        if opened {
            self.opened_by_load = false;
            tracing::warn!(
                ai.tier = %self.loader.tier,
                breaker.reason = self.breaker.state(now).reason,
                breaker.open_ms = self.breaker.state(now).probe_in_ms,
                "circuit opened; a lower tier answers until a probe succeeds"
            );
        }
        opened
    }
}
