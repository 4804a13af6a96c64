/* Batches: texts to tokens on all cores, then rows of ids with special tokens, truncation, overflow and padding. */
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include "memory.h"
#include "tokenizer.h"

/* Tokens of one sequence, in the workspace of the thread that made them. */
typedef struct Sequence {
  size_t begin, count;
  int thread;
} Sequence;

/* One row of the result: the part of each sequence it shows. */
typedef struct Row {
  size_t sample;
  size_t begin[2], end[2];
} Row;

typedef struct Rows {
  Row *items;
  size_t count, capacity;
} Rows;

void hf_encoding_free(HfEncoding *e) {
  void *arrays[] = {e->ends, e->samples, e->ids, e->type_ids, e->special, e->attention, e->sequences, e->offsets, e->words};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) hf_free(arrays[i]);
  *e = (HfEncoding){0};
}

static const HfTemplate *template_of(const HfTokenizer *t, int sides) { return sides == 2 ? &t->post_processor.pair : &t->post_processor.single; }

size_t hf_tokenizer_special_count(const HfTokenizer *t, bool pair) { return template_of(t, pair ? 2 : 1)->special; }

/* ---- texts to tokens */

#define PARALLEL_BYTES 16384 /* below this a second thread costs more than it brings */

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

static bool tokenize_all(HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, Sequence *sequences, HfError *err) {
  int threads = thread_count(in);
  int64_t count = (int64_t)in->rows * in->sides;
  if (!prepare_workspaces(t, threads, options->detailed, err)) return false;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16) if (threads > 1)
  for (int64_t i = 0; i < count; i++) {
    int thread = 0;
#ifdef _OPENMP
    thread = omp_get_thread_num();
#endif
    HfWorkspace *w = &t->workspaces[thread];
    if (w->failed >= 0) continue;
    sequences[i].begin = w->tokens.count;
    sequences[i].thread = thread;
    if (!tokenize_sequence(t, w, in, (size_t)i, options->split_special_tokens, &w->err)) w->failed = i;
    sequences[i].count = w->tokens.count - sequences[i].begin;
  }
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

static bool add_row(Rows *rows, size_t sample, const Windows *sides, size_t a, size_t b, HfError *err) {
  if (!hf_array_grow((void **)&rows->items, rows->count, &rows->capacity, sizeof *rows->items, "rows", err)) return false;
  Row *row = &rows->items[rows->count++];
  row->sample = sample;
  window(&sides[0], a, &row->begin[0], &row->end[0]);
  window(&sides[1], b, &row->begin[1], &row->end[1]);
  return true;
}

/* The row and, if asked for, its overflow. The order is that of merging the template from left to right: each further part
 * of the first sequence with all of the second, then the first part with the further ones of the second. */
