//! One customer at the front doors, and what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::PATIENCE;

/// Between two wishes.
const PAUSE: Duration = Duration::from_millis(10);
/// Creators that a user can come to in a second, at most.
pub(super) const PER_SECOND: usize = 50;

/// Something that costs a user once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    /// A creator in full.
    Unlock(usize),
    /// The posts of a creator.
    Posts(usize),
    /// A caption to be analysed: work, which nothing but its key keeps from being ordered twice.
    Piece(usize),
}

impl Wish {
    /// Everybody wishes for the same in the same order: many do so at once.
    fn number(n: usize, creators: usize) -> Self {
        match n % 8 {
            7 => Self::Piece(n),
            1 | 3 | 5 => Self::Unlock(n / 2 % creators),
            _ => Self::Posts(n / 2 % creators),
        }
    }

    pub(super) fn creator(n: usize) -> String {
        format!("stock.{n}")
    }

    pub(super) fn price(self) -> i64 {
        match self {
            Self::Unlock(_) => 25,
            Self::Posts(_) | Self::Piece(_) => 5,
        }
    }
}

/// What a user was told about a wish.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How often it was given.
    pub(super) answers: usize,
    /// Transactions that were said to have paid for it.
    pub(super) paid: BTreeSet<Uuid>,
    /// Jobs that were said to do it.
    pub(super) jobs: BTreeSet<Uuid>,
    /// How often there was too little to pay for it.
    pub(super) refused: usize,
    /// It was ordered before, and what came of it will be told later.
    put_off: bool,
}

/// What was told to all of them.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) told: Mutex<BTreeMap<(Uuid, Wish), Told>>,
    /// Requests that were cut off on their way.
    pub(super) cut: AtomicUsize,
}

impl Notes {
    pub(super) fn put_off(&self) -> Vec<(Uuid, Wish)> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|(_, told)| told.put_off).map(|(of, _)| *of).collect()
    }

    /// Transactions that somebody was told of.
    pub(super) fn heard(&self) -> BTreeSet<Uuid> {
        let told = self.told.lock().unwrap();
        told.values().flat_map(|told| told.paid.iter().copied()).collect()
    }
}

/// One who buys.
pub(super) struct Buyer {
    pub(super) user: Uuid,
    pub(super) token: String,
    /// Sends a key where none is needed, too.
    pub(super) keyed: bool,
    pub(super) http: reqwest::Client,
    pub(super) doors: watch::Receiver<Vec<String>>,
    pub(super) notes: Arc<Notes>,
}

impl Buyer {
    fn request(&self, wish: Wish, turn: usize) -> RequestBuilder {
        let door = {
            let doors = self.doors.borrow();
            doors[turn % doors.len()].clone()
        };
        let creator = |n| format!("{door}/api/v1/instagram/profile/{}", Wish::creator(n));
        let (method, url) = match wish {
            Wish::Unlock(n) => (Method::GET, creator(n)),
            Wish::Posts(n) => (Method::GET, format!("{}/posts", creator(n))),
            Wish::Piece(_) => (Method::POST, format!("{door}/api/v1/post-analytics/analyze")),
        };
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let key = format!("{wish:?}");
        match wish {
            Wish::Piece(n) => {
                // Work that nobody else asks for.
                let caption = format!("A lovely day, {} {n}", self.user);
                request.header("idempotency-key", key).json(&json!({ "caption": caption }))
            }
            _ if self.keyed => request.header("idempotency-key", key),
            _ => request,
        }
    }

    /// The answer, when there is a whole one.
    async fn send(&self, wish: Wish, turn: usize) -> Option<(u16, Value)> {
        let answer = async {
            let answer = self.request(wish, turn).send().await?;
            let status = answer.status().as_u16();
            answer.json().await.map(|body| (status, body))
        };
        match answer.await {
            Ok(answer) => Some(answer),
            Err(error) => {
                // Where nobody listens nothing was begun.
                if !error.is_connect() {
                    self.notes.cut.fetch_add(1, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// Asks, at one front door after the other, until there is an answer, and notes it.
    pub(super) async fn ask(&self, wish: Wish, mut turn: usize) {
        let deadline = Instant::now() + PATIENCE;
        let (status, body) = loop {
            if let Some(answer) = self.send(wish, turn).await {
                break answer;
            }
            assert!(Instant::now() < deadline, "{wish:?} is never answered");
            turn += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let mut told = self.notes.told.lock().unwrap();
        let told = told.entry((self.user, wish)).or_default();
        match (status, wish) {
            (200, Wish::Unlock(_) | Wish::Posts(_)) => {
                let shown = match wish {
                    Wish::Unlock(_) => body["access"] == "full",
                    _ => body["items"].as_array().is_some_and(|posts| posts.len() == 1),
                };
                assert!(shown, "paid for, and not shown: {body}");
                let info = &body["credit_info"];
                let cost = match info["transaction_id"].as_str() {
                    Some(transaction) => {
                        told.paid.insert(transaction.parse().unwrap());
                        (wish.price(), false)
                    }
                    None => (0, true),
                };
                assert_eq!(
                    (&info["credits_spent"], &info["already_unlocked"]),
                    (&json!(cost.0), &json!(cost.1)),
                    "{body}"
                );
                told.answers += 1;
            }
            (202, Wish::Piece(_)) => {
                told.jobs.insert(body["id"].as_str().unwrap().parse().unwrap());
                (told.answers, told.put_off) = (told.answers + 1, false);
            }
            (402, _) if body["reason"] == "insufficient_credits" => told.refused += 1,
            // Known by its key; another of the same user may have been told already.
            (409, Wish::Piece(_)) if body["code"] == "request_in_flight" => {
                told.put_off = told.answers == 0;
            }
            _ => panic!("{wish:?} is answered {status}: {body}"),
        }
    }

    /// One wish after the other, and now and then an earlier one again.
    pub(super) async fn shop(self, creators: usize, stop: Arc<AtomicBool>) {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            self.ask(Wish::number(n, creators), n).await;
            if n % 4 == 3 {
                self.ask(Wish::number(n * 5 / 8, creators), n + 1).await;
            }
            n += 1;
            // Faster would only empty the stock.
            tokio::time::sleep(PAUSE).await;
        }
    }
}
