/* Values of files into columns; see column_values.h. */
#include "column_values.h"
#include <string.h>
#include "scalar_text.h"

#define DAY_NANOSECONDS (86400LL * 1000000000)

/* ---- numbers */

static bool append_narrow(const HfForm *form, const uint8_t *fixed, int64_t count, HfBuffer *out, HfError *err) {
  static const struct {
    int32_t least, most;
  } ranges[HF_COLUMN_TYPE_COUNT] = {
      [HF_COLUMN_INT8] = {INT8_MIN, INT8_MAX}, [HF_COLUMN_INT16] = {INT16_MIN, INT16_MAX}, [HF_COLUMN_UINT8] = {0, UINT8_MAX}};
  size_t size = hf_column_type_size(form->type);
  if (!hf_buffer_reserve(out, (size_t)count * size, err)) return false;
  for (int64_t i = 0; i < count; i++, out->size += size) {
    int32_t value;
    memcpy(&value, fixed + i * 4, 4);
    if (value < ranges[form->type].least || value > ranges[form->type].most)
      return hf_error_set(err, "value %d does not fit %s", (int)value, hf_column_type_name(form->type));
    memcpy(out->data + out->size, &value, size); /* the low bytes come first */
  }
  return true;
}

/* Numbers without sign of 2 or 4 bytes as numbers of twice as many. */
static bool append_wider(const uint8_t *fixed, size_t width, int64_t count, HfBuffer *out, HfError *err) {
  if (!hf_buffer_reserve(out, (size_t)count * width * 2, err)) return false;
  for (int64_t i = 0; i < count; i++, out->size += width * 2) {
    uint64_t value = 0;
    memcpy(&value, fixed + (size_t)i * width, width);
    memcpy(out->data + out->size, &value, width * 2);
  }
  return true;
}

static bool append_uint64(const uint8_t *fixed, int64_t count, HfBuffer *out, HfError *err) {
  for (int64_t i = 0; i < count; i++) {
    uint64_t value;
    memcpy(&value, fixed + i * 8, 8);
    if (value > INT64_MAX) return hf_error_set(err, "unsigned value %llu does not fit int64", (unsigned long long)value);
  }
  return hf_buffer_append(out, fixed, (size_t)count * 8, err);
}

static bool append_half(const uint8_t *fixed, int64_t count, HfBuffer *out, HfError *err) {
  if (!hf_buffer_reserve(out, (size_t)count * 4, err)) return false;
  for (int64_t i = 0; i < count; i++, out->size += 4) {
    uint16_t bits;
    memcpy(&bits, fixed + i * 2, 2);
    memcpy(out->data + out->size, &(float){hf_half_to_float(bits)}, 4);
  }
  return true;
}

/* ---- texts */

static HfSpan text_at(const HfForm *form, const uint8_t *fixed, const HfSpan *spans, int64_t i) {
  return spans ? spans[i] : (HfSpan){(const char *)fixed + (size_t)i * (size_t)form->width, (size_t)form->width};
}

/* Room for one more offset a value; the first begins with 0. */
static bool reserve_offsets(HfBuffer *offsets, int64_t count, HfError *err) {
  if (!offsets->size && !hf_buffer_append(offsets, &(int64_t){0}, 8, err)) return false;
  return hf_buffer_reserve(offsets, (size_t)count * 8, err);
}

static void put_offset(HfBuffer *offsets, size_t end) {
  memcpy(offsets->data + offsets->size, &(int64_t){(int64_t)end}, 8);
  offsets->size += 8;
}

static bool append_bytes(const HfForm *form, const uint8_t *fixed, const HfSpan *spans, int64_t count, size_t limit, HfBuffer *values, HfBuffer *offsets,
                         HfError *err) {
  size_t total = 0;
  for (int64_t i = 0; i < count; i++)
    if ((total += text_at(form, fixed, spans, i).size) > limit) return hf_error_set(err, "texts of more than %zu bytes", limit);
  if (!hf_buffer_reserve(values, total, err) || !reserve_offsets(offsets, count, err)) return false;
  for (int64_t i = 0; i < count; i++) {
    HfSpan text = text_at(form, fixed, spans, i);
    if (text.size) memcpy(values->data + values->size, text.bytes, text.size);
    put_offset(offsets, values->size += text.size);
  }
  return true;
}

/* The last `count` texts are UTF-8. */
static bool check_utf8(const HfBuffer *values, const HfBuffer *offsets, int64_t count, HfError *err) {
  const int64_t *end = (const int64_t *)(offsets->data + offsets->size) - 1;
  HfColumn texts = {.type = HF_COLUMN_STRING, .length = count, .values = values->data, .offsets = end - count};
  return hf_column_is_utf8(&texts) || hf_error_set(err, "expected texts in UTF-8, found other bytes");
}

/* ---- values written as text */

static int64_t integer_at(const HfForm *form, const uint8_t *fixed, int64_t i) {
  int32_t narrow;
  int64_t wide;
  if (form->width == 8) return memcpy(&wide, fixed + i * 8, 8), wide;
  return memcpy(&narrow, fixed + i * 4, 4), narrow;
}

/* INT96: nanoseconds in a day, then the Julian day number; 2440588 is 1970-01-01. */
static size_t int96_text(char *out, const uint8_t *bytes) {
  int32_t day;
  int64_t nanoseconds;
  memcpy(&nanoseconds, bytes, 8);
  memcpy(&day, bytes + 8, 4);
  int64_t days = nanoseconds / DAY_NANOSECONDS, in_day = nanoseconds % DAY_NANOSECONDS;
  if (in_day < 0) days--, in_day += DAY_NANOSECONDS;
  return hf_moment_text(out, (int64_t)day - 2440588 + days, in_day, false);
}

