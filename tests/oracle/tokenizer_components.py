"""Random tokenizers out of random components, on random text: the engine beside Hugging Face's tokenizers.

    python tokenizer_components.py --hflua build/hflua [--seed 1] [--cases 200]

Prints every difference; exits with 1 when there is one. Texts that make the library itself panic are left out.
"""
import argparse
import base64
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

ALPHABETS = ["abcdefgh ", "ab ab ", "▁ a▁b", "  \t\n\u00a0\u3000x", "éàüñçßøÅ", "e\u0301a\u0308o\u0323\u0302", "中文字京都", "あいうアイウー",
             "한국어ㄱㄴ", "½²①ﬁﬀＡＢ１㎏", "0123456789", ".,;:!?'\"-()", "😀👍🏽👨\u200d👩🇩🇪", "ابتث\u064b", "नमस्ते", "\u200b\ufeff\u0000\u0007\u2028",
             "<s></s>[MASK]<unk>", "𝐀𝒃𓀀", "İıſẞ", "กขคำ"]
PIECES = ["a", "b", "c", "ab", "abc", "▁", "▁a", "▁ab", "▁b", "é", "中", "文", "中文", "1", "2", "12", " ", "e", "\u0301", "x", "京", "d", "de",
          "f", "A", "B", "h", "ア", "い", "0", "👍", "##a", "##b", "c</w>", "<unk>", "한", ".", "!", "fi", "▁c"]


def text(rng):
    out = ""
    for _ in range(rng.randint(0, 5)):
        alphabet = rng.choice(ALPHABETS)
        out += "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 8)))
    return out


def double_array(entries):
    """A character map as SentencePiece stores it: a list of (bytes, replacement) pairs."""
    texts, offsets, nodes = b"", {}, {}
    for key, value in entries:
        if value not in offsets:
            offsets[value] = len(texts)
            texts += value.encode() + b"\0"
        node = nodes
        for byte in key:
            node = node.setdefault(byte, {})
        node["value"] = offsets[value]
    units, used = [0] * 4096, set([0])

    def place(node, at):
        labels = [0] * ("value" in node) + [b for b in node if b != "value"]
        # offsets here fit without the shift; a block keeps all labels of a node
        base = next(b for b in range(1, 1 << 20) if all((at ^ b ^ label) not in used for label in labels))
        used.update(at ^ base ^ label for label in labels)
        while len(units) <= max([at ^ base ^ label for label in labels] + [at]):
            units.extend([0] * 4096)
        units[at] |= base << 10
        if "value" in node:
            units[at] |= 1 << 8
            units[at ^ base] = node["value"] | 1 << 31
        for label in labels:
            if label:
                units[at ^ base ^ label] |= label
                place(node[label], at ^ base ^ label)

    place(nodes, 0)
    blob = b"".join(struct.pack("<I", u) for u in units)
    return base64.b64encode(struct.pack("<I", len(blob)) + blob + texts).decode()


def charsmap(rng):
    keys = ["\u3000", "\u00a0", "\t", "\n", "Ａ", "Ｂ", "½", "①", "ﬁ", "é", "e\u0301", "\u0301", "\u200b", "ア", "中", "İ", "a\u0308", "\u0007", "㎏"]
    values = [" ", "", "A", "fi", "1/2", "é", "中文", "abc", "▁"]
    return double_array([(key.encode(), rng.choice(values)) for key in rng.sample(keys, rng.randint(1, len(keys)))])


