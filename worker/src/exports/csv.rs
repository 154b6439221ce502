//! Comma-separated values (RFC 4180). Of profiles and posts together each post is a line, with its
//! creator's columns before it; a creator without posts is a line of their own.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};

use csv::{Terminator, WriterBuilder};
use entity::export::rows::{PostRow, ProfileRow};

use super::columns::{Cell, POST, PROFILE};
use super::{Wanted, WriteError};

/// Begins a text that a spreadsheet would compute.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

pub(crate) struct CsvWriter {
    out: csv::Writer<BufWriter<File>>,
    wanted: Wanted,
    /// The creator whose posts come now, and whether they stand in a line already.
    profile: Option<(ProfileRow, bool)>,
    rows: u64,
}

impl CsvWriter {
    pub(super) fn open(file: File, wanted: Wanted) -> Result<Self, WriteError> {
        let mut file = BufWriter::with_capacity(1 << 16, file);
        if wanted.byte_order_mark {
            file.write_all("\u{feff}".as_bytes())?;
        }
        let out = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(file);
        let mut writer = Self { out, wanted, profile: None, rows: 0 };
        let names = writer.profile_columns().map(|(name, _)| *name);
        let names: Vec<&str> = names.chain(writer.post_columns().map(|(name, _)| *name)).collect();
        writer.out.write_record(names)?;
        Ok(writer)
    }

    /// Of posts alone only the creator's name.
    fn profile_columns(
        &self,
    ) -> impl Iterator<Item = &'static super::columns::Column<ProfileRow>> + use<> {
        PROFILE[..if self.wanted.profiles { PROFILE.len() } else { 1 }].iter()
    }

    fn post_columns(
        &self,
    ) -> impl Iterator<Item = &'static super::columns::Column<PostRow>> + use<> {
        POST[..if self.wanted.posts { POST.len() } else { 0 }].iter()
    }

    pub(super) fn profile(&mut self, row: ProfileRow) -> Result<(), WriteError> {
        self.alone()?;
        self.profile = Some((row, false));
        Ok(())
    }

    /// Writes the creator who has no line yet.
    fn alone(&mut self) -> Result<(), WriteError> {
        match self.profile.take() {
            Some((row, false)) if self.wanted.profiles => self.line(&row, None),
            _ => Ok(()),
        }
    }

    pub(super) fn post(&mut self, post: &PostRow) -> Result<(), WriteError> {
        let Some((row, _)) = self.profile.take() else { return Ok(()) };
        self.line(&row, Some(post))?;
        self.profile = Some((row, true));
        Ok(())
    }

    fn line(&mut self, profile: &ProfileRow, post: Option<&PostRow>) -> Result<(), WriteError> {
        for (_, cell) in self.profile_columns() {
            self.out.write_field(field(&cell(profile)).as_bytes())?;
        }
        for (_, cell) in self.post_columns() {
            let cell = post.map_or(Cell::Unknown, cell);
            self.out.write_field(field(&cell).as_bytes())?;
        }
        self.out.write_record(None::<&[u8]>)?;
        self.rows += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<u64, WriteError> {
        self.alone()?;
        self.out.flush()?;
        Ok(self.rows)
    }
}

/// A value as text. What others wrote is never taken for a formula: it begins with an apostrophe
/// where it would be (CWE-1236).
fn field<'a>(cell: &'a Cell<'_>) -> Cow<'a, str> {
    match cell {
        Cell::Unknown => "".into(),
        Cell::Text(text) => inert(text),
        Cell::Link(link) => link.as_str().into(),
        Cell::Int(number) => number.to_string().into(),
        Cell::Float(number) => number.to_string().into(),
        Cell::Bool(yes) => if *yes { "true" } else { "false" }.into(),
        Cell::Time(time) => time.rfc3339().into(),
        Cell::Words(words) => inert(&words.join(" ")).into_owned().into(),
    }
}

fn inert(text: &str) -> Cow<'_, str> {
    // Some readers look past leading spaces.
    if text.trim_start_matches([' ', '\n', '\u{a0}']).starts_with(FORMULA) {
        return format!("'{text}").into();
    }
    text.into()
}
