/* Training BPE: the pair of tokens that is seen most often becomes a token, again and again. WordPiece is the same with a
 * prefix for what continues a word. Equal counts: the smaller ids first. */
#include <stdlib.h>
#include "train.h"
#include "unicode.h"

typedef struct Word {
  size_t first;   /* place of its first token in Trainer.tokens */
  uint32_t count; /* tokens */
} Word;

typedef struct Pair {
  uint32_t left, right;
  int64_t count;
  uint32_t *words; /* (word_count) in which it may be seen */
  size_t word_count, capacity;
  int64_t queued;  /* the count it waits with in the queue, 0: it does not wait */
  bool touched;    /* its count has grown in this merge */
} Pair;

typedef struct Waiting { int64_t count; uint32_t pair; } Waiting;

typedef struct Trainer {
  const HfWordCounts *source;
  const HfTrainOptions *options;
  HfTrained *out;
  Word *words;
  uint32_t *tokens;  /* of all words */
  uint32_t *lengths; /* of these tokens, in first tokens */
  Pair *pairs;
  size_t pair_count, pair_capacity;
  uint32_t *slots;   /* (mask + 1) pair + 1 by hash of left and right, 0: free */
  size_t mask;
  Waiting *queue;    /* a heap, the largest first */
  size_t queue_count, queue_capacity;
  uint32_t *touched; /* pairs to put into the queue after a merge */
  size_t touched_count, touched_capacity;
} Trainer;

static void free_trainer(Trainer *t) {
  for (size_t i = 0; i < t->pair_count; i++) hf_free(t->pairs[i].words);
  hf_free(t->words);
  hf_free(t->tokens);
  hf_free(t->lengths);
  hf_free(t->pairs);
  hf_free(t->slots);
  hf_free(t->queue);
  hf_free(t->touched);
}

/* ---- the first tokens */

static int by_count(const void *a, const void *b) { /* the most frequent first, then the smaller code */
  const struct HfCharacter *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return (x->code > y->code) - (x->code < y->code);
}
static int by_code(const void *a, const void *b) {
  const struct HfCharacter *x = a, *y = b;
  return (x->code > y->code) - (x->code < y->code);
}

/* Marks the characters of the alphabet that the caller wants. */
static bool add_wanted(const HfTrainOptions *o, HfCharacters *list, HfError *err) {
  for (size_t i = 0; i < o->alphabet_count; i++) {
    struct HfCharacter wanted = {o->alphabet[i], UINT64_MAX};
    struct HfCharacter *there = list->count ? bsearch(&wanted, list->items, list->count, sizeof wanted, by_code) : NULL;
    if (there) {
      there->count = UINT64_MAX;
      continue;
    }
    if (!hf_array_grow((void **)&list->items, list->count, &list->capacity, sizeof wanted, "characters", err)) return false;
    list->items[list->count++] = wanted;
    qsort(list->items, list->count, sizeof wanted, by_code);
  }
  return true;
}

static bool add_alphabet(Trainer *t, HfError *err) {
  HfCharacters list = {0};
  bool done = hf_words_characters(t->source, &list, err) && add_wanted(t->options, &list, err);
  if (done && list.count > t->options->limit_alphabet) {
    qsort(list.items, list.count, sizeof *list.items, by_count);
    list.count = t->options->limit_alphabet;
    qsort(list.items, list.count, sizeof *list.items, by_code);
  }
  for (size_t i = 0; done && i < list.count; i++) {
    char text[4];
    done = hf_vocab_put(&t->out->vocab, text, hf_utf8_encode(list.items[i].code, text), err) >= 0;
  }
  hf_free(list.items);
  return done;
}

