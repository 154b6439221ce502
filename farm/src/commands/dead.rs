//! `farm jobs dead` and `farm jobs redrive`: what failed and why, and queueing it again.

use std::fmt::Write;

use api::routes::dead::{
    self, DEFAULT_RATE, DEFAULT_REDRIVE, DeadGroup, DeadPage, MAX_REDRIVE, RedriveReport,
};
use clap::builder::PossibleValuesParser;
use clap::{Args, value_parser};
use entity::job::dead::Filter;
use entity::{Time, time};
use jobs::Kind;
use jobs::process::Failure;
use poem_openapi::types::ToJSON;
use uuid::Uuid;

use super::Desk;
use super::{BY, text};

#[derive(Debug, Args)]
pub(crate) struct Dead {
    /// Only this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::words()))]
    kind: Option<String>,
    /// How many groups at most.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u64).range(1..=100))]
    limit: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Redrive {
    #[command(flatten)]
    filters: Filters,
    /// How many at most, those that failed first.
    #[arg(
        long,
        default_value_t = DEFAULT_REDRIVE,
        value_parser = value_parser!(u64).range(1..=MAX_REDRIVE)
    )]
    limit: u64,
    /// How many are due in each second.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_RATE,
        value_parser = value_parser!(u32).range(1..=1_000)
    )]
    rate_per_second: u32,
    /// Do it. Without this it only says what would happen. Needs a filter.
    #[arg(long, requires = "filter")]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which failed jobs; all of the conditions count.
#[derive(Debug, Args)]
#[group(id = "filter", multiple = true)]
struct Filters {
    /// Only this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::words()))]
    kind: Option<String>,
    /// Only this reason, as a word, e.g. not_found.
    #[arg(long)]
    code: Option<String>,
    /// Only this reason, as `farm jobs dead` shows it.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Only jobs that failed at or after this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Time>,
    /// Only jobs that failed before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Time>,
    /// Only these jobs.
    #[arg(long, value_name = "ID", num_args = 1..)]
    id: Vec<Uuid>,
}

fn moment(text: &str) -> Result<Time, &'static str> {
    time::parse_rfc3339(text).ok_or("must be a time like 2026-11-22T15:00:00Z")
}

pub(super) async fn list(state: &Desk, wanted: Dead) -> Result<String, Failure> {
    let page = dead::page(state, wanted.kind.as_deref(), None, wanted.limit).await?;
    Ok(if wanted.json { page.items.to_json_string() } else { groups(&page) })
}

fn groups(page: &DeadPage) -> String {
    if page.items.is_empty() {
        return "no job has failed".to_owned();
    }
    let mut blocks: Vec<String> = page.items.iter().map(group).collect();
    if page.next.is_some() {
        blocks.push("There are more; see --limit.".to_owned());
    }
    blocks.push("To queue a group again: farm jobs redrive --kind K --fingerprint F".to_owned());
    blocks.join("\n\n")
}

fn group(group: &DeadGroup) -> String {
    let code = group.error_code.as_deref().unwrap_or("no code");
    let plural = if group.count == 1 { "" } else { "s" };
    let mut block = format!("{}  {code}  {} job{plural}", group.kind, group.count);
    if group.poison {
        block.push_str("  (each cost several workers)");
    }
    let mut line = |name: &str, text: &str| {
        let _ = write!(block, "\n  {name:12} {text}"); // a String takes everything
    };
    line("fingerprint", &group.fingerprint);
    if group.count > 1 {
        line("failed", &format!("{} to {}", group.oldest_at, group.newest_at));
    } else {
        line("failed", &group.newest_at);
    }
    if let Some(message) = &group.sample_message {
        line("newest", &text::fit(message, 200));
    }
    for id in &group.sample_ids {
        line("job", &id.to_string());
    }
    block
}

pub(super) async fn redrive(state: &Desk, wanted: Redrive) -> Result<String, Failure> {
    let filters = wanted.filters;
    let redrive = dead::Redrive {
        filter: Filter {
            kind: filters.kind,
            fingerprint: filters.fingerprint,
            error_code: filters.code,
            since: filters.since,
            until: filters.until,
            ids: (!filters.id.is_empty()).then_some(filters.id),
        },
        rate_per_second: wanted.rate_per_second,
        limit: wanted.limit,
    };
    // The command line was refused without one; what is asked here twice cannot be forgotten.
    let report = if wanted.yes && redrive.narrows() {
        dead::run(state, &redrive, BY).await?
    } else {
        dead::would(state, &redrive).await?
    };
    if wanted.json {
        return Ok(report.to_json_string());
    }
    let mut said = told(&report);
    if report.dry_run && report.queued > 0 {
        said.push_str(if redrive.narrows() {
            "\nNothing was done. To do it, say the same with --yes."
        } else {
            "\nNothing was done. To do it, name at least one of --kind, --code, --fingerprint, \
             --since, --until, --id and add --yes."
        });
    }
    Ok(said)
}

