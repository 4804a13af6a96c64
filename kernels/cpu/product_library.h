/* The product library found on this machine at first use; see product_library.c. */
#ifndef HF_PRODUCT_LIBRARY_H
#define HF_PRODUCT_LIBRARY_H
#include "kernels.h"

typedef struct HfProductLibrary {
  const char *name; /* "oneDNN 2.6.3" */
  /* One row-major float32 product as in HfMatmul, without batch, bias and activation; false: it cannot. NULL: no
   * library, product.c does it. */
  bool (*product)(const HfMatmul *m);
} HfProductLibrary;

const HfProductLibrary *hf_product_library(void);

#endif
