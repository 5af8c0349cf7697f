/* Causal attention of one key-value head of one text, with all queries that share it.

   A tile of queries at a time: its scores stay in the cache, and those of the future are not computed. The backward
   pass computes them again from the logarithms of the sums that the forward pass leaves. */

#pragma once

#include "layers.h"
#include "products.h"

constexpr int SCORES = 1 << 14; /* numbers of a tile of scores: 64 KiB */

struct Heads {
  int tokens, width;                /* width: D */
  float scale, eps;
  const float *query_norm, *key_norm; /* (D), or null: not normalised */
  const float *cosines, *sines;     /* (T, D/2), or null: not rotated */
};

static inline int queries_of(const Heads &h) {
  const int most = SCORES / up_to(h.tokens, PANEL) / TILE_ROWS * TILE_ROWS;
  return most < TILE_ROWS ? TILE_ROWS : most > h.tokens ? h.tokens : most;
}

static inline size_t row_of(int width) { return up_to(width, PANEL); }

/* to (T, row_of(D)) = one head of queries or keys, normalised and rotated; from has rows at a stride. */
static void head_of(const Heads &h, const float *from, size_t step, const float *norm, float *to) {
  const int half = h.width / 2;
  for (int t = 0; t < h.tokens; t++) {
    float *row = to + t * row_of(h.width);
    if (norm) rms_norm(from + t * step, norm, h.width, h.eps, row);
    else memcpy(row, from + t * step, h.width * sizeof(float));
    if (h.cosines) rotate(row, h.cosines + (size_t)t * half, h.sines + (size_t)t * half, half, 1);
  }
}

/* The gradient of what head_of read, from that of what it wrote, which is rotated back in place. */
static void head_backward(const Heads &h, float *gradient, const float *from, size_t step, const float *norm, float *to,
                          size_t to_step, float *of_norm) {
  const int half = h.width / 2;
  for (int t = 0; t < h.tokens; t++) {
    float *row = gradient + t * row_of(h.width);
    if (h.cosines) rotate(row, h.cosines + (size_t)t * half, h.sines + (size_t)t * half, half, -1);
    if (norm) rms_norm_backward(row, from + t * step, norm, h.width, h.eps, to + t * to_step, false, of_norm);
    else memcpy(to + t * to_step, row, h.width * sizeof(float));
  }
}

/* panels (panel, D, PANEL) of the transpose of x (T, row_of(D)): the columns of a product with keys. */
static void turn(const Heads &h, const float *x, float *panels) {
  const int tokens = h.tokens, width = h.width;
  for (int s = 0; s < tokens; s += PANEL)
    for (int lane = 0; lane < PANEL; lane++) {
      float *to = panels + (size_t)s * width + lane;
      const float *from = x + (s + lane) * row_of(width);
      if (s + lane < tokens)
        for (int d = 0; d < width; d++) to[(size_t)d * PANEL] = from[d];
      else
        for (int d = 0; d < width; d++) to[(size_t)d * PANEL] = 0;
    }
}

/* out (n, up_to(T, PANEL)) = the products of queries first … first + n - 1 with the keys that they see. */
static void scores_of(const Heads &h, const float *x, size_t step, int first, int n, const float *panels, float *out) {
  const size_t across = up_to(h.tokens, PANEL);
  for (int s = 0; s < first + n; s += PANEL)
    for (int r = 0, some; r < n; r += some) {
      some = tile_of(n - r);
      if (first + r + some <= s) continue; /* all of it lies in the future */
      tile<false>(some, x + r * step, step, panels + (size_t)s * h.width, PANEL, h.width, out + r * across + s, across,
                  false);
    }
}

/* out (n, D) = weights (n, T) x, where a row of weights ends with its own position. */
static void averages(const Heads &h, const float *weights, int first, int n, const float *x, float *out) {
  const size_t across = up_to(h.tokens, PANEL), row = row_of(h.width);
  for (int d = 0; d < h.width; d += PANEL)
    for (int r = 0, some; r < n; r += some) {
      some = tile_of(n - r);
      tile<false>(some, weights + r * across, across, x + d, row, first + r + some, out + r * row + d, row, false);
    }
}

