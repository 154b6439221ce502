//! Files for users: rows in, a file out, in one of four formats. Knows no database; runs on a
//! thread that may block.

mod columns;
mod csv;
mod json;
#[cfg(test)]
mod tests;
mod xlsx;

use std::fs::File;

use entity::enums::ExportFormat;
use entity::export::rows::{PostRow, ProfileRow};

/// What goes into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) profiles: bool,
    pub(crate) posts: bool,
    /// CSV only: begin with the mark by which spreadsheets know UTF-8.
    pub(crate) byte_order_mark: bool,
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("the file cannot be written: {0}")]
    File(#[from] std::io::Error),
    #[error("the file cannot be written: {0}")]
    Csv(#[from] ::csv::Error),
    #[error("the file cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the workbook cannot be written: {0}")]
    Xlsx(#[from] rust_xlsxwriter::XlsxError),
}

/// A file that is being written. A profile comes before its posts.
pub(crate) enum Writer {
    Csv(csv::CsvWriter),
    Xlsx(Box<xlsx::XlsxWriter>),
    Json(json::JsonWriter),
    Ndjson(json::LineWriter),
}

impl Writer {
    pub(crate) fn open(
        file: File,
        format: ExportFormat,
        wanted: Wanted,
    ) -> Result<Self, WriteError> {
        Ok(match format {
            ExportFormat::Csv => Self::Csv(csv::CsvWriter::open(file, wanted)?),
            ExportFormat::Xlsx => Self::Xlsx(Box::new(xlsx::XlsxWriter::open(file, wanted)?)),
            ExportFormat::Json => Self::Json(json::JsonWriter::open(file, wanted)?),
            ExportFormat::Ndjson => Self::Ndjson(json::LineWriter::open(file, wanted)),
        })
    }

    pub(crate) fn profile(&mut self, row: ProfileRow) -> Result<(), WriteError> {
        match self {
            Self::Csv(writer) => writer.profile(row),
            Self::Xlsx(writer) => writer.profile(row),
            Self::Json(writer) => writer.profile(row),
            Self::Ndjson(writer) => writer.profile(row),
        }
    }

    pub(crate) fn post(&mut self, row: &PostRow) -> Result<(), WriteError> {
        match self {
            Self::Csv(writer) => writer.post(row),
            Self::Xlsx(writer) => writer.post(row),
            Self::Json(writer) => writer.post(row),
            Self::Ndjson(writer) => writer.post(row),
        }
    }

    /// Completes the file and returns how many rows are in it, headings not counted.
    pub(crate) fn finish(self) -> Result<u64, WriteError> {
        match self {
            Self::Csv(writer) => writer.finish(),
            Self::Xlsx(writer) => writer.finish(),
            Self::Json(writer) => writer.finish(),
            Self::Ndjson(writer) => writer.finish(),
        }
    }
}
