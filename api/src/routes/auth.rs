//! Registering and signing in, with the local issuer or through a hosted one.

use entity::user;
use poem::Request;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::body::JsonBody;
use crate::identity::{Caller, Identity, bearer};
use crate::problem::Problem;
use crate::query;
use crate::routes::Tag;
use crate::state::AppState;
use crate::trusted::{auth_hosted, auth_local};

/// Registering and signing in.
#[derive(Debug)]
pub struct Auth;

/// Shortest password, in characters.
pub(crate) const MIN_PASSWORD: usize = 8;
/// Longest name, in characters.
pub(crate) const MAX_NAME: usize = 200;

/// E-mail address and password.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub struct Login {
    /// In any case.
    #[oai(validator(max_length = 320))]
    pub(crate) email: String,
    /// As chosen.
    #[oai(validator(max_length = 1024))]
    pub(crate) password: String,
}

/// Who wants an account.
#[derive(Object)]
pub struct Registration {
    /// In any case.
    #[oai(validator(max_length = 320))]
    email: String,
    /// At least 8 characters.
    #[oai(validator(max_length = 1024))]
    password: String,
    /// How they want to be called.
    full_name: Option<String>,
}

/// A registration that breaks no rule.
pub(crate) struct Applicant {
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) full_name: Option<String>,
}

impl Registration {
    fn checked(self) -> Result<Applicant, Problem> {
        let email = address(&self.email)?;
        if self.password.chars().count() < MIN_PASSWORD {
            let rule = format!("must have at least {MIN_PASSWORD} characters");
            return Err(Problem::body("password", rule));
        }
        let name = self.full_name.as_deref().unwrap_or_default();
        let name = query::line("full_name", name, MAX_NAME)?;
        let full_name = Some(name).filter(|name| !name.is_empty());
        Ok(Applicant { email, password: self.password, full_name })
    }
}

/// What continues a session.
#[derive(Object)]
pub struct Refresh {
    /// The newest one; the one before stays good for 30 s.
    #[oai(validator(max_length = 4096))]
    refresh_token: String,
}

/// Who has forgotten their password.
#[derive(Object)]
pub struct ForgotPassword {
    /// In any case.
    #[oai(validator(max_length = 320))]
    email: String,
}

/// A session.
#[derive(Debug, Object)]
pub struct Session {
    /// For `Authorization: Bearer`; three parts with dots between.
    pub(crate) access_token: String,
    /// For `/auth/refresh`, once.
    pub(crate) refresh_token: String,
    /// `bearer`.
    pub(crate) token_type: String,
    /// Seconds the access token is good for.
    pub(crate) expires_in: i64,
    /// Who signed in.
    pub(crate) user: UserView,
}

/// An account that was asked for.
#[derive(Debug, Object)]
pub struct Registered {
    /// Whose.
    pub(crate) user: UserView,
    /// What comes next.
    pub(crate) message: String,
    /// The link in a mail must be followed before the first sign-in.
    pub(crate) email_confirmation_required: bool,
    /// As of a sign-in; null while the address is to be confirmed.
    pub(crate) access_token: Option<String>,
    /// As of a sign-in.
    pub(crate) refresh_token: Option<String>,
    /// `bearer`.
    pub(crate) token_type: Option<String>,
    /// Seconds the access token is good for.
    pub(crate) expires_in: Option<i64>,
}

impl Registered {
    /// An account whose owner is signed in already.
    pub(crate) fn signed_in(session: Session) -> Self {
        Self {
            user: session.user,
            message: "the account is ready".to_owned(),
            email_confirmation_required: false,
            access_token: Some(session.access_token),
            refresh_token: Some(session.refresh_token),
            token_type: Some(session.token_type),
            expires_in: Some(session.expires_in),
        }
    }
}

/// What was done.
#[derive(Debug, Object)]
pub struct Said {
    success: bool,
    /// In a sentence.
    message: String,
}

impl Said {
    pub(crate) fn new(message: &str) -> Json<Self> {
        Json(Self { success: true, message: message.to_owned() })
    }
}

/// A user as they see themselves.
#[derive(Debug, Object)]
pub struct UserView {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) full_name: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) company: Option<String>,
    pub(crate) role: String,
    pub(crate) status: String,
    pub(crate) created_at: String,
    pub(crate) avatar_config: Option<serde_json::Value>,
}

#[OpenApi(prefix_path = "/api/v1/auth", tag = "Tag::Auth")]
impl Auth {
    /// Register
    ///
    /// Signs in at once, unless the address must be confirmed first. 409 with code
    /// `already_registered` for an address that has an account; where addresses are confirmed by
    /// mail, its owner is told there and nobody else.
    #[oai(path = "/register", method = "post", operation_id = "register")]
    async fn register(
        &self,
        state: Data<&AppState>,
        body: JsonBody<Registration>,
    ) -> Result<Json<Registered>, Problem> {
        let applicant = body.0.checked()?;
        let registered = match &state.identity {
            Identity::Local(issuer) => auth_local::register(&state, issuer, applicant).await,
            Identity::Supabase { hosted, .. } => {
                auth_hosted::register(&state, hosted, applicant).await
            }
        };
        registered.map(Json)
    }

