//! Who calls: bearer tokens of the local issuer, and the user behind them.

use std::sync::Arc;
use std::time::Duration;

use entity::Time;
use entity::enums::AccountStatus;
use entity::job::query::Viewer;
use entity::time::wall_now;
use entity::user;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use poem::Request;
use poem::http::{HeaderMap, header};
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::problem::Problem;
use crate::recent::Recent;
use crate::state::AppState;

/// Seconds an access token lives: 30 min.
pub const ACCESS_TTL_S: i64 = 30 * 60;
/// A token is good for so many seconds more than it says: clocks differ.
const LEEWAY_S: u64 = 5;
/// What stays open longer than a request asks this often whether its caller still may.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// So long a user is let in as they were found: a closed account or a new role takes no longer.
const LET_IN_FOR: Duration = Duration::from_secs(1);
/// So many users are remembered.
const MAX_LET_IN: usize = 10_000;
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1_024;
/// Name of the issuer in the tokens.
const ISSUER: &str = "farm";
/// Audience of user tokens, as hosted identity providers name it.
const AUDIENCE: &str = "authenticated";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    email: String,
    role: String,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
}

/// Audience of links to files.
const DOWNLOADS: &str = "download";

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

    /// An access token for a user, good for `ttl_s` seconds.
    pub fn sign(&self, user: &user::Model, ttl_s: i64) -> Result<String, SignError> {
        let now = wall_now().0 / 1_000;
        let claims = Claims {
            sub: user.id,
            email: user.email.clone(),
            role: AUDIENCE.to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            exp: now + ttl_s,
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

    /// The user id of a good token, and for how long it still is.
    fn check(&self, token: &str) -> Option<(Uuid, Duration)> {
        let token = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation);
        let claims = token.ok()?.claims;
        let left_ms = claims.exp.saturating_add(LEEWAY_S as i64).saturating_mul(1_000);
        let left_ms = left_ms.saturating_sub(wall_now().0).clamp(0, ACCESS_TTL_S * 1_000);
        let left = Duration::from_millis(left_ms as u64);
        (claims.role == AUDIENCE).then_some((claims.sub, left))
    }
}

/// Who showed a good token.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The row, as it was when they asked or a moment before.
    pub user: Arc<user::Model>,
    /// When the token ends; no later than one signed now would.
    until: Instant,
}

impl SignedIn {
    /// Returns when what was opened with the token has to end: with the token, soon after the
    /// account was closed or its role changed, or when the process stops.
    pub(crate) async fn over(self, state: AppState) {
        loop {
            let next = self.until.min(Instant::now() + ASK_AGAIN);
            tokio::select! {
                () = state.stop.cancelled() => return,
                () = tokio::time::sleep_until(next) => {}
            }
            if next == self.until {
                return;
            }
            match user::by_id(state.db().read(), self.user.id).await {
                Ok(Some(user)) if is_open(&user) && user.role == self.user.role => {}
                Ok(_) => return,
                // Asked again later: a database that is away closes nothing.
                Err(error) => tracing::warn!(%error, "a caller could not be looked at again"),
            }
        }
    }
}

/// Whether the account may be used.
fn is_open(user: &user::Model) -> bool {
    matches!(user.status, AccountStatus::Active | AccountStatus::Pending)
}

/// The signed-in user.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", bearer_format = "JWT", checker = "authenticate")]
pub struct Caller(pub SignedIn);

impl Caller {
    /// The one user id.
    pub fn id(&self) -> Uuid {
        self.0.user.id
    }

    /// Whoever shows a good token; `None` leaves it to the scheme to say what is wrong.
    pub(crate) async fn plain(state: &AppState, request: &Request) -> Option<Self> {
        let token = bearer(request.headers())?;
        signed_in(state, request, token).await.ok().flatten().map(Self)
    }

    /// Whose jobs they see.
    pub fn viewer(&self) -> Viewer {
        if self.0.user.role.is_admin() { Viewer::Admin } else { Viewer::User(self.id()) }
    }
}

/// The signed-in operator: admin or superadmin.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", bearer_format = "JWT", checker = "authenticate_operator")]
pub struct Operator(pub SignedIn);

async fn authenticate_operator(request: &Request, bearer: Bearer) -> poem::Result<SignedIn> {
    let signed_in = authenticate(request, bearer).await?;
    if signed_in.user.role.is_admin() {
        return Ok(signed_in);
    }
    let detail = "this is for operators; your account is not one";
    Err(Problem::new(poem::http::StatusCode::FORBIDDEN, "operators_only", detail).into())
}

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<SignedIn> {
    let state = request.data::<AppState>().ok_or_else(Problem::internal)?;
    let signed_in = signed_in(state, request, &bearer.token).await?;
    let refused = || Problem::unauthorized("invalid_credentials", "sign in again").into();
    signed_in.ok_or_else(refused)
}

