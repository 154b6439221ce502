//! One file per command.

pub(crate) mod admin;
pub(crate) mod demo_provider;
pub(crate) mod doctor;
pub(crate) mod jobs;
pub(crate) mod migrate;
pub(crate) mod token;
pub(crate) mod up;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Resolves at Ctrl-C or SIGTERM.
pub(crate) async fn told_to_stop() -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(Failure::during("signals cannot be heard"));
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
