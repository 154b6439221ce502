//! Settings of a worker.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use entity::enums::Queue;
use jobs::Storage;
use jobs::limit::RateLimit;
use jobs::process::{Env, Failure, Secret};
use jobs::redis::Redis;
use models::Wanted;
use models::store::{self, Store};
use tokio::sync::watch;
use url::Url;

use crate::engine::EngineConfig;
use crate::foreign::{Allowed, Foreign};
use crate::media::Media;
use crate::media::codecs::Codecs;
use crate::provider::{Decodo, DecodoConfig, ProfileProvider};

/// Vendor's address of the scraper API.
const DECODO_URL: &str = "https://scraper-api.decodo.com";

/// The scraper API, when it is not the demo provider.
#[derive(Clone, Debug)]
pub struct DecodoSettings {
    /// Where it is.
    pub base_url: Url,
    /// User of HTTP Basic.
    pub username: String,
    /// Password of HTTP Basic.
    pub password: Secret,
    /// A ready `Basic` credential instead of the two.
    pub api_key: Option<Secret>,
}

/// What a worker is told.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// `DECODO_*`; unset = the demo provider.
    pub decodo: Option<DecodoSettings>,
    /// `DECODO_RATE_PER_SECOND`, over all replicas.
    pub provider_rate: NonZeroU32,
    /// `FARM_LEASE_SECONDS`: how long a worker lives without renewing.
    pub lease: Duration,
    /// `FARM_TIMEOUT_SECONDS`: no attempt may take longer, whatever its kind allows.
    pub longest: Duration,
    /// `AI_*`.
    pub ai: AiSettings,
    /// `ENABLE_THUMBNAILS`: the pictures of fetched profiles are brought to the CDN, and workers
    /// serve the queue for it.
    pub thumbnails: bool,
    /// `FETCH_ALLOW_HOSTS`: where pictures may be fetched from although it is no public host.
    pub allowed_hosts: Vec<Allowed>,
}

/// How captions are analysed.
#[derive(Clone, Debug)]
pub struct AiSettings {
    /// `ENABLE_AI_ANALYSIS`: fetched posts are analysed, and workers serve the queue for it.
    pub enabled: bool,
    /// `AI_TIER`.
    pub tier: Wanted,
    /// `AI_BATCH_SIZE`: captions computed together, at most; unset = as the engine likes.
    pub batch: Option<usize>,
    /// `AI_MAX_WORKERS`: threads that compute; unset = as the engine likes.
    pub threads: Option<usize>,
    /// `AI_ISOLATION`: models run in processes of their own, rather than on threads.
    pub isolated: bool,
    /// `AI_MODELS_CACHE_DIR`, else a folder among the user's caches; `None` without a home.
    pub models_cache: Option<PathBuf>,
    /// `AI_MODELS_FILE`: an operator's registry of models.
    pub models_file: Option<PathBuf>,
}

impl WorkerSettings {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence naming the variable and the rule.
    pub fn read(env: &Env) -> Result<Self, Failure> {
        Ok(Self {
            decodo: decodo(env)?,
            provider_rate: env
                .parse("DECODO_RATE_PER_SECOND", "a whole number above 0")?
                .unwrap_or(NonZeroU32::MIN.saturating_add(4)),
            lease: seconds(env, "FARM_LEASE_SECONDS", 10, 2..=300)?,
            longest: seconds(env, "FARM_TIMEOUT_SECONDS", 3_600, 1..=86_400)?,
            ai: AiSettings {
                enabled: env.parse("ENABLE_AI_ANALYSIS", "true or false")?.unwrap_or(true),
                tier: env.parse("AI_TIER", "one of auto, full, lite, rules")?.unwrap_or_default(),
                batch: count(env, "AI_BATCH_SIZE", 1..=256)?,
                threads: count(env, "AI_MAX_WORKERS", 1..=64)?,
                isolated: isolated(env)?,
                models_cache: store::cache_dir(
                    env.text("AI_MODELS_CACHE_DIR"),
                    env.text("XDG_CACHE_HOME"),
                    env.text("HOME"),
                ),
                models_file: env.text("AI_MODELS_FILE").map(PathBuf::from),
            },
            thumbnails: env.parse("ENABLE_THUMBNAILS", "true or false")?.unwrap_or(true),
            allowed_hosts: allowed_hosts(env)?,
        })
    }

