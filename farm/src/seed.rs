//! The demo users of one machine.

use entity::Db;
use entity::enums::{Role, Tier};
use entity::user::{self, NewUser};
use jobs::process::Failure;

use crate::config::Settings;

/// Password of the demo users.
pub const DEMO_PASSWORD: &str = "demo-password";
/// Demo users: address, name, role.
pub const DEMO_USERS: [(&str, &str, Role); 3] = [
    ("demo@example.test", "Dana Demo", Role::User),
    ("demo2@example.test", "Devon Demo", Role::User),
    ("admin@example.test", "Alex Admin", Role::Admin),
];

/// Whether this is a machine to try things out on: a database of its own, and an issuer of its own.
pub fn wanted(settings: &Settings) -> bool {
    settings.common.is_demo() && settings.api.supabase.is_none()
}

/// Makes the demo users that are missing; those that exist are left as they are.
pub async fn demo_users(db: &Db) -> Result<(), Failure> {
    for (email, name, role) in DEMO_USERS {
        if user::by_email(db.read(), email).await?.is_some() {
            continue;
        }
        let hashed = api::password::hash(DEMO_PASSWORD.to_owned())
            .await
            .map_err(Failure::during("demo users"))?;
        let new = NewUser {
            email,
            hashed_password: Some(&hashed),
            full_name: Some(name),
            role,
            tier: Tier::Standard,
        };
        user::upsert(db, &new).await?;
    }
    Ok(())
}
