//! Figures: what was measured, how it spread, and what is promised about it.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread(Vec<f64>);

impl Spread {
    pub(super) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The middle one; of an even number, the mean of the two in the middle.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
        match (sorted.get(low), sorted.get(high)) {
            (Some(low), Some(high)) => f64::midpoint(*low, *high),
            _ => f64::NAN,
        }
    }

    pub(super) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    pub(super) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }
}

impl From<f64> for Spread {
    fn from(value: f64) -> Self {
        Self(vec![value])
    }
}

/// Waiting times of one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies(Vec<f64>);

impl Latencies {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1_000.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The smallest value that `percent` of all do not exceed (nearest rank), in milliseconds.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

/// A line of the report.
#[derive(Clone, Debug)]
struct Line {
    key: String,
    what: String,
    unit: &'static str,
    spread: Spread,
    note: String,
}

/// What a benchmark found.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    title: String,
    on: Vec<(String, String)>,
    lines: Vec<Line>,
    extra: Map<String, Value>,
    notes: Vec<String>,
}

impl Report {
    pub(super) fn new(title: &str, on: Vec<(String, String)>) -> Self {
        Self { title: title.to_owned(), on, ..Self::default() }
    }

    /// Adds a figure: `key` in the JSON, `what` in the table. A key with dots nests.
    pub(super) fn figure(
        &mut self,
        key: &str,
        what: &str,
        unit: &'static str,
        spread: Spread,
        note: impl Into<String>,
    ) {
        let (key, what) = (key.to_owned(), what.to_owned());
        self.lines.push(Line { key, what, unit, spread, note: note.into() });
    }

    /// The median of a figure that was added.
    pub(super) fn median(&self, key: &str) -> f64 {
        let line = self.lines.iter().find(|line| line.key == key);
        line.map_or(f64::NAN, |line| line.spread.median())
    }

    /// Adds a word to the JSON, and a sentence below the table.
    pub(super) fn remark(&mut self, key: &str, value: Value, sentence: String) {
        self.extra.insert(key.to_owned(), value);
        self.notes.push(sentence);
    }

    /// For machines: medians by their keys, spreads below `spreads`, what it ran on below `on`.
    pub(super) fn json(&self) -> String {
        let mut all = Map::new();
        let mut spreads = Map::new();
        for line in &self.lines {
            nest(&mut all, &line.key, number(line.spread.median()));
            let (min, max) = (number(line.spread.min()), number(line.spread.max()));
            let spread = json!({
                "median": number(line.spread.median()), "min": min, "max": max,
                "rounds": line.spread.0.len(), "unit": line.unit,
            });
            spreads.insert(line.key.clone(), spread);
        }
        all.extend(self.extra.clone());
        all.insert("spreads".to_owned(), spreads.into());
        let on: Map<String, Value> =
            self.on.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        all.insert("on".to_owned(), on.into());
        serde_json::to_string_pretty(&Value::Object(all)).unwrap_or_default()
    }

    /// For people, and for README: a Markdown table.
    pub(super) fn text(&self) -> String {
        let on: Vec<String> =
            self.on.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let mut text = format!("{}\n\nMeasured on {}.\n\n", self.title, on.join(", "));
        text.push_str("| figure | median | min – max | |\n|---|---:|---:|---|\n");
        for line in &self.lines {
            let (min, max) = (short(line.spread.min()), short(line.spread.max()));
            let (what, unit, note) = (&line.what, line.unit, &line.note);
            let median = short(line.spread.median());
            text.extend([format!("| {what} | {median} {unit} | {min} – {max} | {note} |\n")]);
        }
        for note in &self.notes {
            text.extend(["\n", note, "\n"]);
        }
        text.trim_end().to_owned()
    }
}

fn nest(map: &mut Map<String, Value>, key: &str, value: Value) {
    let Some((head, rest)) = key.split_once('.') else {
        map.insert(key.to_owned(), value);
        return;
    };
    let inner = map.entry(head.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        nest(inner, rest, value);
    }
}

/// Three significant decimals are more than any of this is good for.
fn number(value: f64) -> Value {
    if value.is_finite() { ((value * 1_000.0).round() / 1_000.0).into() } else { Value::Null }
}

fn short(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        size if size >= 1_000.0 => {
            let whole = format!("{value:.0}");
            let digits = whole.len();
            let group = |(at, c): (usize, char)| {
                let comma = at > 0 && (digits - at) % 3 == 0 && c.is_ascii_digit();
                if comma { format!(",{c}") } else { c.to_string() }
            };
            whole.chars().enumerate().map(group).collect()
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_those_of_the_textbook() {
        let spread = Spread(vec![9.0, 1.0, 5.0]);
        assert_eq!((spread.median(), spread.min(), spread.max()), (5.0, 1.0, 9.0));
        assert!((Spread(vec![1.0, 2.0, 3.0, 10.0]).median() - 2.5).abs() < 1e-9);
        assert!(Spread::default().median().is_nan());
        let waits = Latencies((1..=100).rev().map(f64::from).collect());
        assert_eq!((waits.percentile(50.0), waits.percentile(99.0)), (50.0, 99.0));
        assert!((Latencies(vec![7.0]).percentile(99.0) - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_report_reads_the_same_for_machines_and_people() {
        let mut report = Report::new("Jobs", vec![("cores".to_owned(), "2".to_owned())]);
        report.figure(
            "durable_jobs_per_s",
            "durable jobs",
            "/s",
            Spread(vec![9_000.0, 12_345.6]),
            "",
        );
        report.figure("peers.celery_jobs_per_s", "Celery", "/s", Spread::default(), "not measured");
        report.remark("limited_by", "postgres".into(), "Limited by Postgres.".to_owned());
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["durable_jobs_per_s"], 10_672.8);
        assert_eq!(json["spreads"]["durable_jobs_per_s"]["min"], 9_000.0);
        assert!(json["peers"]["celery_jobs_per_s"].is_null());
        assert_eq!((&json["limited_by"], &json["on"]["cores"]), (&"postgres".into(), &"2".into()));
        let text = report.text();
        assert!(text.contains("| durable jobs | 10,673 /s | 9,000 – 12,346 |  |"), "{text}");
        assert!(text.ends_with("Limited by Postgres."), "{text}");
    }
}
