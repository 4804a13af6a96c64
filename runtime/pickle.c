#include "pickle.h"
#include <string.h>
#include "memory.h"

/* The stack machine that a pickle is a program for. Nothing it makes is larger than the stream, up to a factor. */
typedef struct Machine {
  HfPickle *out;
  const char *where;
  const uint8_t *bytes;
  size_t size, at;
  uint32_t *stack, *memo; /* owned; of the memo 0 is "nothing", else 1 + the place of a value */
  size_t depth, stack_room, memo_room, memo_count;
  bool done;
} Machine;

static bool fail(const Machine *m, HfError *err, const char *what) {
  return hf_error_set(err, "%s: byte %zu: %s", m->where, m->at, what);
}

/* ---- memory */

/* Room for one more of `width` bytes in an array. */
static bool grow(void **array, size_t *room, size_t count, size_t width, HfError *err) {
  if (count < *room) return true;
  size_t wanted = *room ? 2 * *room : 16;
  void *larger = hf_realloc(*array, wanted * width, "pickle", err);
  if (!larger) return false;
  return *array = larger, *room = wanted, true;
}

static bool push(Machine *m, uint32_t value, HfError *err) {
  if (!grow((void **)&m->stack, &m->stack_room, m->depth, sizeof *m->stack, err)) return false;
  return m->stack[m->depth++] = value, true;
}

/* A new value on the stack; NULL when there is no memory. Valid until the next one is made. */
static HfPickleValue *push_new(Machine *m, HfPickleKind kind, HfError *err) {
  HfPickle *out = m->out;
  if (out->count == HF_PICKLE_MAX_VALUES) return fail(m, err, "more values than a model has"), NULL;
  if (!grow((void **)&out->values, &out->capacity, out->count, sizeof *out->values, err)) return NULL;
  if (!push(m, (uint32_t)out->count, err)) return NULL;
  out->values[out->count] = (HfPickleValue){.kind = kind};
  return &out->values[out->count++];
}

static bool append(Machine *m, uint32_t list, uint32_t item, HfError *err) {
  HfPickleValue *v = &m->out->values[list];
  if (!grow((void **)&v->items, &v->capacity, v->size, sizeof *v->items, err)) return false;
  return v->items[v->size++] = item, true;
}

static HfPickleValue *value(const Machine *m, uint32_t place) { return &m->out->values[place]; }

/* ---- reading the stream */

static const uint8_t *take(Machine *m, size_t n, HfError *err) {
  if (n > m->size - m->at) return fail(m, err, "the stream ends inside a value"), NULL;
  const uint8_t *bytes = m->bytes + m->at;
  return m->at += n, bytes;
}

static bool take_number(Machine *m, int bytes, uint64_t *out, HfError *err) {
  const uint8_t *b = take(m, (size_t)bytes, err);
  *out = 0;
  for (int i = 0; b && i < bytes; i++) *out |= (uint64_t)b[i] << (8 * i);
  return b != NULL;
}

/* A line without its end; at most 255 bytes. */
static bool take_line(Machine *m, char line[256], HfError *err) {
  const uint8_t *start = m->bytes + m->at, *end = memchr(start, '\n', m->size - m->at);
  if (!end || end - start > 255) return fail(m, err, "a line does not end");
  memcpy(line, start, (size_t)(end - start));
  line[end - start] = 0;
  m->at += (size_t)(end - start) + 1;
  return strlen(line) == (size_t)(end - start) || fail(m, err, "a line holds a zero byte");
}

static bool pop(Machine *m, uint32_t *out, HfError *err) {
  if (!m->depth) return fail(m, err, "the stack is empty");
  *out = m->stack[--m->depth];
  return value(m, *out)->kind != HF_PICKLE_MARK || fail(m, err, "a mark is used as a value");
}

/* The place on the stack behind the last mark, which is taken off with all above it. */
static bool pop_mark(Machine *m, size_t *first, size_t *count, HfError *err) {
  size_t top = m->depth;
  while (m->depth && value(m, m->stack[m->depth - 1])->kind != HF_PICKLE_MARK) m->depth--;
  if (!m->depth) return fail(m, err, "there is no mark");
  *first = m->depth--;
  *count = top - *first;
  return true;
}

