//! The tensors of a checkpoint, by the names that Hugging Face gives them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use super::error::NetError;
use super::mapping;
use super::place::Place;
use super::safetensors::{self, Entry};

/// A mapped file of weights. Tensors are made from it without copying, where their kind of number
/// is the one that is computed with and the device is the CPU.
pub(super) struct Weights {
    file: PathBuf,
    bytes: &'static [u8],
    entries: HashMap<String, Entry>,
    place: Place,
}

impl Weights {
    pub(super) fn open(file: &Path, place: Place) -> Result<Self, NetError> {
        Self::of(mapping::map(file)?, file, place)
    }

    /// The weights in these bytes, which errors call `file`.
    pub(super) fn of(bytes: &'static [u8], file: &Path, place: Place) -> Result<Self, NetError> {
        let entries = safetensors::entries(bytes)
            .map_err(|reason| NetError::Header { file: file.to_owned(), reason })?;
        Ok(Self { file: file.to_owned(), bytes, entries, place })
    }

    /// The tensors under the first of the prefixes that has a tensor of this name. Checkpoints of a
    /// whole classifier say `roberta.embeddings…`, those of the bare encoder `embeddings…`.
    pub(super) fn under<'a>(&'a self, prefixes: &[&'a str], name: &str) -> Scope<'a> {
        let has = |prefix: &&&str| self.entries.contains_key(&format!("{prefix}{name}"));
        let prefix = prefixes.iter().find(has).or(prefixes.first()).copied().unwrap_or_default();
        Scope { weights: self, prefix: prefix.to_owned() }
    }

    /// All tensors, by their full names.
    pub(super) fn root(&self) -> Scope<'_> {
        Scope { weights: self, prefix: String::new() }
    }

    fn tensor(&self, name: String, shape: &[i64]) -> Result<Tensor, NetError> {
        let Some(entry) = self.entries.get(&name) else {
            return Err(NetError::Missing { file: self.file.clone(), tensor: name });
        };
        if entry.shape != shape {
            let found = format!("{:?}", entry.shape);
            return Err(self.unfit(name, found, format!("{shape:?}")));
        }
        if !matches!(entry.kind, Kind::Float | Kind::BFloat16 | Kind::Half | Kind::Double) {
            return Err(self.unfit(name, format!("{:?}", entry.kind), "floating point".to_owned()));
        }
        let bytes = &self.bytes[entry.bytes.clone()];
        let there = match mapping::tensor(bytes, shape, entry.kind) {
            Some(mapped) => mapped?,
            None => Tensor::f_from_data_size(bytes, shape, entry.kind)?,
        };
        // Neither copies when there is nothing to change.
        Ok(there.f_to_kind(self.place.kind)?.f_to_device(self.place.device)?)
    }

    fn unfit(&self, tensor: String, found: String, expected: String) -> NetError {
        NetError::Tensor { file: self.file.clone(), tensor, found, expected }
    }
}

/// The tensors whose names begin with a prefix.
pub(super) struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// One step down: `under("layer.0")` of `encoder.` is `encoder.layer.0.`.
    pub(super) fn under(&self, name: impl std::fmt::Display) -> Scope<'a> {
        Scope { weights: self.weights, prefix: format!("{}{name}.", self.prefix) }
    }

    /// A tensor of this shape.
    pub(super) fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, NetError> {
        self.weights.tensor(format!("{}{name}", self.prefix), shape)
    }

    /// The first of these tensors that is there: tied tensors are written once or several times.
    pub(super) fn any(&self, names: &[&str], shape: &[i64]) -> Result<Tensor, NetError> {
        let has =
            |name: &&&str| self.weights.entries.contains_key(&format!("{}{name}", self.prefix));
        let name = names.iter().find(has).or(names.first()).copied().unwrap_or_default();
        self.tensor(name, shape)
    }
}
