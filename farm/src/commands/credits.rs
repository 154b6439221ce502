//! `farm credits`: whether the ledger adds up.

use std::fmt::Write;

use clap::Subcommand;
use entity::ledger::audit::{self, Audit};
use jobs::process::Failure;

use super::out;
use crate::config::Settings;
use crate::machine;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Add up every wallet and say which differ from what was booked; fails when one does.
    Audit {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(settings: &Settings, action: Action) -> Result<(), Failure> {
    let Action::Audit { json } = action;
    let audit = look(settings).await?;
    out::print(&told(&audit, json))?;
    if audit.is_clean() { Ok(()) } else { Err(Failure::new("the ledger does not add up")) }
}

async fn look(settings: &Settings) -> Result<Audit, Failure> {
    let db = machine::open_existing(settings).await?;
    let audit = audit::audit(db.read()).await?;
    db.close().await?;
    Ok(audit)
}

fn told(audit: &Audit, json: bool) -> String {
    if json {
        let mut value = serde_json::json!(audit);
        value["is_clean"] = audit.is_clean().into();
        return value.to_string();
    }
    let Audit { wallets, credits, held, .. } = audit;
    let mut text = format!("{wallets} wallets, {credits} credits, {held} of them held");
    if audit.is_clean() {
        text.push_str(": everything adds up");
        return text;
    }
    let mut line = |count: i64, what: &str| {
        if count != 0 {
            let _ = write!(text, "\n{count} {what}"); // a String takes everything
        }
    };
    line(audit.drift_credits, "credits of difference between wallets and what was booked");
    line(audit.stray_holds, "open holds without an open job");
    line(audit.unbooked_holds, "spent holds without their transaction");
    line(audit.unearned_holds, "spent holds of jobs that did not succeed");
    for drift in &audit.drifts {
        let _ = write!(
            text,
            "\nwallet of {}: it says {} ({} held), its {} of {} transactions {}, its grants {} \
             ({} held), its open holds {}",
            drift.user_id,
            drift.balance,
            drift.held,
            drift.entries,
            drift.numbered,
            drift.booked,
            drift.granted,
            drift.grants_held,
            drift.open_holds,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use entity::enums::{Role, Tier};
    use entity::ledger::adjust;
    use entity::user::{self, NewUser};
    use entity::{Db, args};

    use super::*;
    use crate::commands::story::{Farm, parse};

    async fn say(farm: &Farm, words: &[&str]) -> Result<(), Failure> {
        run(&farm.settings, parse(words).unwrap()).await
    }

    async fn wallet(db: &Db, name: &str) -> uuid::Uuid {
        let new = NewUser {
            email: &format!("{name}@example.test"),
            hashed_password: None,
            full_name: None,
            role: Role::User,
            tier: Tier::Standard,
        };
        let id = user::upsert(db, &new).await.unwrap().id;
        let tx = db.begin().await.unwrap();
        adjust::open(&tx, id).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    #[tokio::test]
    async fn a_wallet_that_does_not_add_up_is_named_and_fails_the_command() {
        let farm = Farm::new().await;
        let (dana, _) =
            (wallet(farm.state.db(), "dana").await, wallet(farm.state.db(), "emil").await);
        let audit = look(&farm.settings).await.unwrap();
        let all_well = "2 wallets, 2000 credits, 0 of them held: everything adds up";
        assert_eq!(told(&audit, false), all_well);
        say(&farm, &["audit", "--json"]).await.unwrap();
        let off = "UPDATE credit_wallets SET available = available - 30 WHERE user_id = ?";
        farm.set(off, args![dana]).await;
        let failed = say(&farm, &["audit"]).await.unwrap_err();
        assert_eq!(failed.0, "the ledger does not add up");
        assert!(say(&farm, &["audit", "--json"]).await.is_err());
        let audit = look(&farm.settings).await.unwrap();
        let text = told(&audit, false);
        assert!(text.contains("\n30 credits of difference"), "{text}");
        assert!(text.contains(&format!("\nwallet of {dana}: it says 970 (0 held)")), "{text}");
        let json: serde_json::Value = serde_json::from_str(&told(&audit, true)).unwrap();
        assert_eq!((&json["is_clean"], &json["drift_credits"]), (&false.into(), &30.into()));
        assert_eq!(json["drifts"][0]["user_id"], dana.to_string());
        assert_eq!(json["drifts"].as_array().unwrap().len(), 1, "{json}");
    }
}
