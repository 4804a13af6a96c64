/* Dates, times and decimals as text, 16-bit floats as 32-bit ones; see scalar_text.h. */
#include "scalar_text.h"
#include <stdio.h>
#include <string.h>

#define DAY_NANOSECONDS (86400LL * 1000000000)

int64_t hf_power_of_ten(int digits) {
  int64_t power = 1;
  while (digits-- > 0) power *= 10;
  return power;
}

static int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

size_t hf_date_text(char *out, int64_t days) {
  /* Years begin in March here, so that a leap day is the last of one; 400 years have 146097 days. */
  int64_t since = days + 719468, era = floor_divide(since, 146097), day = since - era * 146097;
  int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  int64_t of_year = day - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
  int64_t of_month = of_year - (153 * month + 2) / 5 + 1, calendar_month = month < 10 ? month + 3 : month - 9;
  return (size_t)snprintf(out, HF_SCALAR_TEXT, "%04lld-%02d-%02d", (long long)(year + era * 400 + (calendar_month <= 2)), (int)calendar_month, (int)of_month);
}

size_t hf_time_text(char *out, int64_t nanoseconds) {
  int64_t seconds = nanoseconds / 1000000000, fraction = nanoseconds % 1000000000;
  int size = snprintf(out, HF_SCALAR_TEXT, "%02lld:%02d:%02d", (long long)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60));
  if (fraction % 1000) size += snprintf(out + size, HF_SCALAR_TEXT / 2, ".%09lld", (long long)fraction);
  else if (fraction) size += snprintf(out + size, HF_SCALAR_TEXT / 2, ".%06lld", (long long)fraction / 1000);
  return (size_t)size;
}

size_t hf_moment_text(char *out, int64_t days, int64_t nanoseconds, bool utc) {
  size_t size = hf_date_text(out, days);
  char time[HF_SCALAR_TEXT];
  size_t time_size = hf_time_text(time, nanoseconds);
  out[size++] = ' ';
  memcpy(out + size, time, time_size);
  size += time_size;
  if (utc) memcpy(out + size, "+00:00", 6);
  return size + (utc ? 6 : 0);
}

size_t hf_timestamp_text(char *out, int64_t units, int digits, bool utc) {
  int64_t per_day = 86400 * hf_power_of_ten(digits), in_day = units % per_day;
  if (in_day < 0) in_day += per_day;
  return hf_moment_text(out, floor_divide(units, per_day), in_day * (DAY_NANOSECONDS / per_day), utc);
}

/* Divides a number of 32-bit digits, the highest first, and returns the rest. */
static uint32_t divide(uint32_t *digits, int count, uint32_t by) {
  uint64_t rest = 0;
  for (int i = 0; i < count; i++) {
    rest = rest << 32 | digits[i];
    digits[i] = (uint32_t)(rest / by);
    rest %= by;
  }
  return (uint32_t)rest;
}

size_t hf_decimal_text(char *out, const uint8_t *bytes, size_t size, int scale) {
  uint32_t number[8] = {0};
  bool negative = size && bytes[0] & 0x80;
  unsigned carry = negative;
  for (size_t i = 0; i < size; i++) { /* from the lowest byte on; the magnitude of a negative number is ~n + 1 */
    unsigned byte = (negative ? (uint8_t)~bytes[size - 1 - i] : bytes[size - 1 - i]) + carry;
    carry = byte >> 8;
    number[7 - i / 4] |= (uint32_t)(byte & 0xFF) << i % 4 * 8;
  }
  char digits[80]; /* the lowest first; 2^255 has 77 */
  int count = 0;
  for (int piece = 0; piece < 9 && count < 78; piece++) {
    uint32_t rest = divide(number, 8, 1000000000);
    for (int i = 0; i < 9 && count < 78; i++, rest /= 10) digits[count++] = (char)('0' + rest % 10);
  }
  while (count > scale + 1 && digits[count - 1] == '0') count--;
  size_t at = 0;
  if (negative) out[at++] = '-';
  while (count > 0) {
    out[at++] = digits[--count];
    if (count == scale && scale) out[at++] = '.';
  }
  return at;
}

float hf_half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF, bits;
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)fraction / (1 << 24);
  bits = sign | (exponent == 31 ? 0xFFu : exponent + 112) << 23 | fraction << 13;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

size_t hf_uuid_text(char *out, const uint8_t bytes[16]) {
  size_t size = 0;
  for (int i = 0; i < 16; i++) size += (size_t)snprintf(out + size, 4, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", bytes[i]);
  return size;
}
