//! What a process tells Prometheus: `GET /metrics`, on an address of its own that no proxy leads
//! to. Figures are counted where things happen, by the names described here.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{Failure, Settings};

/// Where it is answered when nobody says where.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9_100);

/// Upper bounds of durations in seconds: an answer from memory, a query, a call to the provider, a
/// long analysis.
const SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 600.0,
];
/// Upper bounds of captions in a batch.
const CAPTIONS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// How often what was measured is sorted into its buckets.
const SORT_EVERY: Duration = Duration::from_secs(5);
/// Before accepting is tried again when it failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long a connection may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at once: whoever scrapes needs one.
const CONNECTIONS: usize = 16;

/// A process has one recorder, however many parts of it count.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// The listener; dropped, it answers no more.
#[derive(Debug)]
pub struct MetricsServer {
    /// Where it answers.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Settings {
    /// Counts from now on, and answers Prometheus at `FARM_METRICS_ADDR`; when nobody said where
    /// and the usual port is taken (several roles on a machine), at a free one.
    ///
    /// # Errors
    /// When the address that was asked for cannot be listened on.
    pub async fn tell_metrics(&self) -> Result<MetricsServer, Failure> {
        let listener = match self.metrics_addr {
            Some(addr) => TcpListener::bind(addr).await.map_err(Failure::during(format!(
                "{addr} cannot be listened on; choose another FARM_METRICS_ADDR"
            )))?,
            None => match TcpListener::bind(USUAL).await {
                Ok(listener) => listener,
                Err(_) => TcpListener::bind(SocketAddr::new(USUAL.ip(), 0))
                    .await
                    .map_err(Failure::during("no port is free for the metrics"))?,
            },
        };
        let addr = listener.local_addr().map_err(Failure::during("the metrics' address"))?;
        let recorder = RECORDER.get_or_init(install).clone();
        tracing::info!(%addr, "metrics are told at /metrics");
        Ok(MetricsServer { addr, task: tokio::spawn(serve(listener, recorder)) })
    }
}

/// `None`, with a line in the log, when somebody else records already.
fn install() -> Option<PrometheusHandle> {
    let captions = Matcher::Full("farm_ai_batch_size".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(captions, &CAPTIONS));
    match builder.and_then(PrometheusBuilder::install_recorder) {
        Ok(recorder) => {
            describe();
            Some(recorder)
        }
        Err(error) => {
            tracing::warn!(%error, "nothing is counted");
            None
        }
    }
}

/// Every figure there is. Labels name kinds, queues and routes, never users or handles.
fn describe() {
    use Unit::{Count, Seconds};
    describe_counter!("farm_jobs_enqueued_total", Count, "Jobs stored, by queue and kind.");
    describe_histogram!("farm_job_wait_seconds", Seconds, "From due to claimed, by queue.");
    describe_histogram!(
        "farm_job_duration_seconds",
        Seconds,
        "A run, from claimed to ended, by kind and outcome."
    );
    describe_gauge!("farm_queue_depth", Count, "Jobs of a queue, by state.");
    describe_gauge!("farm_queue_oldest_age_seconds", Seconds, "How long the oldest is due.");
    describe_gauge!("farm_workers", Count, "Workers whose lease is live.");
    describe_counter!("farm_provider_requests_total", Count, "Calls, by what came of them.");
    describe_gauge!("farm_breaker_state", Count, "0 closed, 1 half open, 2 open.");
    describe_gauge!("farm_ledger_drift_credits", Count, "By how much wallets are off.");
    describe_histogram!("farm_ai_batch_size", Count, "Captions computed together.");
    describe_counter!("farm_ai_captions_total", Count, "Captions, by the tier that answered.");
    describe_gauge!("farm_health_score", Count, "0 to 100, as /api/health has it.");
    describe_histogram!(
        "http_server_request_duration_seconds",
        Seconds,
        "Answers, by method, route and status; long polls with their wait."
    );
}

async fn serve(listener: TcpListener, recorder: Option<PrometheusHandle>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut sort = tokio::time::interval(SORT_EVERY);
    loop {
        let accepted = tokio::select! {
            _ = sort.tick() => {
                if let Some(recorder) = &recorder {
                    recorder.run_upkeep();
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // One too many is hung up on.
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                let recorder = recorder.clone();
                tokio::spawn(async move {
                    answer(stream, recorder).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for the metrics could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, recorder: Option<PrometheusHandle>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = respond(request.method(), request.uri().path(), recorder.as_ref());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    // Whoever hangs up is not missed.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

fn respond(
    method: &Method,
    path: &str,
    recorder: Option<&PrometheusHandle>,
) -> Response<Full<Bytes>> {
    let told = |status, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        response
    };
    if path != "/metrics" {
        return told(StatusCode::NOT_FOUND, "the metrics are at /metrics\n".to_owned());
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refused = told(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    told(StatusCode::OK, recorder.map(PrometheusHandle::render).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Env;

    fn settings(vars: &[(&str, &str)]) -> Result<Settings, Failure> {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::read(&Env::of(vars).unwrap())
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_told_and_the_usual_one_has_a_substitute() {
        let first = settings(&[]).unwrap().tell_metrics().await.unwrap();
        let second = settings(&[]).unwrap().tell_metrics().await.unwrap();
        assert_ne!(first.addr, second.addr);
        let taken = second.addr.to_string();
        let asked = settings(&[("FARM_METRICS_ADDR", &taken)]).unwrap();
        let failure = asked.tell_metrics().await.unwrap_err();
        assert!(failure.0.contains(&taken) && failure.0.contains("FARM_METRICS_ADDR"), "{failure}");
        let failure = settings(&[("FARM_METRICS_ADDR", "nine")]).unwrap_err();
        assert!(failure.0.starts_with("FARM_METRICS_ADDR must be"), "{failure}");
    }

    #[test]
    fn only_metrics_are_told_and_only_when_asked_for() {
        let status = |method, path| respond(&method, path, None).status().as_u16();
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::HEAD, "/metrics"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        assert_eq!(status(Method::GET, "/"), 404);
    }
}
