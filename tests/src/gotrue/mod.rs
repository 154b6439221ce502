//! A hosted identity provider, in this process: keys that rotate, accounts, outages; and whatever
//! token somebody may want to forge.

mod signer;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::identity::SupabaseSettings;
use entity::time::wall_now;
use jobs::process::Secret;
use poem::http::{Method, StatusCode};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Request, Response, Server};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

pub use signer::{Signer, encoded};

/// The project's public key of its own.
pub const ANON_KEY: &str = "anon-key-of-the-tests";
/// The project's shared secret.
pub const JWT_SECRET: &str = "the shared secret of a project, long enough";

/// What it answers when it is asked for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Its keys.
    Published,
    /// A status without keys.
    Fails(u16),
    /// Something else.
    Says(String),
    /// That they are elsewhere.
    Moved(String),
}

/// An answer that was made up.
#[derive(Clone, Debug)]
pub struct Scripted {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Value,
    /// `Retry-After`.
    pub retry_after: Option<&'static str>,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// With the query.
    pub path: String,
    /// The project's key.
    pub apikey: String,
    /// Whose token.
    pub authorization: String,
}

#[derive(Clone)]
struct Account {
    id: Uuid,
    password: String,
    confirmed: bool,
    full_name: Option<String>,
}

struct World {
    issuer: String,
    signers: Vec<Signer>,
    published: Vec<Value>,
    keys: Keys,
    asked: usize,
    accounts: BTreeMap<String, Account>,
    sessions: HashMap<String, String>,
    /// Registrations must be confirmed by mail.
    confirm: bool,
    mailed: BTreeMap<String, String>,
    scripts: Vec<Scripted>,
    seen: Vec<Seen>,
}

/// The provider, as long as it is held.
pub struct Gotrue {
    at: SocketAddr,
    world: Arc<Mutex<World>>,
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
}

impl Drop for Gotrue {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Gotrue {
    /// One that signs with the first of these keys and publishes all of them.
    pub async fn start(signers: &[Signer]) -> Self {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.expect("a port");
        let addr = acceptor.local_addr().remove(0);
        let at = *addr.as_socket_addr().expect("an address");
        let world = Arc::new(Mutex::new(World {
            issuer: format!("http://{at}/auth/v1"),
            signers: signers.to_vec(),
            published: signers.iter().map(Signer::jwk).collect(),
            keys: Keys::Published,
            asked: 0,
            accounts: BTreeMap::new(),
            sessions: HashMap::new(),
            confirm: false,
            mailed: BTreeMap::new(),
            scripts: vec![],
            seen: vec![],
        }));
        let shared = world.clone();
        let app = poem::endpoint::make(move |request: Request| {
            let world = shared.clone();
            async move { Ok::<_, poem::Error>(answer(&world, request).await) }
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            let server = Server::new_with_acceptor(acceptor);
            // Whoever is connected is cut off.
            let served = server.run_with_graceful_shutdown(app, stopped, Some(Duration::ZERO));
            served.await.expect("a server");
        });
        Self { at, world, stop, server: Some(server) }
    }

    /// Nobody answers any more.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            server.await.expect("the server ends");
        }
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings of a farm whose users sign in here.
    pub fn settings(&self, jwt_secret: Option<&str>) -> SupabaseSettings {
        SupabaseSettings {
            url: Url::parse(&format!("http://{}", self.at)).expect("a URL"),
            anon_key: Secret::new(ANON_KEY),
            jwt_secret: jwt_secret.map(Secret::new),
        }
    }

    /// What a token of this person says.
    pub fn claims(&self, id: Uuid, email: &str) -> Value {
        claims(&self.world().issuer, id, email)
    }

    /// A good token of this person.
    pub fn token(&self, id: Uuid, email: &str) -> String {
        let claims = self.claims(id, email);
        self.world().signers[0].token(&claims)
    }

    /// Signs with the first of these keys from now on, and publishes all of them.
    pub fn rotate(&self, signers: &[Signer]) {
        let mut world = self.world();
        world.signers = signers.to_vec();
        world.published = signers.iter().map(Signer::jwk).collect();
    }

    /// What it answers from now on when it is asked for keys.
    pub fn set_keys(&self, keys: Keys) {
        self.world().keys = keys;
    }

    /// How often it was asked for keys.
    pub fn asked(&self) -> usize {
        self.world().asked
    }

    /// Whether registrations must be confirmed by mail.
    pub fn set_confirm(&self, confirm: bool) {
        self.world().confirm = confirm;
    }

    /// What stands in the mail to this address.
    pub fn mailed(&self, email: &str) -> Option<String> {
        self.world().mailed.get(email).cloned()
    }

    /// The next answers, whatever is asked but keys.
    pub fn script(&self, answers: &[Scripted]) {
        self.world().scripts = answers.iter().rev().cloned().collect();
    }

    /// What came, keys apart.
    pub fn seen(&self) -> Vec<Seen> {
        self.world().seen.clone()
    }
}

