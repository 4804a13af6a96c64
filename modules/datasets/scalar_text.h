/* Values of files in types that our columns do not have: dates, times and decimals as text, the way Python's str() writes them,
 * and 16-bit floats.
 *
 * Each function writes at most HF_SCALAR_TEXT bytes and returns how many; no final NUL.
 */
#ifndef HF_SCALAR_TEXT_H
#define HF_SCALAR_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_SCALAR_TEXT 128

/* "2024-02-29"; days since 1970-01-01. */
size_t hf_date_text(char *out, int64_t days);
/* "12:34:56" or, where the fraction is not 0, "12:34:56.789000"; nanoseconds since midnight. */
size_t hf_time_text(char *out, int64_t nanoseconds);
/* "2024-02-29 12:34:56.789000"; `utc` adds "+00:00". digits: units since 1970 are seconds (0), milli- (3), micro- (6) or
 * nanoseconds (9). */
size_t hf_timestamp_text(char *out, int64_t units, int digits, bool utc);
/* The same from a day and nanoseconds in it. */
size_t hf_moment_text(char *out, int64_t days, int64_t nanoseconds, bool utc);
/* "-12.30"; a two's complement number of at most 32 bytes, the highest first, of which `scale` (0 to 76) digits are behind the
 * point. */
size_t hf_decimal_text(char *out, const uint8_t *bytes, size_t size, int scale);
/* "12345678-1234-5678-1234-567812345678" */
size_t hf_uuid_text(char *out, const uint8_t bytes[16]);

float hf_half_to_float(uint16_t half);

/* 10 to the power of digits, 0 to 9. */
int64_t hf_power_of_ten(int digits);

#endif
