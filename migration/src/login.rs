//! Whom the farm's processes connect as: a login that owns nothing and has no right of its own, and
//! may act in the roles of the policies.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr};

/// Makes the login, or gives the one that is there this password and nothing more than it should
/// have. The roles must be there: migrate first.
///
/// # Errors
/// A name that is none, or what the database refuses.
pub async fn add<C: ConnectionTrait>(db: &C, name: &str, password: &str) -> Result<(), DbErr> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || name.len() > 63 || !name.chars().all(plain) || password.contains('\0') {
        return Err(DbErr::Custom(
            "a login has 1 to 63 of a to z, 0 to 9 and _, and begins with a letter".to_owned(),
        ));
    }
    let password = password.replace('\'', "''");
    // The owner of the tables would lose what it needs.
    let text = format!(
        "DO $do$ BEGIN
            IF current_user = '{name}' THEN
                RAISE EXCEPTION 'the login must be another one than the owner of the tables';
            ELSIF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN
                CREATE ROLE {name} LOGIN NOINHERIT;
            END IF;
        END $do$;
        ALTER ROLE {name} LOGIN NOINHERIT PASSWORD '{password}';
        GRANT anon, authenticated, service_role TO {name}"
    );
    db.execute_unprepared(&text).await.map(drop)
}
