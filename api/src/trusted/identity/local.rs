//! The local issuer: tokens that this machine signs, and links to files, which it signs in any
//! case.

use std::time::Duration;

use entity::Time;
use entity::time::wall_now;
use entity::user;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AUDIENCE, LEEWAY_S, MAX_TOKEN, Proven, time_left};

/// Seconds an access token lives: 30 min.
pub const ACCESS_TTL_S: i64 = 30 * 60;
/// Name of the issuer in the tokens.
const ISSUER: &str = "farm";
/// Audience of links to files.
const DOWNLOADS: &str = "download";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    email: String,
    role: String,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    /// The session it ends with; the command line's tokens are of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DownloadClaims {
    sub: Uuid,
    iss: String,
    aud: String,
    exp: i64,
}

/// Signs and checks the tokens of one machine.
pub struct Issuer {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issuer(***)")
    }
}

/// A token that could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the token could not be signed: {0}")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

impl Issuer {
    /// An issuer with a shared secret (HS256).
    pub fn new(secret: &[u8]) -> Self {
        // The algorithm comes from here, never from the token's header.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        Self {
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
            validation,
        }
    }

    /// An access token for a user, of no session, good for `ttl_s` seconds.
    pub fn sign(&self, user: &user::Model, ttl_s: i64) -> Result<String, SignError> {
        self.sign_in(user, None, ttl_s)
    }

    /// An access token that ends with its session.
    pub(crate) fn sign_session(
        &self,
        user: &user::Model,
        session: Uuid,
    ) -> Result<String, SignError> {
        self.sign_in(user, Some(session), ACCESS_TTL_S)
    }

    fn sign_in(
        &self,
        user: &user::Model,
        sid: Option<Uuid>,
        ttl_s: i64,
    ) -> Result<String, SignError> {
        let now = wall_now().0 / 1_000;
        let claims = Claims {
            sub: user.id,
            email: user.email.clone(),
            role: AUDIENCE.to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            exp: now + ttl_s,
            sid,
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)?)
    }

    /// A link to a file, good until then.
    pub fn sign_download(&self, export: Uuid, until: Time) -> Result<String, SignError> {
        let claims = DownloadClaims {
            sub: export,
            iss: ISSUER.to_owned(),
            aud: DOWNLOADS.to_owned(),
            exp: until.0.div_euclid(1_000),
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)?)
    }

    /// The file of a good link.
    pub fn check_download(&self, link: &str) -> Option<Uuid> {
        if link.len() > MAX_TOKEN {
            return None;
        }
        let mut validation = self.validation.clone();
        // A token of a user opens no file, and a link signs nobody in.
        validation.set_audience(&[DOWNLOADS]);
        let claims = jsonwebtoken::decode::<DownloadClaims>(link, &self.checking, &validation);
        claims.ok().map(|link| link.claims.sub)
    }

    /// What a good token says.
    pub(super) fn prove(&self, token: &str) -> Option<Proven> {
        let token = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation).ok()?;
        // What must be understood and is not makes a token worthless.
        if token.header.crit.is_some() || token.claims.role != AUDIENCE {
            return None;
        }
        let left = time_left(token.claims.exp as f64).min(Duration::from_secs(ACCESS_TTL_S as u64));
        let Claims { sub, sid, .. } = token.claims;
        Some(Proven { id: sub, left, session: sid, email: None, full_name: None })
    }
}

#[cfg(test)]
mod tests {
    use entity::enums::{AccountStatus, Role, Tier};

    use super::*;

    fn user() -> user::Model {
        user::Model {
            id: Uuid::now_v7(),
            email: "a@example.test".to_owned(),
            hashed_password: None,
            full_name: None,
            first_name: None,
            last_name: None,
            company: None,
            role: Role::User,
            status: AccountStatus::Active,
            subscription_tier: Tier::Free,
            created_at: Time(0),
            updated_at: Time(0),
            last_login_at: None,
        }
    }

    fn id_of(issuer: &Issuer, token: &str) -> Option<Uuid> {
        issuer.prove(token).map(|proven| proven.id)
    }

    #[test]
    fn only_our_own_living_tokens_are_good() {
        let issuer = Issuer::new(b"a secret of at least thirty-two bytes");
        let user = user();
        let token = issuer.sign(&user, 60).unwrap();
        assert_eq!(token.split('.').filter(|part| !part.is_empty()).count(), 3);
        let proven = issuer.prove(&token).unwrap();
        assert_eq!((proven.id, proven.session), (user.id, None));
        assert!((60..=65).contains(&proven.left.as_secs()), "{:?}", proven.left);
        assert_eq!(id_of(&issuer, &issuer.sign(&user, -60).unwrap()), None, "expired");
        let other = Issuer::new(b"another secret of thirty-two bytes..");
        assert_eq!(id_of(&other, &token), None, "signed by somebody else");
        let mut parts: Vec<&str> = token.split('.').collect();
        parts[0] = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
        assert_eq!(id_of(&issuer, &parts.join(".")), None, "the header does not choose");
    }

    #[test]
    fn a_token_of_a_session_names_it() {
        let issuer = Issuer::new(b"a secret of at least thirty-two bytes");
        let session = Uuid::now_v7();
        let token = issuer.sign_session(&user(), session).unwrap();
        assert_eq!(issuer.prove(&token).unwrap().session, Some(session));
    }

    #[test]
    fn a_link_opens_its_file_and_nothing_else() {
        let issuer = Issuer::new(b"a secret of at least thirty-two bytes");
        let (export, soon) = (Uuid::now_v7(), Time(wall_now().0 + 60_000));
        let link = issuer.sign_download(export, soon).unwrap();
        assert_eq!(issuer.check_download(&link), Some(export));
        assert_eq!(id_of(&issuer, &link), None, "it signs nobody in");
        assert_eq!(issuer.check_download(&issuer.sign(&user(), 60).unwrap()), None);
        let over = issuer.sign_download(export, Time(wall_now().0 - 60_000)).unwrap();
        assert_eq!(issuer.check_download(&over), None, "its time is over");
        let mut bent = link.clone().into_bytes();
        let at = bent.len() / 2;
        bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(issuer.check_download(&String::from_utf8(bent).unwrap()), None);
    }
}
