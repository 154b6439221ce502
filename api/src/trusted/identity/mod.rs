//! Who calls: bearer tokens, of the local issuer or of a hosted one, and the user behind them.

mod jwks;
mod local;
mod supabase;

use std::sync::Arc;
use std::time::Duration;

use entity::job::query::Viewer;
use entity::time::wall_now;
use entity::user;
use poem::Request;
use poem::http::{HeaderMap, header};
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

pub use jwks::Elapsed;
pub use local::{ACCESS_TTL_S, Issuer, SignError};
pub use supabase::{Supabase, SupabaseSettings};

use crate::problem::Problem;
use crate::recent::Recent;
use crate::state::AppState;

/// A token is good for so many seconds more than it says: clocks differ.
const LEEWAY_S: u64 = 5;
/// What stays open longer than a request asks this often whether its caller still may.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// So long a user is let in as they were found: a closed account, a session that has ended or a
/// new role takes no longer.
const LET_IN_FOR: Duration = Duration::from_secs(1);
/// So many users are remembered.
const MAX_LET_IN: usize = 10_000;
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1_024;
/// Audience and role of user tokens, as hosted identity providers name it.
const AUDIENCE: &str = "authenticated";

/// Where it is known who somebody is.
#[derive(Debug)]
pub enum Identity {
    /// Here: passwords in our table, tokens of our own.
    Local(Issuer),
    /// At Supabase. Links to files are signed here all the same.
    Supabase {
        /// Signs links.
        links: Issuer,
        /// Checks tokens, and lets people sign in.
        hosted: Supabase,
    },
}

impl From<Issuer> for Identity {
    fn from(issuer: Issuer) -> Self {
        Self::Local(issuer)
    }
}

impl Identity {
    /// What signs links to files.
    pub fn links(&self) -> &Issuer {
        match self {
            Self::Local(issuer) | Self::Supabase { links: issuer, .. } => issuer,
        }
    }

    /// What a good token says; `None` for all others.
    async fn prove(&self, token: &str) -> Result<Option<Proven>, Problem> {
        match self {
            Self::Local(issuer) => Ok(issuer.prove(token)),
            Self::Supabase { hosted, .. } => hosted.prove(token).await,
        }
    }
}

/// What a good token says.
#[derive(Debug)]
struct Proven {
    /// Who it is about.
    id: Uuid,
    /// For how long it is good.
    left: Duration,
    /// The session of ours it ends with.
    session: Option<Uuid>,
    /// In lower case; for an account that is still to be made.
    email: Option<String>,
    full_name: Option<String>,
}

/// How long a token is good for that says this.
fn time_left(exp: f64) -> Duration {
    let left = exp + LEEWAY_S as f64 - wall_now().0 as f64 / 1_000.0;
    Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(Duration::MAX)
}

/// Who showed a good token.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The row, as it was when they asked or a moment before.
    pub user: Arc<user::Model>,
    /// The session of ours that the token is of.
    pub(crate) session: Option<Uuid>,
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
            match known(&state, self.user.id, self.session).await {
                Ok(Some(user)) if user.is_open() && user.role == self.user.role => {}
                Ok(_) => return,
                // Asked again later: a database that is away closes nothing.
                Err(error) => tracing::warn!(%error, "a caller could not be looked at again"),
            }
        }
    }
}

/// The user of an id, while the session goes on, where there is one.
async fn known(
    state: &AppState,
    id: Uuid,
    session: Option<Uuid>,
) -> Result<Option<user::Model>, entity::DbErr> {
    let db = state.farm().read();
    match session {
        Some(session) => user::in_session(db, id, session).await,
        None => user::by_id(db, id).await,
    }
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
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
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
    /// Whoever shows this token, unless it is worth nothing.
    pub(crate) async fn signed_in(
        &self,
        state: &AppState,
        token: &str,
    ) -> Result<Option<SignedIn>, Problem> {
        if token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let found = self.0.get(&Self::key(token), |_| sign_in(state, token)).await?;
        Ok(found.map(|found| found.value).filter(|known| known.until > Instant::now()))
    }

    fn key(token: &str) -> [u8; 32] {
        Sha256::digest(token.as_bytes()).into()
    }

    /// Forgets who showed this token.
    pub(crate) fn forget(&self, token: &str) {
        self.0.forget(&Self::key(token));
    }

    /// Forgets everybody.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

/// The user behind a good token; a closed account is refused.
async fn sign_in(state: &AppState, token: &str) -> Result<Option<SignedIn>, Problem> {
    let Some(proven) = state.identity.prove(token).await? else { return Ok(None) };
    let until = Instant::now() + proven.left;
    let user = match state.identity {
        Identity::Local(_) => known(state, proven.id, proven.session).await?,
        Identity::Supabase { .. } => Some(supabase::account(state, &proven).await?),
    };
    let Some(user) = user else { return Ok(None) };
    if user.is_open() {
        return Ok(Some(SignedIn { user: Arc::new(user), session: proven.session, until }));
    }
    Err(closed())
}

/// The account is there, and may not be used.
pub(crate) fn closed() -> Problem {
    let detail = "this account may not be used; ask support";
    Problem::new(poem::http::StatusCode::FORBIDDEN, "account_closed", detail)
}
