//! Figures and tables as text for people.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text without what could move a terminal's cursor or turn the order of its letters; lines
/// stay lines.
pub(super) fn tame(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && unruly(c) { '\u{fffd}' } else { c }).collect()
}

fn unruly(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of at most so many columns; an ellipsis stands for what is left out.
pub(super) fn fit(text: &str, width: usize) -> String {
    let text: String = text.chars().map(|c| if unruly(c) { '\u{fffd}' } else { c }).collect();
    if text.width() <= width {
        return text;
    }
    let mut fitted = String::new();
    let mut used = 1; // the ellipsis
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        fitted.push(c);
    }
    if width > 0 {
        fitted.push('…');
    }
    fitted
}

/// A span of time in at most five letters or so: `12ms`, `1.5s`, `90s`, `14m`, `30h`, `9d`.
pub(super) fn span(ms: i64) -> String {
    match ms.max(0) {
        ms @ ..1_000 => format!("{ms}ms"),
        // In tenths, rounded down: never 10.0s.
        ms @ ..10_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        ms @ ..120_000 => format!("{}s", ms / 1_000),
        ms @ ..7_200_000 => format!("{}m", ms / 60_000),
        ms @ ..172_800_000 => format!("{}h", ms / 3_600_000),
        ms => format!("{}d", ms / 86_400_000),
    }
}

/// A span, or a dash for none.
pub(super) fn span_or_dash(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), span)
}

/// A rate with as many digits as it deserves, or a dash for none.
pub(super) fn rate(per_minute: Option<f64>) -> String {
    match per_minute {
        None => "-".to_owned(),
        Some(rate) if rate < 100.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

/// Memory in MiB, or GiB from ten of them on.
pub(super) fn memory(bytes: Option<i64>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(bytes) if bytes >= 10 << 30 => format!("{}G", bytes >> 30),
        Some(bytes) => format!("{}M", bytes >> 20),
    }
}

/// Bytes as disks and networks count them: `612 B`, `90.9 MB`, `1.6 GB`.
pub(super) fn bytes(bytes: u64) -> String {
    let scaled = |unit: f64, name| format!("{:.1} {name}", bytes as f64 / unit);
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => scaled(1e3, "kB"),
        1_000_000..1_000_000_000 => scaled(1e6, "MB"),
        _ => scaled(1e9, "GB"),
    }
}

/// On which side a column's texts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// The heading and the rows as lines, every column as wide as its widest text.
pub(super) fn table(columns: &[(&str, Side)], rows: &[Vec<String>]) -> Vec<String> {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, (head, _))| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width());
            cells.max().unwrap_or(0).max(head.width())
        })
        .collect();
    let heads: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let line = |cells: &Vec<String>| {
        let mut line = String::new();
        for ((cell, width), (_, side)) in cells.iter().zip(&widths).zip(columns) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let blank = " ".repeat(width.saturating_sub(cell.width()));
            match side {
                Side::Left => line.extend([cell.as_str(), &blank]),
                Side::Right => line.extend([blank.as_str(), cell]),
            }
        }
        line.trim_end().to_owned()
    };
    std::iter::once(&heads).chain(rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_by_columns_not_by_letters() {
        for (text, width, want) in [
            ("fetch", 5, "fetch"),
            ("fetch", 4, "fet…"),
            ("fetch", 1, "…"),
            ("fetch", 0, ""),
            ("", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("a\u{1b}[2Jb\nc", 80, "a\u{fffd}[2Jb\u{fffd}c"),
        ] {
            assert_eq!(fit(text, width), want, "{text:?} in {width}");
        }
    }

    #[test]
    fn what_moves_a_terminal_is_tamed() {
        assert_eq!(tame("a\u{1b}]0;x\u{7}\nb\u{202e}c é"), "a\u{fffd}]0;x\u{fffd}\nb\u{fffd}c é");
    }

    #[test]
    fn figures_are_short() {
        for (ms, want) in [
            (-5, "0ms"),
            (999, "999ms"),
            (1_000, "1.0s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (119_999, "119s"),
            (120_000, "2m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(span(ms), want);
        }
        for (bytes, want) in [(None, "-"), (Some(200 << 20), "200M"), (Some(12 << 30), "12G")] {
            assert_eq!(memory(bytes), want);
        }
        for (size, want) in [(999, "999 B"), (90_868_376, "90.9 MB"), (1_629_437_147, "1.6 GB")] {
            assert_eq!(bytes(size), want);
        }
        for (per_minute, want) in [(None, "-"), (Some(0.25), "0.2"), (Some(1234.5), "1234")] {
            assert_eq!(rate(per_minute), want);
        }
    }

    #[test]
    fn columns_are_as_wide_as_they_must() {
        let rows = [vec!["日本".to_owned(), "7".to_owned()], vec!["x".to_owned(), "12".to_owned()]];
        let lines = table(&[("A", Side::Left), ("N", Side::Right)], &rows);
        assert_eq!(lines, ["A      N", "日本   7", "x     12"]);
    }
}
