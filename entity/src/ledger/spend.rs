//! Setting credits aside for work, and spending them on something that is there already.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::DbErr;
use sea_orm::prelude::Uuid;
use serde_json::json;

use super::account::{Account, Hold};
use super::book::{Book, HOLD};
use super::prices::{self, Price};
use super::{Action, HoldState, Refusal, calendar};
use crate::access;
use crate::db::Tx;
use crate::sql::{self, Arg};
use crate::time::Time;

/// Something that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Who pays.
    pub user: Uuid,
    /// For what.
    pub action: Action,
    /// The same key is the same charge, for ever; with another fingerprint it is refused.
    pub key: Option<(String, String)>,
    /// The job that does the work.
    pub job: Option<Uuid>,
}

/// What is bought by reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purchase {
    /// A creator in full.
    Unlock {
        /// Who pays.
        user: Uuid,
        /// The profile.
        profile: Uuid,
    },
    /// The posts of a profile as they were fetched.
    Posts {
        /// Who pays.
        user: Uuid,
        /// The profile.
        profile: Uuid,
        /// When they were fetched: bought once for that state, and for a while for any.
        fetched_at: Option<Time>,
    },
}

/// For so long a user's reading of the same posts is the same reading, in milliseconds: 12 h.
pub const SAME_READING_MS: i64 = 12 * 3_600_000;

/// What reading came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Credits that were taken now.
    pub credits: i64,
    /// One of the month's free turns was taken now.
    pub free: bool,
    /// It was bought before, by this purchase.
    pub before: Option<Time>,
    /// The hold that paid for it.
    pub hold: Uuid,
    /// The transaction, when it was made now.
    pub transaction: Option<Uuid>,
    /// What may still be spent.
    pub available: i64,
}

/// What is bought: by whom, what kind of thing, which.
type Thing = (Uuid, Action, String);

impl Purchase {
    /// Who pays.
    pub fn user(&self) -> Uuid {
        match self {
            Self::Unlock { user, .. } | Self::Posts { user, .. } => *user,
        }
    }

    fn action(&self) -> Action {
        match self {
            Self::Unlock { .. } => Action::InfluencerUnlock,
            Self::Posts { .. } => Action::PostAnalytics,
        }
    }

    fn reference(&self) -> String {
        match self {
            Self::Unlock { profile, .. } | Self::Posts { profile, .. } => profile.to_string(),
        }
    }

    fn edition(&self) -> Option<String> {
        match self {
            Self::Unlock { .. } => None,
            Self::Posts { fetched_at, .. } => fetched_at.map(|at| at.0.to_string()),
        }
    }

    fn thing(&self) -> Thing {
        (self.user(), self.action(), self.reference())
    }

    /// Whether an earlier purchase of the same thing is still this one.
    fn is_covered_by(&self, hold: &Hold, now: Time) -> bool {
        match self {
            // An earlier one may be over; of this very operation it is not.
            Self::Unlock { .. } => hold.settled_at == Some(now),
            Self::Posts { .. } => {
                let recent =
                    hold.settled_at.is_some_and(|at| now.millis_since(at) < SAME_READING_MS);
                recent || (hold.edition.is_some() && hold.edition == self.edition())
            }
        }
    }

    fn unlocks(&self, unlocked: &access::Unlocked) -> bool {
        matches!(self, Self::Unlock { user, profile }
            if (*user, *profile) == (unlocked.user_id, unlocked.profile_id))
    }
}

/// Sets credits aside for work that is stored in this transaction; answers in the order of the
/// charges. A charge whose key is known is the hold it was then, whatever became of it.
///
/// # Errors
/// The database's. Refusals are answers: what else is in the transaction is the caller's.
pub async fn hold(tx: &Tx, charges: &[Charge]) -> Result<Vec<Result<Hold, Refusal>>, DbErr> {
    let users: BTreeSet<Uuid> = charges.iter().map(|charge| charge.user).collect();
    let mut book = Book::open(tx, &users).await?;
    let prices = prices::all(tx).await?;
    let mut known = by_keys(tx, charges).await?;
    let mut answers = vec![];
    for charge in charges {
        let held = charge.key.as_ref().and_then(|(key, _)| {
            let same = |hold: &&Hold| {
                hold.user_id == charge.user && hold.key.as_deref() == Some(key.as_str())
            };
            known.iter().find(same).cloned()
        });
        let answer = match (held, &charge.key) {
            (Some(hold), Some((_, fingerprint))) => {
                let same = hold.fingerprint.as_ref() == Some(fingerprint)
                    && hold.action_type == charge.action;
                if same { Ok(hold) } else { Err(Refusal::KeyReused) }
            }
            _ => set_aside(book.account(charge.user), &prices, charge.action).map(|hold| Hold {
                key: charge.key.as_ref().map(|(key, _)| key.clone()),
                fingerprint: charge.key.as_ref().map(|(_, print)| print.clone()),
                job_id: charge.job,
                ..hold
            }),
        };
        if let Ok(hold) = &answer
            && !known.iter().any(|known| known.id == hold.id)
        {
            book.new_holds.push(hold.clone());
            known.push(hold.clone());
        }
        answers.push(answer);
    }
    book.close(tx).await?;
    Ok(answers)
}

