//! `farm models`: the checkpoints on this machine.

mod bench;
mod download;
mod fault;
mod hub;
mod list;
mod package;
mod progress;
mod pull;
#[cfg(test)]
mod tests;
mod upkeep;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jobs::process::Failure;
use models::Tier;
use models::store::Store;

use self::download::Patience;
use self::fault::Fault;
use self::hub::Hub;
use self::package::MINILM;
use self::progress::Progress;
use self::pull::Sources;
use super::{out, text, token};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// The checkpoints of each tier, where they come from, and whether they are here.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch a tier's checkpoints; what is here already is not fetched again.
    Pull(Pull),
    /// Read every file that is here and compare it with its checksum.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure how many captions a second each tier that is here analyses.
    Bench(bench::Bench),
    /// Make bfloat16 copies of the large weights, for a CPU that is faster with them.
    Prepare {
        /// Also where they would be slower than the weights themselves.
        #[arg(long)]
        anyway: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Which tier.
    tier: Pulled,
    /// Say nothing on the way, and nothing at all when there was nothing to fetch.
    #[arg(long)]
    quiet: bool,
    /// Give up after this long, e.g. 90s, 10m; the next pull goes on from there.
    #[arg(long, value_parser = token::parse_ttl)]
    within: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A tier that has something to pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pulled {
    /// Sentence embeddings.
    Lite,
    /// The large models.
    Full,
}

impl From<Pulled> for Tier {
    fn from(pulled: Pulled) -> Self {
        match pulled {
            Pulled::Lite => Self::Lite,
            Pulled::Full => Self::Full,
        }
    }
}

pub(crate) async fn run(settings: &Settings, action: Action) -> Result<(), Failure> {
    let store = settings.worker.models(&settings.common.data_dir)?;
    match action {
        Action::List { json } => out::print(&list::told(&store, json)?),
        Action::Pull(pull) => {
            let hub = Hub::new(&settings.hub).map_err(Failure::during("the client"))?;
            let sources = Sources {
                hub,
                patience: Patience(Duration::from_secs(1)),
                package: MINILM,
                python: PathBuf::from("python3"),
            };
            pulled(&store, &pull, &sources).await?.map_or(Ok(()), |told| out::print(&told))
        }
        Action::Verify { json } => {
            let (answer, verdict) = upkeep::verify(store, json).await?;
            out::print(&answer)?;
            verdict
        }
        Action::Bench(asked) => out::print(&bench::run(&store, &asked).await?),
        Action::Prepare { anyway, json } => {
            out::print(&upkeep::prepare(store, anyway, json).await?)
        }
    }
}

/// Pulls, and says what came of it, if it is to be said.
async fn pulled(store: &Store, asked: &Pull, sources: &Sources) -> Result<Option<String>, Failure> {
    let tier = Tier::from(asked.tier);
    let mut progress = Progress::new(asked.quiet);
    let pull = pull::pull(store, tier, sources, &mut progress);
    let done = match asked.within {
        None => pull.await,
        Some(seconds) => {
            let within = Duration::from_secs(seconds.unsigned_abs());
            let done = tokio::time::timeout(within, pull).await;
            done.unwrap_or(Err(Fault::TooSlow { within }))
        }
    };
    let fetched =
        done.map_err(|fault| Failure::new(format!("the {tier} models were not pulled: {fault}")))?;
    if asked.json {
        let answer = serde_json::json!({
            "tier": tier, "fetched_bytes": fetched, "cache": store.cache(),
        });
        return Ok(Some(answer.to_string()));
    }
    let here = format!("the {tier} models are here, in {}", store.cache().display());
    Ok(match (fetched, asked.quiet) {
        (0, true) => None,
        (0, false) => Some(here),
        (bytes, _) => Some(format!("{here}; {} were fetched", text::bytes(bytes))),
    })
}
