//! `farm models bench`: how many captions a second each tier that is here analyses.

use std::time::Duration;

use clap::Args;
use jobs::process::Failure;
use models::engine::{Engine, Settings as EngineSettings};
use models::store::Store;
use models::{Tier, load};
use serde_json::{Value, json};

use super::super::text::{self, Side};
use crate::bench::ai::{CAPTIONS, ours, task};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Seconds per tier, at least.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What one tier did.
struct Figure {
    tier: Tier,
    load_ms: u64,
    per_second: f64,
}

pub(super) async fn run(store: &Store, asked: &Bench) -> Result<String, Failure> {
    let captions = task::captions(CAPTIONS).map_err(Failure::during("the captions"))?;
    let mut figures = Vec::new();
    let here = [Tier::Rules, Tier::Lite, Tier::Full];
    for tier in here.into_iter().filter(|tier| *tier <= load::BEST && store.present(*tier)) {
        // Every caption is computed, however often it comes.
        let how = EngineSettings { remembered: 0, ..EngineSettings::default() };
        let engine = Engine::start(vec![load::loader(store, tier)], how);
        let window = if tier == Tier::Full { 2 } else { 64 };
        let time = Duration::from_secs(asked.seconds.into());
        let rate = ours::measured(&engine, &captions, window, time).await;
        let state = engine.state();
        engine.stop().await;
        // What a load says is more use than that nothing was answered.
        let (loaded, error) = state
            .tiers
            .first()
            .map_or((None, None), |tier| (tier.load_ms, tier.load_error.clone()));
        let rate = rate.map_err(|failure| error.map_or(failure, Failure::new))?;
        let per_second = rate.captions as f64 / rate.seconds;
        figures.push(Figure { tier, load_ms: loaded.unwrap_or(0), per_second });
    }
    Ok(if asked.json {
        figures.iter().map(Figure::json).collect::<Value>().to_string()
    } else {
        told(&figures)
    })
}

impl Figure {
    fn json(&self) -> Value {
        json!({
            "tier": self.tier, "load_ms": self.load_ms, "captions_per_s": self.per_second,
            "posts_per_hour": (self.per_second * 3_600.0).round(),
        })
    }
}

fn told(figures: &[Figure]) -> String {
    let columns = [
        ("TIER", Side::Left),
        ("LOADED IN", Side::Right),
        ("CAPTIONS/S", Side::Right),
        ("POSTS/H", Side::Right),
    ];
    let rows = figures.iter().map(|figure| {
        vec![
            figure.tier.to_string(),
            format!("{:.1} s", figure.load_ms as f64 / 1_000.0),
            format!("{:.1}", figure.per_second),
            format!("{:.0}", figure.per_second * 3_600.0),
        ]
    });
    text::table(&columns, &rows.collect::<Vec<_>>()).join("\n")
}
