"""Makes checkpoints with random weights in Hugging Face's layout, the same ones every time: to test
the engine against the original code, and to measure speed where no weights can be fetched.

    checkpoints.py tiny OUT     the four families, a few layers of width 16
    checkpoints.py full OUT     the shapes of the published models, about 3.3 GB

OUT gets one folder per task: sentiment (RoBERTa), language (XLM-RoBERTa), zero-shot (BART trained
on NLI) and embedding (BERT, the shape of MiniLM-L6). What they answer means nothing, but they
answer different texts differently, and by a clear margin.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

import texts
import vocabularies

# In the order of the published configurations.
SENTIMENTS = ["negative", "neutral", "positive"]
LANGUAGES = "ja nl ar pl de it pt tr es hi el ur bg en fr zh ru th sw vi".split()
ENTAILMENT = ["contradiction", "neutral", "entailment"]


@dataclass
class Size:
    """Vocabularies to train, widths and depths. The weights are made for `vocab_*` words where that
    is more than the tokenizer has.
    """

    bpe: int
    unigram: int
    wordpiece: int
    base: dict  # RoBERTa and XLM-RoBERTa
    bart: dict
    minilm: dict
    vocab_roberta: int | None = None
    vocab_xlmr: int | None = None
    vocab_bert: int | None = None


TINY = Size(
    bpe=400,
    unigram=560,
    wordpiece=320,
    base=dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    | dict(max_position_embeddings=130),
    bart=dict(d_model=16, encoder_layers=2, decoder_layers=2, max_position_embeddings=128)
    | dict(encoder_attention_heads=2, decoder_attention_heads=2)
    | dict(encoder_ffn_dim=32, decoder_ffn_dim=32),
    minilm=dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    | dict(max_position_embeddings=128),
)

# Trained on a thousand captions, as many pieces as make the BPE take 75 tokens a caption, which is
# what the published one takes. (A larger vocabulary would know those captions by heart.)
FULL = Size(
    bpe=5000,
    unigram=6000,
    wordpiece=8000,
    base=dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)
    | dict(max_position_embeddings=514),
    bart=dict(d_model=1024, encoder_layers=12, decoder_layers=12, max_position_embeddings=1024)
    | dict(encoder_attention_heads=16, decoder_attention_heads=16)
    | dict(encoder_ffn_dim=4096, decoder_ffn_dim=4096),
    minilm=dict(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    | dict(max_position_embeddings=512),
    vocab_roberta=50265,
    vocab_xlmr=250002,
    vocab_bert=30522,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("size", choices=["tiny", "full"])
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--texts",
        type=Path,
        help="train the tokenizers on these texts (JSON lines with `text` or `caption`), so that "
        "they take about as many tokens as the published ones do; by default on our own",
    )
    args = parser.parse_args()
    size = {"tiny": TINY, "full": FULL}[args.size]
    corpus = read_texts(args.texts) if args.texts else texts.captions(3000)
    for task, make in MAKERS.items():
        folder = args.out / task
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, size, corpus)
        print(f"{folder}: {(folder / 'model.safetensors').stat().st_size >> 10} KiB", flush=True)


def read_texts(file):
    with open(file) as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    return [row.get("text") or row.get("caption") or "" for row in rows]


def sentiment(folder, size, corpus):
    longest = size.base["max_position_embeddings"] - 2
    vocab = vocabularies.bpe(folder, corpus, size.bpe, "roberta", longest)
    config = RobertaConfig(
        vocab_size=size.vocab_roberta or vocab, layer_norm_eps=1e-5, type_vocab_size=1,
        **size.base, **labels(SENTIMENTS),
    )  # fmt: skip
    model = randomise(RobertaForSequenceClassification(config), seed=1)
    settle(model, folder, model.classifier.out_proj)
    # Published files hold tensors that classification does not use.
    width = config.hidden_size
    unused = {
        "roberta.pooler.dense.weight": torch.zeros(width, width),
        "roberta.pooler.dense.bias": torch.zeros(width),
    }
    save(model, folder, unused)


def language(folder, size, corpus):
    longest = size.base["max_position_embeddings"] - 2
    vocab = vocabularies.unigram(folder, corpus, size.unigram, longest)
    config = XLMRobertaConfig(
        vocab_size=size.vocab_xlmr or vocab, layer_norm_eps=1e-5, type_vocab_size=1,
        **size.base, **labels(LANGUAGES),
    )  # fmt: skip
    model = randomise(XLMRobertaForSequenceClassification(config), seed=2)
    settle(model, folder, model.classifier.out_proj)
    save(model, folder)


def zero_shot(folder, size, corpus):
    longest = size.bart["max_position_embeddings"]
    vocab = vocabularies.bpe(folder, corpus, size.bpe, "bart", longest)
    config = BartConfig(vocab_size=size.vocab_roberta or vocab, **size.bart, **labels(ENTAILMENT))
    model = randomise(BartForSequenceClassification(config), seed=3)
    settle(model, folder, model.classification_head.out_proj)
    save(model, folder)


def embedding(folder, size, corpus):
    longest = size.minilm["max_position_embeddings"]
    vocab = vocabularies.wordpiece(folder, corpus, size.wordpiece, longest)
    config = BertConfig(vocab_size=size.vocab_bert or vocab, layer_norm_eps=1e-12, **size.minilm)
    model = randomise(BertModel(config), seed=4)
    # The published file has this one too, in whole numbers.
    save(model, folder, {"embeddings.position_ids": torch.arange(longest).unsqueeze(0)})


MAKERS = {
    "sentiment": sentiment,
    "language": language,
    "zero-shot": zero_shot,
    "embedding": embedding,
}


def labels(names):
    return dict(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})


def randomise(model, seed):
    """Weights that keep the scale of what flows through them, wide enough for attention to prefer
    some tokens; no bias and no layer norm is neutral, so that forgetting one shows.
    """
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "norm" in name.lower():
                centre = 1.0 if name.endswith("weight") else 0.0
                weights.normal_(centre, 0.1, generator=chance)
            elif name.endswith("bias"):
                weights.normal_(0.0, 0.1, generator=chance)
            elif "embed" in name or "shared" in name:
                weights.normal_(0.0, 1.0, generator=chance)
            else:
                gain = 2.0 if "q_proj" in name or "query" in name else 1.0
                weights.normal_(0.0, gain * weights.shape[1] ** -0.5, generator=chance)
    return model.eval()


def settle(model, folder, last):
    """Scales and shifts the last layer: over a few texts every logit has mean 0 and deviation 3.
    Otherwise one label would win them all.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        logits = torch.cat(
            [
                model(**tokenizer(text, truncation=True, max_length=64, return_tensors="pt")).logits
                for text in texts.captions(40, seed=2)
            ]
        )
    with torch.no_grad():
        scale = 3.0 / logits.std(dim=0)
        last.weight *= scale.unsqueeze(1)
        last.bias.copy_((last.bias - logits.mean(dim=0)) * scale)


def save(model, folder, more=None):
    model.config.save_pretrained(folder)
    # Tied weights (BART's three embeddings) are stored once, under the name that comes first.
    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            tensors[name] = tensor.contiguous()
    safetensors.torch.save_file(
        tensors | (more or {}), folder / "model.safetensors", metadata={"format": "pt"}
    )


if __name__ == "__main__":
    main()
