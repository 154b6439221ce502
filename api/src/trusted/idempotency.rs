//! `Idempotency-Key`: a repeated POST gets the answer of the first, whatever happened to the
//! connection in between.

use entity::idempotency::{self, IdempotencyKey};
use entity::{Tx, clock};
use jobs::hex;
use poem::http::{HeaderMap, StatusCode};
use poem_openapi::types::{ParseFromJSON, ToJSON};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::problem::Problem;
use crate::state::AppState;

/// Longer than any request may wait: an answer missing by then will not come.
const IN_FLIGHT_MS: i64 = 30_000;

/// The key of a request, with what it is bound to.
#[derive(Clone, Debug)]
pub struct Key {
    user: Uuid,
    text: String,
    body_hash: String,
}

/// What the key says about the request.
#[derive(Debug)]
pub enum Known<B> {
    /// Never seen: go on.
    New,
    /// The first answer.
    Answer(u16, Box<B>),
    /// The first request started this job and its answer was lost.
    Job(Uuid),
}

/// Reads `Idempotency-Key`. `what` is everything that makes the request what it is.
pub fn key(headers: &HeaderMap, user: Uuid, what: &[&str]) -> Result<Option<Key>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    // Raw, because a key that is no text must be refused, not passed over.
    let key = key.to_str().unwrap_or_default();
    if !(1..=255).contains(&key.len()) || !key.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Problem::field(
            "Idempotency-Key",
            "must be 1 to 255 printable ASCII characters without spaces",
        ));
    }
    let mut hash = Sha256::new();
    for part in what {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let body_hash = hex(&hash.finalize());
    Ok(Some(Key { user, text: key.to_owned(), body_hash }))
}

impl Key {
    /// Takes the key in the transaction that starts the work.
    pub async fn take<B: ParseFromJSON>(&self, tx: &Tx) -> Result<Known<B>, Problem> {
        let earlier = idempotency::take(tx, self.user, &self.text, &self.body_hash).await?;
        let Some(earlier) = earlier else { return Ok(Known::New) };
        if earlier.body_hash != self.body_hash {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency-Key: this key was used for another request",
            )
            .with("field", "Idempotency-Key"));
        }
        self.replay(tx, &earlier).await
    }

    /// Notes the job the request started, in the same transaction.
    pub async fn started(&self, tx: &Tx, job: Uuid) -> Result<(), Problem> {
        Ok(idempotency::set_job(tx, self.user, &self.text, job).await?)
    }

    /// Keeps the answer for repeats.
    pub async fn answered(
        &self,
        state: &AppState,
        status: u16,
        body: &impl ToJSON,
    ) -> Result<(), Problem> {
        let answer = json!({ "status": status, "job": body.to_json() });
        let db = state.farm().write();
        Ok(idempotency::set_answer(db, self.user, &self.text, answer).await?)
    }

    /// Keeps the answer for repeats, in the transaction that makes it true.
    pub async fn answered_in(
        &self,
        tx: &Tx,
        status: u16,
        body: &impl ToJSON,
    ) -> Result<(), Problem> {
        let answer = json!({ "status": status, "job": body.to_json() });
        Ok(idempotency::set_answer(tx, self.user, &self.text, answer).await?)
    }

    async fn replay<B: ParseFromJSON>(
        &self,
        tx: &Tx,
        earlier: &IdempotencyKey,
    ) -> Result<Known<B>, Problem> {
        if let Some(answer) = &earlier.answer {
            let status = answer["status"].as_u64().unwrap_or(202) as u16;
            if let Ok(body) = B::parse_from_json(Some(answer["job"].clone())) {
                return Ok(Known::Answer(status, Box::new(body)));
            }
        }
        let age = clock::now(tx).await?.millis_since(earlier.created_at);
        match earlier.job_id {
            Some(job) if age > IN_FLIGHT_MS => Ok(Known::Job(job)),
            // Work that is more than one job: what was broken off may be asked for again.
            None if age > IN_FLIGHT_MS => {
                idempotency::touch(tx, self.user, &self.text).await?;
                Ok(Known::New)
            }
            _ => Err(Problem::conflict(
                "request_in_flight",
                "Idempotency-Key: the first request with this key is still being answered",
            )
            .with("field", Value::from("Idempotency-Key"))
            .header("Retry-After", "2")),
        }
    }
}