    /// Sign in
    ///
    /// Answers 401 with code `invalid_credentials` whichever of the two is wrong, and
    /// `email_not_confirmed` while the address is to be confirmed.
    #[oai(path = "/login", method = "post", operation_id = "login")]
    async fn login(
        &self,
        state: Data<&AppState>,
        request: &Request,
        body: JsonBody<Login>,
    ) -> Result<Json<Session>, Problem> {
        let (account, from) = (body.0.email.clone(), state.limits.address(request));
        state.limits.check_sign_in(&account, from).await?;
        let session = match &state.identity {
            Identity::Local(issuer) => auth_local::login(&state, issuer, body.0).await,
            Identity::Supabase { hosted, .. } => auth_hosted::login(&state, hosted, body.0).await,
        };
        if session.as_ref().is_err_and(Problem::is_unauthorized) {
            state.limits.sign_in_failed(&account, from).await;
        }
        session.map(Json)
    }

    /// Continue a session
    ///
    /// Gives a new pair of tokens. The refresh token before stays good for 30 s, because tabs race;
    /// after that, showing it again ends the session. 401 with code `invalid_credentials`.
    #[oai(path = "/refresh", method = "post", operation_id = "refresh_session")]
    async fn refresh(
        &self,
        state: Data<&AppState>,
        body: JsonBody<Refresh>,
    ) -> Result<Json<Session>, Problem> {
        let shown = &body.0.refresh_token;
        let session = match &state.identity {
            Identity::Local(issuer) => auth_local::refresh(&state, issuer, shown).await,
            Identity::Supabase { hosted, .. } => auth_hosted::refresh(&state, hosted, shown).await,
        };
        session.map(Json)
    }

    /// Sign out
    ///
    /// Ends the session: its refresh tokens, and with the local issuer its access tokens within a
    /// second. Access tokens of a hosted issuer are good until their time is over.
    #[oai(path = "/logout", method = "post", operation_id = "logout")]
    async fn logout(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
    ) -> Result<Json<Said>, Problem> {
        let shown = bearer(request.headers()).unwrap_or_default();
        match &state.identity {
            Identity::Local(_) => auth_local::logout(&state, &caller).await?,
            Identity::Supabase { hosted, .. } => auth_hosted::logout(hosted, shown).await?,
        }
        state.tokens.forget(shown);
        Ok(Said::new("signed out"))
    }

    /// Confirm an e-mail address
    ///
    /// With what stands in the link of the mail. The local issuer sends none: 404 with code
    /// `nothing_to_confirm`.
    #[oai(path = "/verify-email/:token", method = "get", operation_id = "verify_email")]
    async fn verify_email(
        &self,
        state: Data<&AppState>,
        token: Path<String>,
    ) -> Result<Json<Said>, Problem> {
        let nothing = || {
            let detail = "this link confirms nothing; register again, or sign in";
            Problem::not_found("nothing_to_confirm", detail)
        };
        match &state.identity {
            Identity::Local(_) => Err(nothing()),
            Identity::Supabase { hosted, .. } => {
                auth_hosted::verify_email(hosted, &token.0).await?.ok_or_else(nothing)
            }
        }
    }

    /// Ask for a new password
    ///
    /// The answer is the same whether or not there is such an account.
    #[oai(path = "/forgot-password", method = "post", operation_id = "forgot_password")]
    async fn forgot_password(
        &self,
        state: Data<&AppState>,
        body: JsonBody<ForgotPassword>,
    ) -> Result<Json<Said>, Problem> {
        let email = address(&body.0.email)?;
        match &state.identity {
            Identity::Local(_) => Ok(Said::new(
                "this installation sends no mail; ask whoever runs it for a new password",
            )),
            Identity::Supabase { hosted, .. } => auth_hosted::forgot_password(hosted, &email).await,
        }
    }

    /// Who am I?
    #[oai(path = "/me", method = "get", operation_id = "me")]
    async fn me(&self, caller: Caller) -> Result<Json<UserView>, Problem> {
        Ok(Json(user_view(&caller.0.user)))
    }
}

/// An address in lower case, when it is one.
fn address(email: &str) -> Result<String, Problem> {
    let email = email.trim().to_lowercase();
    match user::address_rule(&email) {
        Some(rule) => Err(Problem::body("email", rule)),
        None => Ok(email),
    }
}

/// A user as they see themselves. Of a name in one piece the first word is the first name.
pub(crate) fn user_view(user: &user::Model) -> UserView {
    let (first, last) = names(user.full_name.as_deref());
    UserView {
        id: user.id,
        email: user.email.clone(),
        full_name: user.full_name.clone(),
        first_name: user.first_name.clone().or(first),
        last_name: user.last_name.clone().or(last),
        company: user.company.clone(),
        role: user.role.to_string(),
        status: user.status.to_string(),
        created_at: user.created_at.rfc3339(),
        avatar_config: None,
    }
}

/// First and last name of a name in one piece.
pub(crate) fn names(full: Option<&str>) -> (Option<String>, Option<String>) {
    match full.map(str::trim) {
        None | Some("") => (None, None),
        Some(name) => match name.split_once(' ') {
            Some((first, last)) => (Some(first.to_owned()), Some(last.trim().to_owned())),
            None => (Some(name.to_owned()), None),
        },
    }
}
