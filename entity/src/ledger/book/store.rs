//! What changed in a book, as statements.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::{Account, Book, Hold};
use crate::args;
use crate::db::Tx;
use crate::ledger::Action;
use crate::sql::{self, Arg, at};

/// A statement over rows, of which there may be none.
type Change = (&'static str, Vec<Vec<Arg>>);

/// Rows of a statement, at most: with up to 17 values each far below what SQLite takes.
const ROWS: usize = 1_000;

/// Runs what has rows. On Postgres all of it is one statement: what refers to something is checked
/// at its end, and no two of them are about the same row.
pub(super) async fn store(tx: &Tx, changes: impl IntoIterator<Item = Change>) -> Result<(), DbErr> {
    let mut left: Vec<Change> = changes.into_iter().filter(|(_, rows)| !rows.is_empty()).collect();
    let at_once = tx.get_database_backend() == DbBackend::Postgres
        && left.iter().all(|(_, rows)| rows.len() <= ROWS);
    if at_once && left.len() > 1 {
        let parts = left.iter().enumerate().map(|(n, (text, _))| format!("change{n} AS ({text})"));
        let text = format!("WITH {} SELECT 1", parts.collect::<Vec<_>>().join(", "));
        let rows = left.into_iter().map(|(_, rows)| Arg::Rows(rows)).collect();
        return sql::execute(tx, &text, rows).await.map(drop);
    }
    for (text, rows) in &mut left {
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(ROWS));
            let some = std::mem::replace(rows, rest);
            sql::execute(tx, text, vec![Arg::Rows(some)]).await?;
        }
    }
    Ok(())
}

impl Book {
    /// Stores what changed.
    pub async fn close(self, tx: &Tx) -> Result<(), DbErr> {
        let (new_grants, grants) = self.grants();
        let (new_holds, holds) = (new_holds(&self.new_holds), settled_holds(&self.settled));
        let changes = [
            self.wallets(),
            new_grants,
            grants,
            new_holds,
            holds,
            self.entries(),
            self.usage(),
            self.turns(),
        ];
        store(tx, changes).await
    }

    fn wallets(&self) -> Change {
        let changed = |account: &&Account| {
            let before = self.before.get(&account.wallet.user_id);
            before.is_none_or(|before| before.wallet != account.wallet)
        };
        let rows = self.accounts.values().filter(changed).map(|account| {
            let wallet = &account.wallet;
            args![
                wallet.id,
                wallet.available,
                wallet.held,
                at(wallet.cycle_start),
                at(wallet.next_reset_at),
                wallet.spent_this_cycle,
                wallet.lifetime_earned,
                wallet.lifetime_spent,
                wallet.entries,
                wallet.is_locked,
                wallet.is_frozen,
                wallet.freeze_reason.clone(),
            ]
        });
        let update = "UPDATE credit_wallets SET available = v.column2::bigint, \
             held = v.column3::bigint, cycle_start = v.column4::timestamptz, \
             next_reset_at = v.column5::timestamptz, spent_this_cycle = v.column6::bigint, \
             lifetime_earned = v.column7::bigint, lifetime_spent = v.column8::bigint, \
             entries = v.column9::bigint, is_locked = v.column10::boolean, \
             is_frozen = v.column11::boolean, freeze_reason = v.column12::text, \
             updated_at = {now} FROM {rows} WHERE credit_wallets.id = v.column1::uuid";
        (update, rows.collect())
    }

    /// New ones, and others.
    fn grants(&self) -> (Change, Change) {
        let (mut new, mut changed) = (vec![], vec![]);
        for account in self.accounts.values() {
            let before = self.before.get(&account.wallet.user_id);
            for grant in &account.grants {
                if account.new_grants.contains(&grant.id) {
                    new.push(args![
                        grant.id,
                        grant.wallet_id,
                        grant.source.as_str(),
                        grant.amount,
                        grant.remaining,
                        grant.held,
                        grant.rollovers,
                        at(grant.effective_at),
                        at(grant.expires_at),
                        grant.reference.clone(),
                    ]);
                } else if before.is_none_or(|before| !before.grants.contains(grant)) {
                    changed.push(args![
                        grant.id,
                        grant.remaining,
                        grant.held,
                        grant.rollovers,
                        at(grant.expires_at),
                    ]);
                }
            }
        }
        let insert = "INSERT INTO credit_grants (id, wallet_id, source, amount, remaining, held, \
             rollovers, effective_at, expires_at, reference, created_at) \
             SELECT column1::uuid, column2::uuid, column3::text, column4::bigint, \
             column5::bigint, column6::bigint, column7::int, column8::timestamptz, \
             column9::timestamptz, column10::text, {now} FROM {rows}";
        let update = "UPDATE credit_grants SET remaining = v.column2::bigint, \
             held = v.column3::bigint, rollovers = v.column4::int, \
             expires_at = v.column5::timestamptz FROM {rows} \
             WHERE credit_grants.id = v.column1::uuid";
        ((insert, new), (update, changed))
    }

