/* JSON text as Python's json module writes it. */
#include "json_write.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json_scan.h"
#include "utf8.h"

/* ---- numbers */

/* Decimal digits of |value|: 0.d1d2d3... x 10^point. */
typedef struct Decimal {
  char digits[20];
  int count, point;
} Decimal;

static Decimal decimal_of(double value, int precision) {
  Decimal d = {.count = 0};
  char text[40];
  snprintf(text, sizeof text, "%.*e", precision - 1, fabs(value));
  const char *exponent = strchr(text, 'e');
  for (const char *p = text; p < exponent; p++)
    if (*p >= '0' && *p <= '9') d.digits[d.count++] = *p; /* not the locale's decimal point */
  d.point = atoi(exponent + 1) + 1;
  return d;
}

static bool reads_back(const Decimal *d, double value) {
  char text[40];
  snprintf(text, sizeof text, "0.%.*se%d", d->count, d->digits, d->point);
  return hf_json_to_double(text) == fabs(value);
}

/* One unit more in the last place. */
static void increment(Decimal *d) {
  int i = d->count - 1;
  while (i >= 0 && d->digits[i] == '9') d->digits[i--] = '0';
  if (i >= 0) { d->digits[i]++; return; }
  d->digits[0] = '1';
  d->point++;
}

/* The shortest digits that read back equal. Just above a power of two the gap below is half the gap above, so that the
 * nearest decimal may fail where the next one up succeeds. */
static Decimal shortest_decimal(double value) {
  int precision = fabs(value) < DBL_MIN ? 1 : 15;
  Decimal d;
  for (; precision < 17; precision++) {
    d = decimal_of(value, precision);
    if (reads_back(&d, value)) return d;
    increment(&d);
    if (reads_back(&d, value)) return d;
  }
  return decimal_of(value, 17);
}

const char *hf_double_repr(double value, char out[HF_REPR_SIZE]) {
  char *p = out;
  if (signbit(value)) *p++ = '-';
  if (value == 0) return strcpy(p, "0.0"), out;
  Decimal d = shortest_decimal(value);
  while (d.count > 1 && d.digits[d.count - 1] == '0') d.count--;
  if (d.point > 16 || d.point < -3) {
    sprintf(p, "%c%s%.*se%+03d", d.digits[0], d.count > 1 ? "." : "", d.count - 1, d.digits + 1, d.point - 1);
  } else if (d.point <= 0) {
    sprintf(p, "0.%.*s%.*s", -d.point, "000", d.count, d.digits);
  } else if (d.point >= d.count) {
    sprintf(p, "%.*s%.*s.0", d.count, d.digits, d.point - d.count, "000000000000000");
  } else {
    sprintf(p, "%.*s.%.*s", d.point, d.digits, d.count - d.point, d.digits + d.point);
  }
  return out;
}

bool hf_json_write_number(HfBuffer *out, double value, HfError *err) {
  char text[HF_REPR_SIZE];
  if (isfinite(value)) {
    hf_double_repr(value, text);
    return hf_buffer_append(out, text, strlen(text), err);
  }
  return hf_error_set(err, "%s is not JSON (use null)", isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

bool hf_json_write_integer(HfBuffer *out, int64_t value, HfError *err) {
  char text[24];
  int size = snprintf(text, sizeof text, "%" PRId64, value);
  return hf_buffer_append(out, text, (size_t)size, err);
}

/* ---- strings */

/* The escape of a character, or "" when it stands for itself. */
static const char *escape_of(uint32_t c, bool ascii, char out[16]) {
  static const char short_escapes[] = "\b\t\n\f\r\"\\", names[] = "btnfr\"\\";
  const char *found = c && c < 0x80 ? strchr(short_escapes, (int)c) : NULL;
  out[0] = 0;
  if (found) sprintf(out, "\\%c", names[found - short_escapes]);
  else if (c < 0x20 || (ascii && c > 0x7E && c < 0x10000)) sprintf(out, "\\u%04x", (unsigned)c);
  else if (ascii && c >= 0x10000) sprintf(out, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (c >> 10)), (unsigned)(0xDC00 + (c & 0x3FF)));
  return out;
}

bool hf_json_write_string(HfBuffer *out, const char *text, size_t size, bool ascii, HfError *err) {
  char escape[16];
  size_t plain = 0; /* begin of the bytes not yet written */
  if (!hf_buffer_append(out, "\"", 1, err)) return false;
  for (size_t at = 0; at < size;) {
    size_t length = hf_utf8_length(text + at, size - at);
    if (!length) return hf_error_set(err, "invalid UTF-8: byte 0x%02x at byte %zu", (unsigned char)text[at], at + 1);
    escape_of(hf_utf8_decode(text + at, length), ascii, escape);
    if (*escape) {
      if (!hf_buffer_append(out, text + plain, at - plain, err) || !hf_buffer_append(out, escape, strlen(escape), err)) return false;
      plain = at + length;
    }
    at += length;
  }
  return hf_buffer_append(out, text + plain, size - plain, err) && hf_buffer_append(out, "\"", 1, err);
}
