//! `farm admin create`: the first operator of an installation.

use entity::Db;
use entity::enums::{Role, Tier};
use entity::user::{self, NewUser, Registered};
use jobs::process::Failure;
use uuid::Uuid;

use super::out;
use crate::config::Settings;
use crate::machine;
use crate::secret;

pub(crate) async fn create(
    settings: &Settings,
    email: &str,
    password: Option<String>,
    id: Option<Uuid>,
) -> Result<(), Failure> {
    let email = email.trim();
    if let Some(rule) = user::address_rule(email) {
        return Err(Failure::new(format!("--email {email:?} {rule}")));
    }
    if password.as_ref().is_some_and(|password| password.chars().count() < 8) {
        return Err(Failure::new("--password must have at least 8 characters"));
    }
    let hosted = settings.api.supabase.is_some();
    if hosted && password.is_some() {
        return Err(Failure::new(
            "Supabase keeps the passwords while SUPABASE_URL is set; leave --password out",
        ));
    }
    if !hosted && id.is_some() {
        return Err(Failure::new(
            "--id is a person's id at Supabase, and SUPABASE_URL is not set; leave it out",
        ));
    }
    let db = machine::open_database(settings).await?;
    let (user, generated) = if hosted {
        (appoint(&db, email, id).await?, None)
    } else {
        account(&db, email, password).await?
    };
    let mut told = format!("{} is an admin, id {}", user.email, user.id);
    if let Some(password) = generated {
        told.extend(["\npassword ", &password]);
    }
    out::print(&told)?;
    db.close().await?;
    Ok(())
}

/// Makes somebody an admin whose identity is kept elsewhere: the account with this address, or a new
/// one of that id.
async fn appoint(db: &Db, email: &str, id: Option<Uuid>) -> Result<user::Model, Failure> {
    let mut new = admin(email, Tier::Free);
    let known = user::by_email(db.read(), email).await?;
    if let Some(known) = &known {
        if id.is_some_and(|id| id != known.id) {
            return Err(Failure::new(format!(
                "{email} has an account already, of id {}",
                known.id
            )));
        }
        new.tier = known.subscription_tier;
        return Ok(user::upsert(db, &new).await?);
    }
    let id = id.ok_or_else(|| {
        Failure::new(format!(
            "nobody with the address {email} has signed in yet; have them sign in once, or give \
             --id with their id at Supabase"
        ))
    })?;
    let tx = db.begin().await?;
    let registered = user::register(&tx, &new, Some(id)).await?;
    tx.commit().await?;
    match registered {
        Registered::New(user) => Ok(*user),
        Registered::Known(user) => Err(Failure::new(format!(
            "id {id} has an account already, with another address: {}",
            user.email
        ))),
        Registered::EmailTaken => Err(Failure::new(format!("{email} has an account already"))),
    }
}

fn admin(email: &str, tier: Tier) -> NewUser<'_> {
    NewUser { email, hashed_password: None, full_name: None, role: Role::Admin, tier }
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
    let tier = known.as_ref().map_or(Tier::Free, |known| known.subscription_tier);
    let new = NewUser { hashed_password: hashed.as_deref(), ..admin(email, tier) };
    let user = user::upsert(db, &new).await?;
    Ok((user, generated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::story::Farm;

    #[tokio::test]
    async fn whoever_is_known_elsewhere_is_appointed_here() {
        let farm = Farm::new().await;
        let db = farm.state.db();
        let refused = appoint(db, "ann@example.test", None).await.unwrap_err();
        assert!(refused.0.contains("sign in once") && refused.0.contains("--id"), "{refused}");
        let id = Uuid::new_v4();
        let ann = appoint(db, "Ann@Example.Test", Some(id)).await.unwrap();
        assert_eq!((ann.id, ann.role, ann.hashed_password), (id, Role::Admin, None));
        for id in [None, Some(id)] {
            let again = appoint(db, "ann@example.test", id).await.unwrap();
            assert_eq!((again.id, again.role), (ann.id, Role::Admin));
        }
        let other = appoint(db, "ann@example.test", Some(Uuid::new_v4())).await.unwrap_err();
        assert!(other.0.contains("has an account already"), "{other}");
        let other = appoint(db, "ben@example.test", Some(id)).await.unwrap_err();
        assert!(other.0.contains("with another address"), "{other}");
    }

    #[tokio::test]
    async fn what_one_issuer_has_and_the_other_has_not_is_refused() {
        let farm = Farm::new().await;
        let id = Some(Uuid::new_v4());
        let refused = create(&farm.settings, "ann@example.test", None, id).await.unwrap_err();
        assert!(refused.0.contains("SUPABASE_URL is not set"), "{refused}");
        let mut settings = farm.settings.clone();
        settings.api.supabase = Some(api::identity::SupabaseSettings {
            url: url::Url::parse("https://p.supabase.co").unwrap(),
            anon_key: jobs::process::Secret::new("a"),
            jwt_secret: None,
        });
        let password = Some("long enough".to_owned());
        let refused = create(&settings, "ann@example.test", password, None).await.unwrap_err();
        assert!(refused.0.contains("keeps the passwords"), "{refused}");
        let refused = create(&farm.settings, "ann", None, None).await.unwrap_err();
        assert!(refused.0.contains("must be an address"), "{refused}");
    }
}
