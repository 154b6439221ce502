//! Settings: defaults in code, the environment over them, all checked at start. The one place
//! that reads the environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use models::Tier;
use url::Url;
use worker::provider::Secret;

use crate::failure::Failure;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// The scraper API, when it is not the demo provider.
#[derive(Clone, Debug)]
pub struct Decodo {
    /// Where it is.
    pub base_url: Url,
    /// User of HTTP Basic.
    pub username: String,
    /// Password of HTTP Basic.
    pub password: Secret,
    /// A ready `Basic` credential instead of the two.
    pub api_key: Option<Secret>,
}

/// Everything a process is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `FARM_HTTP_ADDR`.
    pub http_addr: SocketAddr,
    /// `FARM_DATA_DIR`.
    pub data_dir: PathBuf,
    /// `DATABASE_URL`; unset = a file in the data dir.
    pub database_url: Option<Secret>,
    /// `DATABASE_MAX_CONNECTIONS`.
    pub max_connections: u32,
    /// `DECODO_*`; unset = the demo provider.
    pub decodo: Option<Decodo>,
    /// `DECODO_RATE_PER_SECOND`.
    pub provider_rate: NonZeroU32,
    /// `FARM_JWT_SECRET`; unset = generated and kept in the data dir.
    pub jwt_secret: Option<Secret>,
    /// `CORS_ALLOWED_ORIGINS`.
    pub cors_origins: Vec<String>,
    /// `FARM_LEASE_SECONDS`: how long a worker lives without renewing.
    pub lease: Duration,
    /// `AI_TIER`.
    pub ai_tier: Tier,
    /// `ENABLE_AI_ANALYSIS`.
    pub ai_enabled: bool,
    /// `SENTRY_DSN`.
    pub sentry_dsn: Option<Secret>,
    /// `RUST_LOG`.
    pub rust_log: Option<String>,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
}

/// Vendor's address of the scraper API.
const DECODO_URL: &str = "https://scraper-api.decodo.com";

/// Every `FARM_*` name there is; others are refused, because they are typing errors.
const FARM_NAMES: [&str; 6] = [
    "FARM_HTTP_ADDR",
    "FARM_METRICS_ADDR",
    "FARM_DATA_DIR",
    "FARM_REDIS_PREFIX",
    "FARM_JWT_SECRET",
    "FARM_LEASE_SECONDS",
];

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// A sentence naming the variable and the rule.
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn from_env() -> Result<Self, Failure> {
        // A name or value that is no text cannot be a setting of ours.
        let vars = std::env::vars_os();
        let texts = vars.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::read(&texts.collect())
    }

    /// Reads settings from given variables.
    pub fn read(vars: &BTreeMap<String, String>) -> Result<Self, Failure> {
        refuse_unknown(vars)?;
        let env = Env(vars);
        refuse_unsupported(&env)?;
        Ok(Self {
            http_addr: env
                .parse("FARM_HTTP_ADDR", "an address like 127.0.0.1:8000")?
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8000))),
            data_dir: env.text("FARM_DATA_DIR").map_or_else(|| "farm-data".into(), PathBuf::from),
            database_url: database_url(&env)?,
            max_connections: env
                .parse("DATABASE_MAX_CONNECTIONS", "a number from 1 to 1000")?
                .map(|n: u32| if (1..=1_000).contains(&n) { Ok(n) } else { Err(()) })
                .transpose()
                .map_err(|()| Failure::new("DATABASE_MAX_CONNECTIONS must be from 1 to 1000"))?
                .unwrap_or(10),
            decodo: decodo(&env)?,
            provider_rate: env
                .parse("DECODO_RATE_PER_SECOND", "a whole number above 0")?
                .unwrap_or(NonZeroU32::MIN.saturating_add(4)),
            jwt_secret: jwt_secret(&env)?,
            cors_origins: origins(&env)?,
            lease: lease(&env)?,
            ai_tier: env.parse("AI_TIER", "one of auto, full, lite, rules")?.unwrap_or_default(),
            ai_enabled: env.parse("ENABLE_AI_ANALYSIS", "true or false")?.unwrap_or(true),
            sentry_dsn: sentry_dsn(&env)?,
            rust_log: env.text("RUST_LOG").map(str::to_owned),
            log_format: match env.text("LOG_FORMAT") {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(other) => {
                    return Err(Failure::new(format!(
                        "LOG_FORMAT must be text or json, not {other:?}"
                    )));
                }
            },
        })
    }

    /// The database to open: as told, or the file in the data dir.
    pub fn database(&self) -> String {
        match &self.database_url {
            Some(url) => url.expose().to_owned(),
            None => format!("sqlite://{}?mode=rwc", self.data_dir.join("farm.db").display()),
        }
    }

    /// True while nothing but this machine is involved.
    pub fn is_demo(&self) -> bool {
        self.database_url.is_none()
    }

    /// The secret of the local issuer: as told, or kept in the data dir (made at first use).
    pub fn issuer_secret(&self) -> Result<Vec<u8>, Failure> {
        if let Some(secret) = &self.jwt_secret {
            return Ok(secret.expose().as_bytes().to_vec());
        }
        let path = self.data_dir.join("jwt-secret");
        match std::fs::read(&path) {
            Ok(secret) if secret.len() >= 32 => Ok(secret),
            Ok(_) => Err(Failure::new(format!(
                "{} is shorter than 32 bytes; delete it to have a new one made",
                path.display()
            ))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_secret(&path),
            Err(error) => Err(Failure::new(format!("{} cannot be read: {error}", path.display()))),
        }
    }
}