/* ---- simple values */

static bool push_integer(Machine *m, HfPickleKind kind, int64_t integer, HfError *err) {
  HfPickleValue *v = push_new(m, kind, err);
  return v && (v->integer = integer, true);
}

static bool op_none(Machine *m, HfError *err) { return push_new(m, HF_PICKLE_NONE, err) != NULL; }
static bool op_true(Machine *m, HfError *err) { return push_integer(m, HF_PICKLE_BOOL, 1, err); }
static bool op_false(Machine *m, HfError *err) { return push_integer(m, HF_PICKLE_BOOL, 0, err); }
static bool op_mark(Machine *m, HfError *err) { return push_new(m, HF_PICKLE_MARK, err) != NULL; }
static bool op_stop(Machine *m, HfError *err) { return m->done = true, pop(m, &m->out->root, err); }

static bool op_proto(Machine *m, HfError *err) {
  uint64_t version;
  return take_number(m, 1, &version, err) && (version <= 5 || fail(m, err, "a pickle of a protocol later than 5"));
}

static bool op_frame(Machine *m, HfError *err) { return take(m, 8, err) != NULL; }

static bool push_unsigned(Machine *m, int bytes, HfError *err) {
  uint64_t n;
  return take_number(m, bytes, &n, err) && push_integer(m, HF_PICKLE_INT, (int64_t)n, err);
}
static bool op_int1(Machine *m, HfError *err) { return push_unsigned(m, 1, err); }
static bool op_int2(Machine *m, HfError *err) { return push_unsigned(m, 2, err); }

static bool op_int4(Machine *m, HfError *err) {
  uint64_t n;
  return take_number(m, 4, &n, err) && push_integer(m, HF_PICKLE_INT, (int32_t)n, err);
}

/* Little endian, two's complement. Numbers of more than 8 bytes (PyTorch's magic number) keep their lowest 64 bits. */
static bool op_long1(Machine *m, HfError *err) {
  uint64_t length, n = 0;
  if (!take_number(m, 1, &length, err)) return false;
  const uint8_t *b = take(m, length, err);
  if (!b) return false;
  for (uint64_t i = 0; i < length && i < 8; i++) n |= (uint64_t)b[i] << (8 * i);
  if (length && length < 8 && b[length - 1] & 0x80) n |= ~(uint64_t)0 << (8 * length);
  return push_integer(m, HF_PICKLE_INT, (int64_t)n, err);
}

/* Decimal digits on a line; "00" and "01" are truth values where `booleans`; "L" may end it. Keeps the lowest 64 bits too. */
static bool decimal(Machine *m, bool booleans, HfError *err) {
  char line[256], *at = line;
  uint64_t n = 0;
  if (!take_line(m, line, err)) return false;
  if (booleans && (!strcmp(line, "00") || !strcmp(line, "01"))) return push_integer(m, HF_PICKLE_BOOL, line[1] == '1', err);
  if (*at == '-') at++;
  char *digits = at;
  for (; *at >= '0' && *at <= '9'; at++) n = 10 * n + (uint64_t)(*at - '0');
  if (at == digits || (strcmp(at, "") && strcmp(at, "L"))) return fail(m, err, "expected a whole number");
  return push_integer(m, HF_PICKLE_INT, (int64_t)(*line == '-' ? 0 - n : n), err);
}
static bool op_int(Machine *m, HfError *err) { return decimal(m, true, err); }
static bool op_long(Machine *m, HfError *err) { return decimal(m, false, err); }

static bool op_float(Machine *m, HfError *err) {
  const uint8_t *b = take(m, 8, err);
  uint64_t bits = 0;
  for (int i = 0; b && i < 8; i++) bits = bits << 8 | b[i];
  HfPickleValue *v = b ? push_new(m, HF_PICKLE_FLOAT, err) : NULL;
  return v && (memcpy(&v->number, &bits, sizeof bits), true);
}

