/* Training Unigram: from many pieces, expectation and maximization give their log-probabilities, and the pieces that the
 * text misses least are left out, until few enough are left. Piece 0 is the unknown one, which no text is. */
#include <math.h>
#include <stdlib.h>
#include "train.h"
#include "trie.h"
#include "unicode.h"

#define UNKNOWN_PRICE 10.0
#define CHUNKS 4          /* of the words: the sums do not depend on the number of threads */
#define RARE 0.5          /* expected number below which a piece goes */
#define CHARACTER_STEP 1e-4 /* between the scores of characters that are no pieces any more */

typedef struct Trainer {
  const HfWordCounts *words;
  const HfTrainOptions *options;
  HfPieceScores pieces;
  HfTrie trie;
  double unk_score;
  double *sums[CHUNKS]; /* (pieces) expected or counted numbers */
  HfError errors[CHUNKS];
} Trainer;

/* One way to go on in a text: a piece. */
typedef struct Edge {
  uint32_t begin, end;
  int32_t id;
  double score;
} Edge;

/* The pieces in a text, ordered by begin; room that is used again and again. */
typedef struct Lattice {
  Edge *edges;
  size_t count, capacity;
  double *forward, *backward; /* (size + 1) */
  uint32_t *best;             /* (size + 1) edge + 1 that ends there on the best path */
  size_t room;
} Lattice;

static void free_lattice(Lattice *l) {
  hf_free(l->edges);
  hf_free(l->forward);
  hf_free(l->backward);
  hf_free(l->best);
}

static bool make_room(Lattice *l, size_t size, HfError *err) {
  if (size + 1 <= l->room) return true;
  size_t room = 2 * (size + 1);
  void *forward = hf_realloc(l->forward, room * sizeof *l->forward, "words", err);
  if (forward) l->forward = forward;
  void *backward = forward ? hf_realloc(l->backward, room * sizeof *l->backward, "words", err) : NULL;
  if (backward) l->backward = backward;
  void *best = backward ? hf_realloc(l->best, room * sizeof *l->best, "words", err) : NULL;
  if (best) l->best = best, l->room = room;
  return best != NULL;
}

static bool add_edge(Lattice *l, size_t begin, size_t end, int32_t id, double score, HfError *err) {
  if (!hf_array_grow((void **)&l->edges, l->count, &l->capacity, sizeof *l->edges, "words", err)) return false;
  l->edges[l->count++] = (Edge){(uint32_t)begin, (uint32_t)end, id, score};
  return true;
}

static bool find_edges(const Trainer *t, Lattice *l, const char *text, size_t size, HfError *err) {
  l->count = 0;
  if (!make_room(l, size, err)) return false;
  for (size_t at = 0, step; at < size; at += step) {
    step = hf_utf8_size((unsigned char)text[at]);
    bool single = false;
    uint32_t node = 0;
    for (size_t i = at; i < size && (node = hf_trie_next(&t->trie, node, (unsigned char)text[i])); i++) {
      int32_t id = t->trie.nodes[node].id;
      if (id <= 0) continue;
      if (!add_edge(l, at, i + 1, id, t->pieces.scores[id], err)) return false;
      single |= i + 1 == at + step;
    }
    if (!single && !add_edge(l, at, at + step, 0, t->unk_score, err)) return false;
  }
  return true;
}

/* log(exp(a) + exp(b)) */
static double log_sum(double a, double b) {
  double high = a > b ? a : b, low = a > b ? b : a;
  if (high == -INFINITY || high > low + 50) return high;
  return high + log1p(exp(low - high));
}

/* Adds `count` times the probability of each edge to the sums of its piece. */
static void add_expected(Lattice *l, size_t size, double count, double *sums) {
  for (size_t i = 0; i <= size; i++) l->forward[i] = l->backward[i] = -INFINITY;
  l->forward[0] = l->backward[size] = 0;
  for (size_t i = 0; i < l->count; i++) {
    const Edge *e = &l->edges[i];
    l->forward[e->end] = log_sum(l->forward[e->end], l->forward[e->begin] + e->score);
  }
  for (size_t i = l->count; i-- > 0;) {
    const Edge *e = &l->edges[i];
    l->backward[e->begin] = log_sum(l->backward[e->begin], l->backward[e->end] + e->score);
  }
  for (size_t i = 0; i < l->count; i++) {
    const Edge *e = &l->edges[i];
    sums[e->id] += count * exp(l->forward[e->begin] + e->score + l->backward[e->end] - l->forward[size]);
  }
}

