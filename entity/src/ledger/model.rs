//! What the ledger is to do, in the plainest words: one wallet as a heap of piles of credits. It
//! shares nothing with the ledger but the names of things, not even the calendar, so that both
//! must be wrong in the same way to agree.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, GrantSource, TransactionType};

// Stories in another crate read this file as theirs; there it is found by its path alone.
#[path = "model/steps.rs"]
mod steps;

pub use steps::{Said, Step, step};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Credits that came in together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pile {
    /// From where.
    pub source: GrantSource,
    /// Ends of a month it outlived.
    pub kept: i32,
    /// What may be taken.
    pub free: i64,
    /// What is set aside.
    pub held: i64,
    /// When it is over.
    pub ends: Option<i64>,
    since: i64,
}

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Open.
    Open,
    /// Paid.
    Paid,
    /// Given back.
    Back,
}

/// Credits set aside.
#[derive(Clone, Debug)]
pub struct Held {
    /// What for.
    pub action: Action,
    /// How many.
    pub amount: i64,
    /// One of the month's free turns.
    pub is_free: bool,
    /// Where it stands.
    pub stand: Stand,
    month: String,
    from: Vec<(usize, i64)>,
    key: Option<(u8, u8)>,
}

/// Free turns, paid turns, credits.
pub type Turns = (i64, i64, i64);

/// One wallet.
#[derive(Clone, Debug)]
pub struct Model {
    /// What time it is.
    pub now: i64,
    /// All piles there ever were.
    pub piles: Vec<Pile>,
    /// All holds there ever were.
    pub holds: Vec<Held>,
    /// By action and calendar month.
    pub turns: BTreeMap<(Action, String), Turns>,
    /// Every change.
    pub booked: Vec<(TransactionType, i64)>,
    /// Spent since its month began.
    pub spent_this_month: i64,
    /// Whether it is locked.
    pub locked: bool,
    signed_up: i64,
    monthly: i64,
    allowed: i32,
    month: Option<i64>,
    orders: Vec<(i64, bool)>,
    refunded: BTreeSet<usize>,
}

impl Model {
    /// Somebody who signed up then, gets so much a month and may keep it for so many more.
    pub fn new(signed_up: i64, now: i64, monthly: i64, allowed: i32) -> Self {
        Self {
            now,
            piles: vec![],
            holds: vec![],
            turns: BTreeMap::new(),
            booked: vec![],
            spent_this_month: 0,
            locked: false,
            signed_up,
            monthly,
            allowed,
            month: None,
            orders: vec![],
            refunded: BTreeSet::new(),
        }
    }

    /// What may be spent.
    pub fn available(&self) -> i64 {
        self.piles.iter().map(|pile| pile.free).sum()
    }

    /// What is set aside.
    pub fn held(&self) -> i64 {
        self.piles.iter().map(|pile| pile.held).sum()
    }

    /// Piles of which something is left.
    pub fn left(&self) -> Vec<&Pile> {
        self.piles.iter().filter(|pile| pile.free + pile.held > 0).collect()
    }

    /// The hold a step is about.
    pub fn hold_of(&self, number: usize) -> Option<usize> {
        (!self.holds.is_empty()).then(|| number % self.holds.len())
    }

    /// The order a step is about.
    pub fn order_of(&self, number: usize) -> Option<usize> {
        (!self.orders.is_empty()).then(|| number % self.orders.len())
    }

