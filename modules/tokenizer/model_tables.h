/* The large parts of tokenizer.json, read without a tree of nodes: the ids of the vocabulary, and where the merges stand. */
#ifndef HF_MODEL_TABLES_H
#define HF_MODEL_TABLES_H
#include <stdbool.h>
#include <stddef.h>
#include "memory.h"
#include "vocab.h"

/* Reads model.vocab into `vocab` when it is an object of ids, finds model.merges, and makes `rest`, the document with null
 * in their place. *merges: NULL when there are none. False: the document is to be read as it is, which will say what is
 * wrong; `vocab` is empty then. */
bool hf_model_tables_take(const char *text, size_t size, HfVocab *vocab, const char **merges, size_t *merges_size, HfBuffer *rest);

#endif