/* The best path; edges longer than `longest` bytes do not count. Returns its score, -INFINITY: there is none. */
static double find_best(Lattice *l, size_t size, size_t longest) {
  for (size_t i = 0; i <= size; i++) l->forward[i] = -INFINITY, l->best[i] = 0;
  l->forward[0] = 0;
  for (size_t i = 0; i < l->count; i++) {
    const Edge *e = &l->edges[i];
    double score = l->forward[e->begin] + e->score;
    if (e->end - e->begin > longest || !(score > l->forward[e->end])) continue;
    l->forward[e->end] = score;
    l->best[e->end] = (uint32_t)i + 1;
  }
  return l->forward[size];
}

static void add_best(Lattice *l, size_t size, double count, double *sums) {
  find_best(l, size, SIZE_MAX);
  for (size_t end = size; end > 0; end = l->edges[l->best[end] - 1].begin) sums[l->edges[l->best[end] - 1].id] += count;
}

/* ---- sums over all words */

typedef void (*AddWord)(Lattice *l, size_t size, double count, double *sums);

static bool sum_chunk(const Trainer *t, size_t chunk, AddWord add, double *sums, HfError *err) {
  Lattice l = {0};
  size_t count = t->words->texts.count;
  bool done = true;
  for (size_t id = count * chunk / CHUNKS; done && id < count * (chunk + 1) / CHUNKS; id++) {
    size_t size = 0;
    const char *text = hf_vocab_token(&t->words->texts, (int64_t)id, &size);
    done = find_edges(t, &l, text, size, err);
    if (done) add(&l, size, (double)t->words->counts[id], sums);
  }
  free_lattice(&l);
  return done;
}

/* Sums of every piece, in t->sums[0]. */
static bool sum_words(Trainer *t, AddWord add, HfError *err) {
  size_t count = t->pieces.texts.count;
  for (size_t i = 0; i < CHUNKS; i++) {
    hf_free(t->sums[i]);
    if (!(t->sums[i] = hf_calloc(count * sizeof **t->sums, "pieces", err))) return false;
  }
  bool done[CHUNKS];
#pragma omp parallel for schedule(static, 1)
  for (int i = 0; i < CHUNKS; i++) done[i] = sum_chunk(t, (size_t)i, add, t->sums[i], &t->errors[i]);
  for (int i = 0; i < CHUNKS; i++)
    if (!done[i]) return err && (*err = t->errors[i], false);
  for (size_t id = 0; id < count; id++)
    for (int i = 1; i < CHUNKS; i++) t->sums[0][id] += t->sums[i][id];
  return true;
}

/* ---- the pieces */

static double lowest_score(const HfPieceScores *pieces) {
  double lowest = INFINITY;
  for (size_t i = 1; i < pieces->texts.count; i++) lowest = fmin(lowest, pieces->scores[i]);
  return lowest;
}

/* Takes `pieces` over. */
static bool use_pieces(Trainer *t, HfPieceScores *pieces, HfError *err) {
  hf_piece_scores_free(&t->pieces);
  t->pieces = *pieces;
  *pieces = (HfPieceScores){0};
  t->unk_score = lowest_score(&t->pieces) - UNKNOWN_PRICE;
  return hf_trie_build(&t->trie, &t->pieces.texts, err);
}

static bool keep_piece(const Trainer *t, HfPieceScores *kept, size_t id, double score, HfError *err) {
  size_t size = 0;
  const char *text = hf_vocab_token(&t->pieces.texts, (int64_t)id, &size);
  return hf_piece_scores_add(kept, text, size, score, err);
}

/* The derivative of log gamma: with it, rare pieces get less than their share. */
static double digamma(double x) {
  double result = 0;
  for (; x < 7; x++) result -= 1 / x;
  x -= 0.5;
  double y = 1 / (x * x);
  return result + log(x) + y / 24 - 7 * y * y / 960 + 31 * y * y * y / 8064 - 127 * y * y * y * y / 30720;
}

/* One round of expectation and maximization. */
static bool estimate(Trainer *t, HfError *err) {
  if (!sum_words(t, add_expected, err)) return false;
  HfPieceScores kept = {0};
  double sum = 0;
  const double *expected = t->sums[0];
  for (size_t id = 1; id < t->pieces.texts.count; id++)
    if (expected[id] >= RARE) sum += expected[id];
  bool done = keep_piece(t, &kept, 0, 0, err);
  for (size_t id = 1; done && id < t->pieces.texts.count; id++)
    if (expected[id] >= RARE) done = keep_piece(t, &kept, id, digamma(expected[id]) - digamma(sum), err);
  done = done && use_pieces(t, &kept, err);
  hf_piece_scores_free(&kept);
  return done;
}

/* What is lost when a piece goes: its occurrences become the next best pieces of its text. */
typedef struct Loss {
  double loss;
  uint32_t id;
} Loss;

static int by_loss(const void *a, const void *b) {
  const Loss *x = a, *y = b;
  if (x->loss != y->loss) return x->loss < y->loss ? 1 : -1;
  return (x->id > y->id) - (x->id < y->id);
}

