//! The front door as a process: `farm api`, and the program `api`.

use std::net::SocketAddr;

use entity::db::Plans;
use jobs::Jobs;
use jobs::kinds::profile_fetch::FRESH_FOR;
use jobs::process::{End, Env, Failure, Settings, drained, spawn_part, until_stopped};
use jobs::redis::Redis;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server::{self, Waits};
use crate::settings::ApiSettings;
use crate::trusted::sample;
use crate::{AppState, Cors, Files, Limits};

/// Database connections of this role: every request holds one for milliseconds.
const CONNECTIONS: u32 = 10;

/// Runs the role until it is told to stop.
///
/// # Errors
/// A sentence.
pub async fn run(env: Env, settings: Settings) -> Result<End, Failure> {
    settings.require_cluster("api")?;
    let api = ApiSettings::read(&env)?;
    if api.jwt_secret.is_none() {
        return Err(Failure::new(
            "FARM_JWT_SECRET is not set: every replica must sign and check with the same secret \
             of at least 32 bytes",
        ));
    }
    let _metrics = settings.tell_metrics().await?;
    let db = settings.connect_migrated(CONNECTIONS, Plans::Kept).await?;
    let redis = settings.redis()?;
    let jobs = Settings::jobs(db, redis.as_ref());
    let front = FrontDoor::open(&settings, &api, jobs, redis.as_ref()).await?;
    // Whoever starts replicas reads where this one is.
    println!("api listens on http://{}", front.addr);
    let end = until_stopped(front.gone.cancelled()).await?;
    drained(end, front.close()).await
}

/// A listening front door.
#[derive(Debug)]
pub struct FrontDoor {
    /// Where it answers.
    pub addr: SocketAddr,
    /// Fires when it does not answer any more.
    pub gone: CancellationToken,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl FrontDoor {
    /// Listens and answers. With a Redis its limits are those of all front doors together.
    ///
    /// # Errors
    /// When the address is taken or the issuer has no secret.
    pub async fn open(
        settings: &Settings,
        api: &ApiSettings,
        jobs: Jobs,
        redis: Option<&Redis>,
    ) -> Result<Self, Failure> {
        let refused = |error| {
            Failure::new(format!(
                "{} cannot be listened on: {error}; choose another with --port or FARM_HTTP_ADDR",
                api.http_addr
            ))
        };
        let listener = TcpListener::bind(api.http_addr).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let identity = api.identity(&settings.data_dir)?;
        let cors = Cors { origins: api.cors_origins.clone() };
        let files = Files::new(settings.open_storage()?, &api.cdn_base(addr)?);
        let state = AppState::new(jobs, identity, cors, FRESH_FOR, files, limits(api, redis));
        let stop = state.stop.clone();
        sample::watch(&state, &settings.data_dir).await;
        let app = crate::app(state);
        let served = server::serve(listener, app, stop.clone(), Waits::USUAL);
        let (server, gone) = spawn_part(served);
        Ok(Self { addr, gone, stop, server })
    }

    /// Takes no more requests; streams end, and those who wait are answered.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Takes no more requests and waits for those that are open.
    pub async fn close(self) {
        self.stop();
        if let Ok(Err(error)) = self.server.await {
            tracing::warn!(%error, "the HTTP server ended with an error");
        }
    }
}

fn limits(api: &ApiSettings, redis: Option<&Redis>) -> Limits {
    if api.rate_limits {
        return Limits::on(api.trusted_proxies.clone(), redis);
    }
    tracing::warn!("FARM_RATE_LIMITS=off: nobody is limited, whatever they send");
    Limits::off()
}