/* The token of one character of a word: with the prefix inside, with the suffix at the end. */
static int32_t first_token(Trainer *t, const char *character, size_t size, bool first, bool last, HfBuffer *text, HfError *err) {
  const char *prefix = first ? "" : t->options->prefix, *suffix = last ? t->options->suffix : "";
  if (!*prefix && !*suffix) return hf_vocab_find(&t->out->vocab, character, size);
  text->size = 0;
  if (!hf_buffer_append(text, prefix, strlen(prefix), err) || !hf_buffer_append(text, character, size, err) ||
      !hf_buffer_append(text, suffix, strlen(suffix), err))
    return -1;
  return hf_vocab_put(&t->out->vocab, text->data, text->size, err);
}

/* Characters that are not in the alphabet are left out. */
static bool cut_word(Trainer *t, size_t id, size_t *used, HfBuffer *text, HfError *err) {
  size_t size = 0;
  const char *word = hf_vocab_token(&t->source->texts, (int64_t)id, &size);
  t->words[id] = (Word){*used, 0};
  for (size_t at = 0, step; at < size; at += step) {
    step = hf_utf8_size((unsigned char)word[at]);
    if (hf_vocab_find(&t->out->vocab, word + at, step) < 0) continue;
    int32_t token = first_token(t, word + at, step, at == 0, at + step == size, text, err);
    if (token < 0) return false;
    t->tokens[*used] = (uint32_t)token;
    t->lengths[(*used)++] = 1;
    t->words[id].count++;
  }
  return true;
}

static bool cut_words(Trainer *t, HfError *err) {
  size_t count = t->source->texts.count, bytes = t->source->texts.text.size, used = 0;
  HfBuffer text = {0};
  t->words = hf_malloc((count + 1) * sizeof *t->words, "words", err);
  t->tokens = hf_malloc((bytes + 1) * sizeof *t->tokens, "words", err);
  t->lengths = hf_malloc((bytes + 1) * sizeof *t->lengths, "words", err);
  bool done = t->words && t->tokens && t->lengths;
  for (size_t id = 0; done && id < count; id++) done = cut_word(t, id, &used, &text, err);
  hf_buffer_free(&text);
  return done;
}

/* ---- pairs */

static size_t pair_slot(const Trainer *t, uint32_t left, uint32_t right) {
  uint64_t hash = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
  size_t at = (hash ^ hash >> 32) & t->mask;
  while (t->slots[at] && (t->pairs[t->slots[at] - 1].left != left || t->pairs[t->slots[at] - 1].right != right)) at = (at + 1) & t->mask;
  return at;
}

static bool grow_slots(Trainer *t, HfError *err) {
  if (t->slots && 2 * (t->pair_count + 1) <= t->mask) return true;
  size_t size = t->slots ? 2 * (t->mask + 1) : 1 << 16;
  uint32_t *slots = hf_calloc(size * sizeof *slots, "pairs", err);
  if (!slots) return false;
  hf_free(t->slots);
  t->slots = slots;
  t->mask = size - 1;
  for (size_t i = 0; i < t->pair_count; i++) t->slots[pair_slot(t, t->pairs[i].left, t->pairs[i].right)] = (uint32_t)i + 1;
  return true;
}

/* The pair, which is made when it is new; NULL: no memory. */
static Pair *find_pair(Trainer *t, uint32_t left, uint32_t right, HfError *err) {
  if (!grow_slots(t, err)) return NULL;
  size_t slot = pair_slot(t, left, right);
  if (t->slots[slot]) return &t->pairs[t->slots[slot] - 1];
  if (!hf_array_grow((void **)&t->pairs, t->pair_count, &t->pair_capacity, sizeof *t->pairs, "pairs", err)) return NULL;
  t->pairs[t->pair_count] = (Pair){.left = left, .right = right};
  t->slots[slot] = (uint32_t)++t->pair_count;
  return &t->pairs[t->pair_count - 1];
}

