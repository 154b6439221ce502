//! One wallet with its grants, and what may be done to them. No input, no output: what changed is
//! stored by the book it is in.

use std::collections::BTreeMap;

use sea_orm::prelude::Uuid;

use super::calendar::{self, Cycle};
pub use super::rows::{Entry, Grant, Hold, Usage, Wallet};
use super::{Action, GrantSource, HoldState, Part, TransactionType};
use crate::time::Time;

/// Why and by whom a balance changes.
#[derive(Clone, Debug, Default)]
pub struct Why {
    /// A sentence.
    pub description: String,
    /// What for; of a grant: unique, so that it is given once.
    pub reference: Option<String>,
    /// The operator who did it.
    pub made_by: Option<Uuid>,
}

/// Credits to come in.
#[derive(Clone, Copy, Debug)]
pub struct Income {
    /// From where.
    pub source: GrantSource,
    /// How it is booked.
    pub kind: TransactionType,
    /// How many, more than 0.
    pub amount: i64,
    /// Good until then; `None`: for good.
    pub expires_at: Option<Time>,
}

/// What happened at the end of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The month that began.
    pub cycle: Cycle,
    /// Credits of the package.
    pub granted: i64,
    /// Credits whose time was over.
    pub expired: i64,
    /// Credits that were kept.
    pub rolled_over: i64,
}

/// A wallet being changed.
#[derive(Clone, Debug)]
pub struct Account {
    /// The wallet.
    pub wallet: Wallet,
    /// Its grants of which something is left, and new ones.
    pub grants: Vec<Grant>,
    /// Grants that are not stored yet, by id.
    pub new_grants: Vec<Uuid>,
    /// What its owner did, by action and month.
    pub usage: BTreeMap<(Action, String), Usage>,
    /// Transactions to be stored.
    pub entries: Vec<Entry>,
    /// Months that began.
    pub turned: Vec<Turned>,
}

impl Account {
    /// A wallet as it was read.
    pub fn new(wallet: Wallet) -> Self {
        Self {
            wallet,
            grants: vec![],
            new_grants: vec![],
            usage: BTreeMap::new(),
            entries: vec![],
            turned: vec![],
        }
    }

    /// All credits, held or not.
    pub fn balance(&self) -> i64 {
        self.wallet.available + self.wallet.held
    }

    /// Brings it up to `now`: begins the month that has come, and takes what is over. A new wallet
    /// gets its package.
    pub fn bring_to(&mut self, now: Time) {
        if self.wallet.next_reset_at <= now {
            self.turn(now);
        } else if self.wallet.entries == 0 {
            self.package(TransactionType::Earn);
        }
        self.expire(now);
    }

    fn turn(&mut self, now: Time) {
        let (anchor, allowed) = (self.wallet.anchor_at, self.wallet.rollover_months_allowed);
        let cycle = calendar::cycle(anchor, now);
        let mut kept = 0;
        for grant in self.grants.iter_mut().filter(|grant| grant.source == GrantSource::Plan) {
            let before = grant.rollovers;
            while let Some(end) = grant.expires_at.filter(|end| *end <= now) {
                // What ends within a month is over then, whether somebody looked in between or not.
                let month = calendar::cycle(anchor, end);
                if month.start != end || grant.rollovers >= allowed {
                    break;
                }
                grant.rollovers += 1;
                grant.expires_at = Some(month.end);
            }
            if grant.rollovers > before && !grant.is_over(now) {
                kept += grant.remaining - grant.held;
            }
        }
        let expired = self.expire(now);
        if kept > 0 {
            let text = format!("{kept} credits are kept until {}", cycle.end.rfc3339());
            self.enter(TransactionType::Rollover, None, 0, Why::of(text));
        }
        self.wallet.cycle_start = cycle.start;
        self.wallet.next_reset_at = cycle.end;
        self.wallet.spent_this_cycle = 0;
        let granted = self.package(TransactionType::Reset);
        self.turned.push(Turned { cycle, granted, expired, rolled_over: kept });
    }

    /// The package's credits of this month.
    fn package(&mut self, kind: TransactionType) -> i64 {
        let monthly = self.wallet.monthly_credits.filter(|_| self.wallet.subscription_active);
        let Some(amount) = monthly.filter(|amount| *amount > 0) else { return 0 };
        let (start, end) = (self.wallet.cycle_start, self.wallet.next_reset_at);
        let why = Why {
            description: format!("credits of the month that began on {}", start.rfc3339()),
            reference: Some(format!("plan:{}:{}", self.wallet.id, start.0)),
            made_by: None,
        };
        let income = Income { source: GrantSource::Plan, kind, amount, expires_at: Some(end) };
        self.receive(start, &income, why);
        amount
    }

    /// Takes what is over and not held; returns how much it was.
    fn expire(&mut self, now: Time) -> i64 {
        let mut all = 0;
        for at in 0..self.grants.len() {
            let grant = &mut self.grants[at];
            let gone = grant.remaining - grant.held;
            if gone == 0 || !grant.is_over(now) {
                continue;
            }
            grant.remaining -= gone;
            let reference = Some(grant.id.to_string());
            let why = Why { reference, ..Why::of(format!("{gone} credits were not used in time")) };
            self.enter(TransactionType::Expire, None, -gone, why);
            self.wallet.available -= gone;
            all += gone;
        }
        all
    }

