//! What is measured: an API process of its own, a user with a fetched profile and waiting jobs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use api::Issuer;
use entity::enums::{Queue, Role as Rank, Tier};
use entity::user::{self, NewUser};
use jobs::Options;
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::process::Failure;
use jobs::submit::new_job;
use serde_json::Value;

use super::connection::{Connection, Request};
use crate::bench::host;
use crate::bench::stack::{Stack, stop};
use crate::demo::{DemoOptions, DemoProvider};
use crate::roles::Role;
use crate::secret;
use crate::servers::free_port;

/// How long a role may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whose profile is read.
const HANDLE: &str = "demo_travel";
/// Jobs that are looked at by turns.
const JOBS: usize = 100;
/// Longer than any run.
const TOKEN_TTL_S: i64 = 24 * 3_600;

/// An API with something to show.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) api: Role,
    pub(super) at: SocketAddr,
    /// MiB before the first request of a user.
    pub(super) rest: f64,
    /// What tokens are signed with.
    pub(super) secret: String,
    /// Of a user with access to the profile.
    pub(super) token: String,
    /// Of an operator.
    pub(super) operator: String,
    user: uuid::Uuid,
    /// The profile as the user sees it.
    pub(super) profile: Vec<u8>,
    /// Where health is asked for.
    pub(super) health: &'static str,
}

impl Site {
    /// Starts the API and has a profile fetched from the demo provider.
    pub(super) async fn open(stack: &Stack) -> Result<Self, Failure> {
        let (secret, port) = (secret::invent(48), free_port()?);
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let env = [
            ("FARM_HTTP_ADDR", at.to_string()),
            ("FARM_JWT_SECRET", secret.clone()),
            // How long one waits under load is what is measured; no line for each who does.
            ("RUST_LOG", "error".to_owned()),
        ];
        let mut api = stack.role("api", &env)?;
        answers(&mut api, at, &Request::get("/readyz", "")).await?;
        let pid = api.pid().ok_or_else(|| Failure::new("the API has no process"))?;
        let (rest, _) = host::memory(pid)?;
        let health = match ask(at, &Request::get("/api/health", ""), 200).await {
            Ok(_) => "/api/health",
            Err(_) => "/readyz",
        };
        let issuer = Issuer::new(secret.as_bytes());
        let (user, token) = person(stack, &issuer, "user@bench.test", Rank::User).await?;
        let (_, operator) = person(stack, &issuer, "operator@bench.test", Rank::Admin).await?;
        let mut site =
            Self { api, at, rest, secret, token, operator, user, profile: vec![], health };
        site.fetch(stack).await?;
        Ok(site)
    }

    /// Has the profile fetched for the user, as anybody would.
    async fn fetch(&mut self, stack: &Stack) -> Result<(), Failure> {
        let demo = DemoProvider::start(DemoOptions::for_tests()).await;
        let demo = demo.map_err(Failure::during("the demo provider did not start"))?;
        let worker = fetcher(stack, &demo).await?;
        let path = format!("/api/v1/instagram/profile/{HANDLE}/refresh");
        let wait = Request::post(&path, &self.token, "prefer: wait=25\r\n", "");
        ask(self.at, &wait, 200).await?;
        stop(worker).await?;
        demo.stop().await;
        self.profile = ask(self.at, &self.profile(), 200).await?;
        let stored: Value = serde_json::from_slice(&self.profile).unwrap_or_default();
        if stored["access"] == "full" && stored["posts"].as_array().is_some_and(|p| p.len() == 12) {
            return Ok(());
        }
        Err(Failure::new("the profile to measure with was not stored with twelve posts"))
    }

    /// Reads the profile.
    pub(super) fn profile(&self) -> Request {
        Request::get(&format!("/api/profile/{HANDLE}"), &self.token)
    }

    /// Leaves nothing but a hundred waiting jobs of the user; reads each of them.
    pub(super) async fn jobs(&self, stack: &mut Stack) -> Result<Vec<Request>, Failure> {
        stack.empty().await?;
        let options = Options { user_id: Some(self.user), ..Options::default() };
        let one = |number| {
            let handle = format!("waits{number}").parse();
            let handle = handle.map_err(Failure::during("a handle"))?;
            new_job(&ProfileFetch::of(handle), &options).map_err(Failure::from)
        };
        let jobs = (0..JOBS).map(one).collect::<Result<Vec<_>, _>>()?;
        let stored = stack.jobs.submit_many(&jobs).await?;
        let get = |id| Request::get(&format!("/api/v1/jobs/{id}"), &self.token);
        Ok(stored.iter().map(|job| get(job.id)).collect())
    }
}

/// Starts a worker that fetches from the demo provider, one profile at a time, and waits until it
/// takes work.
pub(super) async fn fetcher(stack: &Stack, demo: &DemoProvider) -> Result<Role, Failure> {
    let env = [
        // Its job has ended when the profile is stored.
        ("ENABLE_AI_ANALYSIS", "false".to_owned()),
        ("ENABLE_THUMBNAILS", "false".to_owned()),
        ("DECODO_BASE_URL", demo.base_url()),
        ("DECODO_USERNAME", "bench".to_owned()),
        ("DECODO_PASSWORD", "bench".to_owned()),
    ];
    stack.worker(Queue::Fetch, 1, &env).await
}

/// A user and a token.
async fn person(
    stack: &Stack,
    issuer: &Issuer,
    email: &str,
    role: Rank,
) -> Result<(uuid::Uuid, String), Failure> {
    let (hashed_password, full_name, tier) = (None, Some("Bench"), Tier::Standard);
    let new = NewUser { email, hashed_password, full_name, role, tier };
    let user = user::upsert(stack.db(), &new).await?;
    let token = issuer.sign(&user, TOKEN_TTL_S).map_err(Failure::during("no token"))?;
    Ok((user.id, token))
}

/// Waits until a role answers.
pub(super) async fn answers(
    role: &mut Role,
    at: SocketAddr,
    request: &Request,
) -> Result<(), Failure> {
    let began = Instant::now();
    while ask(at, request, 200).await.is_err() {
        patient(role, began)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn patient(role: &mut Role, since: Instant) -> Result<(), Failure> {
    if role.has_ended() || since.elapsed() > PATIENCE {
        let name = role.name();
        return Err(Failure::new(format!("{name} did not start; its lines say why")));
    }
    Ok(())
}

/// Asks once, on a connection of its own.
pub(super) async fn ask(
    at: SocketAddr,
    request: &Request,
    status: u16,
) -> Result<Vec<u8>, Failure> {
    let mut connection = Connection::open(at).await?;
    let answer = connection.ask(request, &AtomicU64::new(0), status).await?;
    Ok(answer.to_vec())
}