/// What came of the request's token, for who asks later.
#[derive(Clone)]
struct Identified(Result<Option<SignedIn>, Problem>);

/// The user whose token the request shows, if it is good and may be used. Whoever asks again is
/// told the same.
pub(crate) async fn identify(state: &AppState, request: &mut Request) -> Option<SignedIn> {
    let found = state.tokens.signed_in(state, bearer(request.headers())?).await;
    let signed_in = found.as_ref().ok().cloned().flatten();
    request.set_data(Identified(found));
    signed_in
}

async fn signed_in(
    state: &AppState,
    request: &Request,
    token: &str,
) -> Result<Option<SignedIn>, Problem> {
    match request.data::<Identified>() {
        Some(identified) if bearer(request.headers()) == Some(token) => identified.0.clone(),
        _ => state.tokens.signed_in(state, token).await,
    }
}

/// The token of a request, as the scheme reads it.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// Who was let in a moment ago, by the hash of their token. Who was refused is not remembered.
#[derive(Debug)]
pub(crate) struct Tokens(Recent<[u8; 32], SignedIn>);

impl Default for Tokens {
    fn default() -> Self {
        Self(Recent::new(LET_IN_FOR, MAX_LET_IN))
    }
}

impl Tokens {
    async fn signed_in(&self, state: &AppState, token: &str) -> Result<Option<SignedIn>, Problem> {
        if token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let key = Sha256::digest(token.as_bytes()).into();
        let found = self.0.get(&key, |_| sign_in(state, token)).await?;
        Ok(found.map(|found| found.value).filter(|known| known.until > Instant::now()))
    }

    /// Forgets everybody.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

/// The user behind a good token; a closed account is refused.
async fn sign_in(state: &AppState, token: &str) -> Result<Option<SignedIn>, Problem> {
    let Some((id, left)) = state.issuer.check(token) else { return Ok(None) };
    let until = Instant::now() + left;
    let Some(user) = user::by_id(state.db().read(), id).await? else { return Ok(None) };
    if is_open(&user) {
        return Ok(Some(SignedIn { user: Arc::new(user), until }));
    }
    let detail = "this account may not be used; ask support";
    Err(Problem::new(poem::http::StatusCode::FORBIDDEN, "account_closed", detail))
}

#[cfg(test)]
mod tests {
    use entity::enums::{Role, Tier};

    use super::*;

    fn user() -> user::Model {
        user::Model {
            id: Uuid::now_v7(),
            email: "a@example.test".to_owned(),
            hashed_password: None,
            full_name: None,
            role: Role::User,
            status: AccountStatus::Active,
            subscription_tier: Tier::Free,
            created_at: Time(0),
            updated_at: Time(0),
            last_login_at: None,
        }
    }

    #[test]
    fn only_our_own_living_tokens_are_good() {
        let issuer = Issuer::new(b"a secret of at least thirty-two bytes");
        let user = user();
        let token = issuer.sign(&user, 60).unwrap();
        assert_eq!(token.split('.').filter(|part| !part.is_empty()).count(), 3);
        let (id, left) = issuer.check(&token).unwrap();
        assert_eq!(id, user.id);
        assert!((60..=65).contains(&left.as_secs()), "{left:?}");
        assert_eq!(issuer.check(&issuer.sign(&user, -60).unwrap()), None, "expired");
        let other = Issuer::new(b"another secret of thirty-two bytes..");
        assert_eq!(other.check(&token), None, "signed by somebody else");
        let mut parts: Vec<&str> = token.split('.').collect();
        parts[0] = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
        assert_eq!(issuer.check(&parts.join(".")), None, "the header does not choose");
    }

    #[test]
    fn a_link_opens_its_file_and_nothing_else() {
        let issuer = Issuer::new(b"a secret of at least thirty-two bytes");
        let (export, soon) = (Uuid::now_v7(), Time(wall_now().0 + 60_000));
        let link = issuer.sign_download(export, soon).unwrap();
        assert_eq!(issuer.check_download(&link), Some(export));
        assert_eq!(issuer.check(&link), None, "it signs nobody in");
        assert_eq!(issuer.check_download(&issuer.sign(&user(), 60).unwrap()), None);
        let over = issuer.sign_download(export, Time(wall_now().0 - 60_000)).unwrap();
        assert_eq!(issuer.check_download(&over), None, "its time is over");
        let mut bent = link.clone().into_bytes();
        let at = bent.len() / 2;
        bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(issuer.check_download(&String::from_utf8(bent).unwrap()), None);
    }
}
