//! The database as a caller may see it.

use sea_orm::DbErr;
use sea_orm::prelude::Uuid;

use super::Tx;
use super::conn::Conn;

/// Longest statement for a caller, in milliseconds: nobody waits longer for a page.
const CALLERS_TIMEOUT_MS: u32 = 15_000;

/// For whom something is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever is signed in: what all of them may see.
    Anyone,
    /// A signed-in user.
    User(Uuid),
    /// A signed-in operator.
    Operator(Uuid),
}

impl Actor {
    /// The role and the claims, for one transaction, as the policies read them. An id cannot
    /// end a literal.
    pub(super) fn settings(self) -> String {
        let claims = match self {
            Self::Anyone => "{}".to_owned(),
            Self::User(id) => format!("{{\"sub\":\"{id}\"}}"),
            Self::Operator(id) => format!("{{\"sub\":\"{id}\",\"farm_operator\":true}}"),
        };
        format!(
            "SELECT set_config('role', 'authenticated', true), \
             set_config('request.jwt.claims', '{claims}', true), \
             set_config('statement_timeout', '{CALLERS_TIMEOUT_MS}', true)"
        )
    }
}

/// Statements for one caller. On Postgres each transaction, and so each single statement, is run in
/// the caller's role; on SQLite, which has none, the queries' own conditions decide alone.
#[derive(Clone, Debug)]
pub struct Scope {
    read: Conn,
    write: Conn,
}

impl Scope {
    pub(super) fn new(read: &Conn, write: &Conn, actor: Actor) -> Self {
        Self { read: read.acting_for(actor), write: write.acting_for(actor) }
    }

    /// For statements that only read.
    pub fn read(&self) -> &Conn {
        &self.read
    }

    /// For single statements that write.
    pub fn write(&self) -> &Conn {
        &self.write
    }

    /// Several readings, of one moment's connection and for the price of one's settings. Ends
    /// with [`Tx::commit`], or when it is dropped.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reading(&self) -> Result<Tx, DbErr> {
        self.read.begin(sea_orm::TransactionOptions::default()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_hold_nothing_but_an_id_and_words() {
        let settings = Actor::Operator(Uuid::nil()).settings();
        assert!(settings.contains("'{\"sub\":\"00000000-0000-0000-0000-000000000000\","));
        assert!(!Actor::User(Uuid::nil()).settings().contains("operator"));
        assert!(!Actor::Anyone.settings().contains("sub"));
    }
}
