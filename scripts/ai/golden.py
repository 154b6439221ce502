"""Writes what Hugging Face's transformers answer on the tiny checkpoints, for the engine's tests.

    golden.py TINY OUT     TINY as `checkpoints.py tiny` made it, OUT is models/tests/data/tiny

OUT gets per task the checkpoint as a model's folder holds it (no tokenizer.json), and beside it
    golden.json      texts, their token ids and the network's answers, each text run alone in fp32
    tokens.json      for every caption of OUT/captions.json the SHA-256 of its token ids (decimal,
                     joined by commas; the first 16 digits), and the ids of the first 50
Token ids include the special ones and are cut at 128.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

import texts

MAX_TOKENS = 128
CAPTIONS = 520
IDS_IN_FULL = 50
FILES = [
    "config.json", "model.safetensors", "vocab.json", "merges.txt", "vocab.txt",
    "sentencepiece.bpe.model",
]  # fmt: skip

CATEGORIES = [
    "Fashion & Beauty", "Food & Drink", "Travel & Tourism", "Technology", "Fitness & Health",
    "Entertainment", "Lifestyle", "Business & Finance", "Education", "Art & Culture", "Sports",
    "Music", "Photography", "Gaming", "Automotive", "Home & Garden", "Pets & Animals",
    "News & Politics", "Science", "General",
]  # fmt: skip
HYPOTHESIS = "This example is {}."


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tiny, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    captions = texts.captions(CAPTIONS)
    out.mkdir(parents=True, exist_ok=True)
    write(out / "captions.json", captions)
    answers = {
        "sentiment": logits,
        "language": logits,
        "zero-shot": entailment,
        "embedding": embeddings,
    }
    for task, answer in answers.items():
        copy(tiny / task, out / task)
        tokenizer = AutoTokenizer.from_pretrained(tiny / task)
        with torch.inference_mode():
            golden = {"texts": texts.COMPARED} | answer(tiny / task, tokenizer)
        write(out / task / "golden.json", golden)
        if task != "zero-shot":  # the tokenizer of sentiment, trained on the same texts
            write(out / task / "tokens.json", tokens(tiny / task, tokenizer, captions))


def copy(source, target):
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def encode(tokenizer, *texts):
    return tokenizer(
        *texts,
        truncation="only_first",
        max_length=MAX_TOKENS,
        return_tensors="pt",
    )


def logits(folder, tokenizer):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = [encode(tokenizer, text) for text in texts.COMPARED]
    rows = [model(**x).logits[0] for x in inputs]
    margin(folder.name, torch.stack(rows))
    return {"ids": ids(inputs), "logits": numbers(rows)}


def entailment(folder, tokenizer):
    """Per text the entailment logit of every category, in order; token ids with the first one."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    entails = model.config.label2id["entailment"]
    inputs, rows = [], []
    for text in texts.COMPARED:
        pairs = [encode(tokenizer, text, HYPOTHESIS.format(label)) for label in CATEGORIES]
        inputs.append(pairs[0])
        rows.append(torch.stack([model(**x).logits[0, entails] for x in pairs]))
    margin(folder.name, torch.stack(rows))
    return {"labels": CATEGORIES, "ids": ids(inputs), "logits": numbers(rows)}


def embeddings(folder, tokenizer):
    """The mean over all tokens of the last layer, of length 1."""
    model = AutoModel.from_pretrained(folder).eval()
    inputs = [encode(tokenizer, text) for text in texts.COMPARED]
    rows = [model(**x).last_hidden_state[0].mean(dim=0) for x in inputs]
    rows = [row / row.norm() for row in rows]
    return {"ids": ids(inputs), "embeddings": numbers(rows)}


def tokens(folder, tokenizer, captions):
    slow = AutoTokenizer.from_pretrained(folder, use_fast=False)
    rows, differing = [], 0
    for caption in captions:
        row = tokenizer(caption, truncation=True, max_length=MAX_TOKENS).input_ids
        differing += row != slow(caption, truncation=True, max_length=MAX_TOKENS).input_ids
        rows.append(row)
    mean = sum(map(len, rows)) / len(rows)
    print(f"{folder.name}: {mean:.1f} tokens a caption, slow and fast differ on {differing}")
    digests = [hashlib.sha256(",".join(map(str, row)).encode()).hexdigest()[:16] for row in rows]
    return {"sha256": digests, "ids": rows[:IDS_IN_FULL]}


def ids(inputs):
    return [x.input_ids[0].tolist() for x in inputs]


def numbers(rows):
    return [[float(f"{x:.6g}") for x in row.tolist()] for row in rows]


def margin(name, logits):
    """Says how decisive the answers are: tests compare the best label."""
    best = logits.topk(2, dim=1)
    gaps = (best.values[:, 0] - best.values[:, 1]).sort().values
    kinds = len(set(best.indices[:, 0].tolist()))
    print(f"{name}: {kinds} labels win, by {gaps[0]:.3f} at least and {gaps.median():.3f} mostly")


def write(file, value):
    """JSON with one line per element of a list: differences can be read."""
    file.write_text(layout(value) + "\n")


def layout(value):
    if isinstance(value, dict):
        rows = [f"{json.dumps(k)}: {layout(v)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n}"
    rows = (json.dumps(v, ensure_ascii=False, separators=(",", ":")) for v in value)
    return "[\n" + ",\n".join(rows) + "\n]"


if __name__ == "__main__":
    main()