    /// Takes a step.
    pub fn take(&mut self, step: &Step) -> Said {
        match *step {
            Step::Wait(hours) => self.now += hours * HOUR,
            Step::Order(amount) => self.orders.push((amount, false)),
            Step::Earn { source, amount, days } => {
                self.touch();
                let ends = days.map(|days| self.now + days * DAY + HOUR / 2);
                self.pile(source, amount, ends, self.now, TransactionType::Earn);
            }
            Step::Lock(locked) => {
                self.touch();
                self.locked = locked;
            }
            Step::Adjust(amount) => return self.adjust(amount),
            Step::Hold { action, key } => return self.hold(action, key),
            Step::Capture(number) => return self.settle(number, true),
            Step::Release(number) => return self.settle(number, false),
            Step::Deliver(number) => {
                let Some(at) = self.order_of(number) else { return Said::Nothing };
                if std::mem::replace(&mut self.orders[at].1, true) {
                    return Said::Twice;
                }
                self.touch();
                let amount = self.orders[at].0;
                self.pile(GrantSource::Topup, amount, None, self.now, TransactionType::Purchase);
            }
            Step::Refund(number) => {
                let Some(at) = self.hold_of(number) else { return Said::Nothing };
                let amount = self.holds[at].amount;
                if self.holds[at].stand != Stand::Paid || amount == 0 {
                    return Said::Nothing;
                }
                if !self.refunded.insert(at) {
                    return Said::Twice;
                }
                self.touch();
                self.pile(GrantSource::Admin, amount, None, self.now, TransactionType::Refund);
            }
        }
        Said::Done
    }

    fn adjust(&mut self, amount: i64) -> Said {
        if amount < 0 {
            // What is refused leaves nothing behind.
            let before = self.clone();
            self.touch();
            let Some(parts) = self.draw(-amount) else {
                *self = before;
                return Said::Insufficient;
            };
            for (at, part) in parts {
                self.piles[at].held -= part;
            }
            self.booked.push((TransactionType::ManualAdjust, amount));
        } else {
            self.touch();
            self.pile(GrantSource::Admin, amount, None, self.now, TransactionType::ManualAdjust);
        }
        Said::Done
    }

    fn hold(&mut self, action: Action, key: Option<(u8, u8)>) -> Said {
        self.touch();
        if let Some((name, used_for)) = key {
            let same = |held: &Held| held.key.is_some_and(|(known, _)| known == name);
            if let Some(at) = self.holds.iter().position(same) {
                let known = &self.holds[at];
                let as_then = known.key == Some((name, used_for)) && known.action == action;
                return if as_then { Said::Again(at) } else { Said::KeyReused };
            }
        }
        if self.locked {
            return Said::Locked;
        }
        let (cost, free) = price(action);
        let month = calendar_month(self.now);
        let turn = self.turns.entry((action, month.clone())).or_default();
        let is_free = turn.0 < free;
        turn.0 += i64::from(is_free);
        let amount = if is_free { 0 } else { cost };
        let Some(from) = self.draw(amount) else { return Said::Insufficient };
        self.holds.push(Held { action, amount, is_free, stand: Stand::Open, month, from, key });
        Said::Done
    }

    fn settle(&mut self, number: usize, paid: bool) -> Said {
        let Some(at) = self.hold_of(number) else { return Said::Nothing };
        if self.holds[at].stand != Stand::Open {
            return Said::Nothing;
        }
        self.touch();
        let held = self.holds[at].clone();
        let turn = self.turns.entry((held.action, held.month)).or_default();
        for (pile, part) in held.from {
            self.piles[pile].held -= part;
            self.piles[pile].free += if paid { 0 } else { part };
        }
        if paid {
            self.holds[at].stand = Stand::Paid;
            self.booked.push((TransactionType::Spend, -held.amount));
            self.spent_this_month += held.amount;
            if !held.is_free {
                turn.1 += 1;
                turn.2 += held.amount;
            }
        } else {
            self.holds[at].stand = Stand::Back;
            turn.0 -= i64::from(held.is_free);
            self.expire();
        }
        Said::Done
    }

    /// Plan, what was kept of it, given, bought; sooner over before later over.
    fn draw(&mut self, amount: i64) -> Option<Vec<(usize, i64)>> {
        if self.available() < amount {
            return None;
        }
        let mut turn: Vec<(i32, i64, i64, usize)> = vec![];
        for (at, pile) in self.piles.iter().enumerate() {
            let class = match pile.source {
                GrantSource::Plan => i32::from(pile.kept > 0),
                GrantSource::Promo | GrantSource::Admin => 2,
                GrantSource::Topup => 3,
            };
            turn.push((class, pile.ends.unwrap_or(i64::MAX), pile.since, at));
        }
        turn.sort_unstable();
        let (mut wanted, mut parts) = (amount, vec![]);
        for (_, _, _, at) in turn {
            let part = wanted.min(self.piles[at].free);
            if part > 0 {
                self.piles[at].free -= part;
                self.piles[at].held += part;
                wanted -= part;
                parts.push((at, part));
            }
        }
        Some(parts)
    }

