//! Customers who read what costs, at front doors that die under them: whoever gets no answer asks
//! again, with the same key, until there is one. In the end what they were told is compared with
//! what was booked.

mod books;
mod buyer;

pub use books::Bought;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use entity::ledger::account::{Income, Why};
use entity::ledger::{GrantSource, TransactionType, adjust};
use entity::sql::{self, Arg};
use entity::{Db, args, clock};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::buyer::{Buyer, Notes, PER_SECOND, Wish};
use crate::eventually;

/// Who buys at once in the name of one user.
const CLIENTS: usize = 3;
/// What a wallet begins with.
const PACKAGE: i64 = 1_000;
/// What the rich have bought.
const BOUGHT: i64 = 1_000_000;
/// What the poor have left.
const LEFT: i64 = 100;
/// Longer than a request is taken to be in flight.
const FORGOTTEN_MS: i64 = 31_000;

/// Customers at work.
#[derive(Debug)]
pub struct Buyers {
    users: Vec<(Uuid, String)>,
    creators: Vec<Uuid>,
    doors: watch::Sender<Vec<String>>,
    notes: Arc<Notes>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    /// Payments that nobody had been told of when a front door died.
    suspects: BTreeSet<Uuid>,
    /// Those that nobody was told of afterwards.
    untold: BTreeSet<Uuid>,
}

impl Buyers {
    /// Puts creators in stock and lets these users, each with a token, buy at these front doors.
    /// The first is poor, the second has no wallet yet, the others are rich.
    pub async fn start(db: &Db, users: Vec<(Uuid, String)>, doors: Vec<String>) -> Self {
        let creators = stock(db, PER_SECOND * (10 + crate::storm_lasts().as_secs() as usize)).await;
        let tx = db.begin().await.unwrap();
        for (at, (user, _)) in users.iter().enumerate() {
            let (source, kind) = (GrantSource::Topup, TransactionType::Purchase);
            let income = Income { source, kind, amount: BOUGHT, expires_at: None };
            match at {
                0 => adjust::adjust(&tx, *user, LEFT - PACKAGE, *user, "a story").await.unwrap(),
                1 => {}
                _ => adjust::receive(&tx, *user, &income, Why::of("a story")).await.unwrap(),
            }
        }
        tx.commit().await.unwrap();
        let (doors, _) = watch::channel(doors);
        let (notes, stop) = (Arc::<Notes>::default(), Arc::<AtomicBool>::default());
        let (suspects, untold) = (BTreeSet::new(), BTreeSet::new());
        let mut buyers =
            Self { users, creators, doors, notes, stop, clients: vec![], suspects, untold };
        for (user, token) in &buyers.users {
            for client in 0..CLIENTS {
                let buyer = buyers.buyer(*user, token, client % 2 == 0);
                let shop = buyer.shop(buyers.creators.len(), buyers.stop.clone());
                buyers.clients.push(tokio::spawn(shop));
            }
        }
        buyers
    }

    fn buyer(&self, user: Uuid, token: &str, keyed: bool) -> Buyer {
        Buyer {
            user,
            token: token.to_owned(),
            keyed,
            http: reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap(),
            doors: self.doors.subscribe(),
            notes: self.notes.clone(),
        }
    }

    /// Buys on until the front doors have been killed so often, as long as storms last, and, unless
    /// that does not come about, once between a payment and its answer.
    pub fn go_on(&self, began: Instant, kills: i64, at_least: i64) -> bool {
        let rare = self.untold.is_empty() && kills < 3 * at_least;
        kills < at_least || began.elapsed() < crate::storm_lasts() || rare
    }

    /// Waits until so many more things were read and paid for: others are in the middle of it.
    pub async fn buy(&mut self, db: &Db, more: i64) {
        let spends = "SELECT count(*) AS n FROM credit_holds WHERE state = 'captured' \
             AND reference IS NOT NULL";
        let before = number(db, spends).await;
        eventually(&format!("{more} more things are paid for"), || async {
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a customer gave up");
            (number(db, spends).await >= before + more).then_some(())
        })
        .await;
        // By now everybody has heard what they could hear.
        let unheard = self.unheard(db).await;
        self.untold.extend(self.suspects.intersection(&unheard));
    }

    /// A front door was killed.
    pub async fn robbed(&mut self, db: &Db) {
        self.suspects = self.unheard(db).await;
    }

    /// Where the front doors are from now on.
    pub fn doors(&self, doors: Vec<String>) {
        self.doors.send_replace(doors);
    }

    async fn unheard(&self, db: &Db) -> BTreeSet<Uuid> {
        let paid = books::readings(db).await;
        let heard = self.notes.heard();
        paid.difference(&heard).copied().collect()
    }

    /// Ends the buying, lets what was ordered be done, and compares what was told with what was
    /// booked: each thing that was given was paid for once, and nothing else was.
    pub async fn end(mut self, db: &Db) -> Bought {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.await.unwrap();
        }
        let put_off = self.ask_after(db).await;
        let open = "SELECT count(*) AS n FROM jobs WHERE kind = 'post_analysis' \
             AND state IN ('queued', 'running', 'retrying')";
        eventually("what was ordered is done", || async {
            (number(db, open).await == 0).then_some(())
        })
        .await;
        let starts = |at| match at {
            0 => LEFT,
            1 => PACKAGE,
            _ => PACKAGE + BOUGHT,
        };
        let users = self.users.iter().enumerate().map(|(at, (user, _))| (*user, starts(at)));
        let bought = books::compare(db, &users.collect(), &self.creators, &self.notes).await;
        Bought { put_off, ..bought }
    }

    /// The answer to an order that was lost with the process that owed it is given later.
    async fn ask_after(&self, db: &Db) -> usize {
        let put_off = self.notes.put_off();
        let tx = db.begin().await.unwrap();
        clock::advance(&tx, FORGOTTEN_MS).await.unwrap();
        tx.commit().await.unwrap();
        for (user, wish) in &put_off {
            let (_, token) = self.users.iter().find(|(id, _)| id == user).unwrap();
            self.buyer(*user, token, true).ask(*wish, 0).await;
        }
        assert!(self.notes.put_off().is_empty(), "an order is never answered");
        put_off.len()
    }
}

/// Creators with a post each.
async fn stock(db: &Db, count: usize) -> Vec<Uuid> {
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    let rows = ids.iter().enumerate();
    let rows = rows.map(|(n, id)| args![*id, Wish::creator(n), Uuid::now_v7(), "{}", "[]"]);
    let rows: Vec<Vec<Arg>> = rows.collect();
    let tx = db.begin().await.unwrap();
    for rows in rows.chunks(500) {
        for text in [
            "INSERT INTO profiles (id, username, partial, data_quality_score, refresh_count, \
             last_refreshed, posts_refreshed_at, created_at, updated_at, raw_data) \
             SELECT column1::uuid, column2::text, FALSE, 50, 1, {now}, {now}, {now}, {now}, \
             column4::jsonb FROM {rows}",
            "INSERT INTO posts (id, profile_id, shortcode, hashtags, mentions, post_images, \
             post_thumbnails, created_at, updated_at, raw_data) \
             SELECT column3::uuid, column1::uuid, column2::text, column5::jsonb, column5::jsonb, \
             column5::jsonb, column5::jsonb, {now}, {now}, column4::jsonb FROM {rows}",
        ] {
            sql::execute(&tx, text, vec![Arg::Rows(rows.to_vec())]).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    ids
}

async fn number(db: &Db, select: &str) -> i64 {
    sql::rows(db.read(), select, vec![]).await.unwrap()[0].try_get("", "n").unwrap()
}
