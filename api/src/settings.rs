//! Settings of the front door.

use std::net::SocketAddr;
use std::path::Path;

use jobs::process::{Env, Failure, Secret};
use url::Url;

use crate::limits::Proxies;

/// What the front door is told.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `FARM_HTTP_ADDR`.
    pub http_addr: SocketAddr,
    /// `FARM_JWT_SECRET`; unset = generated and kept in the data dir, on one machine.
    pub jwt_secret: Option<Secret>,
    /// `CORS_ALLOWED_ORIGINS`.
    pub cors_origins: Vec<String>,
    /// `FARM_RATE_LIMITS`: whether anybody is limited.
    pub rate_limits: bool,
    /// `FARM_TRUSTED_PROXIES`: who may say for whom they speak.
    pub trusted_proxies: Proxies,
    /// `CDN_PUBLIC_URL`: where the world finds thumbnails; unset = below `/cdn` of this process.
    pub cdn_public_url: Option<Url>,
}

impl ApiSettings {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence naming the variable and the rule.
    pub fn read(env: &Env) -> Result<Self, Failure> {
        Ok(Self {
            http_addr: env
                .parse("FARM_HTTP_ADDR", "an address like 127.0.0.1:8000")?
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8000))),
            jwt_secret: jwt_secret(env)?,
            cors_origins: origins(env)?,
            rate_limits: rate_limits(env)?,
            trusted_proxies: trusted_proxies(env)?,
            cdn_public_url: cdn_public_url(env)?,
        })
    }

    /// Where the world finds thumbnails, of a process that listens there.
    ///
    /// # Errors
    /// When there is no such URL.
    pub fn cdn_base(&self, listens: SocketAddr) -> Result<Url, Failure> {
        if let Some(url) = &self.cdn_public_url {
            return Ok(url.clone());
        }
        let mut at = listens;
        if at.ip().is_unspecified() {
            at.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let url = format!("http://{at}/cdn");
        Url::parse(&url).map_err(Failure::during("the address of /cdn"))
    }

    /// The secret of the local issuer: as told, or kept in the data dir (made at first use).
    ///
    /// # Errors
    /// When the file cannot be read or made.
    pub fn issuer_secret(&self, data_dir: &Path) -> Result<Vec<u8>, Failure> {
        if let Some(secret) = &self.jwt_secret {
            return Ok(secret.expose().as_bytes().to_vec());
        }
        let path = data_dir.join("jwt-secret");
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
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let secret: [u8; 32] = rand::random();
    let hex = jobs::hex(&secret);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(hex.as_bytes()));
    written.map_err(Failure::during(format!("{} cannot be written", path.display())))?;
    Ok(hex.into_bytes())
}

fn jwt_secret(env: &Env) -> Result<Option<Secret>, Failure> {
    let secret = env.secret("FARM_JWT_SECRET")?;
    if secret.as_ref().is_some_and(|secret| secret.expose().len() < 32) {
        return Err(Failure::new("FARM_JWT_SECRET must be at least 32 bytes"));
    }
    Ok(secret)
}

fn rate_limits(env: &Env) -> Result<bool, Failure> {
    match env.text("FARM_RATE_LIMITS") {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => {
            Err(Failure::new(format!("FARM_RATE_LIMITS must be on or off, not {other:?}")))
        }
    }
}

fn trusted_proxies(env: &Env) -> Result<Proxies, Failure> {
    let list = env.text("FARM_TRUSTED_PROXIES").unwrap_or_default();
    list.parse().map_err(|part| {
        Failure::new(format!(
            "FARM_TRUSTED_PROXIES holds {part:?}; it must hold addresses and networks like \
             10.0.0.0/8, separated by commas"
        ))
    })
}

fn cdn_public_url(env: &Env) -> Result<Option<Url>, Failure> {
    let rule = "an address like https://cdn.example.com";
    let url: Option<Url> = env.parse("CDN_PUBLIC_URL", rule)?;
    match &url {
        Some(url) if !matches!(url.scheme(), "http" | "https") || url.query().is_some() => {
            Err(Failure::new(format!("CDN_PUBLIC_URL must be {rule}")))
        }
        _ => Ok(url),
    }
}

fn origins(env: &Env) -> Result<Vec<String>, Failure> {
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
