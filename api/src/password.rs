//! Passwords: argon2id, always off the async threads.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(String);

/// Hashes a password for storage.
///
/// # Errors
/// When the hasher refuses its input (far too long).
pub async fn hash(password: String) -> Result<String, HashError> {
    let hashed = tokio::task::spawn_blocking(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| HashError(error.to_string()))
    });
    hashed.await.map_err(|error| HashError(error.to_string()))?
}

/// Whether a password matches a stored hash. Without a hash the same work is done in vain, so
/// that the time does not tell who has an account.
pub async fn verify(password: String, stored: Option<String>) -> bool {
    let checked = tokio::task::spawn_blocking(move || {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DUMMY.to_owned());
        let matches = PasswordHash::new(&stored).is_ok_and(|hash| {
            Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
        });
        matches && known
    });
    checked.await.unwrap_or(false)
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
        assert!(verify("demo-password".to_owned(), Some(stored.clone())).await);
        assert!(!verify("Demo-password".to_owned(), Some(stored)).await);
        assert!(!verify("anything".to_owned(), None).await);
        assert!(PasswordHash::new(DUMMY).is_ok(), "the dummy must cost the same work");
    }
}
