//! Hosted identity: tokens that Supabase signs, and the accounts of those who show one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use entity::enums::{Role, Tier};
use entity::user::{self, NewUser, Registered};
use jobs::process::{Failure, Secret};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use poem::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::jwks::{Away, Elapsed, Key, Keys};
use super::{AUDIENCE, LEEWAY_S, Proven, time_left};
use crate::gotrue::{self, GoTrue};
use crate::problem::Problem;
use crate::state::AppState;

/// What is opened with a token ends after this, however long the token is good for.
const MAX_LEFT: Duration = Duration::from_secs(24 * 3_600);
/// Longest name that is taken over.
const MAX_NAME: usize = 200;

/// `SUPABASE_*`.
#[derive(Clone, Debug)]
pub struct SupabaseSettings {
    /// `SUPABASE_URL`.
    pub url: Url,
    /// `SUPABASE_ANON_KEY`.
    pub anon_key: Secret,
    /// `SUPABASE_JWT_SECRET`; unset = tokens signed with public keys only.
    pub jwt_secret: Option<Secret>,
}

impl SupabaseSettings {
    /// Where its auth server answers, and what it calls itself in its tokens.
    fn issuer(&self) -> String {
        format!("{}/auth/v1", self.url.as_str().trim_end_matches('/'))
    }
}

/// The claims of a token. What somebody says about themselves (`user_metadata`) authorises nothing.
#[derive(Deserialize)]
struct Claims {
    sub: Uuid,
    // Texts and no lists, though the library takes lists.
    #[serde(rename = "iss")]
    _iss: String,
    exp: f64,
    role: String,
    #[serde(default)]
    is_anonymous: Option<bool>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    user_metadata: Value,
}

impl Claims {
    /// Anonymous visitors, and the keys of the project itself, are no users.
    fn is_user(&self) -> bool {
        self.role == AUDIENCE && self.is_anonymous != Some(true)
    }

    /// How they want to be called.
    fn full_name(&self) -> Option<String> {
        let name = self.user_metadata.get("full_name")?.as_str()?.trim();
        let plain = !name.is_empty() && !name.chars().any(char::is_control);
        plain.then(|| name.chars().take(MAX_NAME).collect())
    }
}

/// A project at Supabase.
#[derive(Debug)]
pub struct Supabase {
    keys: Keys,
    secret: Option<Key>,
    /// Where people sign in.
    pub(crate) gotrue: GoTrue,
}

impl Supabase {
    /// A project as it is configured. Nothing is asked yet.
    ///
    /// # Errors
    /// When no client can be made for its address.
    pub fn new(settings: &SupabaseSettings) -> Result<Self, Failure> {
        let start = Instant::now();
        Self::with_clock(settings, Arc::new(move || start.elapsed()))
    }

    /// [`Self::new`], with keys that age by this clock.
    ///
    /// # Errors
    /// The same.
    pub fn with_clock(settings: &SupabaseSettings, elapsed: Elapsed) -> Result<Self, Failure> {
        let issuer = settings.issuer();
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_issuer(&[&issuer]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = LEEWAY_S;
        let at = |path: &str| {
            Url::parse(&format!("{issuer}/{path}")).map_err(Failure::during("SUPABASE_URL"))
        };
        let http = gotrue::client(&settings.url).map_err(Failure::during("SUPABASE_URL"))?;
        let secret = settings.jwt_secret.as_ref().map(|secret| Key {
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
            validation: Validation { algorithms: vec![Algorithm::HS256], ..rules.clone() },
        });
        Ok(Self {
            keys: Keys::new(http.clone(), at(".well-known/jwks.json")?, rules, elapsed),
            secret,
            gotrue: GoTrue::new(http, at("")?, settings.anon_key.clone()),
        })
    }

    /// What a good token says.
    pub(super) async fn prove(&self, token: &str) -> Result<Option<Proven>, Problem> {
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Ok(None) };
        // What must be understood and is not makes a token worthless.
        if header.crit.is_some() {
            return Ok(None);
        }
        // The header says which key to look for. What the key is good for says the key.
        let found;
        let key = match (header.alg, &header.kid) {
            (Algorithm::HS256, _) => self.secret.as_ref(),
            (Algorithm::ES256 | Algorithm::RS256, Some(kid)) => {
                found = self.keys.find(kid).await.map_err(|Away| gotrue::away())?;
                found.as_deref()
            }
            _ => None,
        };
        let Some(key) = key else { return Ok(None) };
        let token = jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation);
        let claims = token.ok().map(|token| token.claims).filter(Claims::is_user);
        Ok(claims.map(|claims| Proven {
            id: claims.sub,
            left: time_left(claims.exp).min(MAX_LEFT),
            session: None,
            full_name: claims.full_name(),
            email: claims.email.map(|email| email.trim().to_lowercase()),
        }))
    }

    /// How many public keys the project has, or why there is no telling.
    ///
    /// # Errors
    /// A sentence.
    pub async fn keys(&self) -> Result<usize, String> {
        self.keys.count().await
    }
}

