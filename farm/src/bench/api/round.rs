//! One round: each thing once, the farm and its rivals by turns, so that a noisy moment of the
//! machine hits all of them.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs::process::Failure;

use super::connection::Request;
use super::load::{self, Load, Outcome, Target};
use super::rivals::Rivals;
use super::site::{Site, ask, fetcher};
use crate::bench::figure::Spread;
use crate::bench::host;
use crate::bench::stack::Stack;
use crate::demo::{DemoOptions, DemoProvider};
use crate::roles::Role;

/// Requests per second of an open loop.
const RATE: u32 = 500;
/// Connections for what is read.
const READERS: usize = 32;
/// Connections for what is enqueued.
const WRITERS: usize = 16;
/// Into so many turns a load's time is cut where two servers are compared that take the machine's
/// whole CPU: it is faster and slower from second to second.
const TURNS: u32 = 5;
/// Names of one bulk request: the most an operator may send.
const NAMES: usize = 1_000;
/// How often the API's memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long the rows of a bulk request may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Not while warming up.
    pub(super) counts: bool,
    pub(super) figures: HashMap<&'static str, Spread>,
    /// Who used the CPU in the last round, by load.
    pub(super) shares: Vec<(&'static str, Vec<(String, f64)>)>,
}

impl Notes {
    pub(super) fn add(&mut self, key: &'static str, value: f64) {
        if self.counts {
            self.figures.entry(key).or_default().add(value);
        }
    }
}

/// What it takes.
pub(super) struct Round<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) site: &'a Site,
    pub(super) rivals: &'a Rivals,
    /// For each load.
    pub(super) time: Duration,
    /// Of very many users.
    pub(super) connections: usize,
    pub(super) notes: &'a mut Notes,
}

