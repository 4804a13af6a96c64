/* Batches: texts to tokens on all cores, then rows of ids with special tokens, truncation, overflow and padding. */
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include "memory.h"
#include "tokenizer.h"

void hf_encoding_free(HfEncoding *e) {
  hf_free(e->block);
  *e = (HfEncoding){0};
}

static const HfTemplate *template_of(const HfTokenizer *t, int sides) { return sides == 2 ? &t->post_processor.pair : &t->post_processor.single; }

size_t hf_tokenizer_special_count(const HfTokenizer *t, bool pair) { return template_of(t, pair ? 2 : 1)->special; }

/* ---- texts to tokens */

#define PARALLEL_BYTES 16384 /* below these a second thread costs more than it brings */
#define PARALLEL_TOKENS 65536

static int thread_count(const HfBatchInput *in) {
#ifdef _OPENMP
  size_t sequences = in->rows * (size_t)in->sides, texts = in->starts ? in->starts[sequences] : sequences, bytes = 0;
  for (size_t i = 0; i < texts && bytes < PARALLEL_BYTES; i++) bytes += in->texts[i].size;
  return sequences > 1 && bytes >= PARALLEL_BYTES ? omp_get_max_threads() : 1;
#else
  return 1;
#endif
}

static bool prepare_workspaces(HfTokenizer *t, int threads, bool detailed, HfError *err) {
  if ((size_t)threads > t->workspace_count) {
    HfWorkspace *grown = hf_realloc(t->workspaces, (size_t)threads * sizeof *grown, "tokenizer", err);
    if (!grown) return false;
    memset(grown + t->workspace_count, 0, ((size_t)threads - t->workspace_count) * sizeof *grown);
    t->workspaces = grown;
    t->workspace_count = (size_t)threads;
  }
  for (int i = 0; i < threads; i++) {
    t->workspaces[i].tokens.count = 0;
    t->workspaces[i].tokens.detailed = detailed;
    t->workspaces[i].tokens.spaced = detailed && t->post_processor.trim_count;
    t->workspaces[i].failed = -1;
  }
  return true;
}

static bool tokenize_sequence(const HfTokenizer *t, HfWorkspace *w, const HfBatchInput *in, size_t index, bool split_special, HfError *err) {
  if (!in->starts) return hf_pipeline_run(t, w, in->texts[index], -1, split_special, err);
  for (size_t i = in->starts[index]; i < in->starts[index + 1]; i++)
    if (!hf_pipeline_run(t, w, in->texts[i], (int32_t)(i - in->starts[index]), split_special, err)) return false;
  return true;
}

/* The first failed sequence, so that the error does not depend on the threads. */
static bool first_error(const HfTokenizer *t, int threads, int sides, HfError *err) {
  const HfWorkspace *first = NULL;
  for (int i = 0; i < threads; i++) {
    const HfWorkspace *w = &t->workspaces[i];
    if (w->failed >= 0 && (!first || w->failed < first->failed)) first = w;
  }
  if (!first) return true;
  if (err) *err = first->err;
  return hf_error_prefix(err, "tokenizer: row %lld%s", (long long)(first->failed / sides + 1), first->failed % sides ? " (pair)" : "");
}

/* Sequence i by thread `thread`, unless that thread has failed already. */
static void tokenize_one(HfTokenizer *t, const HfBatchInput *in, bool split_special, int64_t i, int thread) {
  HfWorkspace *w = &t->workspaces[thread];
  if (w->failed >= 0) return;
  size_t begin = w->tokens.count;
  if (!tokenize_sequence(t, w, in, (size_t)i, split_special, &w->err)) w->failed = i;
  t->sequences[i] = (HfSequence){begin, w->tokens.count - begin, thread};
}

static bool tokenize_all(HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, HfError *err) {
  int threads = thread_count(in);
  int64_t count = (int64_t)in->rows * in->sides;
  bool split_special = options->split_special_tokens;
  if (!prepare_workspaces(t, threads, options->detailed, err)) return false;
  if (threads == 1) { /* without the cost of a team of one */
    for (int64_t i = 0; i < count; i++) tokenize_one(t, in, split_special, i, 0);
    return first_error(t, threads, in->sides, err);
  }
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
  for (int64_t i = 0; i < count; i++) tokenize_one(t, in, split_special, i, omp_get_thread_num());
#endif
  return first_error(t, threads, in->sides, err);
}

