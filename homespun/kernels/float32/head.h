/* What stands around the blocks: the final norm, the head and the loss in one pass, forward and backward; and the
   gradient of an embedding. */

#pragma once

#include "layers.h"
#include "weights.h"

struct HeadShape {
  int32_t rows, width, vocab_size, groups, threads;
  float eps;
};

constexpr int LOGITS = 1 << 16; /* of a tile: 256 KiB */

/* The sum of the losses of x (rows, C) for targets, of which -1 does not count, and what `share` times that sum has for
   gradients. weight: (V, C). */
static double head_loss(const HeadShape &b, const float *x, const float *norm, const float *weight,
                        const int64_t *targets, float share, float *of_x, float *of_norm, float *of_weight) {
  const int C = b.width, V = b.vocab_size, across = up_to(C, PANEL), columns = up_to(V, PANEL);
  const size_t step = stride(C), logit_step = stride(V);
  int tile = LOGITS / columns / TILE_ROWS * TILE_ROWS;
  tile = tile > 128 ? 128 : tile < 4 * TILE_ROWS ? 4 * TILE_ROWS : tile;
  const int tiles = (b.rows + tile - 1) / tile, groups = b.groups < tiles ? b.groups : tiles;
  Sums sums(V, C), norms(1, C);
  static thread_local Room shared;
  shared.begin(Room::padded((size_t)C * columns) + Room::padded((size_t)V * across) +
               Room::padded(sums.size * groups) + Room::padded(norms.size * groups) + Room::padded(2 * groups));
  float *turned = shared.take((size_t)C * columns), *plain = shared.take((size_t)V * across);
  sums.numbers = shared.take(sums.size * groups);
  norms.numbers = shared.take(norms.size * groups);
  double *losses = (double *)shared.take(2 * groups);
  const Packing packings[] = {{weight, V, C, turned}, {weight, V, C, plain}};
  pack_all<true>(&packings[0], 1, b.threads);
  pack_all<false>(&packings[1], 1, b.threads);

  parallel_for(b.threads, groups, [&](int group) {
    static thread_local Room own;
    own.begin(2 * Room::padded(tile * step) + Room::padded(tile * logit_step));
    float *normed = own.take(tile * step), *dnormed = own.take(tile * step), *logits = own.take(tile * logit_step);
    memset(norms.of(group), 0, C * sizeof(float));
    double loss = 0;
    const int begin = (int)((int64_t)tiles * group / groups), end = (int)((int64_t)tiles * (group + 1) / groups);
    for (int item = begin; item < end; item++) {
      const int first = item * tile, n = b.rows - first < tile ? b.rows - first : tile;
      for (int r = 0; r < n; r++) rms_norm(x + (size_t)(first + r) * C, norm, C, b.eps, normed + r * step);
      product(normed, step, n, turned, C, columns, logits, logit_step);
      for (int r = 0; r < n; r++) {
        float *row = logits + r * logit_step;
        const int64_t target = targets[first + r];
        if (target < 0) {
          memset(row, 0, columns * sizeof(float));
          continue;
        }
        for (int v = V; v < columns; v++) row[v] = -INFINITY;
        floats most = load(row);
        for (int v = WIDTH; v < columns; v += WIDTH) most = load(row + v) > most ? load(row + v) : most;
        const float highest = largest_of(most), aimed = row[target];
        floats total = all(0);
        for (int v = 0; v < columns; v += WIDTH) {
          const floats chance = exponential(load(row + v) - highest);
          store(row + v, chance);
          total += chance;
        }
        const float whole = sum(total), factor = share / whole;
        loss += highest - aimed + logf(whole);
        for (int v = 0; v < columns; v += WIDTH) store(row + v, load(row + v) * factor);
        row[target] -= share;
      }
      outer_product(logits, logit_step, V, normed, step, n, across, sums.of(group), sums.step, item > begin);
      product(logits, logit_step, n, plain, V, across, dnormed, step);
      for (int r = 0; r < n; r++)
        rms_norm_backward(dnormed + r * step, x + (size_t)(first + r) * C, norm, C, b.eps, of_x + (size_t)(first + r) * C,
                          false, norms.of(group));
    }
    losses[group] = loss;
  });
  constexpr int ROWS = 32;
  parallel_for(b.threads, (V + ROWS - 1) / ROWS, [&](int item) {
    add_up(sums, groups, item * ROWS, (item + 1) * ROWS < V ? (item + 1) * ROWS : V, of_weight);
  });
  add_up(norms, groups, 0, 1, of_norm);
  double loss = 0;
  for (int g = 0; g < groups; g++) loss += losses[g];
  return loss;
}

/* of_weight (V, C) = the sum of the gradients (rows, C) of all places of an id. Each thread takes some columns. */
static void embedding_gradient(const int64_t *ids, const float *gradient, int rows, int vocab_size, int width,
                               int threads, float *of_weight) {
  constexpr int SOME = 64;
  parallel_for(threads, (width + SOME - 1) / SOME, [&](int item) {
    const int first = item * SOME, n = width - first < SOME ? width - first : SOME;
    for (int v = 0; v < vocab_size; v++) memset(of_weight + (size_t)v * width + first, 0, n * sizeof(float));
    for (int r = 0; r < rows; r++) {
      const float *from = gradient + (size_t)r * width + first;
      float *to = of_weight + (size_t)ids[r] * width + first;
      for (int i = 0; i < n; i++) to[i] += from[i];
    }
  });
}
