"""Train a small byte-level BPE tokenizer and write it with its encodings of awkward texts: bpe/tokenizer.json, bpe/expected.json.

    python make_bpe.py FOLDER        (needs tokenizers 0.23)
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

corpus = ["the cat sat on the mat and the hat", "it's what they're saying, isn't it?", "don't count 1, 22, 333 or 4444",
          "a naïve café in 東京", "the other one ate the oats"]
texts = ["", " ", "the cat", " the  cat\n\n sat ", "It's they're I'LL 's", "1234567 ½ ٣", "naïve café 東京 \U0001F600", "<s>the</s> <mask> hat",
         "tab\there\r\nthere   ", "\u00a0the\u2003cat", "a" * 70, "''s ...the!!"]

tok = Tokenizer(models.BPE())
tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
tok.decoder = decoders.ByteLevel()
tok.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>", "<mask>"], show_progress=False,
                                                    initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
tok.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=True)
rows = [tok.encode(text) for text in texts]
expected = dict(
    text_indices=[], extra_texts=texts, pairs=[],
    encodings=[dict(ids=e.ids, offsets=[x for pair in e.offsets for x in pair]) for e in rows],
    without_special_tokens=[tok.encode(text, add_special_tokens=False).ids for text in texts],
    decode=[tok.decode(e.ids, skip_special_tokens=False) for e in rows],
    decode_skip_special=[tok.decode(e.ids) for e in rows],
    vocab_size=tok.get_vocab_size(), vocab_size_without_added=tok.get_vocab_size(with_added_tokens=False))
folder = pathlib.Path(sys.argv[1])
tok.save(str(folder / "tokenizer.json"), pretty=False)
(folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n", encoding="utf-8")