/// The account of whoever a token is about; made when they show their first one.
pub(super) async fn account(state: &AppState, proven: &Proven) -> Result<user::Model, Problem> {
    if let Some(user) = user::by_id(state.farm().read(), proven.id).await? {
        return Ok(user);
    }
    let email = proven.email.as_deref().filter(|email| user::address_rule(email).is_none());
    let email = email.ok_or_else(|| {
        let detail = "an account needs an e-mail address, and this sign-in has none";
        Problem::new(StatusCode::FORBIDDEN, "email_required", detail)
    })?;
    // Without a transaction, as nothing will come of it.
    let known = user::by_email(state.farm().read(), email).await?;
    if known.is_some_and(|known| known.id != proven.id) {
        return Err(email_taken());
    }
    let new = NewUser {
        email,
        hashed_password: None,
        full_name: proven.full_name.as_deref(),
        role: Role::User,
        tier: Tier::Free,
    };
    let tx = state.farm().begin().await?;
    let registered = user::register(&tx, &new, Some(proven.id)).await?;
    tx.commit().await?;
    match registered {
        Registered::New(user) => {
            tracing::info!(user.id = %user.id, "an account was made at a first sign-in");
            Ok(*user)
        }
        Registered::Known(user) => Ok(*user),
        Registered::EmailTaken => Err(email_taken()),
    }
}

/// Whoever has an address elsewhere does not get the account that has it here.
fn email_taken() -> Problem {
    let detail = "this e-mail address belongs to another account here; ask support";
    Problem::new(StatusCode::FORBIDDEN, "email_taken", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(more: Value) -> Option<Claims> {
        let mut claims = json!({
            "sub": Uuid::nil(), "iss": "x", "exp": 1_790_000_000, "role": "authenticated",
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(claims).ok()
    }

    #[test]
    fn names_are_taken_over_when_they_are_names() {
        let named = |name: Value| {
            claims(json!({ "user_metadata": { "full_name": name } })).unwrap().full_name()
        };
        assert_eq!(named(json!(" Ann Lee ")).as_deref(), Some("Ann Lee"));
        assert_eq!(named(json!("x".repeat(500))).unwrap().len(), MAX_NAME);
        for none in [json!(""), json!(7), json!(["x"]), json!(null), json!("a\u{0}b")] {
            assert_eq!(named(none.clone()), None, "{none}");
        }
        assert_eq!(claims(json!({ "user_metadata": "x" })).unwrap().full_name(), None);
        assert_eq!(claims(json!({})).unwrap().full_name(), None);
    }

    #[test]
    fn only_people_are_users() {
        let is_user = |more: Value| claims(more).is_some_and(|claims| claims.is_user());
        assert!(is_user(json!({})) && is_user(json!({ "is_anonymous": false })));
        for nobody in [
            json!({ "role": "anon" }),
            json!({ "role": "service_role" }),
            json!({ "role": "admin" }),
            json!({ "role": ["authenticated"] }),
            json!({ "is_anonymous": true }),
            json!({ "is_anonymous": "true" }),
            json!({ "iss": ["x"] }),
            json!({ "sub": "ann" }),
            json!({ "email": 7 }),
        ] {
            assert!(!is_user(nobody.clone()), "{nobody}");
        }
    }
}