/* ---- truncation */

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* How many tokens of each side stay; room: for both together. */
static bool kept_lengths(HfTruncation strategy, size_t room, const size_t have[2], int sides, size_t keep[2], HfError *err) {
  keep[0] = have[0];
  keep[1] = have[1];
  size_t total = have[0] + have[1];
  if (room == 0) return keep[0] = keep[1] = 0, true;
  if (total <= room) return true;
  if (strategy == HF_TRUNCATE_LONGEST_FIRST) {
    if (sides == 1) return keep[0] = room, true;
    int shorter = have[0] <= have[1] ? 0 : 1;
    size_t small = have[shorter], large = small > room ? small : max_size(small, room - small);
    if (small + large > room) small = room / 2, large = small + room % 2;
    keep[shorter] = small;
    keep[!shorter] = large;
    return true;
  }
  int side = strategy == HF_TRUNCATE_ONLY_FIRST ? 0 : 1;
  if (side >= sides) return hf_error_set(err, "Truncation error: Second sequence not provided");
  if (have[side] <= total - room) return hf_error_set(err, "Truncation error: Sequence to truncate too short to respect the provided max_length");
  keep[side] = have[side] - (total - room);
  return true;
}

/* Parts of a sequence of `have` tokens, `keep` at a time with `stride` in common. Part 0 is what stays in the row. */
typedef struct Windows {
  size_t have, keep, step, count;
  bool left;
} Windows;

static bool make_windows(size_t have, size_t keep, const HfEncodeOptions *options, Windows *out, HfError *err) {
  *out = (Windows){have, keep, keep, 1, options->truncate_left};
  if (keep >= have) return true;
  if (keep == 0) return out->count = 2, true; /* nothing, then everything */
  if (options->stride >= keep)
    return hf_error_set(err, "stride: expected less than the %zu tokens that a row has room for (max_length without special tokens), found %zu", keep, options->stride);
  out->step = keep - options->stride;
  out->count = 1 + (have - keep + out->step - 1) / out->step;
  return true;
}

static void window(const Windows *w, size_t i, size_t *begin, size_t *end) {
  if (w->keep == 0 && w->have) {
    *begin = 0;
    *end = i ? w->have : 0;
  } else if (!w->left) {
    *begin = i * w->step;
    *end = min_size(*begin + w->keep, w->have);
  } else {
    *end = w->have - i * w->step;
    *begin = *end > w->keep ? *end - w->keep : 0;
  }
}

static bool add_row(HfRows *rows, size_t sample, const Windows *sides, size_t a, size_t b, HfError *err) {
  if (!hf_array_grow((void **)&rows->items, rows->count, &rows->capacity, sizeof *rows->items, "rows", err)) return false;
  HfRow *row = &rows->items[rows->count++];
  row->sample = sample;
  window(&sides[0], a, &row->begin[0], &row->end[0]);
  window(&sides[1], b, &row->begin[1], &row->end[1]);
  return true;
}

/* The row and, if asked for, its overflow. The order is that of merging the template from left to right: each further part
 * of the first sequence with all of the second, then the first part with the further ones of the second. */
static bool add_rows(HfRows *rows, size_t sample, const Windows sides[2], int first, bool overflow, HfError *err) {
  if (!add_row(rows, sample, sides, 0, 0, err)) return false;
  if (!overflow) return true;
  for (size_t i = 1; i < sides[first].count; i++)
    for (size_t j = 0; j < sides[!first].count; j++)
      if (!add_row(rows, sample, sides, first ? j : i, first ? i : j, err)) return false;
  for (size_t j = 1; j < sides[!first].count; j++)
    if (!add_row(rows, sample, sides, first ? j : 0, first ? 0 : j, err)) return false;
  return true;
}

/* The sequence that stands first in the template. */
static int first_sequence(const HfTemplate *template) {
  for (size_t i = 0; i < template->count; i++)
    if (template->parts[i].sequence >= 0) return template->parts[i].sequence;
  return 0;
}

static bool truncate_rows(HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, HfError *err) {
  const HfTemplate *template = template_of(t, in->sides);
  size_t special = options->add_special_tokens ? template->special : 0;
  /* A length that the special tokens alone exceed leaves the text as it is, as in Hugging Face's tokenizers. */
  bool truncate = options->truncation != HF_TRUNCATE_NONE && options->max_length >= special;
  int first = in->sides == 2 ? first_sequence(template) : 0;
  for (size_t r = 0; r < in->rows; r++) {
    const HfSequence *s = t->sequences + r * (size_t)in->sides;
    size_t have[2] = {s[0].count, in->sides == 2 ? s[1].count : 0}, keep[2] = {have[0], have[1]};
    Windows sides[2];
    if (truncate && !kept_lengths(options->truncation, options->max_length - special, have, in->sides, keep, err)) return false;
    if (!make_windows(have[0], keep[0], options, &sides[0], err) || !make_windows(have[1], keep[1], options, &sides[1], err)) return false;
    if (!add_rows(&t->rows, r, sides, first, options->overflow, err)) return false;
  }
  return true;
}

