//! Registering and signing in with the local issuer.

use entity::enums::{Role, Tier};
use entity::session::{self, Rotation};
use entity::user::{self, NewUser, Registered as Stored};
use poem::http::StatusCode;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::gotrue::already_registered;
use crate::identity::{ACCESS_TTL_S, Caller, Issuer, closed};
use crate::password::{self, HashError};
use crate::problem::Problem;
use crate::routes::auth::{Applicant, Login, Registered, Session, user_view};
use crate::state::AppState;

/// A refresh token: 256 bits that nobody can guess, of which we keep the hash alone.
struct RefreshToken(String);

impl RefreshToken {
    fn invent() -> Self {
        Self(jobs::hex(&rand::random::<[u8; 32]>()))
    }

    fn hash(&self) -> String {
        hash(&self.0)
    }
}

/// Without salt or toil: there is nothing to guess.
fn hash(token: &str) -> String {
    jobs::hex(&Sha256::digest(token.as_bytes()))
}

/// Makes an account and signs its owner in.
pub(crate) async fn register(
    state: &AppState,
    issuer: &Issuer,
    applicant: Applicant,
) -> Result<Registered, Problem> {
    let Applicant { email, password, full_name } = applicant;
    if user::by_email(state.farm().read(), &email).await?.is_some() {
        return Err(already_registered());
    }
    let hashed = password::hash(password).await.map_err(|error| match error {
        HashError::Busy(busy) => busy_problem(&busy),
        HashError::Refused(error) => {
            tracing::error!(error, "a registration failed");
            Problem::internal()
        }
    })?;
    let new = NewUser {
        email: &email,
        hashed_password: Some(&hashed),
        full_name: full_name.as_deref(),
        role: Role::User,
        tier: Tier::Free,
    };
    let refresh = RefreshToken::invent();
    let tx = state.farm().begin().await?;
    let (Stored::New(user) | Stored::Known(user)) = user::register(&tx, &new, None).await? else {
        // Somebody was faster.
        return Err(already_registered());
    };
    let session = session::open(&tx, user.id, &refresh.hash()).await?;
    tx.commit().await?;
    pair(issuer, &user, session, refresh).map(Registered::signed_in)
}

/// A session for a password.
pub(crate) async fn login(
    state: &AppState,
    issuer: &Issuer,
    login: Login,
) -> Result<Session, Problem> {
    let Login { email, password } = login;
    let found = user::by_email(state.farm().read(), &email).await?;
    let stored = found.as_ref().and_then(|user| user.hashed_password.clone());
    let matches = password::verify(password, stored).await;
    let matches = matches.map_err(|busy| busy_problem(&busy))?;
    let user = found.filter(|_| matches).ok_or_else(|| {
        Problem::unauthorized("invalid_credentials", "e-mail address or password is wrong")
    })?;
    if !user.is_open() {
        return Err(closed());
    }
    let refresh = RefreshToken::invent();
    let tx = state.farm().begin().await?;
    user::touch_login(&tx, user.id).await?;
    let session = session::open(&tx, user.id, &refresh.hash()).await?;
    tx.commit().await?;
    pair(issuer, &user, session, refresh)
}

/// Another pair for a refresh token. Whatever is wrong with one, the answer is the same.
pub(crate) async fn refresh(
    state: &AppState,
    issuer: &Issuer,
    shown: &str,
) -> Result<Session, Problem> {
    let next = RefreshToken::invent();
    let tx = state.farm().begin().await?;
    let rotation = session::rotate(&tx, &hash(shown), &next.hash()).await?;
    // The end of a session must stay, too.
    tx.commit().await?;
    match rotation {
        Rotation::Next { session, user } => pair(issuer, &user, session, next),
        Rotation::Nothing => Err(refused()),
        Rotation::Reused { session } => {
            tracing::warn!(session.id = %session, "a refresh token came twice; its session ends");
            Err(refused())
        }
    }
}

/// Ends the caller's session. A token of the command line is of none, and ends by itself.
pub(crate) async fn logout(state: &AppState, caller: &Caller) -> Result<(), Problem> {
    if let Some(session) = caller.0.session {
        session::revoke(state.farm().write(), session).await?;
    }
    Ok(())
}

fn pair(
    issuer: &Issuer,
    user: &user::Model,
    session: Uuid,
    refresh: RefreshToken,
) -> Result<Session, Problem> {
    let access_token = issuer.sign_session(user, session).map_err(|error| {
        tracing::error!(%error, "a sign-in failed");
        Problem::internal()
    })?;
    Ok(Session {
        access_token,
        refresh_token: refresh.0,
        token_type: "bearer".to_owned(),
        expires_in: ACCESS_TTL_S,
        user: user_view(user),
    })
}

fn refused() -> Problem {
    Problem::unauthorized("invalid_credentials", "this session is over; sign in again")
}

fn busy_problem(busy: &password::Busy) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", format!("{busy}; try again"))
        .header("Retry-After", "5")
}