/// Buys what is there already: sets aside and spends at once, unless it was bought before. An
/// unlock is stored with it. Answers in the order of the purchases.
///
/// # Errors
/// The database's; refusals are answers.
pub async fn spend(tx: &Tx, purchases: &[Purchase]) -> Result<Vec<Result<Spent, Refusal>>, DbErr> {
    let users: BTreeSet<Uuid> = purchases.iter().map(Purchase::user).collect();
    let mut book = Book::open(tx, &users).await?;
    let prices = prices::all(tx).await?;
    let mut bought = bought(tx, purchases).await?;
    let unlocked = access::unlocks(tx, &unlocks_in(purchases)).await?;
    let (mut answers, mut unlocks) = (vec![], vec![]);
    for purchase in purchases {
        let (user, now, thing) = (purchase.user(), book.now, purchase.thing());
        let available =
            |book: &Book| book.accounts.get(&user).map_or(0, |account| account.wallet.available);
        let already = unlocked.iter().find(|unlocked| purchase.unlocks(unlocked));
        let already = already.map(|unlocked| (unlocked.hold_id, unlocked.unlocked_at));
        let already = already.or_else(|| {
            let mut holds = bought.get(&thing)?.iter();
            let hold = holds.find(|hold| purchase.is_covered_by(hold, now))?;
            Some((hold.id, hold.settled_at.unwrap_or(now)))
        });
        if let Some((hold, since)) = already {
            answers.push(Ok(Spent {
                credits: 0,
                free: false,
                before: Some(since),
                hold,
                transaction: None,
                available: available(&book),
            }));
            continue;
        }
        let mut hold = match set_aside(book.account(user), &prices, purchase.action()) {
            Ok(hold) => hold,
            Err(refusal) => {
                answers.push(Err(refusal));
                continue;
            }
        };
        hold.reference = Some(purchase.reference());
        hold.edition = purchase.edition();
        let account = book.accounts.get_mut(&user);
        let transaction = account.and_then(|account| {
            account.capture(&mut hold, now);
            account.entries.last().map(|entry| entry.id)
        });
        answers.push(Ok(Spent {
            credits: hold.amount,
            free: hold.is_free,
            before: None,
            hold: hold.id,
            transaction,
            available: available(&book),
        }));
        if let Purchase::Unlock { profile, .. } = purchase {
            unlocks.push(access::Unlock {
                user,
                profile: *profile,
                credits: hold.amount,
                hold: hold.id,
            });
        }
        book.new_holds.push(hold.clone());
        bought.entry(thing).or_default().push(hold);
    }
    book.close(tx).await?;
    access::unlock(tx, &unlocks).await?;
    Ok(answers)
}

fn unlocks_in(purchases: &[Purchase]) -> Vec<(Uuid, Uuid)> {
    let unlocks = purchases.iter().filter_map(|purchase| match purchase {
        Purchase::Unlock { user, profile } => Some((*user, *profile)),
        Purchase::Posts { .. } => None,
    });
    unlocks.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A hold of so many credits, or of a free turn, taken from an account and not stored yet.
pub(super) fn set_aside(
    account: Result<(&mut Account, Time), Refusal>,
    prices: &[Price],
    action: Action,
) -> Result<Hold, Refusal> {
    let (account, now) = account?;
    let wallet = &account.wallet;
    if wallet.is_locked || wallet.is_frozen {
        return Err(Refusal::Locked(wallet.freeze_reason.clone()));
    }
    let price = prices.iter().find(|price| price.action_type == action && price.is_active);
    let price = price.ok_or_else(|| Refusal::UnknownAction(action.to_string()))?;
    let month = calendar::month_year(now);
    let is_free = account.usage_of(action, &month).free_used < price.free_per_month;
    let amount = if is_free { 0 } else { price.cost };
    let available = account.wallet.available;
    let parts =
        account.take(amount).ok_or(Refusal::Insufficient { required: amount, available })?;
    if is_free {
        account.usage_of(action, &month).free_used += 1;
    }
    Ok(Hold {
        id: Uuid::now_v7(),
        wallet_id: account.wallet.id,
        user_id: account.wallet.user_id,
        action_type: action,
        amount,
        is_free,
        month_year: month,
        state: HoldState::Held,
        parts: json!(parts),
        key: None,
        fingerprint: None,
        job_id: None,
        reference: None,
        edition: None,
        entry: None,
        created_at: now,
        settled_at: None,
    })
}

/// Holds whose keys are asked for.
async fn by_keys(tx: &Tx, charges: &[Charge]) -> Result<Vec<Hold>, DbErr> {
    let keyed = charges.iter().filter_map(|charge| {
        charge.key.as_ref().map(|(key, _)| crate::args![charge.user, key.clone()])
    });
    let keyed: Vec<Vec<Arg>> = keyed.collect();
    if keyed.is_empty() {
        return Ok(vec![]);
    }
    let text = format!(
        "SELECT {HOLD} FROM credit_holds JOIN {{rows}} \
         ON user_id = v.column1::uuid AND key = v.column2::text"
    );
    sql::all(tx, &text, vec![Arg::Rows(keyed)]).await
}

/// Earlier purchases of the same, the latest first.
async fn bought(tx: &Tx, purchases: &[Purchase]) -> Result<BTreeMap<Thing, Vec<Hold>>, DbErr> {
    let wanted: BTreeSet<Thing> = purchases.iter().map(Purchase::thing).collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = wanted.into_iter().map(|(user, action, of)| crate::args![user, action.as_str(), of]);
    let text = format!(
        "SELECT {HOLD} FROM credit_holds JOIN {{rows}} ON user_id = v.column1::uuid \
         AND action_type = v.column2::text AND reference = v.column3::text \
         WHERE state = 'captured' ORDER BY settled_at DESC, id DESC"
    );
    let holds: Vec<Hold> = sql::all(tx, &text, vec![Arg::Rows(rows.collect())]).await?;
    let mut bought: BTreeMap<Thing, Vec<Hold>> = BTreeMap::new();
    for hold in holds {
        let thing = (hold.user_id, hold.action_type, hold.reference.clone().unwrap_or_default());
        bought.entry(thing).or_default().push(hold);
    }
    Ok(bought)
}
