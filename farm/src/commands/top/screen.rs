//! A terminal that is drawn on whole, and given back as it was, however that comes.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize,
    tcsetattr,
};

use unicode_width::UnicodeWidthStr;

use super::page::{Line, Weight};

/// The other page, without a cursor and without turning lines that are too long.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
/// Back.
const LEAVE: &str = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Terminals that know these two show what is between them at once; others pass them over.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";

/// Where a terminal's size cannot be asked.
const USUAL: (usize, usize) = (80, 24);

/// Columns and lines of a terminal; none when it is none.
pub(super) fn size(terminal: &impl AsFd) -> Option<(usize, usize)> {
    let size = tcgetwinsize(terminal).ok()?;
    let (width, height) = (usize::from(size.ws_col), usize::from(size.ws_row));
    Some(if width == 0 || height == 0 { USUAL } else { (width, height) })
}

/// The terminal while it is drawn on.
pub(super) struct Screen {
    terminal: Arc<Terminal>,
    drawn: (usize, usize),
}

struct Terminal {
    file: File,
    before: Termios,
    open: AtomicBool,
}

impl Screen {
    /// Takes the terminal. A panic of any thread gives it back before it is told.
    pub(super) fn open(terminal: &impl AsFd) -> std::io::Result<Self> {
        let file = File::from(terminal.as_fd().try_clone_to_owned()?);
        let before = tcgetattr(&file)?;
        let mut modes = before.clone();
        // Keys come one by one and unseen. Ctrl-C still interrupts; what would stop the process
        // or its output while the terminal is ours is off.
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        modes.input_modes -= InputModes::IXON;
        modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
        modes.special_codes[SpecialCodeIndex::VQUIT] = 0;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let terminal = Arc::new(Terminal { file, before, open: AtomicBool::new(true) });
        // From here on it is given back.
        let screen = Self { terminal: terminal.clone(), drawn: (0, 0) };
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            terminal.give_back();
            next(panic);
        }));
        let mut file = &screen.terminal.file;
        tcsetattr(file, OptionalActions::Now, &modes)?;
        file.write_all(ENTER.as_bytes())?;
        Ok(screen)
    }

    pub(super) fn size(&self) -> (usize, usize) {
        size(&self.terminal.file).unwrap_or(USUAL)
    }

    /// Draws the page in one write, over the one that was there. False when the terminal is gone or
    /// was given back.
    pub(super) fn draw(&mut self, page: &[Line], size: (usize, usize)) -> bool {
        if !self.terminal.open.load(Ordering::Acquire) {
            return false;
        }
        let mut text = painted(page, size);
        if self.drawn != size {
            // Terminals that turn lines leave parts of them behind when they change.
            text.insert_str(BEGIN.len(), "\x1b[2J");
            self.drawn = size;
        }
        (&self.terminal.file).write_all(text.as_bytes()).is_ok()
    }
}

impl Terminal {
    fn give_back(&self) {
        if self.open.swap(false, Ordering::AcqRel) {
            // Nothing can be done for a terminal that is gone.
            let _ = (&self.file).write_all(LEAVE.as_bytes());
            let _ = tcsetattr(&self.file, OptionalActions::Now, &self.before);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.terminal.give_back();
    }
}

/// The page as bytes. Every line is put in its place and filled up with blanks: erasing to the end
/// of a line that is full would take its last letter, and a line's end after the last line would
/// push the first one out.
fn painted(page: &[Line], (width, height): (usize, usize)) -> String {
    let mut text = BEGIN.to_owned();
    for row in 0..height {
        let place = format!("\x1b[{};1H", row + 1);
        let (look, line) = match page.get(row) {
            None => ("", ""),
            Some(Line { text, weight: Weight::Plain }) => ("", text.as_str()),
            Some(Line { text, weight: Weight::Heading }) => ("\x1b[7m", text.as_str()),
            Some(Line { text, weight: Weight::Alarm }) => ("\x1b[1m", text.as_str()),
        };
        let blank = " ".repeat(width.saturating_sub(line.width()));
        text.extend([&place, look, line, &blank, "\x1b[0m"]);
    }
    text.push_str(END);
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    use super::*;

    /// A terminal's two ends: what sees, and what programs have.
    fn pty() -> (File, File) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let outside = openpt(flags).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        let name = ptsname(&outside, vec![]).unwrap();
        let inside = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        (File::from(outside), File::from(inside))
    }

    fn shown(outside: &mut File, end: &str) -> String {
        let mut seen = vec![];
        let mut byte = [0];
        while !seen.ends_with(end.as_bytes()) {
            outside.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        String::from_utf8(seen).unwrap()
    }

    fn is_raw(terminal: &File) -> bool {
        let modes = tcgetattr(terminal).unwrap();
        assert!(modes.local_modes.contains(LocalModes::ISIG), "Ctrl-C interrupts");
        let raw = !modes.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO);
        assert_eq!(raw, modes.special_codes[SpecialCodeIndex::VSUSP] == 0);
        raw
    }

    fn lines(texts: &[&str]) -> Vec<Line> {
        let line = |text: &&str| Line { text: (*text).to_owned(), weight: Weight::Plain };
        texts.iter().map(line).collect()
    }

    // One story: a panic is heard by every screen of the process.
    #[test]
    fn a_terminal_is_given_back_as_it_was_even_by_a_panic() {
        let (mut outside, inside) = pty();
        let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        assert_eq!(super::size(&inside), Some(USUAL), "it has none yet");
        tcsetwinsize(&inside, size).unwrap();
        let mut screen = Screen::open(&inside).unwrap();
        assert!(is_raw(&inside));
        assert_eq!(shown(&mut outside, ENTER), ENTER);
        assert_eq!(screen.size(), (100, 30));
        for wiped in ["\x1b[2J", ""] {
            assert!(screen.draw(&lines(&["one", "two"]), (5, 3)));
            let page = shown(&mut outside, END);
            let (one, two) = ("\x1b[1;1Hone  \x1b[0m", "\x1b[2;1Htwo  \x1b[0m");
            assert_eq!(page, format!("{BEGIN}{wiped}{one}{two}\x1b[3;1H     \x1b[0m{END}"));
        }
        drop(screen);
        assert!(!is_raw(&inside));
        assert_eq!(shown(&mut outside, LEAVE), LEAVE);

        let mut screen = Screen::open(&inside).unwrap();
        shown(&mut outside, ENTER);
        let ended = std::thread::spawn(|| panic!("a thread of the story")).join();
        assert!(ended.is_err() && !is_raw(&inside));
        assert_eq!(shown(&mut outside, LEAVE), LEAVE);
        assert!(!screen.draw(&lines(&["one"]), (5, 3)));
    }

    #[test]
    fn a_file_is_no_terminal() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(super::size(&file), None);
        assert!(Screen::open(&file).is_err());
    }
}
