#!/usr/bin/env python3
"""Trains the sentiment head of the lite tier: models/data/lite-sentiment.safetensors.

The head is a small perceptron over what all-MiniLM-L6-v2, left as it is, makes of a text: the means
over its tokens of four of its hidden states. The last one alone knows what a text is about better
than how it sounds: on the data below it costs three points of macro recall.

    pip install torch transformers tokenizers safetensors numpy emoji
    scripts/ai/train_head.py --model DIR --semeval DIR --emoji FILE --held-out FILE [FILE ...] \\
        [--folds N] [--evaluate TEXT LABELS] [--cache DIR] [--out FILE]

Data (none of it is part of this repository; the head is a few numbers estimated from it):

--semeval   Tab-separated files (id, label, text; *.tsv) of English tweets labelled negative,
            neutral or positive: SemEval 2013 to 2016, as distributed for SemEval-2017 task 4,
            subtask A (Rosenthal, Farra, Nakov: SemEval-2017 Task 4, S17-2088). For research, under
            the platform's terms: the tweets must not be redistributed. From the task's page
            (alt.qcri.org/semeval2017/task4), or from repositories of its participants, e.g.
            github.com/cbaziotis/datastories-semeval2017-task4, dataset/Subtask_A/downloaded.
--emoji     Emoji_Sentiment_Data_v1.0.csv, Emoji Sentiment Ranking 1.0 (Kralj Novak, Smailovic,
            Sluban, Mozetic: Sentiment of Emojis, PLoS ONE 10(12), 2015), CC BY-SA 4.0,
            hdl.handle.net/11356/1048: how often each emoji occurs in tweets of each label. The
            tweets above have lost their emoji; half of them are seen a second time with emoji drawn
            from these counts.
--held-out  Texts, one a line, that must not be learnt from: the validation and the test split of
            TweetEval (github.com/cardiffnlp/tweeteval, datasets/sentiment), whose validation split
            is taken from the same tweets. Compared without case, mentions, links, and whatever is
            neither letter nor digit. The result depends on having excluded both.
--model     A folder with config.json, model.safetensors and tokenizer.json of
            sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0).

--evaluate  prints the recall of each label on texts and labels (0, 1, 2), one a line each.
--folds     prints the recalls of a cross-validation first. Choices were made by it alone.
"""

import argparse
import csv
import hashlib
import html
import json
import random
import re
from collections import Counter
from pathlib import Path

import emoji
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import cross_entropy, gelu
from transformers import AutoModel

LABELS = ["negative", "neutral", "positive"]
LAYERS = [0, 2, 4, 6]  # 0: the embeddings
TOKENS = 128
HIDDEN = 64
EPOCHS = 8
SEED = 20
WITH_EMOJI = 0.5  # share of the tweets that are seen again with emoji
EMOJI_ALONE = 1500  # texts that are nothing but emoji

ADDRESS = re.compile(r"https?://\S*|www\.\S+", re.IGNORECASE)
MENTION = re.compile(r"(?<![\w.])@[A-Za-z0-9._]*[A-Za-z0-9_]")
SKIN_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")


# Texts. What the model reads is what models::nets gives it.


def prepared(text):
    """The text as the model reads it: no addresses, no user names, emoji by their names."""
    text = ADDRESS.sub("", text)
    text = MENTION.sub("@user", text)
    return " ".join(emoji_named(text).split())


def emoji_named(text):
    """The text with the name of each emoji in its place; the same one again and again, once."""
    out, last = [], None
    for piece in emoji.analyze(SKIN_TONE.sub("", text), True, join_emoji=False):
        if isinstance(piece.value, emoji.EmojiMatch):
            name = piece.value.data["en"].strip(":").replace("_", " ")
            if name != last:
                out.append(f" {name} ")
            last = name
        else:
            out.append(piece.chars)
            if piece.chars not in "\ufe0f \n\t":
                last = None
    return "".join(out)


