/* The regular expressions by which GPT-2, Llama 3 and Qwen2 cut a text into words, as functions. Their words cover the
 * whole text, so that a word is known by where it ends. */
#ifndef HF_BYTE_LEVEL_WORDS_H
#define HF_BYTE_LEVEL_WORDS_H
#include <stdbool.h>
#include <stddef.h>

typedef enum HfWords {
  HF_WORDS_NONE,
  HF_WORDS_GPT2,
  HF_WORDS_LLAMA3, /* numbers of up to three digits */
  HF_WORDS_QWEN2   /* numbers of one digit, else as before */
} HfWords;

/* Which of them a regular expression is. */
HfWords hf_words_of_regex(const char *regex);
/* Where the word that begins at `at` (< size) ends. */
size_t hf_word_end(HfWords words, const char *text, size_t size, size_t at);
/* GPT-2: where the first word ends when a space is put in front of the text; 0 when the space is a word by itself. */
size_t hf_gpt2_word_behind_space(const char *text, size_t size);

#endif
