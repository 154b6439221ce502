//! `users`: one id per person, everywhere.

use sea_orm::DbErr;
use sea_orm::entity::prelude::*;

use crate::args;
use crate::db::Db;
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
