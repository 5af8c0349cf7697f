/* Vectors of LANES floats, in the compiler's own notation: one source for AVX-512, AVX2, SSE2 and NEON. */

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

/* A tile of a product, TILE_ROWS by PANEL: its sums, two vectors a row, take all but a few of the registers. */
constexpr int PANEL = 2 * LANES;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int TILE_ROWS = 12;
#else
constexpr int TILE_ROWS = 6;
#endif

typedef float floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4)));

static inline floats all(float value) { return value - (floats){0}; }
static inline floats load(const float *from) { return *(const floats *)from; }
static inline void store(float *to, floats value) { *(floats *)to = value; }

static inline float sum(floats v) {
  float total = 0;
  for (int lane = 0; lane < LANES; lane++) total += v[lane];
  return total;
}

static inline float largest(floats v) {
  float most = v[0];
  for (int lane = 1; lane < LANES; lane++) most = v[lane] > most ? v[lane] : most;
  return most;
}

/* e^x to two units in the last place; 0 below -87, and no more than e^88. */
static inline floats exponential(floats x) {
  x = x < all(-87.3f) ? all(-87.3f) : x > all(88.0f) ? all(88.0f) : x;
  const floats magic = all(12582912.0f); /* 1.5 * 2^23: adding it leaves no room for a fraction */
  floats shifted = x * 1.44269504f + magic, whole = shifted - magic;
  floats r = x - whole * 0.693359375f + whole * 2.12194440e-4f; /* ln 2 in two parts */
  floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  ints exponent = ((ints)shifted - (ints)magic + 127) << 23;
  return p * (floats)exponent;
}

/* n, or the next multiple above it. */
static inline int up_to(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Numbers from one row to the next, of rows of n: room for whole panels, and an odd number of cache lines, so that
   the same column of many rows does not fall into one set of the cache. */
static inline size_t stride(int n) {
  const int lines = up_to(n, PANEL > 16 ? PANEL : 16) / 16;
  return (size_t)16 * (lines % 2 ? lines : lines + 1);
}

static inline float dot(const float *x, const float *y, int n) {
  floats sums = all(0);
  int i = 0;
  for (; i + LANES <= n; i += LANES) sums += load(x + i) * load(y + i);
  float total = sum(sums);
  for (; i < n; i++) total += x[i] * y[i];
  return total;
}