typedef struct Totals { double words, pieces; } Totals;

/* log-probability of the next best pieces, each seen more often by the number that the piece was seen */
static double alternative_score(const Trainer *t, const Lattice *l, size_t size, size_t id, Totals totals) {
  const double *seen = t->sums[0];
  size_t parts = 0;
  for (size_t end = size; end > 0; end = l->edges[l->best[end] - 1].begin) parts++;
  double log_sum_after = log(totals.pieces + seen[id] * (double)(parts - 1)), score = 0;
  for (size_t end = size; end > 0; end = l->edges[l->best[end] - 1].begin) score += log(seen[l->edges[l->best[end] - 1].id] + seen[id]) - log_sum_after;
  return score;
}

typedef enum Fate { FATE_DROP, FATE_KEEP, FATE_COMPARE } Fate;

/* A piece that is never best goes, one that cannot be put together from others stays. */
static bool judge(const Trainer *t, Lattice *l, size_t id, Totals totals, Fate *fate, double *loss, HfError *err) {
  size_t size = 0;
  const char *text = hf_vocab_token(&t->pieces.texts, (int64_t)id, &size);
  if (!find_edges(t, l, text, size, err)) return false;
  double seen = t->sums[0][id], other = find_best(l, size, size - 1);
  bool replaceable = other > -INFINITY, best = !replaceable || t->pieces.scores[id] >= other;
  if (!best) *fate = seen > 0 ? FATE_KEEP : FATE_DROP;
  else if (!replaceable) *fate = FATE_KEEP;
  else if (seen <= 0) *fate = FATE_DROP;
  else {
    *fate = FATE_COMPARE;
    *loss = seen / totals.words * (log(seen) - log(totals.pieces) - alternative_score(t, l, size, id, totals));
  }
  return true;
}

/* Fills the list of losses; pieces to keep go to `kept`. */
static bool judge_all(const Trainer *t, HfPieceScores *kept, Loss *losses, size_t *loss_count, HfError *err) {
  Lattice l = {0};
  Totals totals = {0};
  for (size_t id = 0; id < t->words->texts.count; id++) totals.words += (double)t->words->counts[id];
  for (size_t id = 0; id < t->pieces.texts.count; id++) totals.pieces += t->sums[0][id];
  bool done = true;
  for (size_t id = 1; done && id < t->pieces.texts.count; id++) {
    Fate fate = FATE_DROP;
    double loss = 0;
    done = judge(t, &l, id, totals, &fate, &loss, err);
    if (done && fate == FATE_KEEP) done = keep_piece(t, kept, id, t->pieces.scores[id], err);
    if (fate == FATE_COMPARE) losses[(*loss_count)++] = (Loss){loss, (uint32_t)id};
  }
  free_lattice(&l);
  return done;
}

/* A share of the pieces stays: those whose loss would be largest. */
static bool prune(Trainer *t, size_t wanted, HfError *err) {
  if (!sum_words(t, add_best, err)) return false;
  size_t count = t->pieces.texts.count, loss_count = 0, share = (size_t)((double)count * t->options->shrinking_factor);
  size_t limit = wanted > share ? wanted : share;
  HfPieceScores kept = {0};
  Loss *losses = hf_malloc(count * sizeof *losses, "pieces", err);
  bool done = losses && keep_piece(t, &kept, 0, 0, err) && judge_all(t, &kept, losses, &loss_count, err);
  if (done && loss_count) qsort(losses, loss_count, sizeof *losses, by_loss);
  for (size_t i = 0; done && i < loss_count && kept.texts.count < limit; i++) done = keep_piece(t, &kept, losses[i].id, t->pieces.scores[losses[i].id], err);
  done = done && use_pieces(t, &kept, err);
  hf_piece_scores_free(&kept);
  hf_free(losses);
  return done;
}

static bool shrink(Trainer *t, HfError *err) {
  size_t wanted = t->options->vocab_size * 11 / 10;
  for (size_t before = SIZE_MAX;;) {
    for (int64_t i = 0; i < t->options->sub_iterations; i++)
      if (!estimate(t, err)) return false;
    if (t->pieces.texts.count <= wanted || t->pieces.texts.count >= before) return true;
    before = t->pieces.texts.count;
    if (!prune(t, wanted, err)) return false;
  }
}

/* ---- the vocabulary: special tokens, all characters, the best pieces */

static bool add_result(HfTrained *out, const char *text, size_t size, double score, HfError *err) {
  size_t before = out->vocab.count;
  if (hf_vocab_put(&out->vocab, text, size, err) < 0) return false;
  if (out->vocab.count == before) return true;
  if (!hf_array_grow((void **)&out->scores, before, &out->score_capacity, sizeof *out->scores, "pieces", err)) return false;
  out->scores[before] = score;
  return true;
}

