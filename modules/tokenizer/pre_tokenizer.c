/* The list of pre-tokenizer kinds, their reading from tokenizer.json, running them, and split behaviors. */
#include "pre_tokenizer.h"
#include <string.h>
#include "component.h"
#include "json.h"
#include "memory.h"

static const HfPreTokenizerKind *const kinds[] = {
  &hf_pre_tokenizer_bert, &hf_pre_tokenizer_whitespace, &hf_pre_tokenizer_whitespace_split, &hf_pre_tokenizer_punctuation,
  &hf_pre_tokenizer_digits, &hf_pre_tokenizer_char_delimiter, &hf_pre_tokenizer_metaspace, &hf_pre_tokenizer_fixed_length,
  &hf_pre_tokenizer_unicode_scripts, &hf_pre_tokenizer_byte_level, &hf_pre_tokenizer_split,
};

static const HfPreTokenizerKind *find_kind(const char *type) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i]->type, type)) return kinds[i];
  return NULL;
}

static bool add_step(void *target, const char *type, const cJSON *json, const char *where, HfError *err) {
  HfPreTokenizers *list = target;
  const HfPreTokenizerKind *kind = find_kind(type);
  if (!kind) return hf_component_unknown(err, where, "pre-tokenizer", type);
  if (!hf_array_grow((void **)&list->steps, list->count, &list->capacity, sizeof *list->steps, "pre-tokenizers", err)) return false;
  HfPreTokenizer *step = &list->steps[list->count++];
  memset(step, 0, sizeof *step);
  step->kind = kind;
  if (kind->read && !kind->read(step, json, where, err)) return false;
  list->use_origins |= step->use_origins;
  return true;
}

bool hf_pre_tokenizers_read(HfPreTokenizers *list, const cJSON *json, const char *where, HfError *err) {
  return hf_component_read(list, json, "pretokenizers", add_step, where, err);
}

void hf_pre_tokenizers_free(HfPreTokenizers *list) {
  for (size_t i = 0; i < list->count; i++)
    if (list->steps[i].kind->release) list->steps[i].kind->release(&list->steps[i]);
  hf_free(list->steps);
  *list = (HfPreTokenizers){0};
}

static bool split_pieces(const HfPreTokenizer *step, HfPieces *pieces, HfPieces *spare, HfError *err) {
  spare->list.count = 0;
  for (size_t i = 0; i < pieces->list.count; i++) {
    HfPiece piece = pieces->list.items[i];
    bool done = piece.token >= 0
      ? hf_piece_add(&spare->list, piece.begin, piece.end, piece.token, err)
      : step->kind->split(step, hf_text_span(&pieces->text, piece.begin, piece.end), piece.begin, &spare->list, err);
    if (!done) return false;
  }
  HfPieceList done = spare->list;
  spare->list = pieces->list;
  pieces->list = done;
  return true;
}

static bool copy_piece(HfPieces *out, HfSpan text, int32_t token, HfError *err) {
  size_t begin = out->text.size;
  return hf_text_append(&out->text, text, err) && hf_piece_add(&out->list, begin, out->text.size, token, err);
}

static bool rewrite_pieces(const HfPreTokenizer *step, HfPieces *pieces, HfPieces *spare, HfError *err) {
  hf_pieces_clear(spare, pieces->text.tracked);
  for (size_t i = 0; i < pieces->list.count; i++) {
    HfPiece piece = pieces->list.items[i];
    HfSpan span = hf_text_span(&pieces->text, piece.begin, piece.end);
    if (!(piece.token >= 0 ? copy_piece(spare, span, piece.token, err) : step->kind->rewrite(step, span, spare, err))) return false;
  }
  HfPieces done = *spare;
  *spare = *pieces;
  *pieces = done;
  return true;
}

bool hf_pre_tokenizers_apply(const HfPreTokenizers *list, HfPieces *pieces, HfPieces *spare, HfError *err) {
  for (size_t i = 0; i < list->count; i++) {
    const HfPreTokenizer *step = &list->steps[i];
    if (!(step->kind->split ? split_pieces : rewrite_pieces)(step, pieces, spare, err)) return false;
  }
  return true;
}

static bool flush(HfSplitter *s, HfError *err) {
  bool done = !s->pending || hf_piece_add(s->out, s->base + s->begin, s->base + s->end, -1, err);
  s->pending = false;
  return done;
}

static bool hold(HfSplitter *s, size_t begin, size_t end, HfError *err) {
  if (!flush(s, err)) return false;
  s->begin = begin;
  s->end = end;
  s->pending = true;
  return true;
}

bool hf_splitter_feed(HfSplitter *s, size_t begin, size_t end, bool match, HfError *err) {
  if (begin == end && !match) return true;
  bool join = s->pending;
  switch (s->behavior) {
  case HF_SPLIT_REMOVED: return match || hf_piece_add(s->out, s->base + begin, s->base + end, -1, err);
  case HF_SPLIT_ISOLATED: return hf_piece_add(s->out, s->base + begin, s->base + end, -1, err);
  case HF_SPLIT_CONTIGUOUS: join = join && match == s->previous; break;
  case HF_SPLIT_MERGED_WITH_PREVIOUS: join = join && match && !s->previous; break;
  case HF_SPLIT_MERGED_WITH_NEXT: join = join && s->previous && !match; break;
  }
  s->previous = match;
  if (!join) return hold(s, begin, end, err);
  s->end = end;
  return true;
}

bool hf_splitter_finish(HfSplitter *s, HfError *err) { return flush(s, err); }

bool hf_split_behavior_read(const cJSON *json, HfSplitBehavior *out, const char *where, HfError *err) {
  static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  const char *name = NULL;
  if (!hf_json_get_string(json, "behavior", &name, where, err)) return false;
  if (!name) return true;
  for (int i = 0; i < 5; i++)
    if (!strcmp(name, names[i])) return *out = (HfSplitBehavior)i, true;
  char shown[HF_EXCERPT_SIZE];
  return hf_error_set(err, "%s: field \"behavior\": expected Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous, found \"%s\"",
                      where, hf_excerpt(shown, name, strlen(name)));
}