static bool push_text(Machine *m, int length_bytes, HfError *err) {
  uint64_t length;
  if (!take_number(m, length_bytes, &length, err)) return false;
  const uint8_t *bytes = take(m, length, err);
  HfPickleValue *v = bytes ? push_new(m, HF_PICKLE_TEXT, err) : NULL;
  return v && (v->text = (const char *)bytes, v->size = length, true);
}
static bool op_text1(Machine *m, HfError *err) { return push_text(m, 1, err); }
static bool op_text4(Machine *m, HfError *err) { return push_text(m, 4, err); }
static bool op_text8(Machine *m, HfError *err) { return push_text(m, 8, err); }

/* ---- containers */

static bool op_empty_tuple(Machine *m, HfError *err) { return push_new(m, HF_PICKLE_TUPLE, err) != NULL; }
static bool op_empty_list(Machine *m, HfError *err) { return push_new(m, HF_PICKLE_LIST, err) != NULL; }
static bool op_empty_dict(Machine *m, HfError *err) { return push_new(m, HF_PICKLE_DICT, err) != NULL; }

/* Appends `count` values from place `first` of the stack to a container; they are already off the stack. */
static bool append_all(Machine *m, uint32_t list, size_t first, size_t count, HfError *err) {
  for (size_t i = 0; i < count; i++)
    if (!append(m, list, m->stack[first + i], err)) return false;
  return true;
}

/* A container of the values from `first` to the top, in their place. */
static bool collect(Machine *m, HfPickleKind kind, size_t first, size_t count, HfError *err) {
  if (kind == HF_PICKLE_DICT && count % 2) return fail(m, err, "a key has no value");
  m->depth = first + count; /* the new value comes behind what it takes in */
  if (!push_new(m, kind, err)) return false;
  uint32_t list = m->stack[--m->depth];
  m->depth = first;
  return append_all(m, list, first, count, err) && push(m, list, err);
}

static bool from_mark(Machine *m, HfPickleKind kind, HfError *err) {
  size_t first, count;
  if (!pop_mark(m, &first, &count, err)) return false;
  memmove(m->stack + first - 1, m->stack + first, count * sizeof *m->stack);
  return collect(m, kind, first - 1, count, err);
}
static bool op_tuple(Machine *m, HfError *err) { return from_mark(m, HF_PICKLE_TUPLE, err); }
static bool op_list(Machine *m, HfError *err) { return from_mark(m, HF_PICKLE_LIST, err); }
static bool op_dict(Machine *m, HfError *err) { return from_mark(m, HF_PICKLE_DICT, err); }

static bool last_tuple(Machine *m, size_t count, HfError *err) {
  if (m->depth < count) return fail(m, err, "the stack is empty");
  for (size_t i = 1; i <= count; i++)
    if (value(m, m->stack[m->depth - i])->kind == HF_PICKLE_MARK) return fail(m, err, "a mark is used as a value");
  return collect(m, HF_PICKLE_TUPLE, m->depth - count, count, err);
}
static bool op_tuple1(Machine *m, HfError *err) { return last_tuple(m, 1, err); }
static bool op_tuple2(Machine *m, HfError *err) { return last_tuple(m, 2, err); }
static bool op_tuple3(Machine *m, HfError *err) { return last_tuple(m, 3, err); }

/* Adds `count` values from `first` on to the container of this kind below `below`. */
static bool add_to(Machine *m, HfPickleKind kind, size_t below, size_t first, size_t count, HfError *err) {
  if (!below) return fail(m, err, "the stack is empty");
  uint32_t list = m->stack[below - 1];
  if (value(m, list)->kind != kind) return fail(m, err, kind == HF_PICKLE_DICT ? "expected a dict to add to" : "expected a list to add to");
  if (kind == HF_PICKLE_DICT && count % 2) return fail(m, err, "a key has no value");
  return append_all(m, list, first, count, err);
}

static bool op_append(Machine *m, HfError *err) {
  uint32_t item;
  return pop(m, &item, err) && add_to(m, HF_PICKLE_LIST, m->depth, m->depth, 1, err);
}

static bool op_set_item(Machine *m, HfError *err) {
  uint32_t item;
  return pop(m, &item, err) && pop(m, &item, err) && add_to(m, HF_PICKLE_DICT, m->depth, m->depth, 2, err);
}

