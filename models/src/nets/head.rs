//! A small perceptron over the states of an [`super::Embedder`].

use std::path::Path;

use tch::Tensor;

use super::error::NetError;
use super::layers::Linear;
use super::place::{Place, Precision};
use super::weights::Weights;

/// `softmax(W2·gelu(W1·x + b1) + b2)`, without the softmax. It computes with 32 bits on the CPU:
/// it is too small for anything else to pay.
pub struct Head {
    hidden: Linear,
    output: Linear,
    inputs: usize,
}

impl Head {
    /// The head in a safetensors file: `hidden.weight` `[hidden, inputs]`, `output.weight`
    /// `[outputs, hidden]` and their biases. Errors call the file `name`.
    ///
    /// # Errors
    /// When the file is damaged, or its tensors have other shapes.
    pub fn load(
        bytes: &'static [u8],
        name: &str,
        [inputs, hidden, outputs]: [usize; 3],
    ) -> Result<Self, NetError> {
        let weights = Weights::of(bytes, Path::new(name), Place::cpu(Precision::Full))?;
        let root = weights.root();
        let linear = |name, inputs, outputs| Linear::load(&root.under(name), inputs, outputs);
        Ok(Self {
            hidden: linear("hidden", inputs as i64, hidden as i64)?,
            output: linear("output", hidden as i64, outputs as i64)?,
            inputs,
        })
    }

    /// Logits for each row of inputs.
    ///
    /// # Errors
    /// When libtorch refuses, as it does rows of another length.
    pub fn logits(&self, rows: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, NetError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let _no_grad = tch::no_grad_guard();
        let x = Tensor::from_slice(&rows.concat());
        let x = x.f_view([rows.len() as i64, self.inputs as i64])?;
        let logits = self.output.of(&self.hidden.of(&x)?.f_gelu_("none")?)?;
        let (_, outputs) = logits.size2()?;
        let flat = Vec::<f32>::try_from(&logits.f_contiguous()?.f_view([-1])?)?;
        Ok(flat.chunks(outputs as usize).map(<[f32]>::to_vec).collect())
    }
}