    fn pile(
        &mut self,
        source: GrantSource,
        amount: i64,
        ends: Option<i64>,
        since: i64,
        booked: TransactionType,
    ) {
        self.piles.push(Pile { source, kept: 0, free: amount, held: 0, ends, since });
        self.booked.push((booked, amount));
    }

    fn package(&mut self, month: i64, booked: TransactionType) {
        if self.monthly > 0 {
            let (start, end) = (self.month_start(month), self.month_start(month + 1));
            self.pile(GrantSource::Plan, self.monthly, Some(end), start, booked);
        }
    }

    /// Whatever is done with a wallet brings it up to now, one month after the other.
    fn touch(&mut self) {
        let Some(before) = self.month else {
            let mut month = 0;
            while self.month_start(month + 1) <= self.now {
                month += 1;
            }
            self.month = Some(month);
            self.package(month, TransactionType::Earn);
            return;
        };
        let (mut month, mut kept) = (before, BTreeSet::new());
        while self.month_start(month + 1) <= self.now {
            month += 1;
            let (start, end) = (self.month_start(month), self.month_start(month + 1));
            for (at, pile) in self.piles.iter_mut().enumerate() {
                let ends = pile.source == GrantSource::Plan && pile.ends == Some(start);
                if ends && pile.kept < self.allowed {
                    pile.kept += 1;
                    pile.ends = Some(end);
                    kept.insert(at);
                }
            }
        }
        self.expire();
        if month > before {
            // Of those that were kept for a while some are over by now.
            if kept.iter().any(|at| self.piles[*at].free > 0) {
                self.booked.push((TransactionType::Rollover, 0));
            }
            self.month = Some(month);
            self.spent_this_month = 0;
            self.package(month, TransactionType::Reset);
        }
    }

    /// What is set aside stays until it is given back.
    fn expire(&mut self) {
        for pile in &mut self.piles {
            if pile.free > 0 && pile.ends.is_some_and(|ends| ends <= self.now) {
                self.booked.push((TransactionType::Expire, -pile.free));
                pile.free = 0;
            }
        }
    }

    /// The first instant of the `n`-th month since signing up: that day of it, or its last.
    pub fn month_start(&self, n: i64) -> i64 {
        let (year, month, day) = date(self.signed_up.div_euclid(DAY));
        let months = year * 12 + month - 1 + n;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        day_number(year, month, day.min(last_day(year, month))) * DAY
            + self.signed_up.rem_euclid(DAY)
    }
}

/// What an action costs, and how many a calendar month do not.
pub fn price(action: Action) -> (i64, i64) {
    match action {
        Action::InfluencerUnlock => (25, 0),
        Action::PostAnalytics => (5, 0),
        Action::DiscoveryPagination => (10, 5),
        Action::BulkExport => (50, 1),
        Action::AdvancedSearch => (15, 10),
    }
}

fn calendar_month(at: i64) -> String {
    let (year, month, _) = date(at.div_euclid(DAY));
    format!("{year:04}-{month:02}")
}

fn last_day(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970, counted one year and one month after the other.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|year| if last_day(year, 2) == 29 { 366 } else { 365 }).sum();
    years + (1..month).map(|month| last_day(year, month)).sum::<i64>() + day - 1
}

/// Year, month and day.
fn date(days: i64) -> (i64, i64, i64) {
    let (mut year, mut month) = (1970, 1);
    while day_number(year + 1, 1, 1) <= days {
        year += 1;
    }
    while month < 12 && day_number(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - day_number(year, month, 1) + 1)
}
