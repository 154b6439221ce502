//! What tests tell the provider to say, and what the provider saw.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The most calls that are remembered one by one.
const REMEMBERED: usize = 10_000;

/// One `POST /v2/scrape`, as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The handle asked for, in lower case; the query as sent when it is no valid handle; empty
    /// when the body could not be read.
    pub handle: String,
    /// The scrape target named in the body.
    pub target: String,
    /// Whether rendering was asked for.
    pub render_js: bool,
    /// The country asked for.
    pub geo_location: Option<String>,
    /// When it came in.
    pub at: Instant,
    /// The HTTP status answered; 0 while unanswered and when the connection was cut.
    pub status: u16,
}

/// One scripted answer.
#[derive(Debug, Clone)]
pub enum Scripted {
    /// This answer, word for word (`content-type: application/json` unless a header says else).
    Http {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// The inner answer, later.
    Delay(Duration, Box<Scripted>),
    /// No answer at all, with the connection left open.
    Hang,
    /// The connection is closed before a byte of the answer.
    Drop,
    /// The handle's profile (recorded or deterministic), whatever its usual conduct.
    Profile,
}

/// Calls seen, answers scripted, and the place in the cycle of handles that fail in turn.
#[derive(Debug, Default)]
pub struct Logbook(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    calls: VecDeque<Call>,
    /// How many calls have left the front of `calls`: a call's number minus this is its place.
    forgotten: u64,
    counts: HashMap<String, usize>,
    scripts: HashMap<String, VecDeque<Scripted>>,
    turns: HashMap<String, u32>,
}

impl Logbook {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down a call that came in and returns its number, for [`Logbook::answered`].
    pub fn arrived(&self, call: Call) -> u64 {
        let mut pages = self.pages();
        *pages.counts.entry(call.handle.clone()).or_default() += 1;
        pages.calls.push_back(call);
        if pages.calls.len() > REMEMBERED {
            pages.calls.pop_front();
            pages.forgotten += 1;
        }
        pages.forgotten + pages.calls.len() as u64 - 1
    }

    /// Adds the status that was answered.
    pub fn answered(&self, number: u64, status: u16) {
        let mut pages = self.pages();
        let place = number.checked_sub(pages.forgotten).map(|place| place as usize);
        if let Some(call) = place.and_then(|place| pages.calls.get_mut(place)) {
            call.status = status;
        }
    }

    /// The newest calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.pages().calls.iter().cloned().collect()
    }

    /// How many calls there ever were for a handle.
    pub fn count(&self, handle: &str) -> usize {
        self.pages().counts.get(handle).copied().unwrap_or(0)
    }

    /// Replaces the script of a handle; an empty one takes it away.
    pub fn script(&self, handle: &str, answers: Vec<Scripted>) {
        let mut pages = self.pages();
        if answers.is_empty() {
            pages.scripts.remove(handle);
        } else {
            pages.scripts.insert(handle.to_owned(), answers.into());
        }
    }

    /// The next scripted answer; the last one stays.
    pub fn next(&self, handle: &str) -> Option<Scripted> {
        let mut pages = self.pages();
        let script = pages.scripts.get_mut(handle)?;
        if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
    }

    /// Counts 0, 1, … `length` - 1 and again from 0, one step a call, for each handle.
    pub fn turn(&self, handle: &str, length: u32) -> u32 {
        let mut pages = self.pages();
        let turn = pages.turns.entry(handle.to_owned()).or_default();
        let now = *turn;
        *turn = (now + 1) % length.max(1);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(handle: &str) -> Call {
        Call {
            at: Instant::now(),
            handle: handle.to_owned(),
            target: "instagram_graphql_profile".to_owned(),
            render_js: true,
            geo_location: None,
            status: 0,
        }
    }

    #[test]
    fn the_list_is_bounded_and_the_count_is_not() {
        let book = Logbook::default();
        let first = book.arrived(call("a"));
        for _ in 0..REMEMBERED {
            let number = book.arrived(call("b"));
            book.answered(number, 200);
        }
        book.answered(first, 500);
        assert_eq!(book.calls().len(), REMEMBERED);
        assert!(book.calls().iter().all(|call| call.handle == "b" && call.status == 200));
        assert_eq!((book.count("a"), book.count("b"), book.count("c")), (1, REMEMBERED, 0));
    }

    #[test]
    fn the_last_answer_of_a_script_stays() {
        let book = Logbook::default();
        assert!(book.next("a").is_none());
        book.script("a", vec![Scripted::Drop, Scripted::Profile]);
        assert!(matches!(book.next("a"), Some(Scripted::Drop)));
        assert!(matches!(book.next("a"), Some(Scripted::Profile)));
        assert!(matches!(book.next("a"), Some(Scripted::Profile)));
        book.script("a", Vec::new());
        assert!(book.next("a").is_none());
    }

    #[test]
    fn turns_go_round() {
        let book = Logbook::default();
        let turns: Vec<u32> = (0..7).map(|_| book.turn("a", 3)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(book.turn("b", 3), 0);
    }
}
