//! How far a pull is: a line that is drawn over on a terminal, one line for each file elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use super::super::text;

/// Between two drawings.
const PAUSE: Duration = Duration::from_millis(200);

/// Says on standard error what is being pulled. Who does not read it is not waited for.
#[derive(Debug)]
pub(super) struct Progress {
    how: How,
    what: String,
    size: u64,
    /// Bytes that were there when the file was begun, and when that was.
    begun: (u64, Instant),
    drawn: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Silent,
    Lines,
    Drawn,
}

impl Progress {
    /// On standard error, unless `quiet`.
    pub(super) fn new(quiet: bool) -> Self {
        let how = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => How::Silent,
            (false, true) => How::Drawn,
            (false, false) => How::Lines,
        };
        let now = Instant::now();
        Self { how, what: String::new(), size: 0, begun: (0, now), drawn: now }
    }

    /// A file is begun, with so many bytes of it here.
    pub(super) fn begin(&mut self, what: String, size: u64, have: u64) {
        let now = Instant::now();
        (self.what, self.size, self.begun) = (what, size, (have, now));
        // The first bytes are drawn at once.
        self.drawn = now.checked_sub(PAUSE).unwrap_or(now);
        if self.how == How::Lines {
            let from =
                if have > 0 { format!(", from {}", text::bytes(have)) } else { String::new() };
            say(&format!("{} ({}{from})\n", self.what, text::bytes(size)));
        }
    }

    /// So many bytes of the file are here.
    pub(super) fn at(&mut self, have: u64) {
        if self.how == How::Drawn && (self.drawn.elapsed() >= PAUSE || have == self.size) {
            self.drawn = Instant::now();
            let line = drawn(&self.what, have, self.size, self.begun.0, self.begun.1.elapsed());
            say(&format!("\r\x1b[K{}", text::fit(&line, 79)));
        }
    }

    /// Something else is going on that takes a while.
    pub(super) fn note(&self, what: &str) {
        match self.how {
            How::Silent => {}
            How::Lines => say(&format!("{what}\n")),
            How::Drawn => say(&format!("\r\x1b[K{what}\n")),
        }
    }

    /// The file is whole, or given up: the line ends.
    pub(super) fn end(&self) {
        if self.how == How::Drawn {
            say("\n");
        }
    }
}

fn say(text: &str) {
    let mut err = std::io::stderr();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// `me/mine: w.safetensors  45% of 1.6 GB, 12.3 MB/s, 72s left`
fn drawn(what: &str, have: u64, size: u64, before: u64, took: Duration) -> String {
    let percent = (have * 100).checked_div(size).unwrap_or(100);
    let mut line = format!("{what}  {percent}% of {}", text::bytes(size));
    let came = have.saturating_sub(before);
    if came > 0 && took >= Duration::from_secs(1) {
        let rate = came as f64 / took.as_secs_f64();
        let left = size.saturating_sub(have) as f64 / rate * 1_000.0;
        let _ = write!(line, ", {}/s", text::bytes(rate as u64));
        if have < size {
            let _ = write!(line, ", {} left", text::span(left as i64));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let at = |have, before, s| drawn("w", have, 200_000_000, before, Duration::from_secs(s));
        assert_eq!(at(0, 0, 0), "w  0% of 200.0 MB");
        assert_eq!(at(50_000_000, 30_000_000, 10), "w  25% of 200.0 MB, 2.0 MB/s, 75s left");
        assert_eq!(at(200_000_000, 0, 10), "w  100% of 200.0 MB, 20.0 MB/s");
        assert_eq!(drawn("w", 0, 0, 0, Duration::ZERO), "w  100% of 0 B");
    }
}