fn make_secret(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::fmt::Write;
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt;
    let secret: [u8; 32] = rand::random();
    let hex = secret.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(hex.as_bytes()));
    written.map_err(Failure::during(format!("{} cannot be written", path.display())))?;
    Ok(hex.into_bytes())
}

struct Env<'a>(&'a BTreeMap<String, String>);

impl Env<'_> {
    /// Set and not empty.
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn parse<T: std::str::FromStr>(&self, name: &str, rule: &str) -> Result<Option<T>, Failure> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let parsed = value.trim().parse();
        // Not echoed where a credential may hide in it.
        let shown = if value.contains('@') { String::new() } else { format!(", not {value:?}") };
        parsed.map(Some).map_err(|_| Failure::new(format!("{name} must be {rule}{shown}")))
    }

    /// A secret, or the content of the file that `NAME_FILE` names. Never both.
    fn secret(&self, name: &str) -> Result<Option<Secret>, Failure> {
        let file = format!("{name}_FILE");
        match (self.text(name), self.text(&file)) {
            (Some(_), Some(_)) => {
                Err(Failure::new(format!("{name} and {file} are both set; keep one")))
            }
            (Some(value), None) => Ok(Some(Secret::new(value.to_owned()))),
            (None, Some(path)) => {
                let content = std::fs::read_to_string(path).map_err(Failure::during(format!(
                    "{file} names {path}, which cannot be read"
                )))?;
                Ok(Some(Secret::new(content.trim_end().to_owned())))
            }
            (None, None) => Ok(None),
        }
    }
}

fn refuse_unknown(vars: &BTreeMap<String, String>) -> Result<(), Failure> {
    for name in vars.keys().filter(|name| name.starts_with("FARM_")) {
        if FARM_NAMES.contains(&name.as_str()) || name == "FARM_JWT_SECRET_FILE" {
            continue;
        }
        let nearest = FARM_NAMES.iter().min_by_key(|known| strsim::levenshtein(known, name));
        let hint = nearest.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        return Err(Failure::new(format!("{name} is not a setting{hint}")));
    }
    Ok(())
}

/// Settings of parts this version does not have: silence would look like agreement.
fn refuse_unsupported(env: &Env<'_>) -> Result<(), Failure> {
    if env.text("REDIS_URL").is_some() {
        return Err(Failure::new(
            "REDIS_URL is set, but this version keeps its tickets in memory; unset it",
        ));
    }
    if env.text("SUPABASE_URL").is_some() {
        return Err(Failure::new(
            "SUPABASE_URL is set, but this version knows the local issuer only; unset it",
        ));
    }
    Ok(())
}