def normalizer(rng, depth=0):
    kind = rng.choice(["Replace", "Replace", "Precompiled", "Precompiled", "Strip", "StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Lowercase",
                       "Prepend", "Nmt", "BertNormalizer", "Sequence", "Sequence"])
    if kind == "Sequence":
        return {"type": kind, "normalizers": [normalizer(rng, 1) for _ in range(rng.randint(0, 3))]} if depth == 0 else {"type": "NFKC"}
    if kind == "Replace":
        return {"type": kind, "pattern": rng.choice([{"String": rng.choice(["a", " ", "ab", "é", "\u0301", "▁", "  ", ""])},
                                                     {"Regex": rng.choice([" {2,}", "\\s+", "[a-c]", "b*", "^a", "\\p{N}", "(?=b)", "$"])}]),
                "content": rng.choice(["", "▁", " ", "xy", "中", "é"])}
    if kind == "Precompiled":
        return {"type": kind, "precompiled_charsmap": charsmap(rng)}
    if kind == "Strip":
        return {"type": kind, "strip_left": rng.random() < 0.5, "strip_right": rng.random() < 0.5}
    if kind == "Prepend":
        return {"type": kind, "prepend": rng.choice(["▁", "ab"])}
    if kind == "BertNormalizer":
        return {"type": kind, "clean_text": rng.random() < 0.5, "handle_chinese_chars": rng.random() < 0.5,
                "strip_accents": rng.choice([None, True, False]), "lowercase": rng.random() < 0.5}
    return {"type": kind}


def pre_tokenizer(rng, depth=0):
    kind = rng.choice(["Metaspace", "Metaspace", "Metaspace", "UnicodeScripts", "FixedLength", "Whitespace", "WhitespaceSplit", "Punctuation",
                       "Digits", "BertPreTokenizer", "CharDelimiterSplit", "Sequence", "Sequence"])
    if kind == "Sequence":
        return {"type": kind, "pretokenizers": [pre_tokenizer(rng, 1) for _ in range(rng.randint(0, 3))]} if depth == 0 else {"type": "WhitespaceSplit"}
    if kind == "Metaspace":
        return {"type": kind, "replacement": rng.choice("▁▁▁_a"), "prepend_scheme": rng.choice(["always", "first", "never"]),
                "split": rng.random() < 0.7}
    if kind == "FixedLength":
        return {"type": kind, "length": rng.randint(1, 6)}
    if kind == "Punctuation":
        return {"type": kind, "behavior": rng.choice(["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"])}
    if kind == "Digits":
        return {"type": kind, "individual_digits": rng.random() < 0.5}
    if kind == "CharDelimiterSplit":
        return {"type": kind, "delimiter": rng.choice("a- é")}
    return {"type": kind}


def model(rng):
    pieces = rng.sample([p for p in PIECES if p != "<unk>"], rng.randint(3, len(PIECES) - 1))
    kind = rng.choice(["Unigram", "Unigram", "Unigram", "WordLevel", "WordPiece"])
    if kind == "Unigram":
        fallback = rng.random() < 0.4
        if fallback:
            pieces += ["<0x%02X>" % b for b in range(256) if rng.random() < 0.98]
        pieces = ["<unk>"] + pieces
        # scores with many ties, and sums that are equal in exact arithmetic only
        scores = [rng.choice([-1, -2, -3, -4, -0.1, -0.2, -0.3, rng.uniform(-9, 0)]) for _ in pieces]
        return {"type": kind, "unk_id": 0, "vocab": [list(p) for p in zip(pieces, map(float, scores))], "byte_fallback": fallback}
    vocab = {p: i for i, p in enumerate(["<unk>"] + pieces)}
    if kind == "WordLevel":
        return {"type": kind, "vocab": vocab, "unk_token": "<unk>"}
    return {"type": kind, "vocab": vocab, "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}


def decoder(rng, depth=0):
    kind = rng.choice(["Replace", "Metaspace", "ByteFallback", "Fuse", "Strip", "BPEDecoder", "CTC", "WordPiece", "Sequence", "Sequence", None])
    if kind is None:
        return None if depth == 0 else {"type": "Fuse"}
    if kind == "Sequence":
        return {"type": kind, "decoders": [decoder(rng, 1) for _ in range(rng.randint(1, 4))]} if depth == 0 else {"type": "Fuse"}
    if kind == "Replace":
        return {"type": kind, "pattern": rng.choice([{"String": rng.choice(["▁", "a", ""])}, {"Regex": "^▁+"}]), "content": rng.choice([" ", "", "zz"])}
    if kind == "Metaspace":
        return {"type": kind, "replacement": "▁", "prepend_scheme": rng.choice(["always", "first", "never"]), "split": True}
    if kind == "Strip":
        return {"type": kind, "content": rng.choice([" ", "a", "▁"]), "start": rng.randint(0, 2), "stop": 0}
    if kind == "BPEDecoder":
        return {"type": kind, "suffix": rng.choice(["</w>", "b"])}
    if kind == "CTC":
        return {"type": kind, "pad_token": rng.choice(["a", "<pad>"]), "word_delimiter_token": rng.choice(["|", "▁"]), "cleanup": rng.random() < 0.5}
    if kind == "WordPiece":
        return {"type": kind, "prefix": "##", "cleanup": rng.random() < 0.5}
    return {"type": kind}


def post_processor(rng, unk):
    if rng.random() < 0.5:
        return None
    return {"type": "BertProcessing", "sep": ["<unk>", unk], "cls": ["<unk>", unk]}


def document(rng):
    added = [{"id": 1000, "content": "[MASK]", "single_word": False, "lstrip": rng.random() < 0.5, "rstrip": rng.random() < 0.5,
              "normalized": False, "special": True}] if rng.random() < 0.5 else []
    m = model(rng)
    if added:
        added[0]["id"] = len(m["vocab"])
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": normalizer(rng) if rng.random() < 0.7 else None, "pre_tokenizer": pre_tokenizer(rng) if rng.random() < 0.8 else None,
            "post_processor": post_processor(rng, 0), "decoder": decoder(rng), "model": m}