static bool add_from_mark(Machine *m, HfPickleKind kind, HfError *err) {
  size_t first, count;
  return pop_mark(m, &first, &count, err) && add_to(m, kind, first - 1, first, count, err);
}
static bool op_appends(Machine *m, HfError *err) { return add_from_mark(m, HF_PICKLE_LIST, err); }
static bool op_set_items(Machine *m, HfError *err) { return add_from_mark(m, HF_PICKLE_DICT, err); }

static bool op_pop(Machine *m, HfError *err) {
  uint32_t gone;
  return pop(m, &gone, err);
}

static bool op_pop_mark(Machine *m, HfError *err) {
  size_t first, count;
  return pop_mark(m, &first, &count, err);
}

/* State of an object: what PyTorch hangs on dicts (_metadata) is dropped. */
static bool op_build(Machine *m, HfError *err) {
  uint32_t state;
  if (!pop(m, &state, err)) return false;
  if (!m->depth || value(m, m->stack[m->depth - 1])->kind != HF_PICKLE_DICT) return fail(m, err, "state of an object that is no dict");
  return true;
}

/* ---- the memo */

static bool remember(Machine *m, uint64_t place, HfError *err) {
  if (!m->depth || value(m, m->stack[m->depth - 1])->kind == HF_PICKLE_MARK) return fail(m, err, "nothing to remember");
  if (place >= m->size) return fail(m, err, "a place in the memo beyond the length of the stream");
  while (m->memo_room <= place) {
    size_t before = m->memo_room;
    if (!grow((void **)&m->memo, &m->memo_room, before, sizeof *m->memo, err)) return false;
    memset(m->memo + before, 0, (m->memo_room - before) * sizeof *m->memo);
  }
  m->memo[place] = m->stack[m->depth - 1] + 1;
  return m->memo_count++, true;
}

static bool recall(Machine *m, uint64_t place, HfError *err) {
  if (place >= m->memo_room || !m->memo[place]) return fail(m, err, "nothing is remembered under this number");
  return push(m, m->memo[place] - 1, err);
}

static bool op_put1(Machine *m, HfError *err) {
  uint64_t place;
  return take_number(m, 1, &place, err) && remember(m, place, err);
}
static bool op_put4(Machine *m, HfError *err) {
  uint64_t place;
  return take_number(m, 4, &place, err) && remember(m, place, err);
}
static bool op_memoize(Machine *m, HfError *err) { return remember(m, m->memo_count, err); }
static bool op_get1(Machine *m, HfError *err) {
  uint64_t place;
  return take_number(m, 1, &place, err) && recall(m, place, err);
}
static bool op_get4(Machine *m, HfError *err) {
  uint64_t place;
  return take_number(m, 4, &place, err) && recall(m, place, err);
}

/* ---- globals and what they make */

