//! What the registry says of a checkpoint.

use serde::{Deserialize, Serialize};

use crate::tier::Tier;

/// What a checkpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Sentence embeddings, from which the lite tier reads.
    Embedding,
    /// How a caption sounds.
    Sentiment,
    /// In which language it is.
    Language,
    /// Whether a caption entails a sentence: what it is about.
    ZeroShot,
}

impl Task {
    /// Every task, lower tiers first.
    pub const ALL: [Task; 4] = [Self::Embedding, Self::Sentiment, Self::Language, Self::ZeroShot];

    /// The word of the registry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Sentiment => "sentiment",
            Self::Language => "language",
            Self::ZeroShot => "zero-shot",
        }
    }

    /// The tier that needs it.
    pub const fn tier(self) -> Tier {
        match self {
            Self::Embedding => Tier::Lite,
            Self::Sentiment | Self::Language | Self::ZeroShot => Tier::Full,
        }
    }
}

/// Where the words for a model's outputs come from, in the order of its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// `id2label` of the checkpoint's `config.json`.
    Config,
    /// The product's: [`crate::label::Category::ALL`].
    Categories,
    /// These.
    Listed(Vec<String>),
}

/// What a file's content must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex, lower case.
    pub sha256: String,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path inside the repository, with `/`.
    pub name: String,
    /// Its content; `None` when only the revision pins it.
    pub pin: Option<Pin>,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What it is for.
    pub task: Task,
    /// `owner/name` on the host.
    pub repository: String,
    /// Full commit hash.
    pub revision: String,
    /// SPDX identifier, or whatever its authors say.
    pub licence: String,
    /// Words of its outputs.
    pub labels: Labels,
    /// Hypothesis of a zero-shot model, with one `{}`.
    pub template: Option<String>,
    /// Everything that is loaded.
    pub files: Vec<File>,
}

impl Model {
    /// `repository@revision`, as kept with each answer.
    pub fn id(&self) -> String {
        format!("{}@{}", self.repository, self.revision)
    }

    /// Name of the weights.
    pub fn weights(&self) -> &str {
        // Validation lets exactly one through.
        self.files.iter().find(|file| is_weights(&file.name)).map_or("", |file| &file.name)
    }

    /// Bytes on disk, as far as pins say.
    pub fn pinned_bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.pin.as_ref()).map(|pin| pin.size).sum()
    }
}

/// Whether a file of this name holds weights.
pub(super) fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors")
}
