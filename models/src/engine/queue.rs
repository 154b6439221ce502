//! Captions that wait: admitted whole requests at a time, taken a batch at a time.
//!
//! Requests take turns. The one whose turn it is gives the first caption of a batch, and captions
//! of about the same length fill it, whoever asked for them: a small request is never behind all of
//! a large one, and little is spent on padding.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::EngineError;
use super::request::{Asked, Content, Flight, Request};
use super::settings::Settings;

/// Captions to be computed together.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) flights: Vec<Arc<Flight>>,
    /// One at a time: it was given back by an analyzer that broke on it.
    pub(super) singly: bool,
}

/// Contents remembered for having been in a lost batch: more are forgotten all at once.
const MAX_SUSPECTS: usize = 4_096;

struct Turn {
    request: Arc<Request>,
    /// By place in `waiting`; some may have been taken since.
    captions: VecDeque<(usize, u64)>,
}

/// There is no room for the request.
#[derive(Debug)]
pub(super) struct Full;

#[derive(Default)]
pub(super) struct Queue {
    /// By length, then by arrival.
    waiting: BTreeMap<(usize, u64), Arc<Flight>>,
    /// Tokens of all that wait, about.
    tokens: usize,
    turns: VecDeque<Turn>,
    arrivals: u64,
    /// Waiting or computed: whoever asks for the same joins.
    flying: HashMap<Content, (Arc<Flight>, (usize, u64))>,
    suspects: HashSet<Content>,
    given_back: VecDeque<Batch>,
    /// When it stopped being empty.
    since: Option<Duration>,
}

impl Queue {
    /// Captions waiting.
    pub(super) fn len(&self) -> usize {
        let given_back = self.given_back.iter().map(|batch| batch.flights.len());
        self.waiting.len() + given_back.sum::<usize>()
    }

    /// Takes captions of the request: all or none.
    pub(super) fn admit(
        &mut self,
        now: Duration,
        request: &Arc<Request>,
        captions: Vec<Asked>,
        settings: &Settings,
    ) -> Result<(), Full> {
        let unknown = captions.iter().filter(|asked| !self.flying.contains_key(&asked.content));
        let new = unknown.map(|asked| asked.content).collect::<HashSet<_>>().len();
        if self.len() + new > settings.queue {
            self.forget_the_gone();
        }
        if new > 0 && self.len() > 0 && self.len() + new > settings.queue {
            return Err(Full);
        }
        let places = captions.into_iter().map(|asked| match self.flying.get(&asked.content) {
            Some((flight, place)) => {
                flight.join(request, asked.index);
                *place
            }
            None => self.add(asked, request),
        });
        let turn = Turn { captions: places.collect(), request: request.clone() };
        if !self.waiting.is_empty() {
            self.turns.push_back(turn);
            self.since.get_or_insert(now);
        }
        Ok(())
    }

    fn add(&mut self, asked: Asked, request: &Arc<Request>) -> (usize, u64) {
        let content = asked.content;
        let alone = self.suspects.contains(&content);
        let flight = Arc::new(Flight::new(asked, request, alone));
        self.arrivals += 1;
        let place = (flight.tokens, self.arrivals);
        self.waiting.insert(place, flight.clone());
        self.tokens += flight.tokens;
        self.flying.insert(content, (flight, place));
        place
    }

    /// When the next batch may be taken: at once when it is full or its first caption has waited
    /// long enough. `None` while nothing waits.
    pub(super) fn ready_at(&self, settings: &Settings) -> Option<Duration> {
        let full = self.waiting.len() >= settings.batch || self.tokens >= settings.tokens;
        match self.since {
            _ if full || !self.given_back.is_empty() => Some(Duration::ZERO),
            since => Some(since?.saturating_add(settings.window)),
        }
    }

    /// The next batch. `None` when nothing waits that is still wanted.
    ///
    /// `idle` is how many threads have nothing to do, the one that asks among them: with few captions
    /// each gets its share.
    pub(super) fn take(&mut self, settings: &Settings, idle: usize) -> Option<Batch> {
        let batch = self.take_given_back().or_else(|| {
            let flights = self.take_flights(settings, idle)?;
            Some(Batch { flights, singly: false })
        });
        debug_assert!(batch.is_some() || self.waiting.is_empty(), "a caption has no turn");
        if self.waiting.is_empty() {
            self.turns.clear();
            self.since = None;
        }
        batch
    }

    fn take_given_back(&mut self) -> Option<Batch> {
        while let Some(mut batch) = self.given_back.pop_front() {
            let (gone, flights) = batch.flights.into_iter().partition(|flight| flight.is_over());
            batch.flights = flights;
            self.land(&gone);
            if !batch.flights.is_empty() {
                return Some(batch);
            }
        }
        None
    }

