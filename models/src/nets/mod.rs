//! The neural part: checkpoints of Hugging Face, loaded and asked with libtorch.
//!
//! rust-bert's own pipelines pass no attention mask, so that padding changes their answers, and
//! fix the epsilon of their norms. These forwards run over the same weights with neither defect:
//! texts are packed without padding ([`packed`]), what is not read is not computed (the last layer
//! of a classifier runs for one token), and weights are mapped, not read ([`mapping`]).
//!
//! Start with [`Classifier`]; its parts are in `encoder.rs` and `layers.rs`.

mod answered;
mod bart;
mod batch;
mod classifier;
mod config;
mod embedder;
mod encoder;
mod error;
mod head;
mod layers;
mod mapping;
mod packed;
mod place;
mod safetensors;
mod tokens;
mod weights;
mod work;
mod zero_shot;

pub(crate) use answered::answered;
pub use classifier::Classifier;
pub use embedder::Embedder;
pub(crate) use embedder::normalise;
pub use error::NetError;
pub use head::Head;
pub use place::{Place, Precision, one_thread_each};
pub use tokens::{MOST_TOKENS, Tokens};
pub use work::operations;
pub use zero_shot::ZeroShot;

/// Shares that add up to 1, from logits.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let grown: Vec<_> = logits.iter().map(|logit| f64::from(logit - most).exp()).collect();
    let total: f64 = grown.iter().sum();
    grown.iter().map(|share| share / total).collect()
}