impl Round<'_> {
    /// What a few users do.
    pub(super) async fn few(mut self) -> Result<(), Failure> {
        self.notes.shares.clear();
        let jobs = self.site.jobs(self.stack).await?;
        let reading = self.job(&jobs).await?.max(self.profile().await?);
        self.health().await?;
        let enqueuing = self.enqueue().await?;
        self.bulk().await?;
        self.notes.add("api_load_mib", reading.max(enqueuing));
        Ok(())
    }

    /// Very many users: as often as promised, then as often as they can. In rounds of its own
    /// after the others: a process does not give back all the memory they took.
    pub(super) async fn many(mut self) -> Result<(), Failure> {
        let [open_loop, closed_loop] = ["connections_{n}", "connections_{n}_closed"];
        self.notes.shares.retain(|(load, _)| ![open_loop, closed_loop].contains(load));
        let jobs = self.site.jobs(self.stack).await?;
        let both = jobs.iter().flat_map(|job| [job.clone(), self.site.profile()]);
        let target = self.target(both.collect(), 200);
        let (open, most) = self.load(open_loop, &target, self.connections, Some(RATE)).await?;
        self.notes.add("connections_{n}.p50_ms", open.waits.percentile(50.0));
        self.notes.add("connections_{n}.p99_ms", open.waits.percentile(99.0));
        let (closed, more) = self.load(closed_loop, &target, self.connections, None).await?;
        self.notes.add("connections_{n}.per_s", closed.per_second());
        self.notes.add("connections_{n}.closed_p99_ms", closed.waits.percentile(99.0));
        self.notes.add("api_{n}_connections_mib", most.max(more));
        Ok(())
    }

    fn target(&self, requests: Vec<Request>, status: u16) -> Arc<Target> {
        Target::new(self.site.at, requests, status)
    }

    /// Runs a load on the API. Returns the memory it had meanwhile, too: the most, in MiB.
    async fn load(
        &mut self,
        name: &'static str,
        target: &Arc<Target>,
        connections: usize,
        rate: Option<u32>,
    ) -> Result<(Outcome, f64), Failure> {
        let (site, time) = (self.site, self.time);
        self.load_on(&site.api, name, target, Load { connections, time, rate }).await
    }

    async fn load_on(
        &mut self,
        role: &Role,
        name: &'static str,
        target: &Arc<Target>,
        load: Load,
    ) -> Result<(Outcome, f64), Failure> {
        let pid = role.pid().ok_or_else(|| Failure::new(format!("{} is gone", role.name())))?;
        let before = self.stack.cpu(&[role]);
        let mut load = std::pin::pin!(load::run(target, load));
        let mut look = tokio::time::interval(LOOK);
        let mut most = 0.0_f64;
        let outcome = loop {
            tokio::select! {
                outcome = &mut load => break outcome?,
                _ = look.tick() => most = most.max(host::memory(pid)?.0),
            }
        };
        let shares = self.stack.cpu(&[role]).since(&before);
        self.notes.shares.retain(|(load, _)| *load != name);
        self.notes.shares.push((name, shares));
        Ok((outcome, most))
    }

    /// FastAPI, without pause; requests per second.
    async fn fastapi(&self, target: &Arc<Target>) -> Result<f64, Failure> {
        let load = Load { connections: READERS, time: self.time, rate: None };
        Ok(load::run(target, load).await?.per_second())
    }

    /// The page that polls.
    async fn job(&mut self, jobs: &[Request]) -> Result<f64, Failure> {
        let target = self.target(jobs.to_vec(), 200);
        let (outcome, most) = self.load("get_job", &target, READERS, Some(RATE)).await?;
        self.notes.add("get_job_p50_ms", outcome.waits.percentile(50.0));
        self.notes.add("get_job_p99_ms", outcome.waits.percentile(99.0));
        Ok(most)
    }

    async fn profile(&mut self) -> Result<f64, Failure> {
        let target = self.target(vec![self.site.profile()], 200);
        let Rivals { poem, hello, long, bytes, .. } = self.rivals;
        let site = self.site;
        let turn = Load { connections: READERS, time: self.time / TURNS, rate: None };
        let mut most = 0.0_f64;
        let [mut profiles, mut hellos, mut said] =
            [Outcome::default(), Outcome::default(), Outcome::default()];
        for _ in 0..TURNS {
            let (outcome, memory) =
                self.load_on(&site.api, "cached_profile", &target, turn).await?;
            most = most.max(memory);
            profiles.then(outcome);
            hellos.then(self.load_on(poem, "poem_hello", hello, turn).await?.0);
            said.then(self.load_on(long, "poem_bytes", bytes, turn).await?.0);
        }
        let ours = profiles.per_second();
        let (hello, bytes) = (hellos.per_second(), said.per_second());
        self.notes.add("cached_profile_per_s", ours);
        self.notes.add("peers.poem_hello_per_s", hello);
        self.notes.add("ratio_to_poem_hello", ours / hello);
        self.notes.add("peers.poem_bytes_per_s", bytes);
        self.notes.add("ratio_to_poem_bytes", ours / bytes);
        self.notes.add("bytes_to_hello", bytes / hello);
        if let Some((hello, profile)) = &self.rivals.fastapi {
            let (hello, profile) = (self.fastapi(hello).await?, self.fastapi(profile).await?);
            self.notes.add("peers.fastapi_hello_per_s", hello);
            self.notes.add("peers.fastapi_per_s", profile);
            self.notes.add("ratio_to_fastapi", ours / profile);
        }
        Ok(most)
    }

    async fn health(&mut self) -> Result<(), Failure> {
        let target = self.target(vec![Request::get(self.site.health, "")], 200);
        let (outcome, _) = self.load("health", &target, READERS, Some(RATE)).await?;
        self.notes.add("health_p99_ms", outcome.waits.percentile(99.0));
        Ok(())
    }

    /// Every request is another job. Nobody works on them.
    async fn enqueue(&mut self) -> Result<f64, Failure> {
        self.stack.empty().await?;
        let path = "/api/v1/instagram/profile/b{n}/refresh";
        let target = self.target(vec![Request::post(path, &self.site.token, "", "")], 202);
        let (outcome, most) = self.load("enqueue", &target, WRITERS, None).await?;
        let (stored, answers) = (self.rows("true").await? as usize, outcome.waits.len());
        if stored != answers {
            return Err(Failure::new(format!("{answers} jobs were accepted and {stored} stored")));
        }
        self.notes.add("enqueue_per_s", outcome.per_second());
        self.notes.add("enqueue_p50_ms", outcome.waits.percentile(50.0));
        self.notes.add("enqueue_p99_ms", outcome.waits.percentile(99.0));
        Ok(most)
    }

    /// One request with many names, until a worker has made a job of each.
    async fn bulk(&mut self) -> Result<(), Failure> {
        self.stack.empty().await?;
        let demo = DemoProvider::start(DemoOptions::for_tests()).await;
        let demo = demo.map_err(Failure::during("the demo provider did not start"))?;
        let worker = fetcher(self.stack, &demo).await?;
        let mut names = String::new();
        for number in 0..NAMES {
            // Writing to a string cannot fail.
            let _ = write!(names, "{}\"bulk{number}\"", if number == 0 { "" } else { "," });
        }
        let body = format!("{{\"usernames\":[{names}]}}");
        let path = "/api/v1/analytics/bulk/profiles";
        let post = Request::post(path, &self.site.operator, "", &body);
        let began = Instant::now();
        ask(self.site.at, &post, 202).await?;
        while self.rows("parent_id IS NOT NULL").await? < NAMES as f64 {
            if began.elapsed() > PATIENCE {
                return Err(Failure::new(format!("{NAMES} names did not become jobs")));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.notes.add("bulk_rows_per_s", NAMES as f64 / began.elapsed().as_secs_f64());
        // It has begun to fetch, which is not what is measured: it is not asked to finish.
        drop(worker);
        demo.stop().await;
        Ok(())
    }

    async fn rows(&self, which: &str) -> Result<f64, Failure> {
        let count = format!("SELECT count(*)::float8 FROM jobs WHERE {which}");
        self.stack.number(&count).await
    }
}