def decoded(text):
    """A tweet of the files without the escapes and quotes they were written with."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    text = html.unescape(html.unescape(text)).strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"')
    return text


def identity(text):
    """What two copies of a tweet have in common, however they were cleaned."""
    text = re.sub(r"@\S+", " ", decoded(text).lower())
    text = re.sub(r"\bhttp\b", " ", ADDRESS.sub(" ", text))
    return "".join(c for c in text if c.isalnum())


def lines(path):
    return Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")


def tweets(folder, held_out):
    """Texts and labels without what is held out, without copies, and without those of which the
    copies are labelled differently. Also how many were left out, and why."""
    banned = {identity(text) for path in held_out for text in lines(path)}
    found, left_out = {}, Counter()
    for path in sorted(Path(folder).glob("*.tsv")):
        for line in lines(path):
            _, label, text = line.split("\t")[:3]
            key = identity(text)
            if key in banned:
                left_out["held out"] += 1
            elif len(key) < 3:
                left_out["empty"] += 1
            else:
                found.setdefault(key, []).append((decoded(text), LABELS.index(label)))
    texts, labels = [], []
    for copies in found.values():
        if len({label for _, label in copies}) > 1:
            left_out["contradictory"] += len(copies)
            continue
        left_out["copies"] += len(copies) - 1
        texts.append(copies[0][0])
        labels.append(copies[0][1])
    return texts, labels, dict(left_out)


def with_emoji(texts, labels, ranking):
    """Texts with emoji, their labels, and of which of the given ones each was made (-1: none)."""
    with open(ranking, encoding="utf-8", newline="") as file:
        counts = {
            row["Emoji"]: [int(row[label.capitalize()]) for label in LABELS]
            for row in csv.DictReader(file)
            if emoji.is_emoji(row["Emoji"]) or emoji.is_emoji(row["Emoji"] + "\ufe0f")
        }
    rng = random.Random(SEED)
    known, weights = list(counts), list(zip(*counts.values()))
    made = []
    for origin in rng.sample(range(len(texts)), int(WITH_EMOJI * len(texts))):
        drawn = rng.choices(known, weights[labels[origin]], k=rng.choice([1, 1, 1, 2, 2, 3]))
        made.append((f"{texts[origin]} {''.join(drawn)}", labels[origin], origin))
    for _ in range(EMOJI_ALONE):
        label = rng.randrange(len(LABELS))
        drawn = rng.choices(known, weights[label], k=rng.choice([1, 1, 2, 3]))
        made.append(("".join(drawn), label, -1))
    return map(list, zip(*made))


# The model, and the head on it.


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@torch.inference_mode()
def features(texts, folder, cache):
    """[texts, len(LAYERS) * 384]: the mean of each layer over the tokens, special ones included."""
    texts = [prepared(text) for text in texts]
    key = json.dumps([LAYERS, TOKENS, digest(folder / "model.safetensors"), texts])
    stored = cache and cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    if stored and stored.exists():
        return torch.from_numpy(np.load(stored))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS)
    model = AutoModel.from_pretrained(folder).eval()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    out = torch.empty(len(ids), len(LAYERS) * model.config.hidden_size)
    by_length = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    for start in range(0, len(ids), 128):
        batch = by_length[start : start + 128]
        rows = [torch.tensor(ids[at]) for at in batch]
        mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        rows = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        states = model(rows, attention_mask=mask, output_hidden_states=True).hidden_states
        weight = (mask / mask.sum(1, keepdim=True)).unsqueeze(1)
        out[batch] = torch.cat([(weight @ states[layer]).squeeze(1) for layer in LAYERS], dim=1)
    if stored:
        cache.mkdir(parents=True, exist_ok=True)
        np.save(stored, out.numpy())
    return out


def trained(inputs, labels):
    """The head's four tensors. Labels weigh the same however rare they are."""
    torch.manual_seed(SEED)
    mean, deviation = inputs.mean(0), inputs.std(0).clamp(min=1e-2)  # one number never varies
    inputs = (inputs - mean) / deviation
    hidden, output = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, len(LABELS))
    net = nn.Sequential(nn.Dropout(0.3), hidden, nn.GELU(), nn.Dropout(0.5), output)
    weight = len(labels) / len(LABELS) / torch.bincount(labels).float()
    batch = 256
    steps = EPOCHS * (len(labels) // batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(labels))
        for at in range(0, len(order) - batch + 1, batch):
            picked = order[at : at + batch]
            optimizer.zero_grad()
            cross_entropy(net(inputs[picked]), labels[picked], weight=weight).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():  # the head reads the means as they are
        weight = hidden.weight / deviation
        return {
            "hidden.weight": weight.contiguous(),
            "hidden.bias": hidden.bias - weight @ mean,
            "output.weight": output.weight.detach().clone(),
            "output.bias": output.bias.detach().clone(),
        }


def answered(head, inputs):
    """Probabilities of the labels, as models::nets computes them."""
    hidden = gelu(inputs @ head["hidden.weight"].T + head["hidden.bias"])
    return (hidden @ head["output.weight"].T + head["output.bias"]).softmax(1)


def report(name, probabilities, labels):
    """Prints the recall of each label and their mean, and how far confidence is from accuracy."""
    confidence, best = probabilities.max(1)
    right = (best == labels).float()
    recalls = [right[labels == label].mean().item() for label in range(len(LABELS))]
    bins = (confidence * 10).long()
    gap = sum((right - confidence)[bins == b].sum().abs().item() for b in bins.unique())
    words = ", ".join(f"{label} {recall:.3f}" for label, recall in zip(LABELS, recalls))
    mean = sum(recalls) / len(recalls)
    print(f"{name}: macro recall {mean:.4f} ({words}), accuracy {right.mean():.4f}, "
          f"calibration error {gap / len(labels):.3f}", flush=True)
    return mean


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--semeval", type=Path, required=True)
    parser.add_argument("--emoji", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, nargs="+", required=True)
    parser.add_argument("--evaluate", type=Path, nargs=2, metavar=("TEXT", "LABELS"))
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="keeps what the model makes of the texts")
    parser.add_argument("--out", type=Path, default=Path("models/data/lite-sentiment.safetensors"))
    args = parser.parse_args()
    torch.set_flush_denormal(True)

    texts, labels, left_out = tweets(args.semeval, args.held_out)
    counts = dict(zip(LABELS, np.bincount(labels).tolist()))
    print(f"{len(texts)} tweets {counts}, left out: {left_out}", flush=True)
    more, more_labels, origins = with_emoji(texts, labels, args.emoji)
    own = len(texts)
    inputs = torch.cat([features(part, args.model, args.cache) for part in (texts, more)])
    labels = torch.tensor(labels + more_labels)

    measured = []
    generator = torch.Generator().manual_seed(SEED)
    fold = torch.randint(max(args.folds, 1), (own,), generator=generator)
    fold = torch.cat([fold, torch.tensor([fold[at] if at >= 0 else -1 for at in origins])])
    for number in range(args.folds):
        head = trained(inputs[fold != number], labels[fold != number])
        tested = fold[:own] == number
        probabilities = answered(head, inputs[:own][tested])
        measured.append(report(f"fold {number}", probabilities, labels[:own][tested]))

    head = trained(inputs, labels)
    summary = {
        "labels": ",".join(LABELS),
        "layers": ",".join(map(str, LAYERS)),
        "tokens": str(TOKENS),
        "activation": "gelu",
        "model_sha256": digest(args.model / "model.safetensors"),
        "trained_on": json.dumps({"SemEval 2013-2016": counts, "with drawn emoji": len(more)}),
    }
    if measured:
        summary["cross_validation"] = f"macro recall {np.mean(measured):.4f}, {args.folds} folds"
        print(summary["cross_validation"])
    save_file(head, args.out, metadata=summary)
    print(f"{args.out}: {args.out.stat().st_size} bytes, sha256 {digest(args.out)}")

    if args.evaluate:
        tested = features(lines(args.evaluate[0]), args.model, args.cache)
        expected = torch.tensor([int(label) for label in lines(args.evaluate[1])])
        report("evaluation", answered(head, tested), expected)


if __name__ == "__main__":
    main()
