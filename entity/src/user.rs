//! `users`: one id per person, everywhere.

use sea_orm::DbErr;
use sea_orm::entity::prelude::*;

use crate::args;
use crate::db::{Db, Tx};
use crate::enums::{AccountStatus, Role, Tier};
use crate::sql;
use crate::team;
use crate::time::Time;

/// A user as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// The `sub` of their tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Stored in lower case.
    #[sea_orm(unique)]
    pub email: String,
    /// Argon2id hash; null for users whose identity is kept elsewhere.
    pub hashed_password: Option<String>,
    /// Shown name.
    pub full_name: Option<String>,
    /// First name, where they said it apart.
    pub first_name: Option<String>,
    /// Last name, where they said it apart.
    pub last_name: Option<String>,
    /// Who they work for.
    pub company: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whether they may sign in.
    pub status: AccountStatus,
    /// What they pay for.
    pub subscription_tier: Tier,
    /// When they registered.
    pub created_at: Time,
    /// Last change.
    pub updated_at: Time,
    /// Last sign-in.
    pub last_login_at: Option<Time>,
}

/// No relations are declared: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Whether the account may be used.
    pub fn is_open(&self) -> bool {
        matches!(self.status, AccountStatus::Active | AccountStatus::Pending)
    }
}

/// The user of an id.
pub async fn by_id<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The user of an e-mail address, in any case.
pub async fn by_email<C: ConnectionTrait>(db: &C, email: &str) -> Result<Option<Model>, DbErr> {
    if email.contains('\0') {
        // No stored text holds one, and Postgres refuses the question.
        return Ok(None);
    }
    Entity::find().filter(Column::Email.eq(email.trim().to_lowercase())).one(db).await
}

/// The user of an id, while this session of theirs goes on.
pub async fn in_session<C: ConnectionTrait>(
    db: &C,
    id: Uuid,
    session: Uuid,
) -> Result<Option<Model>, DbErr> {
    sql::one(
        db,
        &format!(
            "SELECT {} FROM users WHERE id = ? AND EXISTS (SELECT 1 FROM sessions s \
             WHERE s.id = ? AND s.user_id = users.id AND s.revoked_at IS NULL)",
            sql::columns::<Entity>()
        ),
        args![id, session],
    )
    .await
}

/// Why a text cannot be an e-mail address; `None` when it can.
pub fn address_rule(email: &str) -> Option<&'static str> {
    let plausible = email.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.contains('@') && !host.ends_with('.')
    });
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if email.chars().count() > 320 {
        return Some("must be at most 320 characters");
    }
    (!plausible || email.contains(odd)).then_some("must be an address like ann@example.com")
}

/// A user to be stored.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// Any case; stored in lower case.
    pub email: &'a str,
    /// Argon2id hash.
    pub hashed_password: Option<&'a str>,
    /// Shown name.
    pub full_name: Option<&'a str>,
    /// What they may do.
    pub role: Role,
    /// What they pay for.
    pub tier: Tier,
}

/// What became of a registration.
#[derive(Clone, Debug, PartialEq)]
pub enum Registered {
    /// There is an account now.
    New(Box<Model>),
    /// The id had one already; it is left as it is.
    Known(Box<Model>),
    /// The address is another account's.
    EmailTaken,
}

/// Makes an account. Every account of a person begins here, in this transaction: with an id of its
/// own, or with the one that its identity has elsewhere. Any number of callers at once make one.
pub async fn register(tx: &Tx, new: &NewUser<'_>, id: Option<Uuid>) -> Result<Registered, DbErr> {
    let id = id.unwrap_or_else(Uuid::now_v7);
    let row: Option<Model> = sql::one(
        tx,
        &format!(
            "INSERT INTO users (id, email, hashed_password, full_name, role, status, \
         subscription_tier, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 'active', ?, {{now}}, \
         {{now}}) ON CONFLICT DO NOTHING RETURNING {}",
            sql::columns::<Entity>()
        ),
        args![
            id,
            new.email.trim().to_lowercase(),
            new.hashed_password,
            new.full_name,
            new.role.as_str(),
            new.tier.as_str()
        ],
    )
    .await?;
    Ok(match row {
        Some(user) => {
            team::ensure_personal(tx, user.id, user.shown_name()).await?;
            Registered::New(Box::new(user))
        }
        None => match by_id(tx, id).await? {
            Some(user) => Registered::Known(Box::new(user)),
            None => Registered::EmailTaken,
        },
    })
}

/// Stores a user with a team of their own, or brings the role, tier and password of the one with
/// that address up to date.
pub async fn upsert(db: &Db, new: &NewUser<'_>) -> Result<Model, DbErr> {
    let tx = db.begin().await?;
    let row: Option<Model> = sql::one(
        &tx,
        &format!(
            "INSERT INTO users (id, email, hashed_password, full_name, role, status, \
         subscription_tier, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 'active', ?, {{now}}, \
         {{now}}) ON CONFLICT (email) DO UPDATE SET role = excluded.role, \
         subscription_tier = excluded.subscription_tier, updated_at = excluded.updated_at, \
         hashed_password = COALESCE(excluded.hashed_password, users.hashed_password) \
         RETURNING {}",
            sql::columns::<Entity>()
        ),
        args![
            Uuid::now_v7(),
            new.email.trim().to_lowercase(),
            new.hashed_password,
            new.full_name,
            new.role.as_str(),
            new.tier.as_str()
        ],
    )
    .await?;
    let user = row.ok_or(DbErr::RecordNotInserted)?;
    team::ensure_personal(&tx, user.id, user.shown_name()).await?;
    tx.commit().await?;
    Ok(user)
}

impl Model {
    /// What others are shown.
    pub fn shown_name(&self) -> &str {
        self.full_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.email)
    }
}

/// Notes a sign-in.
pub async fn touch_login<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<(), DbErr> {
    sql::execute(db, "UPDATE users SET last_login_at = {now} WHERE id = ?", args![id]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        for good in ["a@b.c", "ann+x@example.com", "ü@例え.jp", "a'b@x.org"] {
            assert_eq!(address_rule(good), None, "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(320));
        for bad in ["", "a", "@b.c", "a@", "a@b", "a@b.", "a@b@c.d", "a b@c.d", "a@b.c\0", &long] {
            assert!(address_rule(bad).is_some(), "{bad}");
        }
    }
}
