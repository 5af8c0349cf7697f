/* The shape of a tile of a product, and how rows lie in memory for it. */

#pragma once

#include "../vectors.h"

#include <cmath>

/* A tile of a product, TILE_ROWS by PANEL: its sums, two vectors a row, take all but a few of the registers. */
constexpr int PANEL = 2 * WIDTH;
constexpr int TILE_ROWS = REGISTERS == 32 ? 12 : 6;

/* Numbers from one row to the next, of rows of n: room for whole panels, and an odd number of cache lines, so that
   the same column of many rows does not fall into one set of the cache. */
static inline size_t stride(int n) {
  const int lines = up_to(n, PANEL > 16 ? PANEL : 16) / 16;
  return (size_t)16 * (lines % 2 ? lines : lines + 1);
}

static inline float dot(const float *x, const float *y, int n) {
  floats sums = all(0);
  int i = 0;
  for (; i + WIDTH <= n; i += WIDTH) sums += load(x + i) * load(y + i);
  float total = sum(sums);
  for (; i < n; i++) total += x[i] * y[i];
  return total;
}
