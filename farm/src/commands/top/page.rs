//! The page of `farm top`: a function of what was seen and the terminal's size, and of nothing
//! else.

use api::routes::workers::{RunView, WorkerView};
use entity::{Time, time};

use super::snapshot::Snapshot;
use crate::commands::queues;
use crate::commands::text::{self, Side};

/// How a line stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Plain,
    Heading,
    Alarm,
}

/// A line of the page, no wider than the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) weight: Weight,
}

/// The page: at most `height` lines of at most `width` columns. `note` is the page's word about
/// itself, when it has one.
pub(super) fn page(seen: &Snapshot, note: &str, width: usize, height: usize) -> Vec<Line> {
    let mut page = Page { lines: vec![], width };
    page.add(if seen.integrity.clean { Weight::Plain } else { Weight::Alarm }, &head(seen));
    page.add(if note.starts_with('!') { Weight::Alarm } else { Weight::Plain }, note);
    page.table(queues::table(&seen.queues, seen.at), |_| Weight::Plain);
    page.add(Weight::Plain, "");
    page.workers(seen, height);
    page.runs(seen, height);
    page.lines.truncate(height);
    page.lines
}

struct Page {
    lines: Vec<Line>,
    width: usize,
}

impl Page {
    fn add(&mut self, weight: Weight, text: &str) {
        self.lines.push(Line { text: text::fit(text, self.width), weight });
    }

    fn table(&mut self, lines: Vec<String>, weight: impl Fn(usize) -> Weight) {
        for (at, line) in lines.iter().enumerate() {
            self.add(if at == 0 { Weight::Heading } else { weight(at - 1) }, line);
        }
    }

    /// Lines that are left, with a heading already taken off.
    fn room(&self, height: usize) -> usize {
        height.saturating_sub(self.lines.len() + 1)
    }

    fn workers(&mut self, seen: &Snapshot, height: usize) {
        let mut workers: Vec<&WorkerView> = seen.workers.iter().collect();
        if workers.is_empty() {
            return self
                .add(Weight::Alarm, "no worker is there; farm up or farm worker starts one");
        }
        // Every worker keeps its place from page to page; those that are lost come last.
        workers.sort_by_key(|worker| (!worker.alive, &worker.host, worker.id));
        let room = self.room(height);
        let shown = if workers.len() > room { room.saturating_sub(1) } else { workers.len() };
        let columns = [
            ("WORKER", Side::Left),
            ("VERSION", Side::Left),
            ("SLOTS", Side::Right),
            ("MEMORY", Side::Right),
            ("BEAT", Side::Right),
            ("STATE", Side::Left),
            ("RUNS", Side::Left),
        ];
        let rows: Vec<Vec<String>> =
            workers.iter().take(shown).map(|worker| worker_row(worker, seen.at)).collect();
        self.table(text::table(&columns, &rows), |at| match workers.get(at) {
            Some(worker) if !worker.alive => Weight::Alarm,
            _ => Weight::Plain,
        });
        if shown < workers.len() {
            let lost = workers.iter().skip(shown).filter(|worker| !worker.alive).count();
            let lost = if lost > 0 { format!(", {lost} lost") } else { String::new() };
            self.add(Weight::Plain, &format!("… and {} more{lost}", workers.len() - shown));
        }
    }

    /// What runs longest, in the room that is left.
    fn runs(&mut self, seen: &Snapshot, height: usize) {
        let all = seen.workers.iter();
        let mut runs: Vec<(&RunView, &WorkerView)> =
            all.flat_map(|worker| worker.jobs.iter().map(move |run| (run, worker))).collect();
        runs.sort_by_key(|(run, _)| (std::cmp::Reverse(run.elapsed_ms), run.id));
        let room = self.room(height).saturating_sub(1);
        if runs.is_empty() || room == 0 {
            return;
        }
        runs.truncate(room);
        let columns = [
            ("JOB", Side::Left),
            ("FOR", Side::Right),
            ("TRY", Side::Right),
            ("KIND", Side::Left),
            ("STAGE", Side::Left),
            ("WORKER", Side::Left),
        ];
        let row = |(run, worker): &(&RunView, &WorkerView)| {
            vec![
                run.id.to_string(),
                text::span_or_dash(run.elapsed_ms),
                run.attempt.to_string(),
                text::fit(&run.kind, 20),
                text::fit(run.stage.as_deref().unwrap_or("-"), 20),
                text::fit(&worker.host, 30),
            ]
        };
        self.add(Weight::Plain, "");
        self.table(text::table(&columns, &runs.iter().map(row).collect::<Vec<_>>()), |_| {
            Weight::Plain
        });
    }
}