/* to (T, D) += weights' x, where weights (n, T) and x (n, D) are of queries first … first + n - 1. */
static void spread(const Heads &h, const float *weights, int first, int n, const float *x, size_t step, float *to) {
  const size_t across = up_to(h.tokens, PANEL), row = row_of(h.width);
  for (int d = 0; d < h.width; d += PANEL)
    for (int s = 0, some; s < first + n; s += some) {
      some = tile_of(first + n - s);
      const int begin = s > first ? s - first : 0; /* earlier queries do not see these positions */
      tile<true>(some, weights + begin * across + s, across, x + begin * step + d, step, n - begin, to + s * row + d, row,
                 true);
    }
}

/* Scores become weights that add up to `sums`: e^(scale (score - highest)); what lies in the future is 0. */
static void soften(const Heads &h, float *scores, int first, int n, float *sums, float *log_sums) {
  const int across = up_to(h.tokens, PANEL);
  for (int r = 0; r < n; r++) {
    float *row = scores + (size_t)r * across;
    const int seen = first + r + 1;
    for (int s = seen; s < up_to(seen, WIDTH); s++) row[s] = -INFINITY;
    floats most = load(row);
    for (int s = WIDTH; s < seen; s += WIDTH) most = load(row + s) > most ? load(row + s) : most;
    const float highest = largest_of(most) * h.scale;
    floats total = all(0);
    for (int s = 0; s < seen; s += WIDTH) {
      const floats weight = exponential(load(row + s) * h.scale - highest);
      store(row + s, weight);
      total += weight;
    }
    for (int s = seen; s < first + n; s++) row[s] = 0;
    for (int s = seen; s < up_to(seen, WIDTH); s++) row[s] = 0;
    sums[r] = sum(total);
    log_sums[r] = highest + logf(sums[r]);
  }
}

/* One head of queries, forward. keys: panels of the keys; v: (T, row_of(D)); out: rows at a stride. */
static void attend(const Heads &h, const float *q, const float *keys, const float *v, float *out, size_t step,
                   float *log_sums, float *scores, float *averaged, float *sums) {
  const size_t row = row_of(h.width);
  const int some = queries_of(h);
  for (int first = 0; first < h.tokens; first += some) {
    const int n = h.tokens - first < some ? h.tokens - first : some;
    scores_of(h, q + first * row, row, first, n, keys, scores);
    soften(h, scores, first, n, sums, log_sums + first);
    averages(h, scores, first, n, v, averaged);
    for (int r = 0; r < n; r++) {
      const float share = 1 / sums[r];
      float *to = out + (first + r) * step;
      for (int d = 0; d < h.width; d++) to[d] = averaged[r * row + d] * share;
    }
  }
}

/* The same, backward: dq is written, dk and dv are added to. values: panels of the values; out, dout: rows at `step`. */
static void attend_backward(const Heads &h, const float *q, const float *k, const float *keys, const float *values,
                            const float *out, const float *dout, size_t step, const float *log_sums, float *dq,
                            float *dk, float *dv, float *weights, float *of_weights) {
  const size_t row = row_of(h.width), across = up_to(h.tokens, PANEL);
  const int some = queries_of(h);
  for (int first = 0; first < h.tokens; first += some) {
    const int n = h.tokens - first < some ? h.tokens - first : some;
    const float *dout_here = dout + first * step;
    scores_of(h, q + first * row, row, first, n, keys, weights);
    scores_of(h, dout_here, step, first, n, values, of_weights);
    for (int r = 0; r < n; r++) {
      float *w = weights + r * across, *dw = of_weights + r * across;
      const int seen = first + r + 1;
      const float mean = dot(dout_here + r * step, out + (first + r) * step, h.width), log_sum = log_sums[first + r];
      for (int s = 0; s < seen; s += WIDTH) {
        const floats weight = exponential(load(w + s) * h.scale - log_sum);
        store(w + s, weight);
        store(dw + s, weight * (load(dw + s) - mean) * h.scale);
      }
      for (int s = seen; s < first + n || s < up_to(seen, WIDTH); s++) w[s] = dw[s] = 0;
    }
    spread(h, weights, first, n, dout_here, step, dv);
    spread(h, of_weights, first, n, q + first * row, row, dk);
    averages(h, of_weights, first, n, k, dq + first * row);
  }
}