/* `times` more of the pair in a word; less with a negative number. */
static bool change_pair(Trainer *t, uint32_t left, uint32_t right, uint32_t word, int times, HfError *err) {
  Pair *pair = find_pair(t, left, right, err);
  if (!pair) return false;
  pair->count += times * (int64_t)t->source->counts[word];
  if (times < 0) return true;
  if (!pair->touched) {
    if (!hf_array_grow((void **)&t->touched, t->touched_count, &t->touched_capacity, sizeof *t->touched, "pairs", err)) return false;
    t->touched[t->touched_count++] = (uint32_t)(pair - t->pairs);
    pair->touched = true;
  }
  if (pair->word_count && pair->words[pair->word_count - 1] == word) return true;
  if (!hf_array_grow((void **)&pair->words, pair->word_count, &pair->capacity, sizeof *pair->words, "pairs", err)) return false;
  pair->words[pair->word_count++] = word;
  return true;
}

/* ---- the queue */

static bool comes_first(const Trainer *t, Waiting a, Waiting b) {
  if (a.count != b.count) return a.count > b.count;
  const Pair *x = &t->pairs[a.pair], *y = &t->pairs[b.pair];
  return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static bool queue_push(Trainer *t, uint32_t pair, HfError *err) {
  if (!hf_array_grow((void **)&t->queue, t->queue_count, &t->queue_capacity, sizeof *t->queue, "pairs", err)) return false;
  Waiting item = {t->pairs[pair].count, pair};
  size_t at = t->queue_count++;
  for (; at && comes_first(t, item, t->queue[(at - 1) / 2]); at = (at - 1) / 2) t->queue[at] = t->queue[(at - 1) / 2];
  t->queue[at] = item;
  t->pairs[pair].queued = item.count;
  return true;
}

static Waiting queue_pop(Trainer *t) {
  Waiting top = t->queue[0], item = t->queue[--t->queue_count];
  size_t at = 0;
  for (size_t child = 1; child < t->queue_count; child = 2 * at + 1) {
    if (child + 1 < t->queue_count && comes_first(t, t->queue[child + 1], t->queue[child])) child++;
    if (!comes_first(t, t->queue[child], item)) break;
    t->queue[at] = t->queue[child];
    at = child;
  }
  t->queue[at] = item;
  return top;
}

/* Pairs whose counts have grown wait with the new ones. */
static bool queue_touched(Trainer *t, HfError *err) {
  for (size_t i = 0; i < t->touched_count; i++) {
    Pair *pair = &t->pairs[t->touched[i]];
    pair->touched = false;
    if (pair->count > 0 && pair->count != pair->queued && !queue_push(t, t->touched[i], err)) return false;
  }
  t->touched_count = 0;
  return true;
}

/* The pair with the largest count; false: none is left. */
static bool next_pair(Trainer *t, uint32_t *pair, HfError *err, bool *failed) {
  while (t->queue_count) {
    Waiting top = queue_pop(t);
    Pair *p = &t->pairs[top.pair];
    if (top.count != p->queued) continue; /* it waits elsewhere, or is merged */
    p->queued = 0;
    if (top.count == p->count) return *pair = top.pair, true;
    if (p->count > 0 && !queue_push(t, top.pair, err)) return *failed = true, false; /* it has become less since */
  }
  return false;
}

static bool count_pairs(Trainer *t, HfError *err) {
  for (size_t id = 0; id < t->source->texts.count; id++) {
    const uint32_t *tokens = t->tokens + t->words[id].first;
    for (uint32_t i = 1; i < t->words[id].count; i++)
      if (!change_pair(t, tokens[i - 1], tokens[i], (uint32_t)id, 1, err)) return false;
  }
  return queue_touched(t, err);
}

/* ---- merging */

/* The token that the pair makes. */
static int32_t merged_token(Trainer *t, uint32_t left, uint32_t right, HfBuffer *text, HfError *err) {
  const HfVocab *vocab = &t->out->vocab;
  size_t left_size = 0, right_size = 0, prefix = strlen(t->options->prefix);
  const char *a = hf_vocab_token(vocab, left, &left_size), *b = hf_vocab_token(vocab, right, &right_size);
  bool continues = prefix && right_size >= prefix && !memcmp(b, t->options->prefix, prefix);
  text->size = 0;
  if (!hf_buffer_append(text, a, left_size, err)) return -1;
  if (!hf_buffer_append(text, continues ? b + prefix : b, continues ? right_size - prefix : right_size, err)) return -1;
  return hf_vocab_put(&t->out->vocab, text->data, text->size, err);
}

/* Puts the new token in the place of the two at `at`, and tells the pairs around it. */
static bool merge_at(Trainer *t, uint32_t id, uint32_t at, uint32_t token, HfError *err) {
  Word *word = &t->words[id];
  uint32_t *tokens = t->tokens + word->first, *lengths = t->lengths + word->first;
  uint32_t left = tokens[at], right = tokens[at + 1], length = lengths[at] + lengths[at + 1];
  size_t limit = t->options->max_token_length;
  tokens[at] = token;
  lengths[at] = length;
  word->count--;
  memmove(tokens + at + 1, tokens + at + 2, (word->count - at - 1) * sizeof *tokens);
  memmove(lengths + at + 1, lengths + at + 2, (word->count - at - 1) * sizeof *lengths);
  if (at > 0) {
    if (!change_pair(t, tokens[at - 1], left, id, -1, err)) return false;
    if (lengths[at - 1] + (size_t)length < limit && !change_pair(t, tokens[at - 1], token, id, 1, err)) return false;
  }
  if (at + 1 < word->count) {
    if (!change_pair(t, right, tokens[at + 1], id, -1, err)) return false;
    if (lengths[at + 1] + (size_t)length < limit && !change_pair(t, token, tokens[at + 1], id, 1, err)) return false;
  }
  return true;
}

static bool merge_word(Trainer *t, uint32_t id, uint32_t left, uint32_t right, uint32_t token, HfError *err) {
  for (uint32_t at = 0; at + 1 < t->words[id].count; at++) {
    const uint32_t *tokens = t->tokens + t->words[id].first;
    if (tokens[at] == left && tokens[at + 1] == right && !merge_at(t, id, at, token, err)) return false;
  }
  return true;
}

static bool merge_pair(Trainer *t, uint32_t index, HfBuffer *text, HfError *err) {
  Pair pair = t->pairs[index];
  HfTrained *out = t->out;
  int32_t token = merged_token(t, pair.left, pair.right, text, err);
  if (token < 0 || !hf_array_grow((void **)&out->merges, out->merge_count, &out->merge_capacity, sizeof *out->merges, "merges", err)) return false;
  out->merges[out->merge_count][0] = pair.left;
  out->merges[out->merge_count++][1] = pair.right;
  t->pairs[index].words = NULL;
  t->pairs[index].word_count = t->pairs[index].capacity = 0;
  bool done = true;
  for (size_t i = 0; done && i < pair.word_count; i++) done = merge_word(t, pair.words[i], pair.left, pair.right, (uint32_t)token, err);
  hf_free(pair.words);
  return done && queue_touched(t, err);
}

static bool merge_pairs(Trainer *t, HfError *err) {
  HfBuffer text = {0};
  bool done = true, failed = false;
  uint32_t pair;
  while (done && t->out->vocab.count < t->options->vocab_size && next_pair(t, &pair, err, &failed)) {
    if ((uint64_t)t->pairs[pair].count < t->options->min_frequency) break;
    done = merge_pair(t, pair, &text, err);
  }
  hf_buffer_free(&text);
  return done && !failed;
}

bool hf_train_bpe(const HfWordCounts *words, const HfTrainOptions *options, HfTrained *out, HfError *err) {
  Trainer t = {.source = words, .options = options, .out = out};
  bool done = true;
  for (size_t i = 0; done && i < options->special_count; i++)
    done = hf_vocab_put(&out->vocab, options->special[i].bytes, options->special[i].size, err) >= 0;
  done = done && add_alphabet(&t, err) && cut_words(&t, err) && count_pairs(&t, err) && merge_pairs(&t, err);
  free_trainer(&t);
  return done;
}