    /// The models on this machine; without a home folder they are kept in `models` of the data
    /// dir.
    ///
    /// # Errors
    /// When an operator's registry of models cannot be read or breaks a rule.
    pub fn models(&self, data_dir: &Path) -> Result<Store, Failure> {
        let cache = self.ai.models_cache.clone().unwrap_or_else(|| data_dir.join("models"));
        let file = self.ai.models_file.as_deref();
        let what = file.map_or("models", |_| "AI_MODELS_FILE");
        Store::open(cache, file).map_err(Failure::during(what))
    }

    /// What the work on pictures needs, `slots` at once; `None` where they are not worked on: not
    /// wanted, or without the program that decodes them, which is said.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn media(
        &self,
        storage: &Storage,
        slots: usize,
        also: Option<Allowed>,
    ) -> Result<Option<Media>, Failure> {
        if !self.thumbnails {
            return Ok(None);
        }
        let Some(program) = Codecs::beside_us() else {
            tracing::warn!(
                "no pictures are worked on: the program codec is not beside this one; make build \
                 builds both"
            );
            return Ok(None);
        };
        let foreign = Foreign::new(self.allowed_hosts.iter().cloned().chain(also).collect())?;
        let codecs = Arc::new(Codecs::new(program, slots));
        Ok(Some(Media { foreign, codecs, storage: storage.clone() }))
    }

    /// How an engine runs under these settings.
    pub fn engine(&self) -> EngineConfig {
        EngineConfig {
            lease: self.lease,
            renew_every: self.lease * 3 / 10,
            // As long as it would take to notice that the whole worker is gone.
            overrun: self.lease,
            longest: self.longest,
            ..EngineConfig::default()
        }
    }

    /// The provider's client. `base_url` and `demo` credentials stand in for settings that are
    /// not there. With a Redis the rate holds over all its workers, of which `replicas` tells the
    /// number.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn provider(
        &self,
        demo: Option<Url>,
        redis: Option<Redis>,
        replicas: watch::Receiver<u32>,
    ) -> Result<Arc<dyn ProfileProvider>, Failure> {
        let config = match (&self.decodo, demo) {
            (Some(decodo), _) => {
                let base = decodo.base_url.clone();
                let password = decodo.password.clone();
                let mut config = DecodoConfig::new(base, &decodo.username, password);
                config.api_key.clone_from(&decodo.api_key);
                config
            }
            (None, Some(demo)) => DecodoConfig::new(demo, "demo", Secret::new("demo")),
            (None, None) => {
                return Err(Failure::new(
                    "no provider is configured: set DECODO_USERNAME and DECODO_PASSWORD, or start \
                     farm demo-provider and point DECODO_BASE_URL at it",
                ));
            }
        };
        let rate = match redis {
            Some(redis) => RateLimit::shared(self.provider_rate, redis, "provider", replicas),
            None => RateLimit::local(self.provider_rate),
        };
        let config = DecodoConfig { rate: Arc::new(rate), ..config };
        let client = Decodo::new(config).map_err(Failure::during("the provider's client"))?;
        Ok(Arc::new(client))
    }
}

/// `fetch=8,ai=1`: jobs at once, per queue.
///
/// # Errors
/// The rule, naming the part that breaks it.
pub fn parse_concurrency(text: &str) -> Result<BTreeMap<Queue, usize>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let rule = || format!("{part:?} must be like fetch=8, with 1 to 1024 at once");
            let (queue, slots) = part.split_once('=').ok_or_else(rule)?;
            let queue = queue.trim().parse().map_err(|words| format!("{queue:?} {words}"))?;
            let slots = slots.trim().parse().ok().filter(|n| (1..=1_024).contains(n));
            Ok((queue, slots.ok_or_else(rule)?))
        })
        .collect()
}

