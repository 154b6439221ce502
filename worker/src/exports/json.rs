//! One JSON document, or a document a line. Written as the rows come, never held.

use std::fs::File;
use std::io::{BufWriter, Write};

use entity::export::rows::{PostRow, ProfileRow};

use super::columns::{Object, POST, PROFILE};
use super::{Wanted, WriteError};

fn buffered(file: File) -> BufWriter<File> {
    BufWriter::with_capacity(1 << 16, file)
}

/// `{"profiles": […]}`, each with its `posts`; `{"posts": […]}` of posts alone.
pub(crate) struct JsonWriter {
    out: BufWriter<File>,
    wanted: Wanted,
    username: Option<String>,
    /// The list at hand has an item already.
    more: bool,
    /// A profile's list of posts is open.
    open: bool,
    rows: u64,
}

impl JsonWriter {
    pub(super) fn open(file: File, wanted: Wanted) -> Result<Self, WriteError> {
        let mut out = buffered(file);
        let list = if wanted.profiles { "profiles" } else { "posts" };
        write!(out, "{{\"{list}\":[")?;
        Ok(Self { out, wanted, username: None, more: false, open: false, rows: 0 })
    }

    fn next(&mut self) -> Result<(), WriteError> {
        self.out.write_all(if self.more { b",\n" } else { b"\n" })?;
        self.more = true;
        self.rows += 1;
        Ok(())
    }

    /// Closes the list of a profile's posts, and the profile.
    fn close(&mut self) -> Result<(), WriteError> {
        if std::mem::take(&mut self.open) {
            self.out.write_all(b"]}")?;
            self.more = true;
        }
        Ok(())
    }

    pub(super) fn profile(&mut self, row: ProfileRow) -> Result<(), WriteError> {
        self.close()?;
        if self.wanted.profiles {
            self.next()?;
            let mut object =
                serde_json::to_vec(&Object { before: &[], columns: PROFILE, row: &row })?;
            if self.wanted.posts {
                // Its closing brace comes after its posts.
                object.pop();
                object.extend_from_slice(b",\"posts\":[");
                (self.open, self.more) = (true, false);
            }
            self.out.write_all(&object)?;
        }
        self.username = Some(row.username);
        Ok(())
    }

    pub(super) fn post(&mut self, row: &PostRow) -> Result<(), WriteError> {
        self.next()?;
        let username = [("username", self.username.as_deref().unwrap_or_default())];
        let before = if self.wanted.profiles { &[][..] } else { &username };
        serde_json::to_writer(&mut self.out, &Object { before, columns: POST, row })?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<u64, WriteError> {
        self.close()?;
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.rows)
    }
}

/// A line for each profile and each post; `type` says which.
pub(crate) struct LineWriter {
    out: BufWriter<File>,
    wanted: Wanted,
    username: String,
    rows: u64,
}

impl LineWriter {
    pub(super) fn open(file: File, wanted: Wanted) -> Self {
        Self { out: buffered(file), wanted, username: String::new(), rows: 0 }
    }

    pub(super) fn profile(&mut self, row: ProfileRow) -> Result<(), WriteError> {
        if self.wanted.profiles {
            let before = &[("type", "profile")];
            serde_json::to_writer(&mut self.out, &Object { before, columns: PROFILE, row: &row })?;
            self.out.write_all(b"\n")?;
            self.rows += 1;
        }
        self.username = row.username;
        Ok(())
    }

    pub(super) fn post(&mut self, row: &PostRow) -> Result<(), WriteError> {
        let before = &[("type", "post"), ("username", self.username.as_str())];
        serde_json::to_writer(&mut self.out, &Object { before, columns: POST, row })?;
        self.out.write_all(b"\n")?;
        self.rows += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<u64, WriteError> {
        self.out.flush()?;
        Ok(self.rows)
    }
}
