"""Small tokenizers of the three kinds that the models use, trained on given texts: byte-level BPE
(RoBERTa, BART), SentencePiece unigram (XLM-RoBERTa) and WordPiece (BERT).
"""

import io
import json
import os
from collections import Counter

# One thread, so that equal counts are broken the same way every time.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import sentencepiece
from tokenizers import ByteLevelBPETokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import (
    BartTokenizerFast,
    BertTokenizerFast,
    RobertaTokenizerFast,
    XLMRobertaTokenizerFast,
)


def bpe(folder, texts, size, family, max_tokens):
    """vocab.json and merges.txt. All 256 bytes are in it, so that no text is without tokens."""
    trained = ByteLevelBPETokenizer()
    # The first four ids are those of the published models, whose last one is <mask>.
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trained.train_from_iterator(
        texts, vocab_size=size - 1, min_frequency=2, special_tokens=special, show_progress=False
    )
    trained.save_model(str(folder))
    file = folder / "vocab.json"
    vocab = json.loads(file.read_text())
    vocab["<mask>"] = len(vocab)
    file.write_text(json.dumps(vocab, ensure_ascii=False))
    kind = {"roberta": RobertaTokenizerFast, "bart": BartTokenizerFast}[family]
    kind(
        vocab_file=str(file),
        merges_file=str(folder / "merges.txt"),
        model_max_length=max_tokens,
    ).save_pretrained(folder)
    return len(vocab)


def unigram(folder, texts, size, max_tokens):
    """sentencepiece.bpe.model, which despite its name holds a unigram model, as the published one.
    XLM-RoBERTa's ids are the pieces' plus one, with <mask> behind them.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=size - 2,
        model_type="unigram",
        character_coverage=0.995,
        normalization_rule_name="nmt_nfkc",
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    file = folder / "sentencepiece.bpe.model"
    file.write_bytes(model.getvalue())
    tokenizer = XLMRobertaTokenizerFast(vocab_file=str(file), model_max_length=max_tokens)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def wordpiece(folder, texts, size, max_tokens):
    """vocab.txt, lower-cased as that of MiniLM: the letters most used at a word's begin and inside,
    and the most frequent parts of words. (The trainer of `tokenizers` gives another one each time.)
    """
    words = Counter()
    normal, split = BertNormalizer(lowercase=True), BertPreTokenizer()
    for text in texts:
        words.update(word for word, _ in split.pre_tokenize_str(normal.normalize_str(text)))
    letters, parts = Counter(), Counter()
    for word, count in words.items():
        for begin in range(len(word)):
            mark = "##" if begin else ""
            letters[mark + word[begin]] += count
            for end in range(begin + 2, min(len(word), begin + 12) + 1):
                parts[mark + word[begin:end]] += count
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab += most(letters, size // 2)
    vocab += most(parts, size - len(vocab))
    file = folder / "vocab.txt"
    file.write_text("".join(piece + "\n" for piece in vocab))
    BertTokenizerFast(
        vocab_file=str(file), do_lower_case=True, model_max_length=max_tokens
    ).save_pretrained(folder)
    return len(vocab)


def most(counts, number):
    return sorted(counts, key=lambda piece: (-counts[piece], piece))[:number]