def attempt(function):
    """The result, or nothing: Rust panics are no Exception."""
    try:
        return function()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def expected(tokenizer, t):
    encoding = attempt(lambda: tokenizer.encode(t))
    return {"normalized": attempt(lambda: tokenizer.normalizer.normalize_str(t) if tokenizer.normalizer else t),
            "pieces": attempt(lambda: [[p, a, b] for p, (a, b) in tokenizer.pre_tokenizer.pre_tokenize_str(t) if p]) if tokenizer.pre_tokenizer else None,
            "encoding": encoding is not None and {"ids": encoding.ids, "offsets": [list(o) for o in encoding.offsets]}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hflua", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=200)
    o = parser.parse_args()
    rng = random.Random(o.seed)
    cases, wanted = [], []
    for _ in range(o.cases):
        text_of = json.dumps(document(rng))
        tokenizer = Tokenizer.from_str(text_of)
        texts = [text(rng) for _ in range(20)]
        limit = tokenizer.get_vocab_size()
        ids = [[rng.randrange(limit) for _ in range(rng.randint(1, 8))] for _ in range(10)]
        cases.append({"document": text_of, "texts": texts, "ids": ids})
        wanted.append(([expected(tokenizer, t) for t in texts], [attempt(lambda: tokenizer.decode(i, skip_special_tokens=False)) for i in ids]))
    with tempfile.TemporaryDirectory() as folder:
        given, made = os.path.join(folder, "cases.json"), os.path.join(folder, "results.json")
        json.dump(cases, open(given, "w"))
        subprocess.run([o.hflua, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer_components.lua"), given, made], check=True)
        results = json.load(open(made))
    different = 0
    for case, result, (texts, decoded) in zip(cases, results, wanted):
        parts = {k: v for k, v in json.loads(case["document"]).items() if k in ("normalizer", "pre_tokenizer", "decoder", "post_processor")}
        if "error" in result:
            different += 1
            print("cannot be read:", result["error"], parts)
            continue
        for t, have, want in zip(case["texts"], result["texts"], texts):
            for key, value in want.items():
                if value not in (None, False) and have[key] != value:
                    different += 1
                    print(f"{key} of {t!r}\n  expected {value}\n  found    {have[key]}\n  {str(parts)[:700]}")
        for ids, have, want in zip(case["ids"], result["decoded"], decoded):
            if want is not None and have != want:
                different += 1
                print(f"decode {ids}\n  expected {want!r}\n  found    {have!r}\n  {parts['decoder']}")
    print(f"seed {o.seed}: {o.cases} tokenizers, {different} differences")
    sys.exit(different > 0)


main()
