/* One text through the pipeline: added tokens, normalizers, pre-tokenizers, model, offsets. */
#include "tokenizer.h"
#include "unicode.h"

/* Cuts the text at the added tokens that are looked for before anything is normalized. */
static bool cut_original(const HfTokenizer *t, HfWorkspace *w, HfSpan text, bool split_special, HfError *err) {
  w->raw.count = 0;
  return hf_added_tokens_split(&t->added, &t->added.original, split_special, text, 0, &w->raw, err);
}

/* Normalizes one piece of the original text behind what w->pieces holds, and cuts it at the normalized added tokens. */
static bool normalize_piece(const HfTokenizer *t, HfWorkspace *w, HfSpan text, HfPiece piece, bool split_special, HfError *err) {
  HfPieces *out = &w->pieces;
  HfSpan part = hf_span_part(text, piece.begin, piece.end);
  size_t begin = out->text.size;
  if (piece.token >= 0) return hf_text_append(&out->text, part, err) && hf_piece_add(&out->list, begin, out->text.size, piece.token, err);
  if (!hf_normalizers_apply(&t->normalizers, part, &out->text, &w->scratch, err)) return false;
  HfSpan normalized = hf_text_span(&out->text, begin, out->text.size);
  return hf_added_tokens_split(&t->added, &t->added.normalized, split_special, normalized, begin, &out->list, err);
}

/* Turns byte positions in a piece into characters of the original text. Unknown characters may have left positions behind
 * the end. */
static void set_offsets(HfTokens *tokens, size_t from, HfSpan piece, int32_t word) {
  for (size_t i = from; i < tokens->count; i++) {
    size_t begin = tokens->offsets[i][0], end = tokens->offsets[i][1];
    if (end > piece.size) end = piece.size;
    if (begin >= piece.size) begin = piece.size - 1;
    uint32_t first = piece.origin[begin], last = piece.origin[end > begin ? end - 1 : begin];
    tokens->offsets[i][0] = first == HF_NO_ORIGIN ? 0 : first;
    tokens->offsets[i][1] = last == HF_NO_ORIGIN ? 0 : last + 1;
    tokens->words[i] = word;
  }
}

/* White space, and the character that stands for a space in byte-level text. */
static bool is_space(uint32_t code) { return code == 0x120 || (hf_unicode_set(code) & HF_SPACE); }

static void count_spaces(const char *text, size_t size, uint32_t spaces[2]) {
  uint32_t code;
  spaces[0] = spaces[1] = 0;
  for (size_t at = 0; at < size; spaces[0]++) {
    at += hf_utf8_decode(text + at, &code);
    if (!is_space(code)) break;
  }
  for (size_t at = size; at > 0; spaces[1]++) {
    at = hf_utf8_back(text, at);
    hf_utf8_decode(text + at, &code);
    if (!is_space(code)) break;
  }
}

/* Tokens of the vocabulary as it spells them, added tokens as they stand in the text. */
static void set_spaces(const HfTokenizer *t, HfTokens *tokens, size_t from, HfSpan piece, bool added) {
  for (size_t i = from; i < tokens->count; i++) {
    size_t size = piece.size;
    const char *text = added ? piece.bytes : hf_vocab_token(&t->model.vocab, tokens->ids[i], &size);
    count_spaces(text, size, tokens->spaces[i]);
  }
}

static bool run_model(const HfTokenizer *t, HfWorkspace *w, int32_t word, HfError *err) {
  for (size_t i = 0; i < w->pieces.list.count; i++) {
    HfPiece piece = w->pieces.list.items[i];
    HfSpan span = hf_text_span(&w->pieces.text, piece.begin, piece.end);
    size_t before = w->tokens.count;
    bool done = piece.token >= 0 ? hf_tokens_add(&w->tokens, piece.token, 0, span.size, err)
                                 : t->model.kind->tokenize(&t->model, span.bytes, span.size, &w->tokens, err);
    if (!done) return false;
    if (w->tokens.detailed) set_offsets(&w->tokens, before, span, word >= 0 ? word : (int32_t)i);
    if (w->tokens.spaced) set_spaces(t, &w->tokens, before, span, piece.token >= 0);
  }
  return true;
}

