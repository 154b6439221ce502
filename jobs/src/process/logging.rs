//! Logs, and Sentry when a DSN is set.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{LogFormat, Settings};

/// Starts logging to standard error. Keep the guard: dropping it sends what Sentry still holds.
pub fn start(settings: &Settings) -> Option<sentry::ClientInitGuard> {
    let guard = settings.sentry_dsn.as_ref().map(|dsn| {
        let release = env!("CARGO_PKG_VERSION");
        // No addresses, headers or bodies of users.
        let options = sentry::ClientOptions::new().release(release).send_default_pii(false);
        sentry::init((dsn.expose().to_owned(), options))
    });
    let filter = EnvFilter::try_new(settings.rust_log.as_deref().unwrap_or("info,sqlx=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(guard.as_ref().map(|_| sentry::integrations::tracing::ErrorLayer::new()));
    // A test harness may have set a subscriber already; its choice stands.
    let _ = match settings.log_format {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_target(false),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr))
            .try_init(),
    };
    guard
}
