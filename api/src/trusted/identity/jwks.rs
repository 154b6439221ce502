//! The public keys of a hosted identity provider: read when they are needed, remembered for ten
//! minutes, and kept as they are while it is away. A key that is published no more is good no more
//! from the moment that this is seen.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};
use url::Url;

use crate::gotrue;

/// So long a set of keys is used without asking for another.
const KEEP: Duration = Duration::from_secs(10 * 60);
/// Whoever shows keys that we do not know makes us ask no more often than this.
const FLOOR: Duration = Duration::from_secs(10);
/// How long somebody waits for keys.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest name of a key.
const MAX_KID: usize = 255;
/// More keys than anybody has.
const MAX_KEYS: usize = 100;
/// Largest set, in bytes.
const MAX_SET: usize = 256 * 1_024;

/// Time since some start.
pub type Elapsed = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A public key, and the one algorithm it is for.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) decoding: DecodingKey,
    pub(super) validation: Validation,
}

/// The keys as they were read.
#[derive(Debug)]
struct Set {
    keys: HashMap<String, Arc<Key>>,
    read_at: Duration,
}

/// There are no keys, and none can be had.
#[derive(Debug)]
pub(super) struct Away;

/// The keys of a provider.
#[derive(Clone, Debug)]
pub(super) struct Keys(Arc<Shared>);

struct Shared {
    http: Client,
    url: Url,
    /// What is checked besides the signature; the algorithm is the key's.
    rules: Validation,
    set: RwLock<Option<Arc<Set>>>,
    /// When they were asked for last. Held while they are.
    asked: Arc<Mutex<Option<Duration>>>,
    /// They could not be had when they were asked for last.
    lost: AtomicBool,
    elapsed: Elapsed,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(http: Client, url: Url, rules: Validation, elapsed: Elapsed) -> Self {
        Self(Arc::new(Shared {
            http,
            url,
            rules,
            set: RwLock::default(),
            asked: Arc::default(),
            lost: AtomicBool::new(false),
            elapsed,
        }))
    }

    /// The key of this name. A name is looked up among those that were read, and nowhere else.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<Arc<Key>>, Away> {
        if kid.is_empty() || kid.len() > MAX_KID {
            return Ok(None);
        }
        let set = self.0.set();
        let known = set.as_ref().and_then(|set| set.keys.get(kid).cloned());
        let fresh = set.as_ref().is_some_and(|set| self.0.age(set) < KEEP);
        if known.is_some() && fresh {
            return Ok(known);
        }
        let before = set.map(|set| set.read_at);
        let asked = self.0.asked.clone();
        if known.is_some() && self.0.lost.load(Ordering::Relaxed) {
            // An outage: what there was is used, and nobody waits for more.
            if let Ok(asked) = asked.try_lock_owned() {
                tokio::spawn(self.0.clone().renew(before, asked));
            }
            return Ok(known);
        }
        // A task of its own: a caller who hangs up must not keep everybody from new keys.
        let asked = asked.lock_owned().await;
        if tokio::spawn(self.0.clone().renew(before, asked)).await.is_err() {
            tracing::error!("the keys of the identity provider could not be asked for");
        }
        match self.0.set() {
            Some(set) => Ok(set.keys.get(kid).cloned()),
            None => Err(Away),
        }
    }

    /// How many keys there are now, or why there is no telling.
    pub(super) async fn count(&self) -> Result<usize, String> {
        self.0.read().await.map(|keys| keys.len())
    }
}

impl Shared {
    fn set(&self) -> Option<Arc<Set>> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn age(&self, set: &Set) -> Duration {
        (self.elapsed)().saturating_sub(set.read_at)
    }

    /// Asks for the keys, unless somebody did since the caller looked, or a moment ago. What there
    /// was stays when they cannot be had.
    async fn renew(
        self: Arc<Self>,
        before: Option<Duration>,
        mut asked: OwnedMutexGuard<Option<Duration>>,
    ) {
        let now = (self.elapsed)();
        let newer = self.set().is_some_and(|set| Some(set.read_at) != before);
        if newer || asked.is_some_and(|at| now.saturating_sub(at) < FLOOR) {
            return;
        }
        *asked = Some(now);
        let read = self.read().await;
        self.lost.store(read.is_err(), Ordering::Relaxed);
        match read {
            Ok(keys) => {
                let set = Some(Arc::new(Set { keys, read_at: now }));
                *self.set.write().unwrap_or_else(PoisonError::into_inner) = set;
            }
            Err(why) => tracing::warn!(why, "the keys of the identity provider cannot be read"),
        }
    }

