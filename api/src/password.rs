//! Passwords: argon2id, always off the async threads.

use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Hashes at once: each takes 19 MiB and a core, and strangers may ask for them.
static HASHING: Semaphore = Semaphore::const_new(2);

/// How long anybody waits for their turn.
const TURN: Duration = Duration::from_secs(5);

/// So many sign-ins are under way that this one had no turn in time.
#[derive(Debug, thiserror::Error)]
#[error("too many sign-ins at once")]
pub struct Busy;

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// No turn in time.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The hasher does not take it.
    #[error("the password could not be hashed: {0}")]
    Refused(String),
}

/// Hashes a password for storage.
///
/// # Errors
/// When too many others are being hashed, or the hasher refuses its input (far too long).
pub async fn hash(password: String) -> Result<String, HashError> {
    let turn = turn().await?;
    let hashed = tokio::task::spawn_blocking(move || {
        // Held until the work is done, also when nobody waits for it any more.
        let _turn = turn;
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| HashError::Refused(error.to_string()))
    });
    hashed.await.map_err(|error| HashError::Refused(error.to_string()))?
}

async fn turn() -> Result<SemaphorePermit<'static>, Busy> {
    // The semaphore is never closed.
    tokio::time::timeout(TURN, HASHING.acquire()).await.ok().and_then(Result::ok).ok_or(Busy)
}

/// Whether a password matches a stored hash. Without a hash the same work is done in vain, so
/// that the time does not tell who has an account.
///
/// # Errors
/// [`Busy`] when too many others are being checked.
pub async fn verify(password: String, stored: Option<String>) -> Result<bool, Busy> {
    let turn = turn().await?;
    let checked = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DUMMY.to_owned());
        let matches = PasswordHash::new(&stored).is_ok_and(|hash| {
            Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
        });
        matches && known
    });
    Ok(checked.await.unwrap_or(false))
}

/// A hash of nobody's password, with today's parameters.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
     TYnAeIKLMGMg2m8W5j8mMGfGtGkpbcXMnhDQ2eKqyVU";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches_and_nobody_has_the_dummy() {
        let stored = hash("demo-password".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "same cost as the dummy");
        assert!(verify("demo-password".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!verify("Demo-password".to_owned(), Some(stored)).await.unwrap());
        assert!(!verify("anything".to_owned(), None).await.unwrap());
        assert!(PasswordHash::new(DUMMY).is_ok(), "the dummy must cost the same work");
    }
}