static const struct Known {
  const char *module, *name;
  HfPickleGlobal global;
  HfTorchType type;
} known[] = {
    {"collections", "OrderedDict", HF_PICKLE_ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", HF_PICKLE_REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor", HF_PICKLE_REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", HF_PICKLE_REBUILD_PARAMETER, 0},
    {"torch", "FloatStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_FLOAT},
    {"torch", "DoubleStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_DOUBLE},
    {"torch", "HalfStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_HALF},
    {"torch", "BFloat16Storage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_BFLOAT16},
    {"torch", "LongStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_LONG},
    {"torch", "IntStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_INT},
    {"torch", "ShortStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_SHORT},
    {"torch", "CharStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_CHAR},
    {"torch", "ByteStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_BYTE},
    {"torch", "BoolStorage", HF_PICKLE_STORAGE_TYPE, HF_TORCH_BOOL},
};

static bool push_global(Machine *m, const char *module, const char *name, HfError *err) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i].module, module) && !strcmp(known[i].name, name)) {
      HfPickleValue *v = push_new(m, HF_PICKLE_GLOBAL, err);
      return v && (v->global = known[i].global, v->type = known[i].type, true);
    }
  return hf_error_set(err, "%s: byte %zu: %.80s.%.80s is none of the objects that are read (tensors in dicts, lists and tuples); nothing of a pickle is ever run",
                      m->where, m->at, module, name);
}

static bool op_global(Machine *m, HfError *err) {
  char module[256], name[256];
  return take_line(m, module, err) && take_line(m, name, err) && push_global(m, module, name, err);
}

static bool copy_text(const Machine *m, uint32_t place, char out[256]) {
  const HfPickleValue *v = value(m, place);
  if (v->kind != HF_PICKLE_TEXT || v->size > 255 || memchr(v->text, 0, v->size)) return false;
  memcpy(out, v->text, v->size);
  return out[v->size] = 0, true;
}

static bool op_stack_global(Machine *m, HfError *err) {
  uint32_t module = 0, name = 0;
  char text[2][256];
  if (!pop(m, &name, err) || !pop(m, &module, err)) return false;
  if (!copy_text(m, module, text[0]) || !copy_text(m, name, text[1])) return fail(m, err, "the name of an object is no text");
  return push_global(m, text[0], text[1], err);
}

/* Item i of a tuple when it is of this kind, else NULL. */
static const HfPickleValue *item_of(const Machine *m, const HfPickleValue *tuple, size_t i, HfPickleKind kind) {
  if (i >= tuple->size || value(m, tuple->items[i])->kind != kind) return NULL;
  return value(m, tuple->items[i]);
}

/* ("storage", type, key, place, count[, view]): a storage by its key; view None or (key, first, count) */
static bool op_persistent(Machine *m, HfError *err) {
  uint32_t place;
  if (!pop(m, &place, err)) return false;
  const HfPickleValue *id = value(m, place);
  if (id->kind != HF_PICKLE_TUPLE) return fail(m, err, "expected the tuple of a storage");
  const HfPickleValue *tag = item_of(m, id, 0, HF_PICKLE_TEXT), *type = item_of(m, id, 1, HF_PICKLE_GLOBAL),
                      *key = item_of(m, id, 2, HF_PICKLE_TEXT), *count = item_of(m, id, 4, HF_PICKLE_INT), *view = item_of(m, id, 5, HF_PICKLE_TUPLE);
  bool named = tag && tag->size == 7 && !memcmp(tag->text, "storage", 7);
  if (!named || !type || type->global != HF_PICKLE_STORAGE_TYPE || !key || !count || count->integer < 0) return fail(m, err, "expected the tuple of a storage");
  HfPickleValue made = {.kind = HF_PICKLE_STORAGE, .type = type->type, .integer = count->integer, .text = key->text, .size = key->size};
  if (view) {
    const HfPickleValue *first = item_of(m, view, 1, HF_PICKLE_INT);
    if (!first || first->integer < 0 || first->integer > count->integer) return fail(m, err, "expected the view of a storage");
    made.view = first->integer;
  }
  HfPickleValue *v = push_new(m, HF_PICKLE_STORAGE, err);
  return v && (*v = made, true);
}

/* A tuple of whole numbers of at least 0 into out; the count, or -1. */
static int read_sizes(const Machine *m, const HfPickleValue *tuple, int64_t *out) {
  if (!tuple || tuple->size > HF_MAX_DIMS) return -1;
  for (size_t i = 0; i < tuple->size; i++) {
    const HfPickleValue *n = item_of(m, tuple, i, HF_PICKLE_INT);
    if (!n || n->integer < 0) return -1;
    out[i] = n->integer;
  }
  return (int)tuple->size;
}

/* Does every number of the tensor lie in its storage? */
static bool fits(const HfPickleValue *tensor, int64_t numbers) {
  int64_t last = tensor->integer, reach;
  for (int i = 0; i < tensor->ndim; i++)
    if (tensor->shape[i] == 0) return true;
  for (int i = 0; i < tensor->ndim; i++)
    if (__builtin_mul_overflow(tensor->shape[i] - 1, tensor->stride[i], &reach) || __builtin_add_overflow(last, reach, &last)) return false;
  return last < numbers;
}

/* (storage, first, shape, strides, ...) */
static bool rebuild_tensor(Machine *m, const HfPickleValue *arguments, HfError *err) {
  const HfPickleValue *storage = item_of(m, arguments, 0, HF_PICKLE_STORAGE), *first = item_of(m, arguments, 1, HF_PICKLE_INT);
  HfPickleValue made = {.kind = HF_PICKLE_TENSOR};
  made.ndim = read_sizes(m, item_of(m, arguments, 2, HF_PICKLE_TUPLE), made.shape);
  if (!storage || !first || first->integer < 0 || made.ndim < 0 || read_sizes(m, item_of(m, arguments, 3, HF_PICKLE_TUPLE), made.stride) != made.ndim)
    return fail(m, err, "expected a tensor: storage, first number, shape and strides (at most 8 dims)");
  made.storage = arguments->items[0];
  if (__builtin_add_overflow(first->integer, storage->view, &made.integer) || !fits(&made, storage->integer))
    return fail(m, err, "a tensor reaches beyond its storage");
  HfPickleValue *v = push_new(m, HF_PICKLE_TENSOR, err);
  return v && (*v = made, true);
}

static bool op_reduce(Machine *m, HfError *err) {
  uint32_t arguments = 0, function = 0;
  if (!pop(m, &arguments, err) || !pop(m, &function, err)) return false;
  const HfPickleValue *f = value(m, function), *a = value(m, arguments);
  if (f->kind != HF_PICKLE_GLOBAL || a->kind != HF_PICKLE_TUPLE) return fail(m, err, "expected an object and its arguments");
  if (f->global == HF_PICKLE_REBUILD_TENSOR) return rebuild_tensor(m, a, err);
  if (f->global == HF_PICKLE_REBUILD_PARAMETER && item_of(m, a, 0, HF_PICKLE_TENSOR)) return push(m, a->items[0], err);
  if (f->global == HF_PICKLE_ORDERED_DICT && a->size == 0) return op_empty_dict(m, err);
  return fail(m, err, "an object with arguments that are not read");
}

/* ---- the program */

static bool (*const opcodes[256])(Machine *, HfError *) = {
    ['('] = op_mark, ['.'] = op_stop, ['0'] = op_pop, ['1'] = op_pop_mark, ['N'] = op_none, [0x88] = op_true, [0x89] = op_false,
    ['J'] = op_int4, ['K'] = op_int1, ['M'] = op_int2, ['I'] = op_int, ['L'] = op_long, [0x8a] = op_long1, ['G'] = op_float,
    ['X'] = op_text4, [0x8c] = op_text1, [0x8d] = op_text8, ['T'] = op_text4, ['U'] = op_text1,
    [')'] = op_empty_tuple, [']'] = op_empty_list, ['}'] = op_empty_dict, ['t'] = op_tuple, ['l'] = op_list, ['d'] = op_dict,
    [0x85] = op_tuple1, [0x86] = op_tuple2, [0x87] = op_tuple3, ['a'] = op_append, ['e'] = op_appends, ['s'] = op_set_item,
    ['u'] = op_set_items, ['b'] = op_build, ['q'] = op_put1, ['r'] = op_put4, [0x94] = op_memoize, ['h'] = op_get1, ['j'] = op_get4,
    ['c'] = op_global, [0x93] = op_stack_global, ['R'] = op_reduce, ['Q'] = op_persistent, [0x80] = op_proto, [0x95] = op_frame,
};

static bool run(Machine *m, HfError *err) {
  while (!m->done) {
    const uint8_t *code = take(m, 1, err);
    if (!code) return false;
    if (!opcodes[*code]) return hf_error_set(err, "%s: byte %zu: opcode 0x%02x is none of those that are read", m->where, m->at - 1, *code);
    if (!opcodes[*code](m, err)) return false;
  }
  m->out->used = m->at;
  return true;
}

bool hf_pickle_read(HfPickle *pickle, const void *bytes, size_t size, const char *where, HfError *err) {
  Machine m = {.out = pickle, .where = where, .bytes = bytes, .size = size < HF_PICKLE_MAX_BYTES ? size : HF_PICKLE_MAX_BYTES};
  bool ok = run(&m, err);
  hf_free(m.stack);
  hf_free(m.memo);
  return ok;
}

void hf_pickle_free(HfPickle *pickle) {
  for (size_t i = 0; i < pickle->count; i++) hf_free(pickle->values[i].items);
  hf_free(pickle->values);
  *pickle = (HfPickle){0};
}