fn database_url(env: &Env<'_>) -> Result<Option<Secret>, Failure> {
    let url = env.secret("DATABASE_URL")?;
    if let Some(url) = &url {
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if !known.iter().any(|scheme| url.expose().starts_with(scheme)) {
            return Err(Failure::new("DATABASE_URL must begin with postgres:// or sqlite:"));
        }
        let server = !url.expose().starts_with("sqlite:");
        let parsed = Url::parse(url.expose()).ok();
        if server && parsed.is_none_or(|url| url.fragment().is_some() || !url.has_host()) {
            return Err(Failure::new(
                "DATABASE_URL is no URL; write special characters of the password as %xx",
            ));
        }
    }
    Ok(url)
}

fn jwt_secret(env: &Env<'_>) -> Result<Option<Secret>, Failure> {
    let secret = env.secret("FARM_JWT_SECRET")?;
    if secret.as_ref().is_some_and(|secret| secret.expose().len() < 32) {
        return Err(Failure::new("FARM_JWT_SECRET must be at least 32 bytes"));
    }
    Ok(secret)
}

fn sentry_dsn(env: &Env<'_>) -> Result<Option<Secret>, Failure> {
    let dsn = env.secret("SENTRY_DSN")?;
    if dsn.as_ref().is_some_and(|dsn| dsn.expose().parse::<sentry::types::Dsn>().is_err()) {
        return Err(Failure::new("SENTRY_DSN must be a DSN like https://key@host/1"));
    }
    Ok(dsn)
}

fn lease(env: &Env<'_>) -> Result<Duration, Failure> {
    let rule = "a number of seconds from 2 to 300";
    let seconds: u64 = env.parse("FARM_LEASE_SECONDS", rule)?.unwrap_or(10);
    if !(2..=300).contains(&seconds) {
        return Err(Failure::new(format!("FARM_LEASE_SECONDS must be {rule}")));
    }
    Ok(Duration::from_secs(seconds))
}

fn origins(env: &Env<'_>) -> Result<Vec<String>, Failure> {
    let list = env.text("CORS_ALLOWED_ORIGINS").unwrap_or("http://localhost:3000");
    list.split(',')
        .map(str::trim)
        .filter(|origin| !origin.is_empty())
        .map(|origin| {
            let url = Url::parse(origin).ok().filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.path() == "/"
                    && url.query().is_none()
            });
            url.map(|url| url.origin().ascii_serialization()).ok_or_else(|| {
                Failure::new(format!(
                    "CORS_ALLOWED_ORIGINS holds {origin:?}; it must hold origins like \
                     https://app.example.com, separated by commas"
                ))
            })
        })
        .collect()
}

fn decodo(env: &Env<'_>) -> Result<Option<Decodo>, Failure> {
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
            Ok(Some(Decodo {
                base_url,
                username: user.unwrap_or("demo").to_owned(),
                password: password.unwrap_or_else(|| Secret::new("demo".to_owned())),
                api_key,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, String> {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::read(&vars).map_err(|failure| failure.0)
    }

    #[test]
    fn nothing_set_means_one_machine() {
        let settings = read(&[]).unwrap();
        assert!(settings.is_demo() && settings.decodo.is_none());
        assert_eq!(settings.http_addr.to_string(), "127.0.0.1:8000");
        assert_eq!(settings.database(), "sqlite://farm-data/farm.db?mode=rwc");
        assert_eq!(settings.provider_rate.get(), 5);
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
            (&[("CORS_ALLOWED_ORIGINS", "example.com")], "origins like"),
            (&[("LOG_FORMAT", "xml")], "text or json"),
            (&[("REDIS_URL", "redis://x")], "in memory"),
            (&[("SENTRY_DSN", "a"), ("SENTRY_DSN_FILE", "b")], "both set"),
            (&[("SENTRY_DSN_FILE", "/nowhere/at/all")], "cannot be read"),
        ] {
            let refused = read(vars).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn secrets_never_print() {
        let settings = read(&[("DECODO_USERNAME", "u"), ("DECODO_PASSWORD", "hush-hush")]).unwrap();
        assert!(!format!("{settings:?}").contains("hush-hush"));
        assert_eq!(settings.decodo.unwrap().base_url.as_str(), "https://scraper-api.decodo.com/");
    }
}
