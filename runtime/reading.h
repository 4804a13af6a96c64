/* Reading a few numbers of a device without waiting for what is queued behind them.
 *
 *   HfReading r;
 *   hf_reading_begin(&r, device, data, sizeof loss, &err);   // queued; on the processor the numbers are there at once
 *   ...more work for the device...
 *   if (hf_reading_finish(&r, &err)) memcpy(&loss, r.bytes, sizeof loss);   // waits for this copy alone
 */
#ifndef HF_READING_H
#define HF_READING_H
#include "tensor.h"

typedef struct HfReading {
  HfDevice *device;
  void *pending; /* the kernels' handle; NULL: the numbers are in `bytes` */
  unsigned char bytes[HF_READ_MOST];
} HfReading;

/* `size` bytes from `data` on the device, HF_READ_MOST at most. */
bool hf_reading_begin(HfReading *r, HfDevice *device, const void *data, size_t size, HfError *err);
/* Fills `bytes`; may be called again. Reports a bad index that a kernel found before the copy. */
bool hf_reading_finish(HfReading *r, HfError *err);
/* Ends a reading that nobody will finish. */
void hf_reading_drop(HfReading *r);

#endif