fn told(report: &RedriveReport) -> String {
    let plural = if report.matched == 1 { "" } else { "s" };
    let more = if report.more { ", and there are more: see --limit" } else { "" };
    let mut lines = vec![format!("{} failed job{plural} found{more}", report.matched)];
    let done = if report.dry_run { "would be queued" } else { "queued" };
    if report.queued > 0 {
        let (count, rate) = (report.queued, report.rate_per_second);
        let last = text::span(report.spread_ms);
        let spread = format!(", {rate} per second, the last {last} after the first");
        lines.push(format!("{count} {done} again{}", if count > 1 { &spread } else { "" }));
    }
    let skipped = if report.dry_run { "would be skipped" } else { "skipped" };
    if report.skipped_superseded > 0 {
        let count = report.skipped_superseded;
        lines.push(format!("{count} {skipped}: an open job does the same work"));
    }
    if report.skipped_changed > 0 {
        lines.push(format!("{} {skipped}: no longer failed", report.skipped_changed));
    }
    if report.skipped_unpaid > 0 {
        let count = report.skipped_unpaid;
        lines.push(format!("{count} {skipped}: who waits for them cannot pay"));
    }
    if report.dry_run {
        lines.extend(report.sample_ids.iter().map(|id| format!("  {id}")));
        if report.matched > report.sample_ids.len() as u64 {
            lines.push("  …".to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use entity::enums::JobState;
    use entity::job::query;
    use entity::{args, job_event};
    use serde_json::{Value, json};

    use super::*;
    use crate::commands::jobs::{Action, answer};
    use crate::commands::story::{Farm, parse};

    async fn say(farm: &Farm, words: &[&str]) -> String {
        answer(&farm.settings, parse(words).unwrap()).await.unwrap()
    }

    async fn say_json(farm: &Farm, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&say(farm, &words).await).unwrap()
    }

    async fn state_of(farm: &Farm, id: Uuid) -> JobState {
        query::by_id(farm.state.db().read(), id).await.unwrap().unwrap().state
    }

    #[test]
    fn wrong_usage_is_refused_with_the_rule() {
        for (words, says) in [
            (&["dead", "--kind", "bogus"][..], "[possible values: profile_fetch, "),
            (&["dead", "--limit", "0"], "1..=100"),
            (&["redrive", "--kind", "bogus"], "[possible values: profile_fetch, "),
            (&["redrive", "--since", "yesterday"], "must be a time like"),
            (&["redrive", "--id", "7"], "invalid"),
            (&["redrive", "--id"], "a value is required"),
            (&["redrive", "--kind", "noop", "--limit", "1001"], "1..=1000"),
            (&["redrive", "--kind", "noop", "--rate-per-second", "0"], "1..=1000"),
        ] {
            let refused = parse::<Action>(words).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{words:?}");
            assert!(refused.to_string().contains(says), "{refused}");
        }
        let everything = parse::<Action>(&["redrive", "--yes", "--limit", "5"]).unwrap_err();
        assert_eq!(everything.kind(), ErrorKind::MissingRequiredArgument);
        let names = everything.to_string();
        for name in ["--kind", "--code", "--fingerprint", "--since", "--until", "--id"] {
            assert!(names.contains(name), "{names}");
        }
    }

    #[tokio::test]
    async fn failures_are_shown_in_groups() {
        let farm = Farm::new().await;
        assert_eq!(say(&farm, &["dead"]).await, "no job has failed");
        assert_eq!(say_json(&farm, &["dead"]).await, json!([]));
        let ids = farm.failed(7).await;
        let other = farm.failed(1).await[0];
        let poison = "UPDATE jobs SET error_code = 'poison', error_fingerprint = 'poison-1', \
                      finished_at = {now+?} WHERE id = ?";
        farm.set(poison, args![1_000_i64, other]).await;
        let groups = say_json(&farm, &["dead", "--kind", "noop"]).await;
        assert_eq!(groups.as_array().unwrap().len(), 2);
        assert_eq!((&groups[0]["poison"], &groups[0]["count"]), (&json!(true), &json!(1)));
        assert_eq!(
            (&groups[1]["fingerprint"], &groups[1]["count"]),
            (&json!("fatal-00c0ffee"), &json!(7))
        );
        assert_eq!(groups[1]["sample_ids"].as_array().unwrap().len(), 5);
        assert_eq!(say_json(&farm, &["dead", "--kind", "prune"]).await, json!([]));
        let text = say(&farm, &["dead"]).await;
        assert!(text.starts_with("noop  poison  1 job  (each cost several workers)\n"), "{text}");
        assert!(
            text.contains("\n\nnoop  fatal  7 jobs\n  fingerprint  fatal-00c0ffee\n"),
            "{text}"
        );
        assert!(
            text.contains("told to fail for good") && text.contains("redrive --kind"),
            "{text}"
        );
        let shown = ids.iter().filter(|id| text.contains(&id.to_string())).count();
        assert_eq!(shown, 5, "{text}");
        let first = say(&farm, &["dead", "--limit", "1"]).await;
        assert!(first.contains("see --limit") && !first.contains("fatal-"), "{first}");
    }

    #[tokio::test]
    async fn a_redrive_is_tried_before_it_is_done() {
        let farm = Farm::new().await;
        let ids = farm.failed(3).await;
        // Without a filter it may be looked at, not done.
        let all = say(&farm, &["redrive"]).await;
        assert!(all.contains("3 would be queued again, 10 per second, the last 200ms"), "{all}");
        assert!(
            all.contains("Nothing was done") && all.contains("at least one of --kind"),
            "{all}"
        );
        let words = ["redrive", "--code", "fatal", "--limit", "2", "--rate-per-second", "1"];
        let dry = say(&farm, &words).await;
        assert!(dry.starts_with("2 failed jobs found, and there are more: see --limit\n"), "{dry}");
        assert!(dry.contains("the last 1.0s after") && dry.contains("same with --yes"), "{dry}");
        assert_eq!(state_of(&farm, ids[0]).await, JobState::Failed);

        let words: Vec<&str> = words.into_iter().chain(["--yes"]).collect();
        let done = say(&farm, &words).await;
        assert!(done.contains("2 queued again") && !done.contains("Nothing was done"), "{done}");
        for (id, state) in ids.iter().zip([JobState::Queued, JobState::Queued, JobState::Failed]) {
            assert_eq!(state_of(&farm, *id).await, state);
        }
        let events = job_event::of(farm.state.db().read(), ids[0]).await.unwrap();
        assert!(events.last().unwrap().detail.contains(BY), "{events:?}");

        let (last, queued) = (ids[2].to_string(), ids[1].to_string());
        let words = ["redrive", "--id", &last, &queued, "--yes"];
        let report = say_json(&farm, &words).await;
        assert_eq!((&report["matched"], &report["queued"]), (&json!(1), &json!(1)));
        assert_eq!(report["dry_run"], false);
        assert_eq!(say(&farm, &words).await, "0 failed jobs found");
    }

    #[tokio::test]
    async fn filters_narrow_and_open_jobs_keep_their_keys() {
        let farm = Farm::new().await;
        let ids = farm.failed(2).await;
        let key = "UPDATE jobs SET key = 'same' WHERE id = ?";
        farm.set(key, args![ids[0]]).await;
        let open = farm.waiting(1).await[0];
        farm.set(key, args![open]).await;
        let far = "2100-01-01T00:00:00Z";
        for (words, matched) in [
            (&["--fingerprint", "fatal-00c0ffee"][..], 2),
            (&["--fingerprint", "fatal-0"], 0),
            (&["--since", far], 0),
            (&["--until", far, "--kind", "noop"], 2),
            (&["--kind", "prune"], 0),
        ] {
            let words: Vec<&str> = ["redrive"].iter().chain(words).copied().collect();
            assert_eq!(say_json(&farm, &words).await["matched"], matched, "{words:?}");
        }
        let done = say(&farm, &["redrive", "--kind", "noop", "--yes"]).await;
        assert!(done.contains("1 queued again"), "{done}");
        assert!(done.contains("1 skipped: an open job does the same work"), "{done}");
    }
}
