//! What a process of the farm has in common with the others: settings, logs, signals, and how it
//! starts and ends.

mod env;
mod failure;
mod logging;
mod metrics;
mod settings;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use env::{Env, Secret};
pub use failure::Failure;
pub use logging::start as start_logging;
pub use metrics::MetricsServer;
pub use settings::{LogFormat, Settings};

/// How a process comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its work is done, or it was told to stop.
    Done,
    /// A thread of it cannot be stopped: a fresh process must take its place.
    Replace,
}

/// Runs a role as the main function of a program: 0 when it is done, 1 with a sentence on standard
/// error when it fails.
pub fn main<F>(program: &str, role: impl FnOnce(Env, Settings) -> F) -> ExitCode
where
    F: Future<Output = Result<End, Failure>>,
{
    let read = Env::of_process().and_then(|env| Ok((Settings::read(&env)?, env)));
    match read.and_then(|(settings, env)| run(&settings.clone(), role(env, settings))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{program}: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a role to its end on a runtime of its own, with logs.
///
/// # Errors
/// What the role fails with.
pub fn run(
    settings: &Settings,
    role: impl Future<Output = Result<End, Failure>>,
) -> Result<(), Failure> {
    // Both crypto providers are compiled in; one must be chosen before the first TLS call.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let sentry = start_logging(settings);
    // One file per connection; the usual soft limit of 1,024 is reached by open streams.
    if let Err(error) = rlimit::increase_nofile_limit(65_536) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::during("the runtime did not start"))?;
    let end = runtime.block_on(role);
    // A blocked thread must not keep the process.
    runtime.shutdown_background();
    // What Sentry still holds goes out before the process is another one.
    drop(sentry);
    match end? {
        End::Done => Ok(()),
        End::Replace => replace_process(),
    }
}

/// Starts this program anew in place of itself, with the same arguments.
#[allow(clippy::disallowed_methods)]
fn replace_process() -> Result<(), Failure> {
    let program =
        std::env::current_exe().map_err(Failure::during("the program cannot be found"))?;
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).exec();
    Err(Failure::new(format!("the process could not be replaced: {error}")))
}

/// Resolves at Ctrl-C or SIGTERM.
///
/// # Errors
/// When signals cannot be heard.
pub async fn told_to_stop() -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(Failure::during("signals cannot be heard"));
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Runs a part of a process that never ends by itself. The token fires when it did all the same
/// (it panicked): a process without it must be replaced.
pub fn spawn_part<T: Send + 'static>(
    part: impl Future<Output = T> + Send + 'static,
) -> (JoinHandle<T>, CancellationToken) {
    let gone = CancellationToken::new();
    let guard = gone.clone().drop_guard();
    let running = tokio::spawn(async move {
        let _guard = guard;
        part.await
    });
    (running, gone)
}

/// Resolves when the process is told to stop, or when `stuck` says that it must be replaced.
///
/// # Errors
/// When signals cannot be heard.
pub async fn until_stopped(stuck: impl Future<Output = ()>) -> Result<End, Failure> {
    tokio::select! {
        stopped = told_to_stop() => {
            stopped?;
            tracing::info!("stopping");
            Ok(End::Done)
        }
        () = stuck => {
            tracing::error!("this process cannot go on; draining and starting afresh");
            Ok(End::Replace)
        }
    }
}

/// Drains, unless told a second time to stop: then the process ends at once, and what it ran is
/// rescued. One that was about to be replaced and is told to stop ends instead.
///
/// # Errors
/// When it was not drained.
pub async fn drained(mut end: End, drain: impl Future<Output = ()>) -> Result<End, Failure> {
    let mut drain = std::pin::pin!(drain);
    loop {
        tokio::select! {
            () = &mut drain => return Ok(end),
            stopped = told_to_stop() => stopped?,
        }
        if end == End::Done {
            return Err(Failure::new("stopped without draining; running jobs will be rescued"));
        }
        end = End::Done;
    }
}