    /// Credits come in.
    pub fn receive(&mut self, now: Time, income: &Income, why: Why) {
        let id = Uuid::now_v7();
        self.grants.push(Grant {
            id,
            wallet_id: self.wallet.id,
            source: income.source,
            amount: income.amount,
            remaining: income.amount,
            held: 0,
            rollovers: 0,
            effective_at: now,
            expires_at: income.expires_at,
            reference: why.reference.clone(),
        });
        self.new_grants.push(id);
        self.enter(income.kind, None, income.amount, why);
        self.wallet.available += income.amount;
        self.wallet.lifetime_earned += income.amount;
    }

    /// Sets credits aside, in their turn; `None` when too few are available.
    pub fn take(&mut self, amount: i64) -> Option<Vec<Part>> {
        if amount > self.wallet.available {
            return None;
        }
        let mut order: Vec<usize> = (0..self.grants.len()).collect();
        order.sort_by_key(|at| self.grants[*at].turn());
        let (mut missing, mut parts) = (amount, vec![]);
        for at in order {
            let grant = &mut self.grants[at];
            let part = missing.min(grant.remaining - grant.held);
            if part > 0 {
                grant.held += part;
                missing -= part;
                parts.push((grant.id, part));
            }
        }
        if missing > 0 {
            // The wallet says more than its grants do: never spend what came from nowhere.
            for (id, part) in parts {
                self.grants.iter_mut().filter(|grant| grant.id == id).for_each(|g| g.held -= part);
            }
            return None;
        }
        self.wallet.available -= amount;
        self.wallet.held += amount;
        Some(parts)
    }

    /// Spends what was set aside.
    pub fn capture(&mut self, hold: &mut Hold, now: Time) {
        if hold.state != HoldState::Held {
            return;
        }
        for (id, part) in hold.parts() {
            for grant in self.grants.iter_mut().filter(|grant| grant.id == id) {
                grant.held -= part;
                grant.remaining -= part;
            }
        }
        let free = if hold.is_free { " (one of the month's free ones)" } else { "" };
        let why = Why {
            description: format!("{}{free}", hold.action_type),
            reference: hold.reference.clone().or_else(|| hold.job_id.map(|id| id.to_string())),
            made_by: None,
        };
        let entry = self.enter(TransactionType::Spend, Some(hold.action_type), -hold.amount, why);
        entry.hold = Some(hold.id);
        hold.entry = Some(entry.number);
        hold.state = HoldState::Captured;
        hold.settled_at = Some(now);
        self.wallet.held -= hold.amount;
        self.wallet.spent_this_cycle += hold.amount;
        self.wallet.lifetime_spent += hold.amount;
        if !hold.is_free {
            let usage = self.usage_of(hold.action_type, &hold.month_year);
            usage.paid_used += 1;
            usage.credits_spent += hold.amount;
        }
    }

    /// Gives back what was set aside; what is over meanwhile is taken at once.
    pub fn release(&mut self, hold: &mut Hold, state: HoldState, now: Time) {
        if hold.state != HoldState::Held {
            return;
        }
        for (id, part) in hold.parts() {
            self.grants.iter_mut().filter(|grant| grant.id == id).for_each(|g| g.held -= part);
        }
        self.wallet.held -= hold.amount;
        self.wallet.available += hold.amount;
        if hold.is_free {
            self.usage_of(hold.action_type, &hold.month_year).free_used -= 1;
        }
        hold.state = state;
        hold.settled_at = Some(now);
        self.expire(now);
    }

    /// What the owner did of an action in a month.
    pub fn usage_of(&mut self, action: Action, month: &str) -> &mut Usage {
        let user_id = self.wallet.user_id;
        self.usage.entry((action, month.to_owned())).or_insert_with(|| Usage {
            user_id,
            action_type: action,
            month_year: month.to_owned(),
            free_used: 0,
            paid_used: 0,
            credits_spent: 0,
        })
    }

    /// Takes credits for good, in their turn; false when too few are available.
    pub fn deduct(&mut self, amount: i64, kind: TransactionType, why: Why) -> bool {
        let Some(parts) = self.take(amount) else { return false };
        for (id, part) in parts {
            for grant in self.grants.iter_mut().filter(|grant| grant.id == id) {
                grant.held -= part;
                grant.remaining -= part;
            }
        }
        self.enter(kind, None, -amount, why);
        self.wallet.held -= amount;
        true
    }

    /// Books a change of the balance, before it is made.
    pub(super) fn enter(
        &mut self,
        kind: TransactionType,
        action: Option<Action>,
        amount: i64,
        why: Why,
    ) -> &mut Entry {
        self.wallet.entries += 1;
        let entry = Entry {
            id: Uuid::now_v7(),
            number: self.wallet.entries,
            kind,
            action,
            amount,
            before: self.balance(),
            description: why.description,
            reference: why.reference,
            hold: None,
            refund_of: None,
            made_by: why.made_by,
        };
        self.entries.push(entry);
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }
}

impl Why {
    /// A sentence alone.
    pub fn of(description: impl Into<String>) -> Self {
        Self { description: description.into(), ..Self::default() }
    }
}
