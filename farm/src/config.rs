//! Settings of every role in one, for the process that plays all of them and for the command
//! line.

use api::settings::ApiSettings;
use jobs::process::{self, Env, Failure};
use url::Url;
use worker::settings::WorkerSettings;

/// Where models are fetched from.
const HUB: &str = "https://huggingface.co";

/// Everything a process is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Rows, tickets, logs.
    pub common: process::Settings,
    /// The front door.
    pub api: ApiSettings,
    /// The workers.
    pub worker: WorkerSettings,
    /// `HF_ENDPOINT`: where models are fetched from.
    pub hub: Url,
}

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// A sentence naming the variable and the rule.
    pub fn from_env() -> Result<Self, Failure> {
        Self::read(&Env::of_process()?)
    }

    /// Reads settings from given variables.
    ///
    /// # Errors
    /// A sentence naming the variable and the rule.
    pub fn read(env: &Env) -> Result<Self, Failure> {
        Ok(Self {
            common: process::Settings::read(env)?,
            api: ApiSettings::read(env)?,
            worker: WorkerSettings::read(env)?,
            hub: hub(env)?,
        })
    }
}

fn hub(env: &Env) -> Result<Url, Failure> {
    let rule = "an address like https://huggingface.co";
    let url = match env.parse("HF_ENDPOINT", rule)? {
        Some(url) => url,
        None => Url::parse(HUB).map_err(Failure::during("HF_ENDPOINT"))?,
    };
    if matches!(url.scheme(), "http" | "https") && url.query().is_none() {
        return Ok(url);
    }
    Err(Failure::new(format!("HF_ENDPOINT must be {rule}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, String> {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Env::of(vars).and_then(|env| Settings::read(&env)).map_err(|failure| failure.0)
    }

    #[test]
    fn nothing_set_means_one_machine() {
        let settings = read(&[]).unwrap();
        assert!(settings.common.is_demo() && settings.worker.decodo.is_none());
        assert_eq!(settings.api.http_addr.to_string(), "127.0.0.1:8000");
        assert_eq!(settings.common.database(), "sqlite://farm-data/farm.db?mode=rwc");
        assert_eq!(settings.worker.provider_rate.get(), 5);
        assert!(
            settings.api.rate_limits && settings.api.trusted_proxies == api::Proxies::default()
        );
    }

    #[test]
    fn mistakes_are_refused_with_the_name_and_the_rule() {
        for (vars, words) in [
            (&[("FARM_HTP_ADDR", "x")][..], "did you mean FARM_HTTP_ADDR?"),
            (&[("FARM_HTTP_ADDR", "8000")], "FARM_HTTP_ADDR must be an address"),
            (&[("DATABASE_URL", "mysql://x")], "postgres:// or sqlite:"),
            (&[("DATABASE_MAX_CONNECTIONS", "0")], "from 1 to 1000"),
            (&[("FARM_JWT_SECRET", "short")], "at least 32 bytes"),
            (&[("DECODO_USERNAME", "u")], "without DECODO_PASSWORD"),
            (&[("DECODO_RATE_PER_SECOND", "0")], "above 0"),
            (&[("AI_TIER", "huge")], "auto, full, lite, rules"),
            (&[("AI_ISOLATION", "container")], "AI_ISOLATION must be thread or process"),
            (&[("HF_ENDPOINT", "ftp://x")], "HF_ENDPOINT must be an address like"),
            (&[("CORS_ALLOWED_ORIGINS", "example.com")], "origins like"),
            (&[("FARM_RATE_LIMITS", "no")], "must be on or off"),
            (&[("FARM_TRUSTED_PROXIES", "10.0.0.1, proxy")], "holds \"proxy\"; it must hold"),
            (&[("FARM_TRUSTED_PROXIES", "0.0.0.0/0")], "networks like 10.0.0.0/8"),
            (&[("LOG_FORMAT", "xml")], "text or json"),
            (&[("REDIS_URL", "redis://x")], "set both or neither"),
            (&[("REDIS_URL", "http://x")], "redis://host:6379/0"),
            (&[("REDIS_PASSWORD", "x")], "without REDIS_URL"),
            (&[("DATABASE_LOGIN", "x")], "without DATABASE_LOGIN_PASSWORD"),
            (&[("DATABASE_LOGIN_PASSWORD", "x")], "without DATABASE_LOGIN;"),
            (&[("FARM_REDIS_PREFIX", "a b")], "at most 64 letters"),
            (&[("SUPABASE_URL", "https://x")], "without SUPABASE_ANON_KEY"),
            (&[("SUPABASE_URL", "x"), ("SUPABASE_ANON_KEY", "a")], "an address like"),
            (
                &[("SUPABASE_URL", "https://x/auth/v1/"), ("SUPABASE_ANON_KEY", "a")],
                "without /auth",
            ),
            (&[("SUPABASE_URL", "https://u:p@x"), ("SUPABASE_ANON_KEY", "a")], "an address like"),
            (&[("SUPABASE_URL", "https://x/?a=b"), ("SUPABASE_ANON_KEY", "a")], "an address like"),
            (&[("SUPABASE_ANON_KEY", "a")], "SUPABASE_ANON_KEY is set without SUPABASE_URL"),
            (&[("SUPABASE_SERVICE_ROLE_KEY", "a")], "ROLE_KEY is set without SUPABASE_URL"),
            (&[("SUPABASE_JWT_SECRET", "a")], "SUPABASE_JWT_SECRET is set without SUPABASE_URL"),
            (
                &[
                    ("SUPABASE_URL", "https://x"),
                    ("SUPABASE_ANON_KEY", "a"),
                    ("SUPABASE_JWT_SECRET", "short"),
                ],
                "SUPABASE_JWT_SECRET must be at least 32 bytes",
            ),
            (
                &[
                    ("SUPABASE_URL", "https://x"),
                    ("SUPABASE_ANON_KEY", "a"),
                    ("SUPABASE_SERVICE_ROLE_KEY", "a"),
                ],
                "the service role's key",
            ),
            (
                // {"alg":"HS256"} . {"role":"service_role"}
                &[
                    ("SUPABASE_URL", "https://x"),
                    (
                        "SUPABASE_ANON_KEY",
                        "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.AAAA",
                    ),
                ],
                "the service role's key",
            ),
            (&[("SENTRY_DSN", "a"), ("SENTRY_DSN_FILE", "b")], "both set"),
            (&[("SENTRY_DSN_FILE", "/nowhere/at/all")], "cannot be read"),
        ] {
            let refused = read(vars).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_role_of_a_cluster_needs_both_servers() {
        let one = read(&[]).unwrap().common.require_cluster("worker").unwrap_err();
        assert!(one.0.contains("DATABASE_URL") && one.0.contains("farm up"), "{one}");
        let database = ("DATABASE_URL", "postgres://u:p@host/db");
        let half = read(&[database]).unwrap().common.require_cluster("worker").unwrap_err();
        assert!(half.0.contains("REDIS_URL=redis://… is not set"), "{half}");
        let redis = ("REDIS_URL", "redis://host:6379/2");
        let both = read(&[database, redis, ("REDIS_PASSWORD", "hu:sh")]).unwrap().common;
        both.require_cluster("worker").unwrap();
        assert_eq!(both.redis_url.unwrap().expose(), "redis://:hu%3Ash@host:6379/2");
    }

    #[test]
    fn a_hosted_issuer_is_an_address_and_keys() {
        assert!(read(&[]).unwrap().api.supabase.is_none());
        let secret = "a secret of at least thirty-two bytes";
        let supabase = read(&[
            ("SUPABASE_URL", "https://p.supabase.co"),
            ("SUPABASE_ANON_KEY", "anon-hush"),
            ("SUPABASE_SERVICE_ROLE_KEY", "service-hush"),
            ("SUPABASE_JWT_SECRET", secret),
        ]);
        let settings = supabase.unwrap();
        let printed = format!("{settings:?}");
        assert!(!printed.contains("hush") && !printed.contains(secret), "{printed}");
        let supabase = settings.api.supabase.unwrap();
        assert_eq!(supabase.url.as_str(), "https://p.supabase.co/");
        assert_eq!(supabase.anon_key.expose(), "anon-hush");
        assert_eq!(supabase.jwt_secret.unwrap().expose(), secret);
    }

    #[test]
    fn secrets_never_print() {
        let settings = read(&[("DECODO_USERNAME", "u"), ("DECODO_PASSWORD", "hush-hush")]).unwrap();
        assert!(!format!("{settings:?}").contains("hush-hush"));
        assert_eq!(
            settings.worker.decodo.unwrap().base_url.as_str(),
            "https://scraper-api.decodo.com/"
        );
    }
}
