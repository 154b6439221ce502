//! BART as a classifier of pairs: encoder, decoder, and the decoder's state of the last token.

use tch::{TchError, Tensor};

use super::config;
use super::error::NetError;
use super::layers::{
    Attention, AttentionNames, Embedding, FeedForward, FeedForwardNames, Linear, Norm, Tables,
};
use super::packed::{Packed, Run, Sight};
use super::weights::{Scope, Weights};

/// BART's layers normalise as PyTorch does by default; its configuration does not say.
const EPS: f64 = 1e-5;

/// Rows of the table of positions before that of the first token.
const POSITIONS_BEFORE: i64 = 2;

const OWN: AttentionNames = AttentionNames {
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    value: "self_attn.v_proj",
    output: "self_attn.out_proj",
    norm: "self_attn_layer_norm",
};

const ACROSS: AttentionNames = AttentionNames {
    query: "encoder_attn.q_proj",
    key: "encoder_attn.k_proj",
    value: "encoder_attn.v_proj",
    output: "encoder_attn.out_proj",
    norm: "encoder_attn_layer_norm",
};

const FEED_FORWARD: FeedForwardNames =
    FeedForwardNames { up: "fc1", down: "fc2", norm: "final_layer_norm" };

pub(super) struct Bart {
    reading: Embedding,
    encoder: Vec<EncoderLayer>,
    writing: Embedding,
    decoder: Vec<DecoderLayer>,
    last: DecoderLayer,
    dense: Linear,
    out: Linear,
    start: i64,
}

struct EncoderLayer {
    own: Attention,
    feed_forward: FeedForward,
}

struct DecoderLayer {
    own: Attention,
    across: Attention,
    feed_forward: FeedForward,
}

impl EncoderLayer {
    fn load(scope: &Scope, config: &config::Bart) -> Result<Self, NetError> {
        let (width, heads) = (config.d_model, config.encoder_attention_heads);
        let sizes = (width, config.encoder_ffn_dim);
        let act = config.activation_function;
        Ok(Self {
            own: Attention::load(scope, &OWN, width, heads, EPS)?,
            feed_forward: FeedForward::load(scope, &FEED_FORWARD, sizes, act, EPS)?,
        })
    }

    fn of(&self, x: &Tensor, runs: &[Run]) -> Result<Tensor, TchError> {
        self.feed_forward.of(&self.own.of(x, x, runs, Sight::Whole)?)
    }
}

impl DecoderLayer {
    fn load(scope: &Scope, config: &config::Bart) -> Result<Self, NetError> {
        let (width, heads) = (config.d_model, config.decoder_attention_heads);
        let sizes = (width, config.decoder_ffn_dim);
        let act = config.activation_function;
        Ok(Self {
            own: Attention::load(scope, &OWN, width, heads, EPS)?,
            across: Attention::load(scope, &ACROSS, width, heads, EPS)?,
            feed_forward: FeedForward::load(scope, &FEED_FORWARD, sizes, act, EPS)?,
        })
    }

    /// `x`: the tokens whose state is wanted; `written`: all of the decoder; `read`: all of the
    /// encoder.
    fn of(
        &self,
        (x, sight): (&Tensor, Sight),
        written: &Tensor,
        read: &Tensor,
        runs: &[Run],
    ) -> Result<Tensor, TchError> {
        let x = self.own.of(x, written, runs, sight)?;
        let x = self.across.of(&x, read, runs, Sight::Whole)?;
        self.feed_forward.of(&x)
    }
}

impl Bart {
    pub(super) fn load(
        weights: &Weights,
        config: &config::Bart,
        classes: i64,
    ) -> Result<Self, NetError> {
        let model = weights.under(&["model.", ""], "encoder.layers.0.fc1.weight");
        let width = config.d_model;
        let embedding = |part: &str| {
            let scope = model.under(part);
            // One table, tied: written under one of its names, or under several.
            let own = format!("{part}.embed_tokens.weight");
            let other = if part == "encoder" { "decoder" } else { "encoder" };
            let other = format!("{other}.embed_tokens.weight");
            let positions = config.max_position_embeddings + POSITIONS_BEFORE;
            let scale = if config.scale_embedding { (width as f64).sqrt() } else { 1.0 };
            Ok::<_, NetError>(Embedding::of_tables(Tables {
                words: model.any(&["shared.weight", &own, &other], &[config.vocab_size, width])?,
                positions: scope.tensor("embed_positions.weight", &[positions, width])?,
                segments: None,
                norm: Norm::load(&scope.under("layernorm_embedding"), width, EPS)?,
                first_position: POSITIONS_BEFORE,
                scale,
            })?)
        };
        let decoder_layer = |index: usize| {
            DecoderLayer::load(&model.under(format_args!("decoder.layers.{index}")), config)
        };
        let encoder = (0..config.encoder_layers).map(|index| {
            EncoderLayer::load(&model.under(format_args!("encoder.layers.{index}")), config)
        });
        let last = config.decoder_layers - 1;
        let head = weights.root().under("classification_head");
        Ok(Self {
            reading: embedding("encoder")?,
            encoder: encoder.collect::<Result<_, _>>()?,
            writing: embedding("decoder")?,
            decoder: (0..last).map(decoder_layer).collect::<Result<_, _>>()?,
            last: decoder_layer(last)?,
            dense: Linear::load(&head.under("dense"), width, width)?,
            out: Linear::load(&head.under("out_proj"), width, classes)?,
            start: config.decoder_start_token_id,
        })
    }

    /// Logits of each pair, `[pairs, classes]`. Every pair ends with the token that ends texts.
    pub(super) fn logits(&self, pairs: &Packed) -> Result<Tensor, TchError> {
        let runs = &pairs.runs;
        let x = self.reading.of(pairs, &pairs.ids)?;
        let read = self.encoder.iter().try_fold(x, |x, layer| layer.of(&x, runs))?;
        // The decoder writes what was read, one token later.
        let shifted = pairs.ids.f_roll([1], [0])?;
        let shifted = shifted.f_index_fill(0, &pairs.firsts, self.start)?;
        let x = self.writing.of(pairs, &shifted)?;
        let x = self
            .decoder
            .iter()
            .try_fold(x, |x, layer| layer.of((&x, Sight::Past), &x, &read, runs))?;
        // The last token looks back at all of its text.
        let lasts = x.f_index_select(0, &pairs.lasts)?;
        let state = self.last.of((&lasts, Sight::Whole), &x, &read, runs)?;
        self.out.of(&self.dense.of(&state)?.f_tanh_()?)
    }
}
