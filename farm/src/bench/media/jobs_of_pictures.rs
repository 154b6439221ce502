//! Whole jobs: profiles of the demo provider, fetched by a farm in this process, until their
//! pictures are on its CDN.

use std::path::Path;
use std::time::Instant;

use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::process::Failure;
use jobs::{Options, submit::new_job};

use crate::bench::queue::flow;
use crate::bench::stack::embedded;
use crate::config::Settings;
use crate::machine::Machine;

pub(super) struct Done {
    pub(super) jobs: f64,
    pub(super) images: f64,
}

pub(super) async fn measure(
    settings: &Settings,
    folder: &Path,
    profiles: u32,
) -> Result<Done, Failure> {
    let mut settings = embedded(settings, &folder.join("farm"));
    settings.worker.ai.enabled = false;
    settings.worker.decodo = None;
    // The provider's rate is not what is measured.
    settings.worker.provider_rate = std::num::NonZeroU32::MAX;
    let machine = Machine::start(&settings, 1).await?;
    let fetches = (0..profiles).map(|number| {
        let name = format!("bench_pictures_{number}").parse().map_err(Failure::during("a name"))?;
        let fetch = new_job(&ProfileFetch::of(name), &Options::default());
        fetch.map_err(Failure::during("a fetch"))
    });
    let fetches = fetches.collect::<Result<Vec<_>, Failure>>()?;
    let began = Instant::now();
    let sent = machine.jobs.submit_many(&fetches).await;
    sent.map_err(Failure::during("the fetches"))?;
    flow::drained(machine.jobs.db()).await?;
    let took = began.elapsed().as_secs_f64();
    let totals = entity::cdn_asset::overview::totals(machine.jobs.db().read()).await?;
    machine.shutdown().await;
    if totals.completed != totals.total || totals.total == 0 {
        let (total, stored) = (totals.total, totals.completed);
        return Err(Failure::new(format!("of {total} pictures {stored} are on the CDN")));
    }
    Ok(Done { jobs: f64::from(profiles) / took, images: totals.completed as f64 / took })
}
