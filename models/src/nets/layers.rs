//! The building blocks of the nets.

use tch::{TchError, Tensor};

use super::config::Activation;
use super::error::NetError;
use super::packed::{Packed, Projected, Run, Sight};
use super::weights::Scope;
use super::work;

/// `x·Wᵀ + b`.
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(super) fn load(scope: &Scope, inputs: i64, outputs: i64) -> Result<Self, NetError> {
        Ok(Self {
            weight: scope.tensor("weight", &[outputs, inputs])?,
            bias: scope.tensor("bias", &[outputs])?,
        })
    }

    /// `x`: `[rows, inputs]`; answers `[rows, outputs]`.
    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor, TchError> {
        work::linear(x, &self.weight)?;
        x.f_linear(&self.weight, Some(&self.bias))
    }

    /// What was there, `[rows, outputs]`, and the product, which is rounded before: of bfloat16
    /// the smaller number loses less. (A product added while it is computed takes as long.)
    fn onto(&self, there: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
        self.of(x)?.f_add_(there)
    }
}

/// Layer normalisation.
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    pub(super) fn load(scope: &Scope, width: i64, eps: f64) -> Result<Self, NetError> {
        Ok(Self {
            weight: scope.tensor("weight", &[width])?,
            bias: scope.tensor("bias", &[width])?,
            eps,
        })
    }

    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let width = self.weight.size1()?;
        x.f_layer_norm([width], Some(&self.weight), Some(&self.bias), self.eps, false)
    }
}

/// How the parts of an attention block are called in a checkpoint.
pub(super) struct AttentionNames {
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub output: &'static str,
    pub norm: &'static str,
}

/// Attention, what it takes added to what was there, normalised.
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: Norm,
    heads: i64,
}

impl Attention {
    /// `scope` is the layer's; the names are relative to it.
    pub(super) fn load(
        scope: &Scope,
        names: &AttentionNames,
        width: i64,
        heads: i64,
        eps: f64,
    ) -> Result<Self, NetError> {
        let square = |name| Linear::load(&scope.under(name), width, width);
        Ok(Self {
            query: square(names.query)?,
            key: square(names.key)?,
            value: square(names.value)?,
            output: square(names.output)?,
            norm: Norm::load(&scope.under(names.norm), width, eps)?,
            heads,
        })
    }

    /// `x` asks, `seen` is looked at (the same for self-attention): `[tokens, width]`. `x` may hold
    /// one row per text rather than per token.
    pub(super) fn of(
        &self,
        x: &Tensor,
        seen: &Tensor,
        runs: &[Run],
        sight: Sight,
    ) -> Result<Tensor, TchError> {
        let projected = Projected {
            queries: self.query.of(x)?,
            keys: self.key.of(seen)?,
            values: self.value.of(seen)?,
        };
        let taken = projected.attend(runs, self.heads, sight)?;
        self.norm.of(&self.output.onto(x, &taken)?)
    }
}

/// How the parts of a feed-forward block are called in a checkpoint.
pub(super) struct FeedForwardNames {
    pub up: &'static str,
    pub down: &'static str,
    pub norm: &'static str,
}

/// Two linear maps with a bend between, added to what was there, normalised.
pub(super) struct FeedForward {
    up: Linear,
    down: Linear,
    norm: Norm,
    activation: Activation,
}

impl FeedForward {
    pub(super) fn load(
        scope: &Scope,
        names: &FeedForwardNames,
        (width, inner): (i64, i64),
        activation: Activation,
        eps: f64,
    ) -> Result<Self, NetError> {
        Ok(Self {
            up: Linear::load(&scope.under(names.up), width, inner)?,
            down: Linear::load(&scope.under(names.down), inner, width)?,
            norm: Norm::load(&scope.under(names.norm), width, eps)?,
            activation,
        })
    }

    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut inner = self.up.of(x)?;
        let inner = match self.activation {
            Activation::Gelu => inner.f_gelu_("none")?,
            Activation::GeluNew => inner.f_gelu_("tanh")?,
            Activation::Relu => inner.f_relu_()?,
        };
        self.norm.of(&self.down.onto(x, &inner)?)
    }
}

/// Rows of a table, looked up and added: `[tokens, width]`.
pub(super) struct Embedding {
    words: Tensor,
    positions: Tensor,
    /// Added to every token: the row of the only segment.
    segment: Option<Tensor>,
    norm: Norm,
    /// Row of the table of positions that belongs to a text's first token.
    first_position: i64,
    scale: f64,
}

/// The tables of an [`Embedding`].
pub(super) struct Tables {
    /// `[vocabulary, width]`.
    pub words: Tensor,
    /// `[positions, width]`.
    pub positions: Tensor,
    /// `[segments, width]`.
    pub segments: Option<Tensor>,
    pub norm: Norm,
    pub first_position: i64,
    pub scale: f64,
}

impl Embedding {
    pub(super) fn of_tables(tables: Tables) -> Result<Self, TchError> {
        let Tables { words, positions, segments, norm, first_position, scale } = tables;
        let segment = segments.map(|rows| rows.f_select(0, 0)).transpose()?;
        Ok(Self { words, positions, segment, norm, first_position, scale })
    }

    pub(super) fn of(&self, packed: &Packed, ids: &Tensor) -> Result<Tensor, TchError> {
        let mut sum = self.words.f_index_select(0, ids)?;
        if (self.scale - 1.0).abs() > f64::EPSILON {
            sum = sum.f_mul_scalar(self.scale)?;
        }
        let positions = packed.positions.f_add_scalar(self.first_position)?;
        sum = sum.f_add_(&self.positions.f_index_select(0, &positions)?)?;
        if let Some(segment) = &self.segment {
            sum = sum.f_add_(segment)?;
        }
        self.norm.of(&sum)
    }
}
