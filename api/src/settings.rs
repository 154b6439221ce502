//! Settings of the front door.

use std::net::SocketAddr;
use std::path::Path;

use jobs::process::{Env, Failure, Secret};
use url::Url;

use crate::identity::{Identity, Issuer, Supabase, SupabaseSettings};
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
    /// `SUPABASE_*`; unset = the local issuer.
    pub supabase: Option<SupabaseSettings>,
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
            supabase: supabase(env)?,
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

    /// Where it is known who somebody is.
    ///
    /// # Errors
    /// When there is no secret, or no way to the hosted issuer.
    pub fn identity(&self, data_dir: &Path) -> Result<Identity, Failure> {
        let issuer = Issuer::new(&self.issuer_secret(data_dir)?);
        Ok(match &self.supabase {
            None => Identity::Local(issuer),
            Some(settings) => {
                Identity::Supabase { links: issuer, hosted: Supabase::new(settings)? }
            }
        })
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

fn supabase(env: &Env) -> Result<Option<SupabaseSettings>, Failure> {
    let rule = "an address like https://project.supabase.co";
    let url: Option<Url> = env.parse("SUPABASE_URL", rule)?;
    let anon_key = env.secret("SUPABASE_ANON_KEY")?;
    let service_key = env.secret("SUPABASE_SERVICE_ROLE_KEY")?;
    let jwt_secret = env.secret("SUPABASE_JWT_SECRET")?;
    let Some(url) = url else {
        let others = [
            ("SUPABASE_ANON_KEY", anon_key),
            ("SUPABASE_SERVICE_ROLE_KEY", service_key),
            ("SUPABASE_JWT_SECRET", jwt_secret),
        ];
        return match others.iter().find(|(_, value)| value.is_some()) {
            None => Ok(None),
            Some((name, _)) => Err(Failure::new(format!(
                "{name} is set without SUPABASE_URL; set both, or neither for the local issuer"
            ))),
        };
    };
    let bare = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare || url.path().trim_end_matches('/').ends_with("/auth/v1") {
        return Err(Failure::new(format!("SUPABASE_URL must be {rule}, without /auth/v1")));
    }
    let Some(anon_key) = anon_key else {
        return Err(Failure::new(
            "SUPABASE_URL is set without SUPABASE_ANON_KEY; set both, or neither for the local \
             issuer",
        ));
    };
    // People would sign in with a key that may do anything.
    if service_key.is_some_and(|key| key == anon_key) || is_service_key(&anon_key) {
        return Err(Failure::new(
            "SUPABASE_ANON_KEY is the service role's key; it must be the anonymous one",
        ));
    }
    if jwt_secret.as_ref().is_some_and(|secret| secret.expose().len() < 32) {
        return Err(Failure::new("SUPABASE_JWT_SECRET must be at least 32 bytes"));
    }
    Ok(Some(SupabaseSettings { url, anon_key, jwt_secret }))
}

/// Whether a key says that it is the service role's. It is not checked: it is ours.
fn is_service_key(key: &Secret) -> bool {
    #[derive(serde::Deserialize)]
    struct Role {
        role: String,
    }
    let role = jsonwebtoken::dangerous::insecure_decode_claims::<Role>(key.expose());
    key.expose().starts_with("sb_secret_") || role.is_ok_and(|claims| claims.role == "service_role")
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
