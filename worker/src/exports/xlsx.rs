//! A workbook: a sheet of profiles, a sheet of posts (more when one is full), with typed cells,
//! links, and headings that stay. Each row goes to a file at once, so memory stays flat.

use std::fs::File;
use std::io::BufWriter;

use entity::Time;
use entity::export::rows::{PostRow, ProfileRow};
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook, Worksheet};

use super::columns::{Cell, Column, POST, PROFILE};
use super::{Wanted, WriteError};

/// Rows of a sheet, the heading included.
const MAX_ROWS: u32 = 1_048_576;
/// Characters of a cell.
const MAX_TEXT: usize = 32_767;
/// Links of a sheet; Excel opens 65,530 and the writer keeps each in memory, so later ones are
/// plain text.
const MAX_LINKS: u32 = 20_000;

pub(crate) struct XlsxWriter {
    book: Workbook,
    file: File,
    styles: Styles,
    wanted: Wanted,
    profiles: Sheet,
    posts: Sheet,
    profile: Option<ProfileRow>,
    rows: u64,
}

struct Styles {
    heading: Format,
    time: Format,
}

/// A kind of rows, in as many sheets as they need.
struct Sheet {
    name: &'static str,
    /// In the workbook; `None` before its first row.
    at: Option<usize>,
    sheets: u32,
    /// The next row.
    row: u32,
    links: u32,
}

impl Sheet {
    fn new(name: &'static str) -> Self {
        Self { name, at: None, sheets: 0, row: 0, links: 0 }
    }
}

impl XlsxWriter {
    pub(super) fn open(file: File, wanted: Wanted) -> Result<Self, WriteError> {
        let mut writer = Self {
            book: Workbook::new(),
            file,
            styles: Styles {
                heading: Format::new().set_bold(),
                time: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
            },
            wanted,
            profiles: Sheet::new("Profiles"),
            posts: Sheet::new("Posts"),
            profile: None,
            rows: 0,
        };
        // Also when nothing follows.
        if wanted.profiles {
            start(&mut writer.book, &mut writer.profiles, &headings(PROFILE), &writer.styles)?;
        }
        if wanted.posts {
            start(&mut writer.book, &mut writer.posts, &post_headings(), &writer.styles)?;
        }
        Ok(writer)
    }

    pub(super) fn profile(&mut self, row: ProfileRow) -> Result<(), WriteError> {
        if self.wanted.profiles {
            let cells: Vec<Cell<'_>> = PROFILE.iter().map(|(_, cell)| cell(&row)).collect();
            let sheet = room(&mut self.book, &mut self.profiles, &headings(PROFILE), &self.styles)?;
            write(sheet, &mut self.profiles, &cells, &self.styles)?;
            self.rows += 1;
        }
        self.profile = Some(row);
        Ok(())
    }

    pub(super) fn post(&mut self, row: &PostRow) -> Result<(), WriteError> {
        let Some(profile) = &self.profile else { return Ok(()) };
        let username = Cell::Text(profile.username.as_str().into());
        let cells: Vec<Cell<'_>> =
            std::iter::once(username).chain(POST.iter().map(|(_, cell)| cell(row))).collect();
        let sheet = room(&mut self.book, &mut self.posts, &post_headings(), &self.styles)?;
        write(sheet, &mut self.posts, &cells, &self.styles)?;
        self.rows += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<u64, WriteError> {
        self.book.save_to_writer(BufWriter::with_capacity(1 << 16, self.file))?;
        Ok(self.rows)
    }
}

fn headings<R>(columns: &[Column<R>]) -> Vec<&'static str> {
    columns.iter().map(|(name, _)| *name).collect()
}

fn post_headings() -> Vec<&'static str> {
    std::iter::once("username").chain(headings(POST)).collect()
}

/// The sheet with room for one more row.
fn room<'a>(
    book: &'a mut Workbook,
    sheet: &mut Sheet,
    headings: &[&str],
    styles: &Styles,
) -> Result<&'a mut Worksheet, WriteError> {
    match sheet.at {
        Some(at) if sheet.row < MAX_ROWS => Ok(book.worksheet_from_index(at)?),
        _ => start(book, sheet, headings, styles),
    }
}

fn start<'a>(
    book: &'a mut Workbook,
    sheet: &mut Sheet,
    headings: &[&str],
    styles: &Styles,
) -> Result<&'a mut Worksheet, WriteError> {
    sheet.sheets += 1;
    sheet.at = Some(book.worksheets().len());
    (sheet.row, sheet.links) = (1, 0);
    let page = book.add_worksheet_with_constant_memory()?;
    page.set_name(match sheet.sheets {
        1 => sheet.name.to_owned(),
        n => format!("{} {n}", sheet.name),
    })?;
    page.set_freeze_panes(1, 0)?;
    for (column, heading) in headings.iter().enumerate() {
        let width = if *heading == "caption" { 60.0 } else { heading.len().max(10) as f64 + 2.0 };
        page.set_column_width(column as u16, width)?;
        page.write_with_format(0, column as u16, *heading, &styles.heading)?;
    }
    Ok(page)
}

fn write(
    page: &mut Worksheet,
    sheet: &mut Sheet,
    cells: &[Cell<'_>],
    styles: &Styles,
) -> Result<(), WriteError> {
    let row = sheet.row;
    for (column, cell) in cells.iter().enumerate() {
        let column = column as u16;
        match cell {
            Cell::Unknown => {}
            // A text is a text here: nothing is computed that begins like a formula.
            Cell::Text(text) => drop(page.write_string(row, column, cut(text))?),
            Cell::Link(link) if sheet.links < MAX_LINKS => {
                sheet.links += 1;
                page.write_url(row, column, link.as_str())?;
            }
            Cell::Link(link) => drop(page.write_string(row, column, link)?),
            Cell::Int(number) => drop(page.write_number(row, column, *number as f64)?),
            Cell::Float(number) => drop(page.write_number(row, column, *number)?),
            Cell::Bool(yes) => drop(page.write_boolean(row, column, *yes)?),
            Cell::Time(time) => match datetime(*time) {
                Some(at) => drop(page.write_datetime_with_format(row, column, at, &styles.time)?),
                None => drop(page.write_string(row, column, time.rfc3339())?),
            },
            Cell::Words(words) => drop(page.write_string(row, column, cut(&words.join(" ")))?),
        }
    }
    sheet.row += 1;
    Ok(())
}

/// Times before 1900 are none to Excel.
fn datetime(time: Time) -> Option<ExcelDateTime> {
    ExcelDateTime::from_timestamp(time.0.div_euclid(1_000)).ok()
}

/// As much of a text as a cell holds, in UTF-16 as Excel counts, without what XML cannot hold.
fn cut(text: &str) -> String {
    let mut left = MAX_TEXT;
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t' | '\r'))
        .filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}'))
        .take_while(|c| {
            let fits = c.len_utf16() <= left;
            left = left.saturating_sub(c.len_utf16());
            fits
        })
        .collect()
}
