"""Writes tests/golden/sft/expected.json: what trl packs and prepares: python tests/oracle/sft.py > tests/golden/sft/expected.json"""
import json, os, random, sys, tempfile
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer, pack_dataset
disable_progress_bars()

rng = random.Random(5)
out = {"packing": [], "prepared": {}}
for count, longest, length in [(12, 9, 12), (40, 20, 16), (1, 3, 8), (30, 8, 8), (25, 30, 7)]:
    rows, token = [], 0
    for _ in range(count):
        n = rng.randint(0 if count > 20 else 1, longest)
        rows.append({"input_ids": list(range(token, token + n)), "labels": [-100 if rng.random() < 0.3 else t for t in range(token, token + n)]})
        token += n
    for strategy in ["bfd", "bfd_split", "wrapped"]:
        packed = pack_dataset(Dataset.from_list(rows), length, strategy)
        out["packing"].append({"rows": rows, "length": length, "strategy": strategy, "out": packed.to_list()})

WORDS = "[PAD] [UNK] <u> <a> </s> hello there good day sir . what is it".split()
core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
TEMPLATE = "{% for m in messages %}{% if m.role == 'user' %}{{ ' <u> ' + m.content }}{% else %}{{ ' <a> ' }}{% generation %}{{ m.content + ' </s>' }}{% endgeneration %}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ' <a> ' }}{% endif %}"
tok = lambda: PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]", eos_token="</s>", chat_template=TEMPLATE)
U, A = (lambda c: {"role": "user", "content": c}), (lambda c: {"role": "assistant", "content": c})
talks = [[U("hello there"), A("good day sir .")], [U("what is it"), A("it is good"), U("is it ?"), A("it is .")], [U("hello"), A("hello sir")]]
ROWS = {
    "messages": [{"messages": m} for m in talks],
    "conversations": [{"conversations": [{"from": x["role"], "value": x["content"]} for x in m]} for m in talks],
    "prompt_messages": [{"prompt": m[:-1], "completion": m[-1:]} for m in talks],
    "text": [{"text": t} for t in ["hello there sir", "what is it </s>", "good day", "hello hello hello hello hello hello"]],
    "ids": [{"input_ids": [5, 6, 4], "completion_mask": [0, 1, 1]}, {"input_ids": [7, 8, 9, 10, 4], "completion_mask": [0, 0, 1, 1, 1]}],
}
CASES = {"messages": ("messages", {}), "assistant": ("messages", {"assistant_only_loss": True}), "conversations": ("conversations", {}),
         "prompt_messages": ("prompt_messages", {}), "prompt_assistant": ("prompt_messages", {"assistant_only_loss": True}),
         "prompt_all": ("prompt_messages", {"completion_only_loss": False}), "cut": ("text", {"max_length": 3}),
         "cut_end": ("text", {"max_length": 3, "truncation_mode": "keep_end"}), "bfd": ("text", {"max_length": 8, "packing": True}),
         "split": ("text", {"max_length": 5, "packing": True, "packing_strategy": "bfd_split"}), "ids": ("ids", {"completion_only_loss": True}),
         "shuffled": ("text", {"shuffle_dataset": True}), "shuffled_packed": ("text", {"shuffle_dataset": True, "packing": True, "max_length": 9}),
         "assistant_cut": ("messages", {"assistant_only_loss": True, "max_length": 4})}
config = GPT2Config(vocab_size=len(WORDS), n_embd=8, n_layer=1, n_head=2, n_positions=64, bos_token_id=4, eos_token_id=4)
for name, (rows, options) in CASES.items():
    with tempfile.TemporaryDirectory() as folder:
        args = SFTConfig(output_dir=folder, per_device_train_batch_size=2, use_cpu=True, bf16=False, report_to="none", disable_tqdm=True,
                         train_sampling_strategy="sequential", save_strategy="no", **options)
        trainer = SFTTrainer(GPT2LMHeadModel(config), args=args, train_dataset=Dataset.from_list(ROWS[rows]), processing_class=tok())
        keep = ["input_ids", "labels", "seq_lengths"]
        prepared = [{k: v for k, v in r.items() if k in keep} for r in trainer.train_dataset.to_list()]
        batches = [{k: v.tolist() for k, v in b.items() if k in ["input_ids", "labels", "attention_mask", "position_ids"]} for b in trainer.get_train_dataloader()]
        out["prepared"][name] = {"rows": ROWS[rows], "options": options, "prepared": prepared, "batches": batches}
out["words"], out["template"] = WORDS, TEMPLATE
json.dump(out, sys.stdout)
