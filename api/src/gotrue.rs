//! GoTrue, the auth server of Supabase: people sign in there, and we pass on what it says. What is
//! sent to it and what it answers is never logged.

use std::time::Duration;

use jobs::process::Secret;
use poem::http::StatusCode;
use reqwest::{Client, Method, Response, redirect};
use serde_json::{Value, json};
use url::{Host, Url};

use crate::problem::Problem;

/// How long it may take to reach it.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take.
const TOTAL: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1_024;
/// Seconds after which a call is worth repeating while it is away.
const AWAY_FOR_S: u64 = 5;
/// Seconds to wait when it says that there were too many calls, and not for how long.
const PAUSE_S: u64 = 30;
/// Longest pause that is passed on, in seconds.
const MAX_PAUSE_S: u64 = 3_600;

/// A client for one address.
///
/// # Errors
/// When there is no TLS.
pub(crate) fn client(at: &Url) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .user_agent(concat!("farm/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        // A sign-in is not to be sent twice.
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT)
        .timeout(TOTAL);
    // A proxy of the environment has nothing to do with this machine.
    if is_loopback(at) { builder.no_proxy().build() } else { builder.build() }
}

fn is_loopback(at: &Url) -> bool {
    match at.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An answer whole, when it is not larger than that.
pub(crate) async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, String> {
    let mut body = vec![];
    while let Some(chunk) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
        if body.len() + chunk.len() > most {
            return Err(format!("it answers with more than {most} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The identity provider does not answer, or not as it should.
pub(crate) fn away() -> Problem {
    let detail = "the identity provider cannot be reached; try again shortly";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "identity_unavailable", detail)
        .header("Retry-After", AWAY_FOR_S.to_string())
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not answer, or refuses us and not the caller.
    Away,
    /// Too many calls; seconds to wait.
    Limited(u64),
    /// It refuses the caller.
    Refused {
        /// Its word for it.
        word: String,
        /// Its sentence.
        text: String,
    },
}

/// The auth server of a project.
#[derive(Debug)]
pub(crate) struct GoTrue {
    http: Client,
    /// Ends with a slash.
    base: Url,
    anon_key: Secret,
}

impl GoTrue {
    pub(crate) fn new(http: Client, base: Url, anon_key: Secret) -> Self {
        Self { http, base, anon_key }
    }

    /// A new account. Its answer is a session, or the account when the address is to be confirmed.
    pub(crate) async fn sign_up(
        &self,
        email: &str,
        password: &str,
        full_name: Option<&str>,
    ) -> Result<Value, Refusal> {
        let data = full_name.map_or(json!({}), |name| json!({ "full_name": name }));
        let body = json!({ "email": email, "password": password, "data": data });
        self.call("signup", &body, None).await
    }

    /// A session for a password.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Result<Value, Refusal> {
        let body = json!({ "email": email, "password": password });
        self.call("token?grant_type=password", &body, None).await
    }

    /// A session for a refresh token.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Value, Refusal> {
        let body = json!({ "refresh_token": refresh_token });
        self.call("token?grant_type=refresh_token", &body, None).await
    }

    /// Ends the session of an access token.
    pub(crate) async fn sign_out(&self, access_token: &str) -> Result<Value, Refusal> {
        self.call("logout?scope=local", &json!({}), Some(access_token)).await
    }

    /// Confirms an address with what was sent to it.
    pub(crate) async fn verify(&self, token_hash: &str) -> Result<Value, Refusal> {
        self.call("verify", &json!({ "type": "email", "token_hash": token_hash }), None).await
    }

    /// Has a mail sent that leads to a new password.
    pub(crate) async fn recover(&self, email: &str) -> Result<Value, Refusal> {
        self.call("recover", &json!({ "email": email }), None).await
    }

    async fn call(&self, path: &str, body: &Value, user: Option<&str>) -> Result<Value, Refusal> {
        let url = self.base.join(path).map_err(|_| Refusal::Away)?;
        let call = self.http.request(Method::POST, url).header("apikey", self.anon_key.expose());
        let call = call.bearer_auth(user.unwrap_or(self.anon_key.expose())).json(body);
        let answer = call.send().await.map_err(|error| {
            let error = error.without_url();
            tracing::warn!(%error, "the identity provider does not answer");
            Refusal::Away
        })?;
        let status = answer.status().as_u16();
        let pause = answer.headers().get("retry-after").and_then(|pause| pause.to_str().ok());
        let pause = pause.and_then(|pause| pause.trim().parse().ok());
        let body = self::body(answer, MAX_ANSWER).await.map_err(|why| {
            tracing::warn!(why, "the identity provider does not answer to the end");
            Refusal::Away
        })?;
        let body = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
        match (status, body) {
            (200..=299, Ok(body)) => Ok(body),
            (_, body) => {
                let refusal = refusal(status, pause, &body.unwrap_or_default(), user.is_some());
                if refusal == Refusal::Away {
                    tracing::warn!(status, "the identity provider cannot be worked with");
                }
                Err(refusal)
            }
        }
    }
}

/// What an answer that is none says. It has said it in three ways over the years.
fn refusal(status: u16, pause: Option<u64>, body: &Value, as_user: bool) -> Refusal {
    let text_of = |names: &[&str]| {
        let found = names.iter().find_map(|name| body.get(name)?.as_str());
        found.unwrap_or_default().to_owned()
    };
    let word = text_of(&["error_code", "code", "error"]);
    match status {
        429 => Refusal::Limited(pause.unwrap_or(PAUSE_S).clamp(1, MAX_PAUSE_S)),
        // Without a word of its own it comes from the gateway before it, which refuses our key.
        401 | 403 if !as_user && word.is_empty() => Refusal::Away,
        400..=499 => {
            Refusal::Refused { word, text: text_of(&["msg", "message", "error_description"]) }
        }
        _ => Refusal::Away,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (word, text) = match refusal {
            Refusal::Away => return away(),
            Refusal::Limited(pause) => {
                let detail = format!("too many attempts; try again in {pause} s");
                return Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
                    .header("Retry-After", pause.to_string());
            }
            Refusal::Refused { word, text } => (word, text.to_lowercase()),
        };
        match word.as_str() {
            "email_not_confirmed" => not_confirmed(),
            "invalid_grant" if text.contains("not confirmed") => not_confirmed(),
            "user_already_exists" | "email_exists" => already_registered(),
            _ if text.contains("already registered") => already_registered(),
            "weak_password" => {
                Self::body("password", "is too easy to guess, or has appeared in a leak")
            }
            "email_address_invalid" | "email_address_not_authorized" => {
                Self::body("email", "the identity provider does not take this address")
            }
            "signup_disabled" | "email_provider_disabled" => {
                let detail = "nobody can register here at the moment";
                Self::new(StatusCode::FORBIDDEN, "registration_closed", detail)
            }
            "user_banned" => crate::identity::closed(),
            "validation_failed" => {
                Self::body("body", "the identity provider does not take these values")
            }
            _ => Self::unauthorized("invalid_credentials", "these are not right, or not any more"),
        }
    }
}

fn not_confirmed() -> Problem {
    let detail = "the e-mail address is not confirmed yet; follow the link in the mail";
    Problem::unauthorized("email_not_confirmed", detail)
}

/// An account with this address exists.
pub(crate) fn already_registered() -> Problem {
    let detail = "this e-mail address has an account already; sign in";
    Problem::conflict("already_registered", detail).with("field", "email")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_refuses_is_said_in_our_words() {
        for (status, body, said, code) in [
            (400, json!({ "code": 400, "error_code": "invalid_credentials", "msg": "x" }), 401, ""),
            (400, json!({ "code": "invalid_credentials", "message": "x" }), 401, ""),
            (400, json!({ "error": "invalid_grant", "error_description": "Wrong" }), 401, ""),
            (
                400,
                json!({ "error": "invalid_grant", "error_description": "Email not confirmed" }),
                401,
                "email_not_confirmed",
            ),
            (400, json!({ "error_code": "email_not_confirmed" }), 401, "email_not_confirmed"),
            (400, json!({ "error_code": "refresh_token_not_found" }), 401, ""),
            (422, json!({ "error_code": "user_already_exists" }), 409, "already_registered"),
            (422, json!({ "msg": "User already registered" }), 409, "already_registered"),
            (422, json!({ "error_code": "weak_password" }), 400, "invalid_body"),
            (422, json!({ "error_code": "signup_disabled" }), 403, "registration_closed"),
            (403, json!({ "error_code": "user_banned" }), 403, "account_closed"),
            (401, json!({ "message": "Invalid API key" }), 503, "identity_unavailable"),
            (500, json!({ "error_code": "unexpected_failure" }), 503, "identity_unavailable"),
            (302, Value::Null, 503, "identity_unavailable"),
            (429, Value::Null, 429, "rate_limited"),
        ] {
            let code = if code.is_empty() { "invalid_credentials" } else { code };
            let problem = Problem::from(refusal(status, None, &body, false));
            let shown = problem.to_string();
            assert!(shown.starts_with(&format!("{said} {code}: ")), "{body}: {shown}");
        }
    }

    #[test]
    fn a_pause_is_passed_on_when_it_can_be_meant() {
        for (said, passed) in [(Some(7), 7), (None, PAUSE_S), (Some(0), 1), (Some(99_999), 3_600)] {
            assert_eq!(refusal(429, said, &Value::Null, false), Refusal::Limited(passed));
        }
    }
}
