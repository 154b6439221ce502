//! What customers were told against what was booked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;

use entity::{Db, sql};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::buyer::{Notes, Wish};

/// What was bought.
#[derive(Debug, Default)]
pub struct Bought {
    /// Things, each paid for by a user once.
    pub things: i64,
    /// What they cost together.
    pub credits: i64,
    /// Answers that gave one of them.
    pub answers: usize,
    /// Requests that were cut off.
    pub cut: usize,
    /// Things that were paid for and whose answer was lost; asked for again they were free.
    pub untold: usize,
    /// Orders of work that could only be asked after later.
    pub put_off: usize,
    /// Orders that came to nothing, and cost nothing.
    pub failed: usize,
    /// Answers that there was too little to pay.
    pub refused: usize,
}

impl fmt::Display for Bought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { things, credits, answers, cut, untold, put_off, failed, refused } = self;
        write!(
            f,
            "{things} things bought for {credits} credits, in {answers} answers; {cut} requests \
             cut off, {untold} answers lost after the payment, {put_off} orders asked after \
             later, {failed} failed, {refused} times too little to pay"
        )
    }
}

#[derive(FromQueryResult)]
struct Booked {
    id: Uuid,
    user_id: Uuid,
    amount: i64,
    action_type: String,
    reference: Option<String>,
    job_id: Option<Uuid>,
}

#[derive(FromQueryResult)]
struct Wallet {
    user_id: Uuid,
    available: i64,
    held: i64,
}

#[derive(FromQueryResult)]
struct Unlock {
    user_id: Uuid,
    profile_id: Uuid,
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

const SPENDS: &str = "SELECT t.id, t.user_id, t.amount, h.action_type, h.reference, h.job_id \
     FROM credit_transactions t JOIN credit_holds h ON h.id = t.hold_id \
     WHERE t.transaction_type = 'spend'";

async fn read<T: FromQueryResult>(db: &Db, select: &str) -> Vec<T> {
    sql::all(db.read(), select, vec![]).await.unwrap()
}

/// Payments for what was read.
pub(super) async fn readings(db: &Db) -> BTreeSet<Uuid> {
    let readings = format!("{SPENDS} AND h.reference IS NOT NULL");
    read::<Id>(db, &readings).await.iter().map(|spend| spend.id).collect()
}

/// Fails unless each of these users, who began with so much, paid once for whatever they were
/// given, and for nothing else.
pub(super) async fn compare(
    db: &Db,
    users: &BTreeMap<Uuid, i64>,
    creators: &[Uuid],
    notes: &Notes,
) -> Bought {
    let told = std::mem::take(&mut *notes.told.lock().unwrap());
    let failed = "SELECT id FROM jobs WHERE kind = 'post_analysis' AND state <> 'succeeded'";
    let failed: BTreeSet<Uuid> = read::<Id>(db, failed).await.iter().map(|job| job.id).collect();
    let ordered: BTreeMap<Uuid, Wish> = told
        .iter()
        .flat_map(|((_, wish), told)| told.jobs.iter().map(|job| (*job, *wish)))
        .collect();
    let numbers: BTreeMap<Uuid, usize> =
        creators.iter().enumerate().map(|(n, creator)| (*creator, n)).collect();

    let mut booked: BTreeMap<(Uuid, Wish), Booked> = BTreeMap::new();
    let mut bought = Bought { cut: notes.cut.load(Ordering::Relaxed), ..Bought::default() };
    for row in read::<Booked>(db, SPENDS).await {
        if !users.contains_key(&row.user_id) {
            continue;
        }
        let creator = row.reference.as_ref().map(|of| numbers[&of.parse::<Uuid>().unwrap()]);
        let wish = match (row.job_id, row.action_type.as_str()) {
            (Some(job), _) => *ordered.get(&job).expect("work was paid for that nobody knows of"),
            (None, "influencer_unlock") => Wish::Unlock(creator.unwrap()),
            (None, _) => Wish::Posts(creator.unwrap()),
        };
        assert_eq!(row.amount, -wish.price(), "{wish:?}");
        bought.things += 1;
        bought.credits += wish.price();
        let before = booked.insert((row.user_id, wish), row);
        assert!(before.is_none(), "{wish:?} was paid for twice by one user");
    }
    for (of, told) in &told {
        let (paid, wish) = (booked.get(of), of.1);
        assert!(told.jobs.len() <= 1, "{wish:?} was ordered twice: {told:?}");
        let in_vain = told.jobs.iter().any(|job| failed.contains(job));
        let given = told.answers > 0 && !in_vain;
        assert_eq!(given, paid.is_some(), "{wish:?}, given or paid for, not both: {told:?}");
        bought.answers += told.answers;
        bought.failed += usize::from(in_vain);
        bought.refused += told.refused;
        if let Some(paid) = paid
            && !matches!(wish, Wish::Piece(_))
        {
            assert!(told.paid.iter().all(|id| *id == paid.id), "{wish:?}: {told:?}");
            bought.untold += usize::from(told.paid.is_empty());
        }
    }
    let unknown = booked.keys().find(|of| !told.contains_key(of));
    assert!(unknown.is_none(), "paid for, and nobody asked for it: {unknown:?}");

    let unlocks = "SELECT user_id, profile_id FROM unlocked_influencers";
    let unlocks: BTreeSet<(Uuid, Wish)> = read::<Unlock>(db, unlocks)
        .await
        .iter()
        .map(|unlock| (unlock.user_id, Wish::Unlock(numbers[&unlock.profile_id])))
        .collect();
    let paid = booked.keys().filter(|(_, wish)| matches!(wish, Wish::Unlock(_))).copied().collect();
    assert_eq!(unlocks, paid, "unlocked, or paid for, not both");

    for wallet in read::<Wallet>(db, "SELECT user_id, available, held FROM credit_wallets").await {
        let Some(start) = users.get(&wallet.user_id) else { continue };
        let of = booked.keys().filter(|(user, _)| *user == wallet.user_id);
        let spent: i64 = of.map(|(_, wish)| wish.price()).sum();
        assert_eq!((wallet.available, wallet.held), (start - spent, 0), "{}", wallet.user_id);
    }
    bought
}
