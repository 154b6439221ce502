//! `farm admin create`: the first operator of an installation.

use entity::Db;
use entity::enums::{Role, Tier};
use entity::user::{self, NewUser};
use jobs::process::Failure;

use super::out;
use crate::config::Settings;
use crate::machine;
use crate::secret;

pub(crate) async fn create(
    settings: &Settings,
    email: &str,
    password: Option<String>,
) -> Result<(), Failure> {
    let email = email.trim();
    let plausible = email.len() <= 320
        && email.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !email.contains(char::is_whitespace)
        });
    if !plausible {
        return Err(Failure::new(format!("--email {email:?} is not an e-mail address")));
    }
    if password.as_ref().is_some_and(|password| password.chars().count() < 8) {
        return Err(Failure::new("--password must have at least 8 characters"));
    }
    let db = machine::open_database(settings).await?;
    let (user, generated) = account(&db, email, password).await?;
    let mut told = format!("{} is an admin, id {}", user.email, user.id);
    if let Some(password) = generated {
        told.extend(["\npassword ", &password]);
    }
    out::print(&told)?;
    db.close().await?;
    Ok(())
}

/// Makes a user an admin; an account that is new gets the password, or one that is generated and
/// returned.
pub(crate) async fn account(
    db: &Db,
    email: &str,
    password: Option<String>,
) -> Result<(user::Model, Option<String>), Failure> {
    let known = user::by_email(db.read(), email).await?;
    let generated = (known.is_none() && password.is_none()).then(|| secret::invent(20));
    let hashed = match password.or_else(|| generated.clone()) {
        Some(password) => {
            Some(api::password::hash(password).await.map_err(Failure::during("no account"))?)
        }
        None => None,
    };
    let new = NewUser {
        email,
        hashed_password: hashed.as_deref(),
        full_name: None,
        role: Role::Admin,
        tier: known.as_ref().map_or(Tier::Free, |known| known.subscription_tier),
    };
    let user = user::upsert(db, &new).await?;
    Ok((user, generated))
}