static size_t time_text(char *out, int64_t units, int digits) {
  int64_t nanoseconds = hf_power_of_ten(9 - digits);
  return units >= 0 && units < DAY_NANOSECONDS / nanoseconds ? hf_time_text(out, units * nanoseconds) : 0;
}

static size_t decimal_text(char *out, const HfForm *form, HfSpan text) {
  uint8_t bytes[32];
  bool low_first = form->kind == HF_FORM_DECIMAL_LOW_FIRST;
  if (text.size > sizeof bytes) return 0;
  for (size_t i = 0; i < text.size; i++) bytes[i] = (uint8_t)text.bytes[low_first ? text.size - 1 - i : i];
  return hf_decimal_text(out, bytes, text.size, form->scale);
}

/* Writes value i as text; 0 when it is out of range. */
static size_t value_text(char *out, const HfForm *form, const uint8_t *fixed, const HfSpan *spans, int64_t i) {
  int64_t day_milliseconds = 86400000;
  switch (form->kind) {
  case HF_FORM_DATE: return hf_date_text(out, integer_at(form, fixed, i));
  case HF_FORM_DATE_MILLISECONDS: {
    int64_t value = integer_at(form, fixed, i);
    return hf_date_text(out, value / day_milliseconds - (value % day_milliseconds < 0));
  }
  case HF_FORM_TIME: return time_text(out, integer_at(form, fixed, i), form->digits);
  case HF_FORM_TIMESTAMP: return hf_timestamp_text(out, integer_at(form, fixed, i), form->digits, form->utc);
  case HF_FORM_INT96: return int96_text(out, fixed + i * 12);
  case HF_FORM_UUID: return hf_uuid_text(out, fixed + i * 16);
  default: return decimal_text(out, form, text_at(form, fixed, spans, i));
  }
}

static bool append_written(const HfForm *form, const uint8_t *fixed, const HfSpan *spans, int64_t count, HfBuffer *values, HfBuffer *offsets, HfError *err) {
  char text[2 * HF_SCALAR_TEXT];
  if (!reserve_offsets(offsets, count, err)) return false;
  for (int64_t i = 0; i < count; i++) {
    size_t size = value_text(text, form, fixed, spans, i);
    if (!size) return hf_error_set(err, "a %s is out of range", form->kind == HF_FORM_TIME ? "time of day" : "decimal");
    if (!hf_buffer_append(values, text, size, err)) return false;
    put_offset(offsets, values->size);
  }
  return true;
}

bool hf_form_append(const HfForm *form, const uint8_t *fixed, const HfSpan *spans, int64_t count, size_t limit, HfBuffer *values, HfBuffer *offsets,
                    HfError *err) {
  if (count == 0) return true;
  switch (form->kind) {
  case HF_FORM_AS_IS: return hf_buffer_append(values, fixed, (size_t)count * (size_t)form->width, err);
  case HF_FORM_NARROW: return append_narrow(form, fixed, count, values, err);
  case HF_FORM_UINT16:
  case HF_FORM_UINT32: return append_wider(fixed, (size_t)form->width, count, values, err);
  case HF_FORM_UINT64: return append_uint64(fixed, count, values, err);
  case HF_FORM_HALF: return append_half(fixed, count, values, err);
  case HF_FORM_BYTES: return append_bytes(form, fixed, spans, count, limit, values, offsets, err);
  case HF_FORM_UTF8: return append_bytes(form, fixed, spans, count, limit, values, offsets, err) && check_utf8(values, offsets, count, err);
  case HF_FORM_NULL: return hf_error_set(err, "a column of nulls has values");
  default: return append_written(form, fixed, spans, count, values, offsets, err);
  }
}

/* ---- nulls */

/* Moves numbers that stand side by side to their rows, from the last on; nulls become 0. */
static bool spread_numbers(HfBuffer *values, const uint8_t *valid, int64_t length, int64_t present, size_t size, HfError *err) {
  if (!hf_buffer_reserve(values, (size_t)(length - present) * size, err)) return false;
  char *data = values->data;
  for (int64_t i = length; i-- > present;) {
    if (valid[i]) memmove(data + (size_t)i * size, data + (size_t)--present * size, size);
    else memset(data + (size_t)i * size, 0, size);
  }
  values->size = (size_t)length * size;
  return true;
}

static bool spread_offsets(HfBuffer *buffer, const uint8_t *valid, int64_t length, int64_t present, HfError *err) {
  if (!reserve_offsets(buffer, length - present, err)) return false;
  int64_t *offsets = (int64_t *)buffer->data;
  for (int64_t i = length; i > present; i--) {
    offsets[i] = offsets[present];
    present -= valid[i - 1];
  }
  buffer->size = (size_t)(length + 1) * 8;
  return true;
}

/* Moves the bytes out of a buffer, cut to size; never a null pointer but for want of memory. */
static void *take(HfBuffer *buffer, HfError *err) {
  HfError ignored;
  if (!hf_buffer_reserve(buffer, 1, err)) return NULL;
  void *bytes = buffer->data, *smaller = NULL;
  if (buffer->size < buffer->capacity / 2) smaller = hf_realloc(bytes, buffer->size + 1, "column", &ignored);
  *buffer = (HfBuffer){0};
  return smaller ? smaller : bytes;
}

bool hf_column_place(HfColumn *c, HfBuffer *values, HfBuffer *offsets, int64_t present, HfError *err) {
  size_t size = hf_column_type_size(c->type);
  if (c->valid && size && !spread_numbers(values, c->valid, c->length, present, size, err)) return false;
  if (c->type == HF_COLUMN_STRING && !spread_offsets(offsets, c->valid, c->length, present, err)) return false;
  if (!(c->values = take(values, err))) return false;
  return c->type != HF_COLUMN_STRING || (c->offsets = take(offsets, err));
}