/* ---- rows to arrays */

static size_t row_length(const HfRow *row, const HfTemplate *template, const HfEncodeOptions *options) {
  size_t length = options->add_special_tokens ? template->special : 0;
  return length + (row->end[0] - row->begin[0]) + (row->end[1] - row->begin[1]);
}

static size_t padded_length(const HfRows *rows, const HfTemplate *template, const HfEncodeOptions *options) {
  size_t length = options->pad_length;
  for (size_t i = 0; options->padding == HF_PAD_LONGEST && i < rows->count; i++) {
    const HfRow *row = &rows->items[i];
    bool overflow = i && row->sample == row[-1].sample; /* what was cut off does not count */
    if (!overflow) length = max_size(length, row_length(row, template, options));
  }
  if (options->pad_multiple && length % options->pad_multiple) length += options->pad_multiple - length % options->pad_multiple;
  return length;
}

static size_t bytes_per_token(const HfEncodeOptions *options) {
  const HfEncoding *e = NULL;
  return sizeof *e->ids + sizeof *e->type_ids + sizeof *e->special + sizeof *e->attention + sizeof *e->sequences +
         (options->detailed ? sizeof *e->offsets + sizeof *e->words : 0);
}

/* Places the arrays in one block: the wide ones first, so that each is aligned. */
static void place_arrays(HfEncoding *out, char *at, size_t rows, size_t tokens, bool detailed) {
  out->rows = rows;
  out->ends = (size_t *)at;
  out->samples = out->ends + rows;
  out->ids = (int32_t *)(out->samples + rows);
  at = (char *)(out->ids + tokens);
  if (detailed) {
    out->offsets = (uint32_t(*)[2])at;
    out->words = (int32_t *)(out->offsets + tokens);
    at = (char *)(out->words + tokens);
  }
  out->type_ids = (uint8_t *)at;
  out->special = out->type_ids + tokens;
  out->attention = out->special + tokens;
  out->sequences = (int8_t *)(out->attention + tokens);
}

/* Marks `count` tokens at `at` as special tokens or padding. */
static void fill(HfEncoding *out, size_t at, size_t count, int32_t id, uint8_t type_id, uint8_t attention) {
  for (size_t i = 0; i < count; i++) out->ids[at + i] = id;
  memset(out->type_ids + at, type_id, count);
  memset(out->special + at, 1, count);
  memset(out->attention + at, attention, count);
  memset(out->sequences + at, -1, count);
  if (!out->words) return;
  memset(out->offsets + at, 0, count * sizeof *out->offsets);
  memset(out->words + at, 0xFF, count * sizeof *out->words);
}

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Takes the white space of a token out of its offsets. With add_prefix_space the one space at the front of a text, which
 * may have been put there, stays: first, or with offsets from 0. */
static void trim_offsets(uint32_t offsets[2], const uint32_t spaces[2], bool first, bool add_prefix_space) {
  uint32_t front = spaces[0];
  if (front == 1 && add_prefix_space && (first || !offsets[0])) front = 0;
  offsets[0] = min_u32(offsets[0] + front, offsets[1]);
  if (offsets[1] >= spaces[1]) offsets[1] = max_u32(offsets[1] - spaces[1], offsets[0]);
}

static void trim_tokens(const HfPostProcessor *post, HfEncoding *out, size_t at, const HfTokens *tokens, size_t from, size_t count, bool special) {
  for (size_t pass = 0; pass < post->trim_count; pass++) {
    HfTrim trim = post->trims[pass];
    for (size_t i = 0; i < count; i++)
      trim_offsets(out->offsets[at + i], tokens->spaces[from + i], i == 0 && !(special && trim.behind_special), trim.add_prefix_space);
  }
}

static void copy_tokens(HfEncoding *out, size_t at, const HfTokens *tokens, size_t from, size_t count, HfTemplatePart part) {
  if (!count) return;
  memcpy(out->ids + at, tokens->ids + from, count * sizeof *out->ids);
  memset(out->type_ids + at, part.type_id, count);
  memset(out->special + at, 0, count);
  memset(out->attention + at, 1, count);
  memset(out->sequences + at, part.sequence, count);
  if (!out->words) return;
  memcpy(out->offsets + at, tokens->offsets + from, count * sizeof *out->offsets);
  memcpy(out->words + at, tokens->words + from, count * sizeof *out->words);
}