fn isolated(env: &Env) -> Result<bool, Failure> {
    match env.text("AI_ISOLATION") {
        None | Some("thread") => Ok(false),
        Some("process") => Ok(true),
        Some(_) => Err(Failure::new("AI_ISOLATION must be thread or process")),
    }
}

fn allowed_hosts(env: &Env) -> Result<Vec<Allowed>, Failure> {
    let hosts = env.text("FETCH_ALLOW_HOSTS").unwrap_or_default().split(',').map(str::trim);
    hosts
        .filter(|host| !host.is_empty())
        .map(|host| {
            host.parse().map_err(|why| {
                Failure::new(format!("FETCH_ALLOW_HOSTS must hold pairs like host:8100; {why}"))
            })
        })
        .collect()
}

fn count(env: &Env, name: &str, allowed: RangeInclusive<usize>) -> Result<Option<usize>, Failure> {
    let rule = format!("a number from {} to {}", allowed.start(), allowed.end());
    let count: Option<usize> = env.parse(name, &rule)?;
    if count.is_some_and(|count| !allowed.contains(&count)) {
        return Err(Failure::new(format!("{name} must be {rule}")));
    }
    Ok(count)
}

fn seconds(
    env: &Env,
    name: &str,
    default: u64,
    allowed: RangeInclusive<u64>,
) -> Result<Duration, Failure> {
    let rule = format!("a number of seconds from {} to {}", allowed.start(), allowed.end());
    let seconds = env.parse(name, &rule)?.unwrap_or(default);
    if allowed.contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(Failure::new(format!("{name} must be {rule}")))
}

fn decodo(env: &Env) -> Result<Option<DecodoSettings>, Failure> {
    let base: Option<Url> = env.parse("DECODO_BASE_URL", "a URL")?;
    let user = env.text("DECODO_USERNAME").or(env.text("SMARTPROXY_USERNAME"));
    let password = match env.secret("DECODO_PASSWORD")? {
        Some(password) => Some(password),
        None => env.secret("SMARTPROXY_PASSWORD")?,
    };
    let api_key = env.secret("DECODO_API_KEY")?;
    match (base, user, password, api_key) {
        (None, None, None, None) => Ok(None),
        (_, Some(_), Some(_), Some(_)) => Err(Failure::new(
            "DECODO_API_KEY and DECODO_USERNAME with DECODO_PASSWORD are both set; keep one",
        )),
        (_, Some(_), None, None) => {
            Err(Failure::new("DECODO_USERNAME is set without DECODO_PASSWORD; set both or neither"))
        }
        (_, None, Some(_), None) => {
            Err(Failure::new("DECODO_PASSWORD is set without DECODO_USERNAME; set both or neither"))
        }
        (base, user, password, api_key) => {
            let base_url = match base {
                Some(base) if !matches!(base.scheme(), "http" | "https") => {
                    return Err(Failure::new(
                        "DECODO_BASE_URL must begin with http:// or https://",
                    ));
                }
                Some(base) => base,
                None => Url::parse(DECODO_URL).map_err(Failure::during("DECODO_BASE_URL"))?,
            };
            // A local provider without credentials still wants some: any will do.
            Ok(Some(DecodoSettings {
                base_url,
                username: user.unwrap_or("demo").to_owned(),
                password: password.unwrap_or_else(|| Secret::new("demo")),
                api_key,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_names_queues_and_numbers() {
        let two = parse_concurrency("fetch=8, ai=1").unwrap();
        assert_eq!(two, [(Queue::Fetch, 8), (Queue::Ai, 1)].into());
        for bad in ["fetch", "fetch=0", "fetch=1025", "fetch=-1", "fetsch=1", "=3"] {
            assert!(parse_concurrency(bad).is_err(), "{bad}");
        }
        assert!(parse_concurrency("fetsch=1").unwrap_err().contains("one of fetch"));
    }
}
