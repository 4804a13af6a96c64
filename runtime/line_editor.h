/* Line input with editing, history and completion where libedit is installed and both ends are a terminal; plain
 * lines elsewhere. libedit is opened when the first editor is made, not when the program starts. */
#ifndef HF_LINE_EDITOR_H
#define HF_LINE_EDITOR_H
#include <stdbool.h>
#include <stddef.h>

typedef struct HfLineEditor HfLineEditor;

/* What Tab does: bytes to insert at the cursor, else text to show below the line, else a bell. Both are owned by
 * the completion function and are read before its next call. */
typedef struct HfCompletion {
  const char *insert, *show;
} HfCompletion;

/* `before` is the line up to the cursor. */
typedef HfCompletion HfComplete(void *context, const char *before);

/* The history is kept in `history_file`, NULL for none. NULL when memory is short. */
HfLineEditor *hf_line_editor_open(const char *history_file, HfComplete *complete, void *context);
void hf_line_editor_close(HfLineEditor *editor); /* saves the history */

/* The next line without its line feed, borrowed until the next call. NULL at the end of input, and when a signal
 * came in between: hf_interrupt_pending() tells. */
const char *hf_line_editor_read(HfLineEditor *editor, const char *prompt);

#endif
