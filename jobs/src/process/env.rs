//! The environment: read in one place, by name, with errors that name the variable and the rule.

use std::collections::BTreeMap;
use std::fmt;

use super::Failure;

/// A text that never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Every `FARM_*` name there is; others are refused, because they are typing errors.
const FARM_NAMES: [&str; 9] = [
    "FARM_HTTP_ADDR",
    "FARM_METRICS_ADDR",
    "FARM_DATA_DIR",
    "FARM_REDIS_PREFIX",
    "FARM_JWT_SECRET",
    "FARM_LEASE_SECONDS",
    "FARM_TIMEOUT_SECONDS",
    "FARM_RATE_LIMITS",
    "FARM_TRUSTED_PROXIES",
];

/// Variables by name.
#[derive(Clone, Debug, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The environment of the process.
    ///
    /// # Errors
    /// When it holds a `FARM_*` name that is no setting.
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn of_process() -> Result<Self, Failure> {
        // A name or value that is no text cannot be a setting of ours.
        let vars = std::env::vars_os();
        Self::of(vars.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))))
    }

    /// Given variables.
    ///
    /// # Errors
    /// When a `FARM_*` name is no setting.
    pub fn of(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, Failure> {
        let vars: BTreeMap<String, String> = vars.into_iter().collect();
        for name in vars.keys().filter(|name| name.starts_with("FARM_")) {
            if FARM_NAMES.contains(&name.as_str()) || name == "FARM_JWT_SECRET_FILE" {
                continue;
            }
            let nearest = FARM_NAMES.iter().min_by_key(|known| strsim::levenshtein(known, name));
            let hint = nearest.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
            return Err(Failure::new(format!("{name} is not a setting{hint}")));
        }
        Ok(Self(vars))
    }

    /// Set and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value read as `T`; `rule` says what it must be.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn parse<T: std::str::FromStr>(
        &self,
        name: &str,
        rule: &str,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let parsed = value.trim().parse();
        // Not echoed where a credential may hide in it.
        let shown = if value.contains('@') { String::new() } else { format!(", not {value:?}") };
        parsed.map(Some).map_err(|_| Failure::new(format!("{name} must be {rule}{shown}")))
    }

    /// A secret, or the content of the file that `NAME_FILE` names. Never both.
    ///
    /// # Errors
    /// When both are set or the file cannot be read.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>, Failure> {
        let file = format!("{name}_FILE");
        match (self.text(name), self.text(&file)) {
            (Some(_), Some(_)) => {
                Err(Failure::new(format!("{name} and {file} are both set; keep one")))
            }
            (Some(value), None) => Ok(Some(Secret::new(value))),
            (None, Some(path)) => {
                let content = std::fs::read_to_string(path).map_err(Failure::during(format!(
                    "{file} names {path}, which cannot be read"
                )))?;
                Ok(Some(Secret::new(content.trim_end())))
            }
            (None, None) => Ok(None),
        }
    }
}