    fn entries(&self) -> Change {
        let mut rows = vec![];
        for account in self.accounts.values() {
            for entry in &account.entries {
                rows.push(args![
                    entry.id,
                    account.wallet.id,
                    account.wallet.user_id,
                    entry.number,
                    entry.kind.as_str(),
                    entry.action.map(Action::as_str),
                    entry.amount,
                    entry.before,
                    entry.before + entry.amount,
                    entry.description.clone(),
                    entry.reference.clone(),
                    entry.hold,
                    entry.refund_of,
                    entry.made_by,
                ]);
            }
        }
        let insert = "INSERT INTO credit_transactions (id, wallet_id, user_id, entry, \
             transaction_type, action_type, amount, balance_before, balance_after, description, \
             reference, hold_id, refund_of, made_by, created_at) \
             SELECT column1::uuid, column2::uuid, column3::uuid, column4::bigint, column5::text, \
             column6::text, column7::bigint, column8::bigint, column9::bigint, column10::text, \
             column11::text, column12::uuid, column13::uuid, column14::uuid, {now} FROM {rows}";
        (insert, rows)
    }

    fn usage(&self) -> Change {
        let mut rows = vec![];
        for account in self.accounts.values() {
            let before = self.before.get(&account.wallet.user_id);
            for (key, usage) in &account.usage {
                if before.and_then(|before| before.usage.get(key)) == Some(usage) {
                    continue;
                }
                rows.push(args![
                    usage.user_id,
                    usage.action_type.as_str(),
                    usage.month_year.clone(),
                    usage.free_used,
                    usage.paid_used,
                    usage.credits_spent,
                ]);
            }
        }
        let upsert = "INSERT INTO credit_usage (user_id, action_type, month_year, free_used, \
             paid_used, credits_spent) SELECT column1::uuid, column2::text, column3::text, \
             column4::bigint, column5::bigint, column6::bigint FROM {rows} WHERE true \
             ON CONFLICT (user_id, action_type, month_year) DO UPDATE SET \
             free_used = excluded.free_used, paid_used = excluded.paid_used, \
             credits_spent = excluded.credits_spent";
        (upsert, rows)
    }

    fn turns(&self) -> Change {
        let mut rows = vec![];
        for account in self.accounts.values() {
            for turned in &account.turned {
                rows.push(args![
                    account.wallet.id,
                    at(turned.cycle.start),
                    at(turned.cycle.end),
                    turned.granted,
                    turned.expired,
                    turned.rolled_over,
                ]);
            }
        }
        // Its key is the wallet and the month: a month that began twice is an error here.
        let insert = "INSERT INTO credit_cycles (wallet_id, cycle_start, cycle_end, granted, \
             expired, rolled_over, at) SELECT column1::uuid, column2::timestamptz, \
             column3::timestamptz, column4::bigint, column5::bigint, column6::bigint, {now} \
             FROM {rows}";
        (insert, rows)
    }
}

fn new_holds(new: &[Hold]) -> Change {
    let rows = new.iter().map(|hold| {
        args![
            hold.id,
            hold.wallet_id,
            hold.user_id,
            hold.action_type.as_str(),
            hold.amount,
            hold.is_free,
            hold.month_year.clone(),
            hold.state.as_str(),
            hold.parts.clone(),
            hold.key.clone(),
            hold.fingerprint.clone(),
            hold.job_id,
            hold.reference.clone(),
            hold.edition.clone(),
            hold.entry,
            at(hold.settled_at),
        ]
    });
    let insert = "INSERT INTO credit_holds (id, wallet_id, user_id, action_type, amount, is_free, \
         month_year, state, parts, key, fingerprint, job_id, reference, edition, entry, \
         settled_at, created_at) SELECT column1::uuid, column2::uuid, column3::uuid, \
         column4::text, column5::bigint, column6::boolean, column7::text, column8::text, \
         column9::jsonb, column10::text, column11::text, column12::uuid, column13::text, \
         column14::text, column15::bigint, column16::timestamptz, {now} FROM {rows}";
    (insert, rows.collect())
}

fn settled_holds(settled: &[Hold]) -> Change {
    let rows = settled
        .iter()
        .map(|hold| args![hold.id, hold.state.as_str(), hold.entry, at(hold.settled_at)]);
    let update = "UPDATE credit_holds SET state = v.column2::text, entry = v.column3::bigint, \
         settled_at = v.column4::timestamptz FROM {rows} \
         WHERE credit_holds.id = v.column1::uuid AND credit_holds.state = 'held'";
    (update, rows.collect())
}