    fn take_flights(&mut self, settings: &Settings, idle: usize) -> Option<Vec<Arc<Flight>>> {
        let (place, first) = self.take_first()?;
        let mut flights = vec![first];
        if flights[0].alone {
            return Some(flights);
        }
        let most = settings.batch.min((self.waiting.len() + 1).div_ceil(idle.max(1)));
        // The nearest in length on either side, for as long as the padded batch is small enough.
        let (mut chosen, mut gone) = (Vec::new(), Vec::new());
        let mut longest = place.0;
        let mut shorter = self.waiting.range(..place).rev().peekable();
        let mut longer = self.waiting.range(place..).peekable();
        let mut longer_fit = true;
        while chosen.len() + 1 < most {
            let below = shorter.peek().map(|((tokens, _), _)| place.0 - tokens);
            let above =
                longer.peek().filter(|_| longer_fit).map(|((tokens, _), _)| tokens - place.0);
            let next = match (below, above) {
                (Some(below), Some(above)) if above < below => longer.next(),
                (None, Some(_)) => longer.next(),
                _ => shorter.next(),
            };
            let Some((next, flight)) = next else { break };
            if flight.alone {
                continue;
            }
            if flight.is_over() {
                gone.push(*next);
            } else if (chosen.len() + 2).saturating_mul(longest.max(next.0)) <= settings.tokens {
                longest = longest.max(next.0);
                chosen.push(*next);
            } else if next.0 > longest {
                longer_fit = false;
            } else {
                break;
            }
        }
        flights.extend(chosen.into_iter().filter_map(|place| self.remove(place)));
        let gone: Vec<_> = gone.into_iter().filter_map(|place| self.remove(place)).collect();
        self.land(&gone);
        Some(flights)
    }

    /// The next caption of the request whose turn it is.
    fn take_first(&mut self) -> Option<((usize, u64), Arc<Flight>)> {
        while let Some(mut turn) = self.turns.pop_front() {
            while let Some(place) = turn.captions.pop_front() {
                let Some(flight) = self.remove(place) else { continue };
                if flight.is_over() {
                    self.land(&[flight]);
                    continue;
                }
                if !turn.captions.is_empty() {
                    self.turns.push_back(turn);
                }
                return Some((place, flight));
            }
        }
        None
    }

    fn remove(&mut self, place: (usize, u64)) -> Option<Arc<Flight>> {
        let flight = self.waiting.remove(&place)?;
        self.tokens -= flight.tokens;
        Some(flight)
    }

    fn forget_the_gone(&mut self) {
        // Turns first: a caption that is still wanted after them has a turn that was kept.
        self.turns.retain(|turn| !turn.request.is_over());
        let over =
            |(place, flight): (&(usize, u64), &Arc<Flight>)| flight.is_over().then_some(*place);
        let places: Vec<_> = self.waiting.iter().filter_map(over).collect();
        let gone: Vec<_> = places.into_iter().filter_map(|place| self.remove(place)).collect();
        self.land(&gone);
    }

    /// These are no longer waited for or computed: whoever asks for the same begins anew.
    pub(super) fn land(&mut self, flights: &[Arc<Flight>]) {
        for flight in flights {
            let is_it = |(flying, _): &(Arc<Flight>, _)| Arc::ptr_eq(flying, flight);
            if self.flying.get(&flight.content).is_some_and(is_it) {
                self.flying.remove(&flight.content);
            }
        }
    }

    /// Lays a batch before all others, to be computed one caption at a time.
    pub(super) fn give_back(&mut self, batch: Batch) {
        self.given_back.push_back(Batch { singly: true, ..batch });
    }

    /// The batch is lost, and one of its captions may be why: whoever asks for them again has them
    /// computed alone.
    pub(super) fn lose(&mut self, flights: &[Arc<Flight>]) {
        self.land(flights);
        if self.suspects.len() > MAX_SUSPECTS {
            self.suspects.clear();
        }
        for flight in flights {
            self.suspects.insert(flight.content);
            flight.fail(&EngineError::Lost);
        }
    }

    /// The caption was computed without harm.
    pub(super) fn clear(&mut self, content: &Content) {
        self.suspects.remove(content);
    }

    /// Answers all that wait with this.
    pub(super) fn fail_all(&mut self, error: &EngineError) {
        let waiting: Vec<_> = std::mem::take(&mut self.waiting).into_values().collect();
        let given_back = std::mem::take(&mut self.given_back).into_iter();
        for flights in std::iter::once(waiting).chain(given_back.map(|batch| batch.flights)) {
            self.land(&flights);
            for flight in &flights {
                flight.fail(error);
            }
        }
        self.turns.clear();
        self.tokens = 0;
        self.since = None;
    }
}
