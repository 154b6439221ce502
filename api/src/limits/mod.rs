//! How much one user, or one address, may ask of us.
//!
//! Every request is of one [`Class`], and each class has its limit: what is frequent and cheap is
//! counted by each process, what starts work, signs in or comes from strangers by all replicas
//! together. Admins are not limited. The front asks [`admit`] before anything else is done.

mod address;
mod class;
mod sign_ins;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use entity::enums::Tier;
use jobs::quota::{Clock, Quota, Rate, Together, Verdict};
use jobs::redis::Redis;
use poem::Request;
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use self::class::Class;
use self::sign_ins::SignIns;
use crate::identity;
use crate::problem::Problem;
use crate::state::AppState;

pub use self::address::{Address, Proxies};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The limits of one process.
#[derive(Debug)]
pub struct Limits {
    proxies: Proxies,
    clock: Clock,
    /// `None`: nobody is limited.
    all: Option<Box<All>>,
}

/// Each of them.
#[derive(Debug)]
struct All {
    general: Limit,
    reads: Limit,
    polls: Limit,
    free: Limit,
    standard: Limit,
    premium: Limit,
    strangers: Limit,
    pictures: Limit,
    sign_ins: Limit,
    renewals: Limit,
    failures: SignIns,
}

/// A quota, and what it is about.
#[derive(Debug)]
struct Limit {
    quota: Quota,
    /// For programs.
    name: &'static str,
    /// For people: so many of these.
    what: &'static str,
}

impl All {
    fn new(clock: &Clock, together: Option<&Arc<Together>>) -> Self {
        let here = |name, most, seconds, what| {
            let quota = Quota::local(Rate::new(most, seconds), clock);
            Limit { quota, name, what }
        };
        let shared = |name, most, seconds, what| {
            let quota = Quota::shared(Rate::new(most, seconds), clock, name, together);
            Limit { quota, name, what }
        };
        let work = "calls that start work";
        Self {
            general: here("general", 100, 60, "calls"),
            reads: here("reads", 600, 60, "reads"),
            // 250 open pages of a user, each of which asks every five seconds.
            polls: here("polls", 3_000, 60, "questions about jobs"),
            free: shared("work_free", 100, 3_600, work),
            standard: shared("work_standard", 500, 3_600, work),
            premium: shared("work_premium", 1_000, 3_600, work),
            strangers: shared("anonymous", 100, 10, "anonymous requests"),
            // A page of a hundred, ten times over, behind one address.
            pictures: here("pictures", 2_000, 10, "pictures"),
            sign_ins: shared("sign_ins", 30, 60, "attempts to sign in"),
            // Every open page of an office renews its token now and then.
            renewals: shared("renewals", 120, 60, "renewals"),
            failures: SignIns::new(clock, together),
        }
    }

    /// What a tier has for work.
    fn work(&self, tier: Tier) -> &Limit {
        match tier {
            Tier::Free => &self.free,
            Tier::Standard => &self.standard,
            Tier::Premium => &self.premium,
        }
    }
}

impl Limits {
    /// Everybody is limited, by all processes together where there is a Redis.
    pub fn on(proxies: Proxies, redis: Option<&Redis>) -> Self {
        Self::by(Clock::default(), proxies, redis)
    }

    /// [`Self::on`], by a clock that can be moved.
    pub fn by(clock: Clock, proxies: Proxies, redis: Option<&Redis>) -> Self {
        let together = redis.map(|redis| Arc::new(Together::new(redis.clone(), clock.clone())));
        let all = Some(Box::new(All::new(&clock, together.as_ref())));
        Self { proxies, clock, all }
    }

    /// Nobody is limited.
    pub fn off() -> Self {
        Self { proxies: Proxies::default(), clock: Clock::default(), all: None }
    }

    /// Whether anybody is limited.
    pub fn are_on(&self) -> bool {
        self.all.is_some()
    }

    /// The clock they go by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where a request comes from.
    pub fn address(&self, request: &Request) -> Address {
        self.proxies.address(request)
    }

    /// Refuses who has shown too many wrong passwords, or others on their behalf. Ask before the
    /// password is looked at; `account` is an e-mail address, or the hash of a token.
    ///
    /// # Errors
    /// 429, when it is too early.
    pub async fn check_sign_in(&self, account: &str, from: Address) -> Result<(), Problem> {
        match &self.all {
            Some(all) => all.failures.check(account, from).await,
            None => Ok(()),
        }
    }