static bool add_rows(Rows *rows, size_t sample, const Windows sides[2], int first, bool overflow, HfError *err) {
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

static bool truncate_rows(const HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, const Sequence *sequences, Rows *rows, HfError *err) {
  const HfTemplate *template = template_of(t, in->sides);
  size_t special = options->add_special_tokens ? template->special : 0;
  /* A length that the special tokens alone exceed leaves the text as it is, as in Hugging Face's tokenizers. */
  bool truncate = options->truncation != HF_TRUNCATE_NONE && options->max_length >= special;
  int first = in->sides == 2 ? first_sequence(template) : 0;
  for (size_t r = 0; r < in->rows; r++) {
    const Sequence *s = sequences + r * (size_t)in->sides;
    size_t have[2] = {s[0].count, in->sides == 2 ? s[1].count : 0}, keep[2] = {have[0], have[1]};
    Windows sides[2];
    if (truncate && !kept_lengths(options->truncation, options->max_length - special, have, in->sides, keep, err)) return false;
    if (!make_windows(have[0], keep[0], options, &sides[0], err) || !make_windows(have[1], keep[1], options, &sides[1], err)) return false;
    if (!add_rows(rows, r, sides, first, options->overflow, err)) return false;
  }
  return true;
}

/* ---- rows to arrays */

static size_t row_length(const Row *row, const HfTemplate *template, const HfEncodeOptions *options) {
  size_t length = options->add_special_tokens ? template->special : 0;
  return length + (row->end[0] - row->begin[0]) + (row->end[1] - row->begin[1]);
}

static size_t padded_length(const Rows *rows, const HfTemplate *template, const HfEncodeOptions *options) {
  size_t length = options->pad_length;
  for (size_t i = 0; options->padding == HF_PAD_LONGEST && i < rows->count; i++) {
    size_t own = row_length(&rows->items[i], template, options);
    length = i ? max_size(length, own) : own;
  }
  if (options->pad_multiple && length % options->pad_multiple) length += options->pad_multiple - length % options->pad_multiple;
  return length;
}

static bool allocate(HfEncoding *out, size_t rows, size_t tokens, bool detailed, HfError *err) {
  out->rows = rows;
  return (out->ends || (out->ends = hf_malloc(rows * sizeof *out->ends, "encoding", err))) &&
         (out->samples = hf_malloc(rows * sizeof *out->samples, "encoding", err)) &&
         (out->ids = hf_malloc(tokens * sizeof *out->ids, "encoding", err)) &&
         (out->type_ids = hf_malloc(tokens, "encoding", err)) && (out->special = hf_malloc(tokens, "encoding", err)) &&
         (out->attention = hf_malloc(tokens, "encoding", err)) && (out->sequences = hf_malloc(tokens, "encoding", err)) &&
         (!detailed || ((out->offsets = hf_malloc(tokens * sizeof *out->offsets, "encoding", err)) &&
                        (out->words = hf_malloc(tokens * sizeof *out->words, "encoding", err))));
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

static void write_row(const HfTokenizer *t, const HfTemplate *template, const HfEncodeOptions *options, const Sequence *sequences,
                      const Row *row, size_t at, size_t padding, HfEncoding *out) {
  if (options->pad_left) fill(out, at, padding, options->pad_id, options->pad_type_id, 0), at += padding;
  for (size_t i = 0; i < template->count; i++) {
    HfTemplatePart part = template->parts[i];
    if (part.sequence >= 0) {
      const Sequence *s = &sequences[part.sequence];
      size_t count = row->end[part.sequence] - row->begin[part.sequence];
      copy_tokens(out, at, &t->workspaces[s->thread].tokens, s->begin + row->begin[part.sequence], count, part);
      at += count;
    } else if (options->add_special_tokens) {
      fill(out, at++, 1, part.id, part.type_id, 1);
    }
  }
  if (!options->pad_left) fill(out, at, padding, options->pad_id, options->pad_type_id, 0);
}

static bool write_rows(const HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, const Sequence *sequences, const Rows *rows, HfEncoding *out, HfError *err) {
  const HfTemplate *template = template_of(t, in->sides);
  size_t padded = options->padding == HF_PAD_NONE ? 0 : padded_length(rows, template, options), total = 0;
  if (!(out->ends = hf_malloc(rows->count * sizeof *out->ends, "encoding", err))) return false;
  for (size_t i = 0; i < rows->count; i++) {
    total += max_size(row_length(&rows->items[i], template, options), padded);
    out->ends[i] = total;
  }
  if (total > INT64_MAX / 64) return hf_error_memory(err, "encoding", SIZE_MAX);
  if (!allocate(out, rows->count, total, options->detailed, err)) return false;
#pragma omp parallel for schedule(static) if (total > 65536)
  for (size_t i = 0; i < rows->count; i++) {
    const Row *row = &rows->items[i];
    size_t begin = hf_encoding_begin(out, i), length = row_length(row, template, options);
    out->samples[i] = row->sample;
    write_row(t, template, options, sequences + row->sample * (size_t)in->sides, row, begin, out->ends[i] - begin - length, out);
  }
  return true;
}

bool hf_tokenizer_encode(HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, HfEncoding *out, HfError *err) {
  Rows rows = {0};
  Sequence *sequences = hf_malloc(in->rows * (size_t)in->sides * sizeof *sequences, "batch", err);
  bool done = sequences && tokenize_all(t, in, options, sequences, err) && truncate_rows(t, in, options, sequences, &rows, err) &&
              write_rows(t, in, options, sequences, &rows, out, err);
  if (!done) hf_encoding_free(out);
  hf_free(sequences);
  hf_free(rows.items);
  return done;
}
