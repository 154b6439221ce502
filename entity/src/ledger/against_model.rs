//! An account against the model: whatever happens to it, in whatever order, both say the same.

use proptest::prelude::*;
use sea_orm::prelude::Uuid;

use super::account::{Account, Hold, Income, Wallet, Why};
use super::model::{self, Model, Said, Stand, Step, price};
use super::prices::Price;
use super::spend::set_aside;
use super::{Action, GrantSource, HoldState, Refusal, TransactionType, calendar};
use crate::time::{Time, parse_rfc3339};

/// Sequences of one run; each is of up to [`STEPS`] steps.
const SEQUENCES: u32 = 12_000;
const STEPS: usize = 40;
/// Days of signing up.
const DAYS: [&str; 5] = ["2024-01-31", "2024-02-29", "2026-01-31", "2026-08-30", "2026-12-15"];

#[derive(Clone, Debug)]
struct Sequence {
    signed_up: i64,
    monthly: i64,
    allowed: i32,
    steps: Vec<Step>,
}

fn sequences() -> impl Strategy<Value = Sequence> {
    (
        prop::sample::select(&DAYS),
        prop::sample::select(&[0, 40, 100][..]),
        0..3_i32,
        prop::collection::vec(model::step(false), 1..STEPS),
    )
        .prop_map(|(day, monthly, allowed, steps)| {
            let signed_up = parse_rfc3339(&format!("{day}T10:45:00Z")).unwrap().0;
            Sequence { signed_up, monthly, allowed, steps }
        })
}

/// An account and its holds, as a book would have them.
struct World {
    account: Account,
    holds: Vec<Hold>,
    prices: Vec<Price>,
    orders: Vec<i64>,
    balance: i64,
    booked: usize,
}

impl World {
    fn new(case: &Sequence) -> Self {
        let anchor = Time(case.signed_up);
        let cycle = calendar::cycle(anchor, anchor);
        let wallet = Wallet {
            id: Uuid::now_v7(),
            user_id: Uuid::now_v7(),
            available: 0,
            held: 0,
            package: (case.monthly > 0).then(|| "package".to_owned()),
            monthly_credits: (case.monthly > 0).then_some(case.monthly),
            subscription_active: case.monthly > 0,
            anchor_at: anchor,
            cycle_start: cycle.start,
            next_reset_at: cycle.end,
            rollover_months_allowed: case.allowed,
            is_locked: false,
            is_frozen: false,
            freeze_reason: None,
            spent_this_cycle: 0,
            lifetime_earned: 0,
            lifetime_spent: 0,
            entries: 0,
        };
        let prices = Action::ALL.iter().map(|action| Price {
            action_type: *action,
            display_name: action.to_string(),
            cost: price(*action).0,
            free_per_month: price(*action).1,
            is_active: true,
        });
        let prices = prices.collect();
        let account = Account::new(wallet);
        Self { account, holds: vec![], prices, orders: vec![], balance: 0, booked: 0 }
    }

    /// As a book opens it: a wallet is made when it is first needed, in the month of that time.
    fn touch(&mut self, now: Time) {
        if self.account.wallet.entries == 0 {
            let cycle = calendar::cycle(self.account.wallet.anchor_at, now);
            self.account.wallet.cycle_start = cycle.start;
            self.account.wallet.next_reset_at = cycle.end;
        }
        self.account.bring_to(now);
    }

    fn receive(&mut self, now: Time, source: GrantSource, kind: TransactionType, amount: i64) {
        let income = Income { source, kind, amount, expires_at: None };
        self.touch(now);
        self.account.receive(now, &income, Why::of("a case"));
    }

