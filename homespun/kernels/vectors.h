/* Vectors of float32, as wide as the processor's registers. Wider ones would be correct too, but the compiler keeps
   them in memory: a decoding step on AVX2 took three times as long with vectors of 16. */

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
constexpr int WIDTH = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int WIDTH = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int WIDTH = 4, REGISTERS = 32;
#else
constexpr int WIDTH = 4, REGISTERS = 16;
#endif

#define VECTOR(type, alignment) type __attribute__((vector_size(WIDTH * sizeof(type)), aligned(alignment)))
typedef VECTOR(float, 4) floats;
typedef VECTOR(int32_t, 4) ints;
typedef VECTOR(uint32_t, 4) words;
typedef VECTOR(uint16_t, 2) halves; /* bfloat16 */
typedef VECTOR(int8_t, 1) bytes;

/* n, or the next multiple above it. */
static inline int up_to(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

static inline floats all(float value) { return value - (floats){0}; }
static inline floats load(const float *from) { return *(const floats *)from; }
static inline void store(float *to, floats value) { *(floats *)to = value; }

/* a * b + c, rounded once where the processor can. Left to itself, GCC decides loop by loop whether to round once or
   twice (for Zen it avoids chains), and then a row's bits depend on how many are computed beside it. */
static inline floats multiply_add(floats a, floats b, floats c) {
#if defined(__AVX512F__)
  return (floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

static inline float sum(floats v) {
  float total = 0;
  for (int lane = 0; lane < WIDTH; lane++) total += v[lane];
  return total;
}

static inline float largest_of(floats v) {
  float largest = v[0];
  for (int lane = 1; lane < WIDTH; lane++) largest = v[lane] > largest ? v[lane] : largest;
  return largest;
}

/* To the nearest number that has only the upper half of the bits, ties to even. */
static inline halves to_bfloat16(floats value) {
  words bits = (words)value;
  return __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, halves);
}

static inline floats from_bfloat16(halves value) { return (floats)(__builtin_convertvector(value, words) << 16); }

static inline float from_bfloat16(uint16_t value) {
  uint32_t bits = (uint32_t)value << 16;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}

/* Rounds to a whole number, ties to even: 1.5 * 2^23 leaves no room for a fraction. */
static inline floats whole(floats value) {
  const float magic = 12582912.0f;
  return (value + magic) - magic;
}

/* e^x to about 1e-7 of itself: x = n ln 2 + r, a polynomial in r, and n into the exponent. */
static inline floats exponential(floats x) {
  floats low = all(-87.0f), high = all(88.0f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  floats n = whole(x * 1.44269504088896341f);
  floats r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  floats y = p * r * r + r + 1.0f;
  ints exponent = (__builtin_convertvector(n, ints) + 127) << 23;
  return y * (floats)exponent;
}