    /// Notes a wrong password.
    pub async fn sign_in_failed(&self, account: &str, from: Address) {
        if let Some(all) = &self.all {
            all.failures.failed(account, from).await;
        }
    }
}

/// Lets a request in, and says which of its limits is closest to refusing.
///
/// # Errors
/// 429, when one refuses.
pub(crate) async fn admit(
    state: &AppState,
    request: &mut Request,
) -> Result<Option<Verdict>, Problem> {
    let Some(all) = &state.limits.all else { return Ok(None) };
    let class = Class::of(request.method(), request.uri().path(), request.uri().query());
    let from = |request: &Request| state.limits.address(request).number();
    match class {
        Class::Free => return Ok(None),
        Class::Pictures => return all.pictures.take_here(from(request)).map(Some),
        Class::SignIn => return all.sign_ins.take(from(request)).await.map(Some),
        Class::Renewal => return all.renewals.take(from(request)).await.map(Some),
        Class::Poll | Class::Read | Class::Work | Class::General => {}
    }
    let Some(who) = identity::identify(state, request).await else {
        return all.strangers.take(from(request)).await.map(Some);
    };
    if who.user.role.is_admin() {
        return Ok(None);
    }
    let user = who.user.id.as_u128();
    let frequent = match class {
        Class::Poll => &all.polls,
        Class::Read => &all.reads,
        _ => &all.general,
    };
    let verdict = frequent.take_here(user)?;
    if class != Class::Work {
        return Ok(Some(verdict));
    }
    let work = all.work(who.user.subscription_tier).take(user).await?;
    Ok(Some(if work.left < verdict.left { work } else { verdict }))
}

impl Limit {
    fn take_here(&self, key: u128) -> Result<Verdict, Problem> {
        self.judge(self.quota.take_here(key))
    }

    async fn take(&self, key: u128) -> Result<Verdict, Problem> {
        // What Redis takes of the stack is not carried through every other request.
        self.judge(Box::pin(self.quota.take(key)).await)
    }

    async fn look(&self, key: u128) -> Result<Verdict, Problem> {
        self.judge(self.quota.look(key).await)
    }

    fn judge(&self, verdict: Verdict) -> Result<Verdict, Problem> {
        let Some(wait) = verdict.wait else { return Ok(verdict) };
        tracing::debug!(limit = self.name, "refused");
        let (most, per) = (verdict.rate.most, verdict.rate.per.as_secs());
        let within = match per {
            60 => "a minute".to_owned(),
            3_600 => "an hour".to_owned(),
            900 => "in 15 min".to_owned(),
            seconds => format!("in {seconds} s"),
        };
        let after = seconds(wait);
        let detail = format!("at most {most} {} {within}; try again in {after} s", self.what);
        let refused = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with("limited", self.name)
            .with("limit", most.get())
            .with("window_seconds", per)
            .with("retry_after_seconds", after)
            .header("Retry-After", after.to_string());
        let told = told(&verdict);
        Err(told
            .into_iter()
            .fold(refused, |refused, (name, value)| refused.header(name, value.to_string())))
    }
}

/// In whole seconds, never too early.
fn seconds(time: Duration) -> u64 {
    whole_seconds(time).max(1)
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_nanos().div_ceil(1_000_000_000) as u64
}

fn told(verdict: &Verdict) -> [(&'static str, u64); 3] {
    [
        ("RateLimit-Limit", verdict.rate.most.get().into()),
        ("RateLimit-Remaining", verdict.left.into()),
        ("RateLimit-Reset", whole_seconds(verdict.full_in)),
    ]
}

/// A number as a header; the small ones are written once.
fn number(value: u64) -> HeaderValue {
    static SMALL: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
        let texts = (0..=1_000).map(|number: u64| number.to_string().leak());
        texts.map(|text| HeaderValue::from_static(text)).collect()
    });
    SMALL.get(value as usize).cloned().unwrap_or_else(|| HeaderValue::from(value))
}

/// Says on an answer how much is left.
pub(crate) fn write(headers: &mut HeaderMap, verdict: &Verdict) {
    let [limit, remaining, reset] = told(verdict);
    for (name, (_, value)) in [(LIMIT, limit), (REMAINING, remaining), (RESET, reset)] {
        // A handler that refused has said more.
        headers.entry(name).or_insert_with(|| number(value));
    }
}
