//! Signing in with the local issuer.

use entity::enums::AccountStatus;
use entity::user;
use poem::Request;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::body::JsonBody;
use crate::identity::ACCESS_TTL_S;
use crate::password;
use crate::problem::Problem;
use crate::routes::Tag;
use crate::state::AppState;

/// Signing in.
#[derive(Debug)]
pub struct Auth;

/// E-mail address and password.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub struct Login {
    /// In any case.
    #[oai(validator(max_length = 320))]
    email: String,
    /// As chosen.
    #[oai(validator(max_length = 1024))]
    password: String,
}

/// A signed-in user's token.
#[derive(Debug, Object)]
pub struct Session {
    /// For `Authorization: Bearer`; three parts with dots between.
    access_token: String,
    /// Null: this issuer does not hand out refresh tokens yet; sign in again.
    refresh_token: Option<String>,
    /// `bearer`.
    token_type: String,
    /// Seconds the token is good for.
    expires_in: i64,
    /// Who signed in.
    user: UserView,
}

/// A user as they see themselves.
#[derive(Debug, Object)]
pub struct UserView {
    id: Uuid,
    email: String,
    full_name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    company: Option<String>,
    role: String,
    status: String,
    created_at: String,
    avatar_config: Option<serde_json::Value>,
}

#[OpenApi]
impl Auth {
    /// Sign in
    ///
    /// Answers 401 with code `invalid_credentials` whichever of the two is wrong.
    #[oai(path = "/api/v1/auth/login", method = "post", tag = "Tag::Auth", operation_id = "login")]
    async fn login(
        &self,
        state: Data<&AppState>,
        request: &Request,
        body: JsonBody<Login>,
    ) -> Result<Json<Session>, Problem> {
        let Login { email, password } = body.0;
        let from = state.limits.address(request);
        state.limits.check_sign_in(&email, from).await?;
        let found = user::by_email(state.db().read(), &email).await?;
        let stored = found.as_ref().and_then(|user| user.hashed_password.clone());
        let matches = password::verify(password, stored).await.map_err(|busy| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", format!("{busy}; try again"))
                .header("Retry-After", "5")
        })?;
        let Some(user) = found.filter(|_| matches) else {
            state.limits.sign_in_failed(&email, from).await;
            let detail = "e-mail address or password is wrong";
            return Err(Problem::unauthorized("invalid_credentials", detail));
        };
        if matches!(user.status, AccountStatus::Suspended | AccountStatus::Inactive) {
            let detail = "this account may not be used; ask support";
            return Err(Problem::new(StatusCode::FORBIDDEN, "account_closed", detail));
        }
        let access_token = state.issuer.sign(&user, ACCESS_TTL_S).map_err(|error| {
            tracing::error!(%error, "sign-in failed");
            Problem::internal()
        })?;
        user::touch_login(state.db().write(), user.id).await?;
        Ok(Json(Session {
            access_token,
            refresh_token: None,
            token_type: "bearer".to_owned(),
            expires_in: ACCESS_TTL_S,
            user: user_view(user),
        }))
    }
}

fn user_view(user: user::Model) -> UserView {
    let (first_name, last_name) = match user.full_name.as_deref().map(str::trim) {
        None | Some("") => (None, None),
        Some(name) => match name.split_once(' ') {
            Some((first, last)) => (Some(first.to_owned()), Some(last.trim().to_owned())),
            None => (Some(name.to_owned()), None),
        },
    };
    UserView {
        id: user.id,
        email: user.email,
        full_name: user.full_name,
        first_name,
        last_name,
        company: None,
        role: user.role.to_string(),
        status: user.status.to_string(),
        created_at: user.created_at.rfc3339(),
        avatar_config: None,
    }
}