    async fn read(&self) -> Result<HashMap<String, Arc<Key>>, String> {
        let told = |error: reqwest::Error| error.without_url().to_string();
        let answer =
            self.http.get(self.url.clone()).timeout(PATIENCE).send().await.map_err(told)?;
        let status = answer.status();
        if status.as_u16() != 200 {
            return Err(format!("it answers {status}"));
        }
        let body = gotrue::body(answer, MAX_SET).await?;
        parse(&body, &self.rules).ok_or_else(|| "it answers something else".to_owned())
    }
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

/// A key as it is published (RFC 7517), as far as we use it.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    crv: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    fn decoding(&self) -> Option<(Algorithm, DecodingKey)> {
        if self.r#use.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        // Each kind of key is for one algorithm; a shared secret is no public key.
        let (word, algorithm, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                let key = DecodingKey::from_ec_components(self.x.as_ref()?, self.y.as_ref()?);
                ("ES256", Algorithm::ES256, key)
            }
            ("RSA", None) => {
                let key = DecodingKey::from_rsa_components(self.n.as_ref()?, self.e.as_ref()?);
                ("RS256", Algorithm::RS256, key)
            }
            _ => return None,
        };
        let same = self.alg.as_deref().is_none_or(|alg| alg == word);
        Some((algorithm, key.ok()?)).filter(|_| same)
    }
}

/// The keys of a published set; those we do not understand are passed over.
fn parse(body: &[u8], rules: &Validation) -> Option<HashMap<String, Arc<Key>>> {
    let published: Published = serde_json::from_slice(body).ok()?;
    let mut keys = HashMap::new();
    for jwk in published.keys.into_iter().take(MAX_KEYS) {
        let Ok(jwk) = serde_json::from_value::<Jwk>(jwk) else { continue };
        if let Some((algorithm, decoding)) = jwk.decoding() {
            let validation = Validation { algorithms: vec![algorithm], ..rules.clone() };
            // The first of a name counts.
            keys.entry(jwk.kid).or_insert_with(|| Arc::new(Key { decoding, validation }));
        }
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(set: &Value) -> Option<Vec<(String, Algorithm)>> {
        let keys = parse(set.to_string().as_bytes(), &Validation::default())?;
        let mut keys: Vec<_> = keys
            .into_iter()
            .map(|(kid, key)| {
                assert_eq!(key.validation.algorithms.len(), 1);
                (kid, key.validation.algorithms[0])
            })
            .collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        Some(keys)
    }

    #[test]
    fn a_key_is_for_the_algorithm_of_its_kind_and_others_are_passed_over() {
        let ec = |kid: &str, more: Value| {
            let mut key = json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": "AA", "y": "AA" });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let set = json!({ "keys": [
            ec("a", json!({})),
            ec("b", json!({ "alg": "ES256", "use": "sig", "key_ops": ["verify"] })),
            { "kty": "RSA", "kid": "c", "n": "AQAB", "e": "AQAB" },
            ec("another curve", json!({ "crv": "P-384" })),
            ec("another algorithm", json!({ "alg": "HS256" })),
            ec("for encryption", json!({ "use": "enc" })),
            { "kty": "RSA", "kid": "for PSS", "alg": "PS256", "n": "AQAB", "e": "AQAB" },
            { "kty": "oct", "kid": "a secret", "alg": "HS256", "k": "c2VjcmV0" },
            { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" },
            { "kty": "EC", "crv": "P-256", "kid": "half", "x": "AA" },
            { "kty": "EC", "crv": "P-256", "kid": "no base64", "x": "??", "y": "AA" },
            "garbage", null, 7,
        ] });
        let want = [("a", Algorithm::ES256), ("b", Algorithm::ES256), ("c", Algorithm::RS256)];
        let want = want.map(|(kid, algorithm)| (kid.to_owned(), algorithm));
        assert_eq!(read(&set), Some(want.into()));
    }

    #[test]
    fn what_is_no_set_is_told_from_an_empty_one() {
        assert_eq!(read(&json!({ "keys": [] })), Some(vec![]));
        for no_set in [json!({}), json!([]), json!({ "keys": {} }), json!(null), json!("keys")] {
            assert_eq!(read(&no_set), None, "{no_set}");
        }
    }
}
