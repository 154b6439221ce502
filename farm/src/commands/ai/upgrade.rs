//! `farm ai upgrade`: has done again what a lower tier did, straight on the database.

use clap::{Args, value_parser};
use entity::enums::{AiTier, Priority};
use entity::post::analysis;
use entity::worker;
use jobs::kinds::profile_analysis::ProfileAnalysis;
use jobs::process::Failure;
use jobs::submit::new_job;
use jobs::{Jobs, Options};
use serde_json::json;

use super::eval::Asked;

#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// The tier that posts should be analysed by; by default the best that a worker answers with.
    #[arg(long)]
    tier: Option<Asked>,
    /// How many profiles at most, those that were fetched last first.
    #[arg(long, default_value_t = 500, value_parser = value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Do it. Without this it only says what would happen.
    #[arg(long)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(jobs: &Jobs, asked: &Upgrade) -> Result<String, Failure> {
    let db = jobs.db().read();
    let serving = worker::best_tier(&worker::live(db).await?);
    let wanted = asked.tier.map(stored);
    let tier = wanted.or(serving).ok_or_else(|| {
        Failure::new("no worker analyses captions now: start one, or say which --tier will")
    })?;
    let behind = analysis::profiles_behind(db, tier, asked.limit).await?;
    let mut started = 0;
    if asked.yes {
        let options = Options { priority: Some(Priority::Bulk), ..Options::default() };
        let of = |profile: &_| new_job(&ProfileAnalysis::missing(*profile), &options);
        let new = behind.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        let enqueued = jobs.submit_many(&new).await?;
        started = enqueued.iter().filter(|job| job.created).count();
    }
    let profiles = behind.len();
    if asked.json {
        let report = json!({
            "tier": tier.as_str(), "profiles": profiles, "started": started, "dry_run": !asked.yes,
        });
        return Ok(report.to_string());
    }
    let found = match profiles {
        0 => {
            return Ok(format!(
                "every stored post is analysed by the {} tier or a higher one",
                tier.as_str()
            ));
        }
        1 => "1 profile has".to_owned(),
        many => format!("{many} profiles have"),
    };
    let found = format!("{found} posts without an analysis by the {} tier", tier.as_str());
    Ok(match (asked.yes, serving) {
        (false, _) => format!("{found}; --yes has them analysed"),
        (true, Some(serving)) if serving >= tier => {
            format!("{found}; {started} analyses started, the others were open already")
        }
        (true, _) => format!(
            "{found}; {started} analyses started, the others were open already. No worker answers \
             with the {} tier now: what is there answers",
            tier.as_str()
        ),
    })
}

fn stored(asked: Asked) -> AiTier {
    match asked {
        Asked::Rules => AiTier::Rules,
        Asked::Lite => AiTier::Lite,
        Asked::Full => AiTier::Full,
    }
}
