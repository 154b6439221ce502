//! `config.json` of a checkpoint, as Hugging Face writes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::NetError;

/// A configuration longer than this is none.
const MOST_BYTES: u64 = 4 << 20;

/// Words of every architecture: the classes, and the token that fills up.
#[derive(Debug, Deserialize)]
pub(super) struct Labels {
    #[serde(default)]
    id2label: BTreeMap<String, String>,
    #[serde(default)]
    label2id: BTreeMap<String, i64>,
}

impl Labels {
    /// The labels by class: class i of the logits is `names(..)[i]`. Empty when the checkpoint
    /// names none. `id2label` counts; `label2id` where that is not written.
    pub(super) fn names(&self, file: &Path) -> Result<Vec<String>, NetError> {
        let mut by_class = BTreeMap::new();
        for (class, label) in &self.id2label {
            let class = class.parse::<i64>();
            let class = class.map_err(|e| NetError::config(file, format!("id2label: {e}")))?;
            by_class.insert(class, label.clone());
        }
        if by_class.is_empty() {
            by_class = self.label2id.iter().map(|(label, class)| (*class, label.clone())).collect();
        }
        if !by_class.keys().copied().eq(0..by_class.len() as i64) {
            return Err(NetError::config(file, "the classes of id2label are not 0, 1, 2, …"));
        }
        Ok(by_class.into_values().collect())
    }
}

/// A BERT-shaped encoder: BERT, RoBERTa, XLM-RoBERTa.
#[derive(Debug, Deserialize)]
pub(super) struct Encoder {
    pub hidden_size: i64,
    pub num_hidden_layers: usize,
    pub num_attention_heads: i64,
    pub intermediate_size: i64,
    pub vocab_size: i64,
    pub max_position_embeddings: i64,
    #[serde(default = "one")]
    pub type_vocab_size: i64,
    #[serde(default = "bert_eps")]
    pub layer_norm_eps: f64,
    #[serde(default = "bert_activation")]
    pub hidden_act: Activation,
    #[serde(default)]
    pub pad_token_id: i64,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    #[serde(flatten)]
    pub labels: Labels,
    #[serde(skip)]
    pub file: PathBuf,
}

/// BART, encoder and decoder.
#[derive(Debug, Deserialize)]
pub(super) struct Bart {
    pub d_model: i64,
    pub encoder_layers: usize,
    pub decoder_layers: usize,
    pub encoder_attention_heads: i64,
    pub decoder_attention_heads: i64,
    pub encoder_ffn_dim: i64,
    pub decoder_ffn_dim: i64,
    pub vocab_size: i64,
    #[serde(default = "bart_positions")]
    pub max_position_embeddings: i64,
    #[serde(default = "bert_activation")]
    pub activation_function: Activation,
    #[serde(default)]
    pub scale_embedding: bool,
    #[serde(default = "two")]
    pub decoder_start_token_id: i64,
    /// Set by relatives of BART (mBART, Blenderbot) whose layers normalise elsewhere.
    #[serde(default)]
    normalize_before: bool,
    #[serde(default)]
    add_final_layer_norm: bool,
    #[serde(flatten)]
    pub labels: Labels,
    #[serde(skip)]
    pub file: PathBuf,
}

/// What stands between the two halves of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activation {
    Gelu,
    #[serde(alias = "gelu_fast", alias = "gelu_pytorch_tanh")]
    GeluNew,
    Relu,
}

fn one() -> i64 {
    1
}
fn two() -> i64 {
    2
}
fn bert_eps() -> f64 {
    1e-12
}
fn bert_activation() -> Activation {
    Activation::Gelu
}
fn bart_positions() -> i64 {
    1024
}
fn absolute() -> String {
    "absolute".to_owned()
}

impl Encoder {
    pub(super) fn read(file: &Path) -> Result<Self, NetError> {
        let config: Self = read(file)?;
        let sizes = [
            config.hidden_size,
            config.num_attention_heads,
            config.intermediate_size,
            config.vocab_size,
            config.max_position_embeddings,
            config.type_vocab_size,
        ];
        check(file, &sizes, config.hidden_size, &[config.num_attention_heads])?;
        if config.position_embedding_type != "absolute" {
            let kind = &config.position_embedding_type;
            return Err(NetError::config(file, format!("positions of type {kind}: unsupported")));
        }
        if config.num_hidden_layers == 0 {
            return Err(NetError::config(file, "an encoder without layers"));
        }
        Ok(Self { file: file.to_owned(), ..config })
    }
}

impl Encoder {
    /// How long a text can be when its first token has this position.
    pub(super) fn most_tokens(&self, first_position: i64) -> Result<usize, NetError> {
        let most = self.max_position_embeddings.saturating_sub(first_position);
        let most = usize::try_from(most).ok().filter(|most| *most >= 3 && first_position >= 0);
        most.ok_or_else(|| NetError::config(&self.file, "there are no positions for tokens"))
    }
}