static bool add_special(const HfTrainOptions *o, HfTrained *out, HfError *err) {
  HfInput unk = {o->unk_token, o->unk_token ? strlen(o->unk_token) : 0};
  bool known = !o->unk_token;
  for (size_t i = 0; i < o->special_count; i++) known |= o->special[i].size == unk.size && !memcmp(o->special[i].bytes, unk.bytes, unk.size);
  if (!known && !add_result(out, unk.bytes, unk.size, 0, err)) return false;
  for (size_t i = 0; i < o->special_count; i++)
    if (!add_result(out, o->special[i].bytes, o->special[i].size, 0, err)) return false;
  out->unk_id = o->unk_token ? hf_vocab_find(&out->vocab, unk.bytes, unk.size) : -1;
  return true;
}

static bool add_character(const Trainer *t, HfPieceScores *chosen, uint32_t code, double *missing, HfError *err) {
  char text[4];
  size_t size = hf_utf8_encode(code, text);
  int32_t id = hf_vocab_find(&t->pieces.texts, text, size);
  double score = id > 0 ? t->pieces.scores[id] : *missing;
  if (id <= 0) *missing += CHARACTER_STEP;
  return hf_piece_scores_add(chosen, text, size, score, err);
}

static bool add_characters(const Trainer *t, HfPieceScores *chosen, HfError *err) {
  HfCharacters list = {0};
  double missing = lowest_score(&t->pieces);
  bool done = hf_words_characters(t->words, &list, err);
  for (size_t i = 0; done && i < list.count; i++) done = add_character(t, chosen, list.items[i].code, &missing, err);
  for (size_t i = 0; done && i < t->options->alphabet_count; i++) done = add_character(t, chosen, t->options->alphabet[i], &missing, err);
  hf_free(list.items);
  return done;
}

static bool put_chosen(const HfPieceScores *chosen, HfTrained *out, HfError *err) {
  size_t count = chosen->texts.count;
  Loss *order = hf_malloc((count + 1) * sizeof *order, "pieces", err);
  if (!order) return false;
  for (size_t i = 0; i < count; i++) order[i] = (Loss){chosen->scores[i], (uint32_t)i};
  qsort(order, count, sizeof *order, by_loss);
  bool done = true;
  for (size_t i = 0; done && i < count; i++) {
    size_t size = 0;
    const char *text = hf_vocab_token(&chosen->texts, order[i].id, &size);
    done = add_result(out, text, size, order[i].loss, err);
  }
  hf_free(order);
  return done;
}

static bool finish(const Trainer *t, HfTrained *out, HfError *err) {
  HfPieceScores chosen = {0};
  bool done = add_special(t->options, out, err) && add_characters(t, &chosen, err);
  size_t room = t->options->vocab_size > out->vocab.count ? t->options->vocab_size - out->vocab.count : 0;
  if (done && chosen.texts.count > room)
    done = hf_error_set(err, "Unigram: vocab_size: expected at least %zu (special tokens and all characters of the texts), found %zu",
                        chosen.texts.count + out->vocab.count, t->options->vocab_size);
  for (size_t id = 1; done && id < t->pieces.texts.count && chosen.texts.count < room; id++) {
    size_t size = 0;
    const char *text = hf_vocab_token(&t->pieces.texts, (int64_t)id, &size);
    done = hf_vocab_find(&out->vocab, text, size) >= 0 || hf_piece_scores_add(&chosen, text, size, t->pieces.scores[id], err);
  }
  done = done && put_chosen(&chosen, out, err);
  hf_piece_scores_free(&chosen);
  return done;
}

/* The unknown piece, then the seeds. Its text is one no word has: words hold no empty text. */
static bool start(Trainer *t, HfError *err) {
  HfPieceScores seeds = {0}, all = {0};
  bool done = hf_unigram_seeds(t->words, t->options, &seeds, err) && hf_piece_scores_add(&all, "", 0, 0, err);
  for (size_t id = 0; done && id < seeds.texts.count; id++) {
    size_t size = 0;
    const char *text = hf_vocab_token(&seeds.texts, (int64_t)id, &size);
    done = hf_piece_scores_add(&all, text, size, seeds.scores[id], err);
  }
  done = done && use_pieces(t, &all, err);
  hf_piece_scores_free(&seeds);
  hf_piece_scores_free(&all);
  return done;
}

bool hf_train_unigram(const HfWordCounts *words, const HfTrainOptions *options, HfTrained *out, HfError *err) {
  Trainer t = {.words = words, .options = options};
  out->unk_id = -1;
  bool done = start(&t, err) && shrink(&t, err) && finish(&t, out, err);
  hf_piece_scores_free(&t.pieces);
  hf_trie_free(&t.trie);
  for (int i = 0; i < CHUNKS; i++) hf_free(t.sums[i]);
  return done;
}
