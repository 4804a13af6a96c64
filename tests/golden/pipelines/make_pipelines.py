"""Writes expected.json: what the pipelines of transformers give for small random BERTs over the built-in vocabulary.

    python make_pipelines.py            # transformers 5.23: every task but question-answering
    python make_pipelines.py --qa       # transformers 4.57.1, the last line with question-answering; added to the same file

Models are not stored: torch.manual_seed(SEED) before the constructor gives them, in both programs.
"""
import copy, json, os, sys
import torch
from transformers import (BertConfig, BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification, BertForTokenClassification, BertModel,
                          AutoTokenizer, GPT2Config, GPT2LMHeadModel, pipeline, set_seed)

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = 7
CONFIG = dict(vocab_size=552, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=64, initializer_range=0.5)
NER = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
NLI = ["contradiction", "neutral", "entailment"]

TEXTS = ["The company said on Monday it would buy the museum in Ashford .", "Profit rose.", "Zoë Carter's team, the Falcons (of Calder), won 3 - 1; nobody at Über-Stadium left!",
         "whales and wolves and eagles"]
MASKED = ["The company said it would [MASK] the museum .", "The [MASK] beat the [MASK] in Calder .", "[MASK]"]
CONTEXT = ("Adele Brook will replace Boris Lane as head of Corvin Steel in March. Dr. Ngô-Smith's naïve plan, worth 25 million dollars, was announced in Ashford on "
           "Monday; the Falcons beat the Wolves 3 - 1 and the whales went home to Norland, where wheat and rice are grown by thirty people in a library.")
QUESTIONS = ["Who will replace Boris Lane?", "What was it worth?"]


GPT2_CONFIG = dict(vocab_size=2048, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.5, bos_token_id=0, eos_token_id=0)
CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if not loop.last %}\n{% endif %}{% endfor %}{% if add_generation_prompt %}\nassistant:{% endif %}"
PROMPTS = ["The silver moon", "Corvin Steel said on Monday that", "Well,"]


def tokenizer(name="bert"):
    return AutoTokenizer.from_pretrained(os.path.join(HERE, "..", "..", "..", "recipes", "builtin", name))


def model(cls, **fields):
    torch.manual_seed(SEED)
    return cls(BertConfig(**CONFIG, **fields)).eval()


def labels(names):
    return dict(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})


def plain(x):
    if isinstance(x, torch.Tensor): return plain(x.tolist())
    if isinstance(x, dict): return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)): return [plain(v) for v in x]
    return x.item() if hasattr(x, "item") else x


def cases(pipe, calls):
    """[{inputs, options, result}, ...]; None stands for the absent value."""
    out = []
    for inputs, options in calls:
        out.append(dict(inputs=inputs, options=options, result=plain(pipe(inputs, **copy.deepcopy(options)))))
    return out


def all_but_qa():
    result = {}
    def add(name, task, cls, fields, calls, **init):
        result[name] = dict(task=task, fields=fields, init=init, cases=cases(pipeline(task, model=model(cls, **fields), tokenizer=tokenizer(), **init), calls))
    pairs = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    add("classes", "text-classification", BertForSequenceClassification, dict(num_labels=3), [
        (TEXTS[0], {}), (TEXTS, {}), (TEXTS[0], {"top_k": 2}), (TEXTS, {"top_k": None}), (pairs, {}), ([pairs, {"text": TEXTS[3]}], {}),
        (TEXTS[0], {"top_k": 1}), (TEXTS[1], {"function_to_apply": "sigmoid", "top_k": None}), (TEXTS[1], {"function_to_apply": "none"}), (TEXTS, {"batch_size": 3}),
        (" ".join(TEXTS * 3), {"truncation": True, "max_length": 16})])
    add("classes_top_k", "sentiment-analysis", BertForSequenceClassification, dict(num_labels=2, **labels(["bad", "good"])), [(TEXTS[0], {}), (TEXTS[:2], {})], top_k=None)
    add("regression", "text-classification", BertForSequenceClassification, dict(num_labels=1, problem_type="regression"), [(TEXTS[:2], {})])
    add("one_label", "text-classification", BertForSequenceClassification, dict(num_labels=1), [(TEXTS[:2], {})])
    add("several_labels", "text-classification", BertForSequenceClassification, dict(num_labels=3, problem_type="multi_label_classification"), [(TEXTS[:2], {"top_k": None})])
    ner = [(TEXTS[2], {}), (TEXTS, {"batch_size": 2})]
    for strategy in ["simple", "first", "average", "max"]:
        ner += [(TEXTS, {"aggregation_strategy": strategy}), (TEXTS[2], {"aggregation_strategy": strategy, "ignore_labels": ["I-LOC", "PER"]})]
    ner += [(["Zoë", "Carter's", "team", "won"], {"is_split_into_words": True, "aggregation_strategy": "first", "ignore_labels": []}),
            ([["Zoë", "Carter"], ["Über-Stadium"]], {"is_split_into_words": True, "delimiter": "_"})]
    add("ner", "ner", BertForTokenClassification, labels(NER), ner)
    tok = tokenizer()
    tok.model_max_length = 16
    pipe = pipeline("token-classification", model=model(BertForTokenClassification, **labels(NER)), tokenizer=tok)
    result["ner_parts"] = dict(task="token-classification", fields=labels(NER), init={}, max_length=16,
                               cases=cases(pipe, [(TEXTS[2], {}), (TEXTS[2], {"stride": 4, "aggregation_strategy": "simple"}), (TEXTS[2], {"stride": 6, "aggregation_strategy": "max"})]))
    add("features", "feature-extraction", BertModel, {}, [(TEXTS[1], {}), ([TEXTS[1], "whales"], {}), (TEXTS[0], {"truncation": True, "tokenize_kwargs": {"max_length": 5}})])
    add("entailment", "zero-shot-classification", BertForSequenceClassification, labels(NLI), [
        (TEXTS[0], {"candidate_labels": ["sports", "business", "animals"]}), (TEXTS, {"candidate_labels": "sports, business"}),
        (TEXTS[0], {"candidate_labels": ["sports", "business"], "multi_label": True}), (TEXTS[0], {"candidate_labels": ["sports"]}),
        (TEXTS[:2], {"candidate_labels": ["sports", "business"], "hypothesis_template": "It is about {}!", "batch_size": 3})])
    add("mask", "fill-mask", BertForMaskedLM, {}, [
        (MASKED[0], {}), (MASKED[0], {"top_k": 2}), (MASKED[1], {"top_k": 2}), (MASKED, {"top_k": 1}), ([MASKED[0]], {"top_k": 1}),
        (MASKED[0], {"targets": ["buy", "museum", "acquire"]}), (MASKED[0], {"targets": "xyz", "top_k": 3}), (MASKED[1], {"targets": ["Falcons", "company"]}),
        (MASKED[0] + " the" * 80, {"tokenizer_kwargs": {"truncation": True, "max_length": 20}, "top_k": 1})])
    result["generation"] = generation()
    return result


