//! The encoder of BERT, RoBERTa and XLM-RoBERTa.

use tch::{TchError, Tensor};

use super::config;
use super::error::NetError;
use super::layers::{
    Attention, AttentionNames, Embedding, FeedForward, FeedForwardNames, Norm, Tables,
};
use super::packed::{Packed, Run, Sight};
use super::weights::{Scope, Weights};

const ATTENTION: AttentionNames = AttentionNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    norm: "attention.output.LayerNorm",
};

const FEED_FORWARD: FeedForwardNames =
    FeedForwardNames { up: "intermediate.dense", down: "output.dense", norm: "output.LayerNorm" };

pub(super) struct Encoder {
    embedding: Embedding,
    layers: Vec<Layer>,
    last: Layer,
}

struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
}

impl Layer {
    fn load(scope: &Scope, config: &config::Encoder) -> Result<Self, NetError> {
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let heads = config.num_attention_heads;
        Ok(Self {
            attention: Attention::load(scope, &ATTENTION, width, heads, eps)?,
            feed_forward: FeedForward::load(
                scope,
                &FEED_FORWARD,
                (width, config.intermediate_size),
                config.hidden_act,
                eps,
            )?,
        })
    }

    fn of(&self, x: &Tensor, seen: &Tensor, runs: &[Run]) -> Result<Tensor, TchError> {
        self.feed_forward.of(&self.attention.of(x, seen, runs, Sight::Whole)?)
    }
}

impl Encoder {
    /// `prefixes`: how the encoder may be called in the file. `first_position`: the row of the
    /// table of positions where texts begin.
    pub(super) fn load(
        weights: &Weights,
        prefixes: &[&str],
        config: &config::Encoder,
        first_position: i64,
    ) -> Result<Self, NetError> {
        let encoder = weights.under(prefixes, "embeddings.word_embeddings.weight");
        let tables = encoder.under("embeddings");
        let width = config.hidden_size;
        let table = |name, rows| tables.tensor(name, &[rows, width]);
        let embedding = Embedding::of_tables(Tables {
            words: table("word_embeddings.weight", config.vocab_size)?,
            positions: table("position_embeddings.weight", config.max_position_embeddings)?,
            segments: Some(table("token_type_embeddings.weight", config.type_vocab_size)?),
            norm: Norm::load(&tables.under("LayerNorm"), width, config.layer_norm_eps)?,
            first_position,
            scale: 1.0,
        })?;
        let layer = |index: usize| {
            Layer::load(&encoder.under(format_args!("encoder.layer.{index}")), config)
        };
        let last = config.num_hidden_layers - 1;
        let layers = (0..last).map(layer).collect::<Result<_, _>>()?;
        Ok(Self { embedding, layers, last: layer(last)? })
    }

    /// How many layers there are.
    pub(super) fn depth(&self) -> usize {
        self.layers.len() + 1
    }

    /// Hands out the states of all tokens, `[tokens, width]`: first those of the embeddings, number
    /// 0, then those after each layer.
    pub(super) fn each_state(
        &self,
        packed: &Packed,
        mut take: impl FnMut(usize, &Tensor) -> Result<(), TchError>,
    ) -> Result<(), TchError> {
        let mut x = self.embedding.of(packed, &packed.ids)?;
        take(0, &x)?;
        for (below, layer) in self.layers.iter().chain([&self.last]).enumerate() {
            x = layer.of(&x, &x, &packed.runs)?;
            take(below + 1, &x)?;
        }
        Ok(())
    }

    /// The last state of each text's first token, `[texts, width]`: the last layer computes no
    /// other.
    pub(super) fn firsts(&self, packed: &Packed) -> Result<Tensor, TchError> {
        let x = self.below_last(packed)?;
        self.last.of(&x.f_index_select(0, &packed.firsts)?, &x, &packed.runs)
    }

    fn below_last(&self, packed: &Packed) -> Result<Tensor, TchError> {
        let x = self.embedding.of(packed, &packed.ids)?;
        self.layers.iter().try_fold(x, |x, layer| layer.of(&x, &x, &packed.runs))
    }
}