static bool run_general(const HfTokenizer *t, HfWorkspace *w, HfSpan text, int32_t word, bool split_special, HfError *err) {
  hf_pieces_clear(&w->pieces, text.origin != NULL);
  for (size_t i = 0; i < w->raw.count; i++)
    if (!normalize_piece(t, w, text, w->raw.items[i], split_special, err)) return false;
  return hf_pre_tokenizers_apply(&t->pre_tokenizers, &w->pieces, &w->spare, err) && run_model(t, w, word, err);
}

static bool run_bert_sweep(const HfTokenizer *t, HfWorkspace *w, HfSpan text, HfError *err) {
  for (size_t i = 0; i < w->raw.count; i++) {
    HfPiece piece = w->raw.items[i];
    bool done = piece.token >= 0 ? hf_tokens_add(&w->tokens, piece.token, 0, 0, err)
                                 : hf_bert_sweep_run(t, w, text.bytes + piece.begin, piece.end - piece.begin, err);
    if (!done) return false;
  }
  return true;
}

/* Cuts the pieces at the added tokens that are looked for in normalized text, which this text is. */
static bool cut_normalized(const HfTokenizer *t, HfWorkspace *w, HfSpan text, bool split_special, HfError *err) {
  if (!t->added.normalized.patterns.count) return true;
  HfPieceList *list = &w->pieces.list;
  list->count = 0;
  for (size_t i = 0; i < w->raw.count; i++) {
    HfPiece piece = w->raw.items[i];
    HfSpan part = hf_span_part(text, piece.begin, piece.end);
    bool done = piece.token >= 0 ? hf_piece_add(list, piece.begin, piece.end, piece.token, err)
                                 : hf_added_tokens_split(&t->added, &t->added.normalized, split_special, part, piece.begin, list, err);
    if (!done) return false;
  }
  HfPieceList done = *list;
  *list = w->raw;
  w->raw = done;
  return true;
}

static bool run_byte_sweep(const HfTokenizer *t, HfWorkspace *w, HfSpan text, bool split_special, HfError *err) {
  if (!cut_normalized(t, w, text, split_special, err)) return false;
  for (size_t i = 0; i < w->raw.count; i++) {
    HfPiece piece = w->raw.items[i];
    bool done = piece.token >= 0 ? hf_tokens_add(&w->tokens, piece.token, 0, 0, err)
                                 : hf_byte_sweep_run(t, w, text.bytes + piece.begin, piece.end - piece.begin, err);
    if (!done) return false;
  }
  return true;
}

bool hf_pipeline_run(const HfTokenizer *t, HfWorkspace *w, HfInput text, int32_t word, bool split_special, HfError *err) {
  size_t bad;
  if (text.size > INT32_MAX) return hf_error_set(err, "text of %zu bytes is longer than 2 GiB", text.size);
  if (!hf_utf8_valid(text.bytes, text.size, &bad))
    return hf_error_set(err, "text is not UTF-8: byte 0x%02x at %zu", (unsigned char)text.bytes[bad], bad);
  HfSpan span = {text.bytes, text.size, NULL};
  if (w->tokens.detailed || t->pre_tokenizers.use_origins) {
    hf_text_clear(&w->source, true);
    if (!hf_text_append_original(&w->source, text.bytes, text.size, 0, err)) return false;
    span = hf_text_span(&w->source, 0, text.size);
  }
  if (!cut_original(t, w, span, split_special, err)) return false;
  if (t->sweep && !w->tokens.detailed) return run_bert_sweep(t, w, span, err);
  if (!w->tokens.detailed && hf_byte_sweep_takes(t, text.bytes, text.size)) return run_byte_sweep(t, w, span, split_special, err);
  return run_general(t, w, span, word, split_special, err);
}