    /// Does what the model did.
    fn take(&mut self, step: &Step, model: &Model, said: Said) -> Result<(), TestCaseError> {
        let now = Time(model.now);
        match *step {
            Step::Order(amount) => self.orders.push(amount),
            Step::Earn { source, amount, days } => {
                let ends = days.map(|days| Time(now.0 + days * 86_400_000 + 1_800_000));
                let kind = TransactionType::Earn;
                let income = Income { source, kind, amount, expires_at: ends };
                self.touch(now);
                self.account.receive(now, &income, Why::of("a case"));
            }
            Step::Lock(locked) => {
                self.touch(now);
                self.account.wallet.is_locked = locked;
            }
            Step::Adjust(amount) if amount > 0 => {
                self.receive(now, GrantSource::Admin, TransactionType::ManualAdjust, amount);
            }
            Step::Adjust(amount) => {
                // Whoever is refused rolls back.
                let before = self.account.clone();
                self.touch(now);
                let kind = TransactionType::ManualAdjust;
                let done = self.account.deduct(-amount, kind, Why::of("a case"));
                if !done {
                    self.account = before;
                }
                prop_assert_eq!(done, said == Said::Done);
            }
            Step::Hold { action, .. } => {
                self.touch(now);
                let held = set_aside(Ok((&mut self.account, now)), &self.prices, action);
                let answer = match held {
                    Ok(hold) => {
                        self.holds.push(hold);
                        Said::Done
                    }
                    Err(Refusal::Locked(_)) => Said::Locked,
                    Err(Refusal::Insufficient { .. }) => Said::Insufficient,
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                };
                prop_assert_eq!(answer, said);
            }
            Step::Capture(at) | Step::Release(at) if !self.holds.is_empty() => {
                let at = at % self.holds.len();
                // A second time the book is not opened, and if it were, nothing would happen.
                if said == Said::Done {
                    self.touch(now);
                }
                let hold = &mut self.holds[at];
                if matches!(step, Step::Capture(_)) {
                    self.account.capture(hold, now);
                } else {
                    self.account.release(hold, HoldState::Released, now);
                }
            }
            Step::Deliver(at) if said == Said::Done => {
                let amount = self.orders[at % self.orders.len()];
                self.receive(now, GrantSource::Topup, TransactionType::Purchase, amount);
            }
            Step::Refund(at) if said == Said::Done => {
                let amount = self.holds[at % self.holds.len()].amount;
                self.receive(now, GrantSource::Admin, TransactionType::Refund, amount);
            }
            // Nothing to do; or it happens once, which is the database's to say.
            Step::Wait(_)
            | Step::Capture(_)
            | Step::Release(_)
            | Step::Deliver(_)
            | Step::Refund(_) => {}
        }
        Ok(())
    }

    fn check(&mut self, model: &Model) -> Result<(), TestCaseError> {
        let Account { wallet, grants, usage, entries, .. } = &self.account;
        prop_assert_eq!((wallet.available, wallet.held), (model.available(), model.held()));
        prop_assert_eq!(wallet.spent_this_cycle, model.spent_this_month);
        prop_assert_eq!(wallet.entries, model.booked.len() as i64);
        let left: Vec<_> = grants.iter().filter(|grant| grant.remaining > 0).collect();
        prop_assert_eq!(left.len(), model.left().len());
        for (grant, pile) in left.iter().zip(model.left()) {
            let ends = grant.expires_at.map(|at| at.0);
            prop_assert_eq!(
                (grant.source, grant.remaining, grant.held, ends),
                (pile.source, pile.free + pile.held, pile.held, pile.ends)
            );
        }
        for (entry, booked) in entries[self.booked..].iter().zip(&model.booked[self.booked..]) {
            prop_assert_eq!((entry.kind, entry.amount), *booked);
            prop_assert_eq!(entry.before, self.balance, "each begins where the last one ended");
            self.balance += entry.amount;
        }
        self.booked = entries.len();
        prop_assert_eq!(self.booked, model.booked.len());
        prop_assert_eq!(self.balance, wallet.available + wallet.held);
        for (key, (free, paid, spent)) in &model.turns {
            let known = usage.get(key).map(|u| (u.free_used, u.paid_used, u.credits_spent));
            prop_assert_eq!(known.unwrap_or_default(), (*free, *paid, *spent));
        }
        for (hold, held) in self.holds.iter().zip(&model.holds) {
            let stand = match hold.state {
                HoldState::Held => Stand::Open,
                HoldState::Captured => Stand::Paid,
                HoldState::Released | HoldState::Expired => Stand::Back,
            };
            prop_assert_eq!(
                (hold.action_type, hold.amount, hold.is_free, stand),
                (held.action, held.amount, held.is_free, held.stand)
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: SEQUENCES, failure_persistence: None, ..ProptestConfig::default()
    })]
    #[test]
    fn an_account_is_what_the_model_says_whatever_happens(case in sequences()) {
        let mut model = Model::new(case.signed_up, case.signed_up, case.monthly, case.allowed);
        let mut world = World::new(&case);
        for step in &case.steps {
            let said = model.take(step);
            world.take(step, &model, said)?;
            world.check(&model)?;
        }
    }
}