static void write_row(const HfTokenizer *t, const HfTemplate *template, const HfEncodeOptions *options, const HfSequence *sequences,
                      const HfRow *row, size_t at, size_t padding, HfEncoding *out) {
  if (options->pad_left) fill(out, at, padding, options->pad_id, options->pad_type_id, 0), at += padding;
  for (size_t i = 0; i < template->count; i++) {
    HfTemplatePart part = template->parts[i];
    if (part.sequence >= 0) {
      const HfSequence *s = &sequences[part.sequence];
      size_t count = row->end[part.sequence] - row->begin[part.sequence];
      const HfTokens *tokens = &t->workspaces[s->thread].tokens;
      size_t from = s->begin + row->begin[part.sequence];
      copy_tokens(out, at, tokens, from, count, part);
      if (out->words) trim_tokens(&t->post_processor, out, at, tokens, from, count, options->add_special_tokens);
      at += count;
    } else if (options->add_special_tokens) {
      fill(out, at++, 1, part.id, part.type_id, 1);
    }
  }
  if (!options->pad_left) fill(out, at, padding, options->pad_id, options->pad_type_id, 0);
}

/* Length of each row with its padding, into t->rows; the sum and the bytes they take. */
static bool measure_rows(HfTokenizer *t, int sides, const HfEncodeOptions *options, size_t *bytes, HfError *err) {
  const HfTemplate *template = template_of(t, sides);
  HfRows *rows = &t->rows;
  size_t padded = options->padding == HF_PAD_NONE ? 0 : padded_length(rows, template, options);
  uint64_t tokens = 0, size, heads;
  for (size_t i = 0; i < rows->count; i++) {
    rows->items[i].length = max_size(row_length(&rows->items[i], template, options), padded);
    if (!hf_add_u64(&tokens, tokens, rows->items[i].length)) return hf_error_memory(err, "encoding", SIZE_MAX);
  }
  if (!hf_mul_u64(&size, tokens, bytes_per_token(options)) || !hf_mul_u64(&heads, rows->count, 2 * sizeof(size_t)) ||
      !hf_add_u64(&size, size, heads) || size > SIZE_MAX / 2)
    return hf_error_memory(err, "encoding", SIZE_MAX);
  rows->tokens = tokens;
  *bytes = size;
  return true;
}

static void write_one(const HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, size_t i, HfEncoding *out) {
  const HfTemplate *template = template_of(t, in->sides);
  const HfRow *row = &t->rows.items[i];
  size_t padding = row->length - row_length(row, template, options);
  out->samples[i] = row->sample;
  write_row(t, template, options, t->sequences + row->sample * (size_t)in->sides, row, hf_encoding_begin(out, i), padding, out);
}

void hf_tokenizer_encode_write(const HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, void *block, HfEncoding *out) {
  const HfRows *rows = &t->rows;
  size_t end = 0;
  place_arrays(out, block, rows->count, rows->tokens, options->detailed);
  for (size_t i = 0; i < rows->count; i++) out->ends[i] = end += rows->items[i].length;
  if (rows->tokens < PARALLEL_TOKENS) {
    for (size_t i = 0; i < rows->count; i++) write_one(t, in, options, i, out);
    return;
  }
#pragma omp parallel for schedule(static)
  for (size_t i = 0; i < rows->count; i++) write_one(t, in, options, i, out);
}

static bool reserve_sequences(HfTokenizer *t, size_t count, HfError *err) {
  if (count <= t->sequence_capacity) return true;
  HfSequence *grown = hf_realloc(t->sequences, count * sizeof *grown, "batch", err);
  if (!grown) return false;
  t->sequences = grown;
  t->sequence_capacity = count;
  return true;
}

bool hf_tokenizer_encode_prepare(HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, size_t *bytes, HfError *err) {
  t->rows.count = 0;
  return reserve_sequences(t, in->rows * (size_t)in->sides, err) && tokenize_all(t, in, options, err) &&
         truncate_rows(t, in, options, err) && measure_rows(t, in->sides, options, bytes, err);
}

bool hf_tokenizer_encode(HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, HfEncoding *out, HfError *err) {
  size_t bytes;
  *out = (HfEncoding){0};
  if (!hf_tokenizer_encode_prepare(t, in, options, &bytes, err) || !(out->block = hf_malloc(bytes, "encoding", err))) return false;
  hf_tokenizer_encode_write(t, in, options, out->block, out);
  return true;
}