fn head(seen: &Snapshot) -> String {
    let at = seen.at.utc().format("%Y-%m-%d %H:%M:%SZ");
    let (open, rate, dead) = (seen.open(), text::rate(seen.per_minute()), seen.dead);
    let found = seen.integrity.findings.iter().filter(|(_, count)| **count != 0);
    let found: Vec<String> = found.map(|(what, count)| format!("{what} {count}")).collect();
    let integrity = match (seen.integrity.clean, found.join(", ")) {
        (true, found) if found.is_empty() => "integrity ok".to_owned(),
        (true, found) => format!("integrity ok, {found}"),
        (false, found) => format!("INTEGRITY {found}"),
    };
    format!("farm  {at}  open {open}  {rate}/min  dead {dead}  {integrity}")
}

fn worker_row(worker: &WorkerView, now: Time) -> Vec<String> {
    let beat = worker.last_heartbeat_at.as_deref().and_then(time::parse_rfc3339);
    let state = match (worker.alive, worker.draining) {
        (false, _) => "lost",
        (true, true) => "draining",
        (true, false) => "ok",
    };
    let runs = worker.jobs.iter();
    let runs = runs.map(|run| format!("{} {}", run.kind, text::span_or_dash(run.elapsed_ms)));
    vec![
        text::fit(&worker.host, 24),
        text::fit(&worker.version, 12),
        format!("{}/{}", worker.jobs.len(), worker.slots),
        text::memory(worker.memory_bytes),
        text::span_or_dash(beat.map(|beat| now.millis_since(beat))),
        state.to_owned(),
        runs.collect::<Vec<_>>().join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::routes::queues::{PauseView, QueueHead, QueueMeasures, QueueView};
    use api::routes::workers::Integrity;
    use unicode_width::UnicodeWidthStr;
    use uuid::Uuid;

    use super::*;

    const NOW: Time = Time(1_795_359_600_000);

    fn ago(ms: i64) -> String {
        Time(NOW.0 - ms).rfc3339()
    }

    fn queue(name: &str, queued: i64, running: i64) -> QueueView {
        QueueView {
            head: QueueHead {
                name: name.to_owned(),
                queued,
                retrying: 0,
                running,
                waiting_for_children: 0,
                due: queued,
                oldest_due_ms: (queued > 0).then_some(1_234),
                paused: None,
            },
            measured: QueueMeasures {
                jobs: 0,
                window_seconds: 3_600,
                wait_p50_ms: None,
                wait_p95_ms: None,
                wait_p99_ms: None,
                throughput_per_minute: None,
                failed: None,
            },
        }
    }

    fn worker(number: u128, host: &str, runs: u128) -> WorkerView {
        let run = |n: u128| RunView {
            id: Uuid::from_u128(number * 1_000 + n),
            kind: if n.is_multiple_of(2) { "profile_fetch" } else { "noop" }.to_owned(),
            queue: "fetch".to_owned(),
            attempt: 1,
            stage: n.is_multiple_of(2).then(|| "fetch".to_owned()),
            elapsed_ms: Some(((runs - n) * 7_000) as i64),
        };
        WorkerView {
            id: Uuid::from_u128(number),
            host: host.to_owned(),
            version: "0.1.0".to_owned(),
            alive: true,
            draining: false,
            slots: 16,
            kinds: vec!["profile_fetch".to_owned(), "noop".to_owned()],
            memory_bytes: Some(96 << 20),
            started_at: ago(3_600_000),
            last_heartbeat_at: Some(ago(1_900)),
            jobs: (0..runs).map(run).collect(),
        }
    }

    fn empty() -> Snapshot {
        let findings = ["kinds_without_worker", "orphan_runs", "overdue", "parents_off"];
        let findings: BTreeMap<String, i64> = findings.map(|name| (name.to_owned(), 0)).into();
        Snapshot {
            at: NOW,
            dead: 0,
            integrity: Integrity { clean: true, findings },
            queues: ["fetch", "ai", "media", "export", "upkeep"].map(|q| queue(q, 0, 0)).into(),
            workers: vec![],
        }
    }

    /// Everything there is to see.
    fn busy() -> Snapshot {
        let mut seen = empty();
        seen.dead = 12;
        seen.integrity.clean = false;
        seen.integrity.findings.insert("orphan_runs".to_owned(), 2);
        seen.queues[0] = queue("fetch", 12_345, 16);
        seen.queues[0].head.waiting_for_children = 3;
        seen.queues[0].measured.wait_p95_ms = Some(61_000);
        seen.queues[0].measured.throughput_per_minute = Some(512.4);
        seen.queues[0].measured.failed = Some(7);
        seen.queues[1].head.paused = Some(PauseView {
            by: "admin@example.test".to_owned(),
            at: ago(840_000),
            reason: Some("models are warm ☕ \u{1b}[2J and 日本語".to_owned()),
        });
        let (mut draining, mut lost) = (worker(2, "a-host:1", 1), worker(3, "0-host:9", 0));
        draining.draining = true;
        lost.alive = false;
        lost.memory_bytes = None;
        lost.last_heartbeat_at = Some(ago(600_000));
        seen.workers = vec![lost, worker(1, "b-host-with-a-rather-long-name.internal:4711", 4)];
        seen.workers.push(draining);
        seen
    }

    fn crowd() -> Snapshot {
        let mut seen = empty();
        seen.workers = (1..=40).map(|n| worker(n, &format!("host-{n:02}:7"), 2)).collect();
        seen.workers[4].alive = false;
        seen
    }

    fn drawn(seen: &Snapshot, note: &str, width: usize, height: usize) -> String {
        let line = |line: Line| match line.weight {
            Weight::Plain => format!("  |{}", line.text),
            Weight::Heading => format!("# |{}", line.text),
            Weight::Alarm => format!("! |{}", line.text),
        };
        page(seen, note, width, height).into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn pages_are_reviewed_when_they_change() {
        let quits = "q quits";
        insta::assert_snapshot!("empty", drawn(&empty(), quits, 80, 24));
        insta::assert_snapshot!("busy", drawn(&busy(), quits, 80, 24));
        insta::assert_snapshot!("busy_wide", drawn(&busy(), "!! 12s old: x", 160, 50));
        insta::assert_snapshot!("crowd", drawn(&crowd(), quits, 80, 24));
        insta::assert_snapshot!("plain", drawn(&busy(), "", usize::MAX, usize::MAX));
    }

    #[test]
    fn a_page_never_exceeds_the_terminal() {
        for seen in [empty(), busy(), crowd()] {
            for (width, height) in [(80, 24), (79, 9), (20, 5), (1, 1), (0, 0), (300, 100)] {
                let page = page(&seen, "a note of some length", width, height);
                assert!(page.len() <= height, "{width}x{height}: {page:#?}");
                for line in page {
                    assert!(line.text.width() <= width, "{width}x{height}: {:?}", line.text);
                    assert!(!line.text.contains(char::is_control), "{:?}", line.text);
                }
            }
        }
    }

    #[test]
    fn what_is_there_is_all_on_the_page_that_has_room() {
        let page = drawn(&crowd(), "", 200, 200);
        for n in 1..=40 {
            assert!(page.contains(&format!("host-{n:02}:7")), "{page}");
        }
        let runs = page.lines().filter(|line| line.contains("00000000-0000")).count();
        assert_eq!(runs, 80);
    }
}