impl Bart {
    pub(super) fn read(file: &Path) -> Result<Self, NetError> {
        let config: Self = read(file)?;
        let sizes = [
            config.d_model,
            config.encoder_attention_heads,
            config.decoder_attention_heads,
            config.encoder_ffn_dim,
            config.decoder_ffn_dim,
            config.vocab_size,
            config.max_position_embeddings,
        ];
        let heads = [config.encoder_attention_heads, config.decoder_attention_heads];
        check(file, &sizes, config.d_model, &heads)?;
        if config.normalize_before || config.add_final_layer_norm {
            return Err(NetError::config(file, "layers that normalise before: unsupported"));
        }
        if config.encoder_layers == 0 || config.decoder_layers == 0 {
            return Err(NetError::config(file, "an encoder or decoder without layers"));
        }
        Ok(Self { file: file.to_owned(), ..config })
    }
}

/// The class of "follows from it", whatever its case.
pub(super) fn entailment(labels: &[String], file: &Path) -> Result<usize, NetError> {
    let found = labels.iter().position(|label| label.to_lowercase().starts_with("entail"));
    found.ok_or_else(|| NetError::config(file, "no label is called entailment"))
}

/// Whether every id of the tokenizer has a row in the table of words.
pub(super) fn fits(file: &Path, ids: i64, rows: i64) -> Result<(), NetError> {
    if ids <= rows {
        return Ok(());
    }
    let reason = format!("the tokenizer has {ids} tokens, and vocab_size is {rows}");
    Err(NetError::config(file, reason))
}

fn check(file: &Path, sizes: &[i64], width: i64, heads: &[i64]) -> Result<(), NetError> {
    // Far above any real net, far below what would overflow in a product of two.
    if sizes.iter().any(|size| !(1..=1 << 24).contains(size)) {
        return Err(NetError::config(file, "a size that no net has"));
    }
    if heads.iter().any(|heads| width % heads != 0) {
        return Err(NetError::config(file, "the width is no multiple of the number of heads"));
    }
    Ok(())
}

/// Reads a JSON file of a checkpoint.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, NetError> {
    let opened = File::open(file).map_err(NetError::read(file))?;
    serde_json::from_reader(BufReader::new(opened.take(MOST_BYTES)))
        .map_err(|e| NetError::config(file, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(json: &str) -> Result<Vec<String>, NetError> {
        let labels: Labels = serde_json::from_str(json).unwrap();
        labels.names(Path::new("config.json"))
    }

    #[test]
    fn labels_come_in_the_order_of_their_classes() {
        // As text, "10" sorts before "2".
        let many = (0..11).map(|class| format!(r#""{class}":"L{class}""#)).collect::<Vec<_>>();
        let names = labels(&format!(r#"{{"id2label":{{{}}}}}"#, many.join(","))).unwrap();
        assert_eq!(names[2], "L2");
        assert_eq!(names[10], "L10");
        let names = labels(r#"{"label2id":{"negative":1,"positive":0}}"#).unwrap();
        assert_eq!(names, ["positive", "negative"]);
        assert!(labels(r#"{"id2label":{"0":"a","2":"b"}}"#).is_err());
        assert!(labels(r#"{"id2label":{"one":"a"}}"#).is_err());
        assert!(labels("{}").unwrap().is_empty());
    }

    #[test]
    fn entailment_is_found_by_name() {
        let file = Path::new("config.json");
        let labels = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let nli = labels(&["contradiction", "neutral", "ENTAILMENT"]);
        assert_eq!(entailment(&nli, file).unwrap(), 2);
        assert_eq!(entailment(&labels(&["Entailment", "no"]), file).unwrap(), 0);
        assert!(entailment(&labels(&["LABEL_0", "not_entailment"]), file).is_err());
    }

    #[test]
    fn a_configuration_that_is_not_supported_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let read = |change: (&str, serde_json::Value)| {
            let mut config = serde_json::json!({
                "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 16, "vocab_size": 10, "max_position_embeddings": 20,
            });
            config[change.0] = change.1;
            std::fs::write(&file, config.to_string()).unwrap();
            Encoder::read(&file).map_err(|e| e.to_string())
        };
        assert!(read(("hidden_act", "gelu".into())).unwrap().layer_norm_eps < 1e-11);
        assert!(read(("hidden_act", "swish".into())).unwrap_err().contains("swish"));
        assert!(read(("hidden_size", (-8).into())).unwrap_err().contains("no net has"));
        assert!(read(("num_attention_heads", 3.into())).unwrap_err().contains("heads"));
        assert!(read(("num_hidden_layers", 0.into())).unwrap_err().contains("without layers"));
        let relative = ("position_embedding_type", "relative_key".into());
        assert!(read(relative).unwrap_err().contains("relative_key"));
    }
}
