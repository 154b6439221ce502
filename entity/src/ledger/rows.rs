//! What the ledger's tables hold, as an [`Account`](super::account::Account) has it.

use sea_orm::FromQueryResult;
use sea_orm::prelude::{Json, Uuid};

use super::{Action, GrantSource, HoldState, Part, TransactionType};
use crate::time::Time;

/// `credit_wallets`.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Wallet {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// Credits that may be spent.
    pub available: i64,
    /// Credits set aside for open work.
    pub held: i64,
    /// The package its owner subscribed to.
    pub package: Option<String>,
    /// What that package gives a month.
    pub monthly_credits: Option<i64>,
    /// Whether it is paid for.
    pub subscription_active: bool,
    /// When its owner signed up: its months begin on that day.
    pub anchor_at: Time,
    /// When this month of it began.
    pub cycle_start: Time,
    /// When the next one begins.
    pub next_reset_at: Time,
    /// So many months a package's credits are kept longer.
    pub rollover_months_allowed: i32,
    /// Nothing may be spent: locked by an operator.
    pub is_locked: bool,
    /// Nothing may be spent: frozen for a reason.
    pub is_frozen: bool,
    /// The reason.
    pub freeze_reason: Option<String>,
    /// Credits spent since [`Self::cycle_start`].
    pub spent_this_cycle: i64,
    /// Credits that ever came in.
    pub lifetime_earned: i64,
    /// Credits ever spent.
    pub lifetime_spent: i64,
    /// How many transactions it has; each has a number.
    pub entries: i64,
}

/// `credit_grants`: credits that came in together.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Grant {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub wallet_id: Uuid,
    /// Where it comes from.
    pub source: GrantSource,
    /// What came in.
    pub amount: i64,
    /// What is left, held or not.
    pub remaining: i64,
    /// What of that is held.
    pub held: i64,
    /// Ends of a month it was kept over.
    pub rollovers: i32,
    /// Good from then on.
    pub effective_at: Time,
    /// Good until then; `None`: for good.
    pub expires_at: Option<Time>,
    /// What it was given for; unique, so that it is given once.
    pub reference: Option<String>,
}

impl Grant {
    /// What is spent first: the package's before what was kept of earlier months, then what was
    /// given, then what was bought; what ends sooner before what ends later.
    pub(super) fn turn(&self) -> (u8, i64, Time, Uuid) {
        let class = match self.source {
            GrantSource::Plan if self.rollovers == 0 => 0,
            GrantSource::Plan => 1,
            GrantSource::Promo | GrantSource::Admin => 2,
            GrantSource::Topup => 3,
        };
        (class, self.expires_at.map_or(i64::MAX, |at| at.0), self.effective_at, self.id)
    }

    pub(super) fn is_over(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// `credit_holds`: credits set aside, or a free turn.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Hold {
    /// Its id.
    pub id: Uuid,
    /// Whose wallet.
    pub wallet_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// For what.
    pub action_type: Action,
    /// How many; 0 for a free turn.
    pub amount: i64,
    /// A turn of the month's free ones.
    pub is_free: bool,
    /// The calendar month it counts in.
    pub month_year: String,
    /// Where it stands.
    pub state: HoldState,
    /// Of which grants: a list of [`Part`]s.
    pub parts: Json,
    /// Unique for the user: the same again is this one.
    pub key: Option<String>,
    /// What the key was used for.
    pub fingerprint: Option<String>,
    /// The job it is for.
    pub job_id: Option<Uuid>,
    /// What is bought.
    pub reference: Option<String>,
    /// Which state of it.
    pub edition: Option<String>,
    /// The number of the transaction that spent it.
    pub entry: Option<i64>,
    /// When it was set aside.
    pub created_at: Time,
    /// When it was spent or given back.
    pub settled_at: Option<Time>,
}

impl Hold {
    pub(super) fn parts(&self) -> Vec<Part> {
        serde_json::from_value(self.parts.clone()).unwrap_or_default()
    }
}

/// `credit_usage`: what a user did of an action in a calendar month.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Usage {
    /// Whose.
    pub user_id: Uuid,
    /// Of what.
    pub action_type: Action,
    /// `2026-11`.
    pub month_year: String,
    /// Free turns taken, those of open work included.
    pub free_used: i64,
    /// Turns paid for.
    pub paid_used: i64,
    /// What was paid.
    pub credits_spent: i64,
}

/// A row of `credit_transactions` to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// Its number in the wallet, from 1.
    pub number: i64,
    /// What it was.
    pub kind: TransactionType,
    /// The action paid for.
    pub action: Option<Action>,
    /// By how much the balance changed.
    pub amount: i64,
    /// `available + held` before.
    pub before: i64,
    /// A sentence.
    pub description: String,
    /// What it was for.
    pub reference: Option<String>,
    /// The hold it spent.
    pub hold: Option<Uuid>,
    /// The spend it takes back.
    pub refund_of: Option<Uuid>,
    /// The operator who did it.
    pub made_by: Option<Uuid>,
}