fn claims(issuer: &str, id: Uuid, email: &str) -> Value {
    let now = wall_now().0 / 1_000;
    json!({
        "iss": issuer, "sub": id, "aud": "authenticated", "role": "authenticated",
        "email": email, "phone": "", "iat": now, "exp": now + 3_600,
        "session_id": Uuid::new_v4(), "aal": "aal1", "is_anonymous": false,
        "amr": [{ "method": "password", "timestamp": now }],
        "app_metadata": { "provider": "email", "providers": ["email"] },
        "user_metadata": { "email": email, "email_verified": true },
    })
}

fn said(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    Response::builder().status(status).content_type("application/json").body(body.to_string())
}

fn refused(status: u16, word: &str) -> Response {
    said(status, &json!({ "code": status, "error_code": word, "msg": "as GoTrue would say it" }))
}

async fn answer(world: &Mutex<World>, mut request: Request) -> Response {
    let body = request.take_body().into_string().await.unwrap_or_default();
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    if path == "/auth/v1/.well-known/jwks.json" {
        return world.keys();
    }
    let header = |name| request.header(name).unwrap_or_default().to_owned();
    let (apikey, authorization) = (header("apikey"), header("authorization"));
    world.seen.push(Seen { path: path.clone(), apikey: apikey.clone(), authorization });
    if request.method() != Method::POST || apikey != ANON_KEY {
        return said(401, &json!({ "message": "Invalid API key" }));
    }
    if let Some(scripted) = world.scripts.pop() {
        let mut response = said(scripted.status, &scripted.body);
        if let Some(pause) = scripted.retry_after {
            response.headers_mut().insert("retry-after", pause.parse().expect("a header"));
        }
        return response;
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    match path.as_str() {
        "/auth/v1/signup" => {
            let name = body["data"]["full_name"].as_str().map(str::to_owned);
            world.sign_up(&text("email"), text("password"), name)
        }
        "/auth/v1/token?grant_type=password" => {
            world.sign_in(&text("email").to_lowercase(), &text("password"))
        }
        "/auth/v1/token?grant_type=refresh_token" => {
            match world.sessions.remove(&text("refresh_token")) {
                Some(email) => world.session(&email),
                None => refused(400, "refresh_token_not_found"),
            }
        }
        "/auth/v1/verify" => world.verify(&text("token_hash")),
        "/auth/v1/recover" => said(200, &json!({})),
        "/auth/v1/logout?scope=local" => {
            world.sessions.clear();
            Response::builder().status(StatusCode::NO_CONTENT).finish()
        }
        _ => refused(404, "not_found"),
    }
}

impl World {
    fn keys(&mut self) -> Response {
        self.asked += 1;
        match &self.keys {
            Keys::Published => said(200, &json!({ "keys": self.published })),
            Keys::Fails(status) => said(*status, &json!({ "keys": [] })),
            Keys::Says(text) => Response::builder().body(text.clone()),
            Keys::Moved(to) => {
                Response::builder().status(StatusCode::FOUND).header("location", to).finish()
            }
        }
    }

    fn sign_up(&mut self, email: &str, password: String, full_name: Option<String>) -> Response {
        let view =
            |id: Uuid| json!({ "id": id, "email": email, "created_at": "2026-11-28T01:02:03Z" });
        if self.accounts.contains_key(email) {
            // Who has an account is told in the mail alone, where there is one.
            let other = view(Uuid::new_v4());
            return if self.confirm {
                said(200, &other)
            } else {
                refused(422, "user_already_exists")
            };
        }
        let id = Uuid::new_v4();
        let account = Account { id, password, confirmed: !self.confirm, full_name };
        self.accounts.insert(email.to_owned(), account);
        if self.confirm {
            let mailed = Uuid::new_v4().simple().to_string();
            self.mailed.insert(email.to_owned(), mailed);
            return said(200, &view(id));
        }
        self.session(email)
    }

    fn sign_in(&mut self, email: &str, password: &str) -> Response {
        match self.accounts.get(email) {
            Some(account) if account.password == password && account.confirmed => {
                self.session(email)
            }
            Some(account) if account.password == password => refused(400, "email_not_confirmed"),
            _ => refused(400, "invalid_credentials"),
        }
    }

    fn session(&mut self, email: &str) -> Response {
        let account = &self.accounts[email];
        let mut claims = claims(&self.issuer, account.id, email);
        if let Some(name) = &account.full_name {
            claims["user_metadata"]["full_name"] = json!(name);
        }
        let refresh = Uuid::new_v4().simple().to_string();
        self.sessions.insert(refresh.clone(), email.to_owned());
        let access = self.signers[0].token(&claims);
        said(
            200,
            &json!({
                "access_token": access, "refresh_token": refresh, "token_type": "bearer",
                "expires_in": 3_600, "user": { "id": account.id, "email": email },
            }),
        )
    }

    fn verify(&mut self, token_hash: &str) -> Response {
        let found = self.mailed.iter().find(|(_, mailed)| *mailed == token_hash);
        let Some(email) = found.map(|(email, _)| email.clone()) else {
            return refused(403, "otp_expired");
        };
        self.mailed.remove(&email);
        if let Some(account) = self.accounts.get_mut(&email) {
            account.confirmed = true;
        }
        self.session(&email)
    }
}
