//! Registering and signing in at Supabase, on behalf of whoever asks us.

use entity::enums::{AccountStatus, Role};
use entity::user;
use poem_openapi::payload::Json;
use serde_json::Value;
use uuid::Uuid;

use crate::gotrue::{Refusal, away};
use crate::identity::Supabase;
use crate::problem::Problem;
use crate::routes::auth::{
    Applicant, Login, Registered, Said, Session, UserView, names, user_view,
};
use crate::state::AppState;

/// Longest token of a mail that is looked at, in bytes.
const MAX_MAILED: usize = 512;

/// Makes an account there. It is one of ours from its first good token.
pub(crate) async fn register(
    state: &AppState,
    hosted: &Supabase,
    applicant: Applicant,
) -> Result<Registered, Problem> {
    let Applicant { email, password, full_name } = applicant;
    let answer = hosted.gotrue.sign_up(&email, &password, full_name.as_deref()).await?;
    if answer.get("access_token").is_some() {
        return session(state, &answer).await.map(Registered::signed_in);
    }
    // Of an address that has an account already it says the same: the mail tells them apart.
    let id = answer.get("id").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
    let created_at = answer.get("created_at").and_then(Value::as_str);
    let created_at = created_at.and_then(entity::time::parse_rfc3339);
    let (Some(id), Some(created_at)) = (id, created_at) else { return Err(unusable("account")) };
    let (first_name, last_name) = names(full_name.as_deref());
    let user = UserView {
        id,
        email,
        full_name,
        first_name,
        last_name,
        company: None,
        role: Role::User.to_string(),
        status: AccountStatus::Pending.to_string(),
        created_at: created_at.rfc3339(),
        avatar_config: None,
    };
    Ok(Registered {
        user,
        message: "follow the link in the mail, then sign in".to_owned(),
        email_confirmation_required: true,
        access_token: None,
        refresh_token: None,
        token_type: None,
        expires_in: None,
    })
}

/// A session for a password.
pub(crate) async fn login(
    state: &AppState,
    hosted: &Supabase,
    login: Login,
) -> Result<Session, Problem> {
    let answer = hosted.gotrue.sign_in(login.email.trim(), &login.password).await?;
    let session = session(state, &answer).await?;
    user::touch_login(state.farm().write(), session.user.id).await?;
    Ok(session)
}

/// Another pair for a refresh token.
pub(crate) async fn refresh(
    state: &AppState,
    hosted: &Supabase,
    shown: &str,
) -> Result<Session, Problem> {
    let answer = hosted.gotrue.refresh(shown).await?;
    session(state, &answer).await
}

/// Ends the session of a token there. One that has ended already has ended.
pub(crate) async fn logout(hosted: &Supabase, token: &str) -> Result<(), Problem> {
    match hosted.gotrue.sign_out(token).await {
        Ok(_) | Err(Refusal::Refused { .. }) => Ok(()),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Confirms an address; `None` when there is nothing to confirm.
pub(crate) async fn verify_email(
    hosted: &Supabase,
    token: &str,
) -> Result<Option<Json<Said>>, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if token.is_empty() || token.len() > MAX_MAILED || !token.chars().all(plain) {
        return Ok(None);
    }
    match hosted.gotrue.verify(token).await {
        Ok(_) => Ok(Some(Said::new("the e-mail address is confirmed; sign in"))),
        Err(Refusal::Refused { .. }) => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Has a mail sent, if there is somebody to send it to.
pub(crate) async fn forgot_password(hosted: &Supabase, email: &str) -> Result<Json<Said>, Problem> {
    match hosted.gotrue.recover(email).await {
        Ok(_) | Err(Refusal::Refused { .. }) => {
            Ok(Said::new("if there is an account with this address, a mail is on its way to it"))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// A session as we pass it on. Its token is looked at like any other: who it is about, whether
/// they may come in, and their account here, come from that and not from what stands beside it.
async fn session(state: &AppState, answer: &Value) -> Result<Session, Problem> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let (Some(access_token), Some(refresh_token)) = (text("access_token"), text("refresh_token"))
    else {
        return Err(unusable("session"));
    };
    let signed_in = state.tokens.signed_in(state, access_token).await?;
    let signed_in = signed_in.ok_or_else(|| unusable("token"))?;
    Ok(Session {
        access_token: access_token.to_owned(),
        refresh_token: refresh_token.to_owned(),
        token_type: "bearer".to_owned(),
        expires_in: answer.get("expires_in").and_then(Value::as_i64).unwrap_or(3_600),
        user: user_view(&signed_in.user),
    })
}

fn unusable(what: &str) -> Problem {
    let hint = "see SUPABASE_URL and SUPABASE_JWT_SECRET";
    tracing::error!(what, hint, "the identity provider gave something that we cannot use");
    away()
}
