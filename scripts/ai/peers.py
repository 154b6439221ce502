"""Measures captions per second of Hugging Face's transformers, beside which `farm bench ai` is put.

    peers.py --sentiment DIR --language DIR --zero-shot DIR CAPTIONS.jsonl

Each task is measured as most programs run it, one caption after another in fp32, and as a good
Python program would: tokenized together, sorted by length, in batches, in fp32 and in bf16. Every
way uses all cores, cuts at the same number of tokens, and tokenizes within the time measured.
Prints one JSON object.
"""

import argparse
import json
import os
import platform
import sys
import time

import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from golden import CATEGORIES, HYPOTHESIS

# Captions that are tokenized and sorted together. A window that was begun is finished, or short
# texts would be all that was measured.
WINDOW = 128
WINDOW_ZERO_SHOT = 4
# At least so many, however long that takes: fewer are shorter or longer than most.
LEAST = 12


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("captions", help="JSON lines with `text` or `caption`")
    parser.add_argument("--sentiment", metavar="DIR")
    parser.add_argument("--language", metavar="DIR")
    parser.add_argument("--zero-shot", metavar="DIR")
    parser.add_argument("--seconds", type=float, default=20, help="for each measure")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=128)
    args = parser.parse_args()

    transformers.logging.set_verbosity_error()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    with open(args.captions) as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    captions = list(mixed([row.get("text") or row.get("caption") or "" for row in rows]))
    if not captions:
        sys.exit("peers: no captions")

    with torch.inference_mode():
        result = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "threads": threads,
            "captions": len(captions),
            "batch": args.batch,
            "max_tokens": args.max_tokens,
            "matmul_gflops": {name: matmul(kind) for name, kind in KINDS.items()},
            "captions_per_s": {
                task: measure(folder, captions, args)
                for task, (folder, measure) in {
                    "sentiment": (args.sentiment, classification),
                    "language": (args.language, classification),
                    "zero_shot": (args.zero_shot, zero_shot),
                }.items()
                if folder
            },
        }
    print(json.dumps(result, indent=2))


def mixed(captions):
    """Short and long ones in turn, so that the first few, which may be all that a slow way gets to,
    are as long on average as all of them: steps of the golden ratio through the sorted list.
    """
    by_length = sorted(captions, key=len)
    left = dict.fromkeys(range(len(by_length)))
    for step in range(len(by_length)):
        wanted = int((0.5 + step * 0.6180339887498949) % 1 * len(by_length))
        place = min(left, key=lambda i: abs(i - wanted))
        del left[place]
        yield by_length[place]


KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def classification(folder, captions, args):
    tokenizer, model = load(folder, args)

    def one(caption):
        inputs = tokenizer(caption, truncation=True, return_tensors="pt")
        return model(**inputs).logits.softmax(dim=1).max(dim=1)

    def batched(window):
        encoded = tokenizer(window, truncation=True)
        for _, inputs in batches(tokenizer, encoded, args.batch):
            model(**inputs).logits.softmax(dim=1).max(dim=1)

    rates = {"one_fp32": rate(one, captions, None, args)}
    for name, kind in KINDS.items():
        model.to(kind)
        rates[f"batched_{name}"] = rate(batched, captions, WINDOW, args)
    return rates


def zero_shot(folder, captions, args):
    tokenizer, model = load(folder, args)
    entails = model.config.label2id["entailment"]
    hypotheses = [HYPOTHESIS.format(label) for label in CATEGORIES]
    classify = pipeline("zero-shot-classification", model=model, tokenizer=tokenizer, device="cpu")

    def one(caption):
        return classify(caption, CATEGORIES, hypothesis_template=HYPOTHESIS)

    def one_batch(caption):
        return classify(
            caption, CATEGORIES, hypothesis_template=HYPOTHESIS, batch_size=len(CATEGORIES)
        )

    def batched(window):
        pairs = [(caption, hypothesis) for caption in window for hypothesis in hypotheses]
        encoded = tokenizer(pairs, truncation="only_first")
        scores = torch.empty(len(pairs))
        for places, inputs in batches(tokenizer, encoded, args.batch):
            scores[places] = model(**inputs).logits[:, entails].float()
        scores.view(len(window), -1).softmax(dim=1).max(dim=1)

    rates = {
        "one_fp32": rate(one, captions, None, args),
        "one_labels_batched_fp32": rate(one_batch, captions, None, args),
    }
    for name, kind in KINDS.items():
        model.to(kind)
        rates[f"batched_{name}"] = rate(batched, captions, WINDOW_ZERO_SHOT, args)
    return rates


def load(folder, args):
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=args.max_tokens)
    model = AutoModelForSequenceClassification.from_pretrained(folder, torch_dtype=torch.float32)
    return tokenizer, model.eval()


def batches(tokenizer, encoded, size):
    """Places and padded inputs, the long ones first: memory is claimed once."""
    ids = encoded["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    for begin in range(0, len(order), size):
        places = order[begin : begin + size]
        rows = {name: [column[i] for i in places] for name, column in encoded.items()}
        yield places, tokenizer.pad(rows, return_tensors="pt")


def rate(work, captions, window, args):
    """Captions per second of `work`, which takes one caption, or `window` of them at a time."""
    size = window or 1
    portions = [captions[i : i + size] for i in range(0, len(captions), size)]
    portions = [p for p in portions if len(p) == size] or [captions]
    # A window is warmed up by a part of itself, one caption by three.
    for caption in captions[:3] if window is None else [captions[: max(1, size // 8)]]:
        work(caption)
    done, began = 0, time.perf_counter()
    while True:
        portion = portions[done // size % len(portions)]
        work(portion[0] if window is None else portion)
        done += len(portion)
        seconds = time.perf_counter() - began
        if seconds >= args.seconds and done >= LEAST:
            print(f"peers: {done} captions in {seconds:.1f} s", file=sys.stderr, flush=True)
            return round(done / seconds, 3)


def matmul(kind, tokens=1024, seconds=1.0):
    """Billions of operations per second of one linear layer, by its width."""
    rates = {}
    for width in (768, 1024):
        x = torch.randn(tokens, width).to(kind)
        weights = torch.randn(4 * width, width).to(kind)
        torch.nn.functional.linear(x, weights)
        runs, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            torch.nn.functional.linear(x, weights)
            runs += 1
        rates[str(width)] = round(runs * 8 * tokens * width * width / spent / 1e9)
    return rates


if __name__ == "__main__":
    main()
