/* One step of Muon in float32 for many matrices, each by one thread. See training/muon.py for what is computed.

   A matrix stands upright on its way, z (long, short): then z'z and its square are sums over rows, and symmetric. */

#pragma once

#include "../muon_step.h"
#include "parallel.h"
#include "products.h"

/* Brings the momentum up to date, and leaves the momentum with a look ahead in z. */
static void look_ahead(const Matrix &m, float momentum, bool turned, float *z, size_t step) {
  for (int r = 0; r < m.rows; r++)
    for (int c = 0; c < m.columns; c++) {
      const size_t i = (size_t)r * m.columns + c;
      const float g = m.gradient[i], v = m.momentum[i] + (1 - momentum) * (g - m.momentum[i]);
      m.momentum[i] = v;
      z[turned ? c * step + r : r * step + c] = g + momentum * (v - g);
    }
}

/* The square root of the sum of the squares of x (rows, columns). */
static float length_of(const float *x, size_t step, int rows, int columns) {
  double total = 0;
  for (int r = 0; r < rows; r++) total += dot(x + r * step, x + r * step, columns);
  return (float)sqrt(total);
}

/* out (n, n) = x'x for x (rows, n): the tiles below the diagonal are computed, the others are their mirror image. */
static void square(const float *x, size_t step, int rows, int n, float *out, size_t out_step) {
  for (int c = 0; c < n; c += PANEL)
    for (int r = c / TILE_ROWS * TILE_ROWS, some; r < n; r += some) {
      some = tile_of(n - r);
      tile<true>(some, x + r, step, x + c, step, rows, out + r * out_step + c, out_step, false);
    }
  for (int r = 0; r < n; r++)
    for (int c = r + 1; c < n; c++) out[r * out_step + c] = out[c * out_step + r];
}

/* z (rows, n) becomes nearly orthogonal; see `orthogonalise` in kernels/newton_schulz.py. */
static void orthogonalise(const Rates &rates, int rows, int n, float *z, float *other, float *squared, float *poly) {
  const size_t step = stride(n);
  const float size = length_of(z, step, rows, n) + 1e-7f;
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < n; c++) z[r * step + c] /= size;
  for (int i = 0; i < rates.iterations; i++) {
    Quintic q = rates.quintics[i];
    square(z, step, rows, n, squared, step);
    if (i == 0) { /* that length may be many times the largest singular value; this is nearer to it */
      const float s = 1 / (rates.leeway * sqrtf(length_of(squared, step, n, n)) + 1e-7f);
      q.a *= s, q.b *= s * s * s, q.c *= s * s * s * s * s;
    }
    square(squared, step, n, n, poly, step);
    for (int r = 0; r < n; r++) {
      for (int c = 0; c < n; c += WIDTH)
        store(poly + r * step + c, load(squared + r * step + c) * q.b + load(poly + r * step + c) * q.c);
      poly[r * step + r] += q.a;
    }
    for (int c = 0; c < n; c += PANEL)
      for (int r = 0, some; r < rows; r += some) {
        some = tile_of(rows - r);
        tile<false>(some, z + r * step, step, poly + c, step, n, other + r * step + c, step, false);
      }
    memcpy(z, other, rows * step * sizeof(float));
  }
}

static void step_of_muon(const Matrix *matrices, int count, const Rates &rates, int threads) {
  parallel_for(threads, count, [&](int item) {
    static thread_local Room own;
    const Matrix &m = matrices[item];
    const bool turned = m.rows < m.columns;
    const int longer = turned ? m.columns : m.rows, shorter = turned ? m.rows : m.columns;
    const size_t step = stride(shorter);
    own.begin(2 * Room::padded(longer * step) + 2 * Room::padded(shorter * step));
    float *z = own.take(longer * step), *other = own.take(longer * step), *squared = own.take(shorter * step),
          *poly = own.take(shorter * step);
    look_ahead(m, rates.momentum, turned, z, step);
    if (!m.walks) return;
    orthogonalise(rates, longer, shorter, z, other, squared, poly);
    const float size = rates.step * sqrtf((float)longer);
    for (int r = 0; r < m.rows; r++)
      for (int c = 0; c < m.columns; c++) {
        float *weight = m.weight + (size_t)r * m.columns + c;
        *weight = rates.kept * *weight - size * z[turned ? c * step + r : r * step + c];
      }
  });
}