def generation():
    """Each case: the seed is set, then the call is made."""
    torch.manual_seed(SEED)
    tok = tokenizer("gpt2")
    tok.pad_token, tok.model_max_length = tok.eos_token, 64
    pipe = pipeline("text-generation", model=GPT2LMHeadModel(GPT2Config(**GPT2_CONFIG)).eval(), tokenizer=tok)
    greedy = dict(do_sample=False, max_new_tokens=8)
    out = []
    for inputs, options in [
            (PROMPTS[0], greedy), (PROMPTS, greedy), (PROMPTS, dict(batch_size=3, **greedy)), (PROMPTS[0], dict(return_full_text=False, **greedy)),
            (PROMPTS[0], dict(return_tensors=True, **greedy)), (PROMPTS[1], dict(do_sample=False, max_length=12)), (PROMPTS[0], dict(num_beams=3, num_return_sequences=2, **greedy)),
            (PROMPTS[0], dict(prefix="Then ", **greedy)), (PROMPTS[0] * 20, dict(handle_long_generation="hole", return_full_text=False, **greedy)),
            ("", greedy), (PROMPTS[0], dict(max_new_tokens=8)), (PROMPTS[:2], dict(max_new_tokens=6, num_return_sequences=2, top_p=0.9)), (PROMPTS[0], dict(max_new_tokens=8, do_sample=True, temperature=1.3, top_k=5))]:
        set_seed(3)
        out.append(dict(inputs=inputs, options=options, result=plain(pipe(inputs, **options)), seed=3))
    chat = [dict(role="user", content="What is the moon?")]
    tok.chat_template = CHAT_TEMPLATE
    for inputs, options in [(chat, greedy), (chat, dict(return_full_text=False, **greedy)), (chat + [dict(role="assistant", content="It is")], greedy), ([chat, chat[:1]], greedy)]:
        set_seed(3)
        out.append(dict(inputs=inputs, options=options, result=plain(pipe(inputs, **options)), seed=3))
    return dict(task="text-generation", fields={}, init={}, cases=out)


def question_answering():
    pipe = pipeline("question-answering", model=model(BertForQuestionAnswering), tokenizer=tokenizer())
    calls = [dict(question=QUESTIONS[0], context=CONTEXT), dict(question=QUESTIONS, context=CONTEXT), dict(question=QUESTIONS[0], context=CONTEXT, top_k=5),
             dict(question=QUESTIONS[0], context=CONTEXT, max_seq_len=40, doc_stride=8, top_k=4), dict(question=QUESTIONS[1], context=CONTEXT, max_answer_len=3, top_k=3),
             dict(question=QUESTIONS[1], context=CONTEXT, align_to_words=False, top_k=3), dict(question=QUESTIONS[1], context=CONTEXT, handle_impossible_answer=True, top_k=3),
             dict(question=QUESTIONS, context=[CONTEXT, "Nobody knows."], top_k=2)]
    calls = [dict(padding="do_not_pad", **c) for c in calls]
    return dict(task="question-answering", fields={}, init={}, cases=[dict(inputs=c, options={}, result=plain(pipe(**c))) for c in calls])


path = os.path.join(HERE, "expected.json")
expected = json.load(open(path)) if os.path.exists(path) else {}
if "--qa" in sys.argv:
    expected["question_answering"] = question_answering()
else:
    expected.update(all_but_qa())
    expected["about"] = dict(seed=SEED, config=CONFIG, gpt2=GPT2_CONFIG, chat_template=CHAT_TEMPLATE)
json.dump(expected, open(path, "w"), indent=1, ensure_ascii=False, sort_keys=True)
