/* A transformer block, forward and backward: norm, attention, residual, norm, SwiGLU, residual. See model/block.py.

   Everything but attention goes over tiles of tokens, which stay close to a core from the norm to the residual;
   attention goes over texts and heads. The gradients of weights are summed over groups of tiles, whose number does
   not depend on the threads, and then over the groups: the sums are the same whichever thread computes what. */

#pragma once

#include "attention.h"
#include "weights.h"

struct BlockShape {
  int32_t texts, tokens, width, heads, key_heads, head_width, inner;
  int32_t groups; /* of tiles, for the gradients of weights */
  int32_t threads;
  float eps, head_eps, scale;
};

/* Weights, or their gradients; all (outputs, inputs). A norm of heads may be null: there is none then. */
struct BlockWeights {
  float *attention_norm, *query, *key, *value, *output, *query_norm, *key_norm, *feed_forward_norm, *gate, *up, *down;
};

/* What a text has beside its numbers: angles, (T, D/2), or null; factors of dropout, or null. */
struct BlockContext {
  const float *cosines, *sines;
  const float *of_values; /* (B, T, G) */
  const float *of_attention, *of_feed_forward; /* (B, C) */
};

/* Where in memory the numbers of a block are. */
struct Layout {
  int rows;                       /* B T */
  int key_column, value_column, all_heads; /* of queries, keys and values side by side */
  int queries;                    /* H D */
  int up_column, both;            /* of gate and up side by side */
  size_t heads_step, queries_step, width_step, both_step, inner_step;
  int tile, tiles;

  explicit Layout(const BlockShape &b) {
    rows = b.texts * b.tokens;
    queries = b.heads * b.head_width;
    key_column = up_to(queries, PANEL);
    value_column = key_column + up_to(b.key_heads * b.head_width, PANEL);
    all_heads = value_column + up_to(b.key_heads * b.head_width, PANEL);
    up_column = up_to(b.inner, PANEL);
    both = 2 * up_column;
    heads_step = stride(all_heads);
    queries_step = stride(queries);
    width_step = stride(b.width);
    both_step = stride(both);
    inner_step = stride(b.inner);
    tile = 128;
    tiles = (rows + tile - 1) / tile;
  }
  int tile_rows(int number) const { return rows - number * tile < tile ? rows - number * tile : tile; }

  /* What the backward pass needs again, in one piece of memory. */
  size_t heads_size() const { return Room::padded(rows * heads_step); }
  size_t queries_size() const { return Room::padded(rows * queries_step); }
  size_t width_size() const { return Room::padded(rows * width_step); }
  size_t both_size() const { return Room::padded(rows * both_step); }
};

struct Saved {
  float *heads, *averaged, *middle, *both, *log_sums;
  static size_t size(const BlockShape &b, const Layout &l) {
    return l.heads_size() + l.queries_size() + l.width_size() + l.both_size() + Room::padded((size_t)l.rows * b.heads);
  }
  Saved(const Layout &l, float *memory) {
    heads = memory;
    averaged = heads + l.heads_size();
    middle = averaged + l.queries_size();
    both = middle + l.width_size();
    log_sums = both + l.both_size();
  }
};

static inline Heads heads_of(const BlockShape &b, const BlockWeights &w, const BlockContext &c) {
  return {b.tokens, b.head_width, b.scale, b.head_eps, w.query_norm, w.key_norm, c.cosines, c.sines};
}

static inline const float *factors(const float *of_texts, const BlockShape &b, int row) {
  return of_texts ? of_texts + (size_t)(row / b.tokens) * b.width : nullptr;
}

static void block_forward(const BlockShape &b, const BlockWeights &w, const BlockContext &c, const float *x, float *y,
                          float *memory) {
  const Layout l(b);
  const Saved saved(l, memory);
  const Heads h = heads_of(b, w, c);
  const int keys = b.key_heads * b.head_width, C = b.width;
  static thread_local Room shared;
  shared.begin(2 * 64 + Room::padded((size_t)C * l.all_heads) + Room::padded((size_t)l.queries * up_to(C, PANEL)) +
               Room::padded((size_t)C * l.both) + Room::padded((size_t)b.inner * up_to(C, PANEL)));
  float *of_heads = shared.take((size_t)C * l.all_heads), *of_output = shared.take((size_t)l.queries * up_to(C, PANEL)),
        *of_both = shared.take((size_t)C * l.both), *of_down = shared.take((size_t)b.inner * up_to(C, PANEL));
  const Packing packings[] = {{w.query, l.queries, C, of_heads},
                              {w.key, keys, C, of_heads + (size_t)C * l.key_column},
                              {w.value, keys, C, of_heads + (size_t)C * l.value_column},
                              {w.output, C, l.queries, of_output},
                              {w.gate, b.inner, C, of_both},
                              {w.up, b.inner, C, of_both + (size_t)C * l.up_column},
                              {w.down, C, b.inner, of_down}};
  pack_all<true>(packings, 7, b.threads);

  parallel_for(b.threads, l.tiles, [&](int item) {
    static thread_local Room own;
    const int first = item * l.tile, n = l.tile_rows(item);
    own.begin(Room::padded(l.tile * l.width_step));
    float *normed = own.take(l.tile * l.width_step);
    for (int r = 0; r < n; r++)
      rms_norm(x + (size_t)(first + r) * C, w.attention_norm, C, b.eps, normed + r * l.width_step);
    product(normed, l.width_step, n, of_heads, C, l.all_heads, saved.heads + first * l.heads_step, l.heads_step);
  });

  const int shared_by = b.heads / b.key_heads;
  parallel_for(b.threads, b.texts * b.key_heads, [&](int item) {
    static thread_local Room own;
    const int text = item / b.key_heads, g = item % b.key_heads, some = queries_of(h);
    const size_t row = row_of(h.width), size = up_to(b.tokens, PANEL) * row, tokens = b.tokens;
    own.begin(4 * Room::padded(size) + Room::padded(some * up_to(b.tokens, PANEL)) + 2 * Room::padded(some * row));
    float *q = own.take(size), *k = own.take(size), *v = own.take(size), *panels = own.take(size);
    float *scores = own.take(some * up_to(b.tokens, PANEL)), *averaged = own.take(some * row), *sums = own.take(some);
    const float *from = saved.heads + text * tokens * l.heads_step;
    head_of(h, from + l.key_column + g * h.width, l.heads_step, h.key_norm, k);
    turn(h, k, panels);
    for (int t = 0; t < b.tokens; t++) {
      const float factor = c.of_values ? c.of_values[(text * tokens + t) * b.key_heads + g] : 1;
      const float *value = from + t * l.heads_step + l.value_column + g * h.width;
      for (int d = 0; d < h.width; d++) v[t * row + d] = value[d] * factor;
    }
    for (int i = 0; i < shared_by; i++) {
      const int head = g * shared_by + i;
      head_of(h, from + head * h.width, l.heads_step, h.query_norm, q);
      attend(h, q, panels, v, saved.averaged + text * tokens * l.queries_step + head * h.width, l.queries_step,
             saved.log_sums + (text * b.heads + head) * tokens, scores, averaged, sums);
    }
  });

  parallel_for(b.threads, l.tiles, [&](int item) {
    static thread_local Room own;
    const int first = item * l.tile, n = l.tile_rows(item);
    own.begin(2 * Room::padded(l.tile * l.width_step) + Room::padded(l.tile * l.inner_step));
    float *added = own.take(l.tile * l.width_step), *normed = own.take(l.tile * l.width_step);
    float *activated = own.take(l.tile * l.inner_step);
    float *middle = saved.middle + first * l.width_step, *both = saved.both + first * l.both_step;
    product(saved.averaged + first * l.queries_step, l.queries_step, n, of_output, l.queries, up_to(C, PANEL), added,
            l.width_step);
    for (int r = 0; r < n; r++) {
      float *here = middle + r * l.width_step;
      add_scaled(here, x + (size_t)(first + r) * C, added + r * l.width_step, factors(c.of_attention, b, first + r), C);
      rms_norm(here, w.feed_forward_norm, C, b.eps, normed + r * l.width_step);
    }
    product(normed, l.width_step, n, of_both, C, l.both, both, l.both_step);
    for (int r = 0; r < n; r++)
      swiglu(both + r * l.both_step, both + r * l.both_step + l.up_column, activated + r * l.inner_step, l.up_column);
    product(activated, l.inner_step, n, of_down, b.inner, up_to(C, PANEL), added, l.width_step);
    for (int r = 0; r < n; r++)
      add_scaled(y + (size_t)(first + r) * C, middle + r * l.width_step, added + r * l.width_step,
                 factors(c.of_feed_forward, b, first + r), C);
  });
}

enum { QUERY, KEY, VALUE, OUTPUT, GATE, UP, DOWN, ATTENTION_NORM, FEED_FORWARD_NORM, QUERY_NORM, KEY_NORM, ALL_SUMS };

static void block_backward(const BlockShape &b, const BlockWeights &w, const BlockContext &c, const float *x,
                           const float *memory, const float *dy, float *dx, const BlockWeights &gradients) {
  const Layout l(b);
  const Saved saved(l, const_cast<float *>(memory));
  const Heads h = heads_of(b, w, c);
  const int keys = b.key_heads * b.head_width, C = b.width, across = up_to(C, PANEL);
  const int groups = b.groups < l.tiles ? b.groups : l.tiles, texts = b.texts * b.key_heads;

  Sums sums[ALL_SUMS] = {{l.queries, C}, {keys, C}, {keys, C}, {C, l.queries}, {b.inner, C}, {b.inner, C},
                         {C, b.inner},   {1, C},    {1, C},    {1, h.width},   {1, h.width}};
  int groups_of[ALL_SUMS];
  size_t needed = Room::padded((size_t)l.all_heads * across) + Room::padded((size_t)C * up_to(l.queries, PANEL)) +
                  Room::padded((size_t)l.both * across) + Room::padded((size_t)C * up_to(b.inner, PANEL)) +
                  l.queries_size() + l.width_size() + l.heads_size();
  for (int i = 0; i < ALL_SUMS; i++) {
    groups_of[i] = i == QUERY_NORM || i == KEY_NORM ? texts : groups;
    needed += Room::padded(sums[i].size * groups_of[i]);
  }
  static thread_local Room shared;
  shared.begin(needed);
  for (int i = 0; i < ALL_SUMS; i++) sums[i].numbers = shared.take(sums[i].size * groups_of[i]);
  float *of_heads = shared.take((size_t)l.all_heads * across), *of_output = shared.take((size_t)C * up_to(l.queries, PANEL)),
        *of_both = shared.take((size_t)l.both * across), *of_down = shared.take((size_t)C * up_to(b.inner, PANEL));
  float *daveraged = shared.take(l.rows * l.queries_step), *dmiddle = shared.take(l.rows * l.width_step),
        *dheads = shared.take(l.rows * l.heads_step);

  const Packing packings[] = {{w.query, l.queries, C, of_heads},
                              {w.key, keys, C, of_heads + (size_t)l.queries * across},
                              {w.value, keys, C, of_heads + (size_t)(l.queries + keys) * across},
                              {w.output, C, l.queries, of_output},
                              {w.gate, b.inner, C, of_both},
                              {w.up, b.inner, C, of_both + (size_t)b.inner * across},
                              {w.down, C, b.inner, of_down}};
  pack_all<false>(packings, 7, b.threads);

  /* The feed-forward layer, and the product behind attention. */
  parallel_for(b.threads, groups, [&](int group) {
    static thread_local Room own;
    own.begin(4 * Room::padded(l.tile * l.width_step) + 2 * Room::padded(l.tile * l.inner_step) +
              Room::padded(l.tile * l.both_step));
    float *gradient = own.take(l.tile * l.width_step), *normed = own.take(l.tile * l.width_step),
          *dnormed = own.take(l.tile * l.width_step), *activated = own.take(l.tile * l.inner_step),
          *dactivated = own.take(l.tile * l.inner_step), *dboth = own.take(l.tile * l.both_step);
    memset(sums[FEED_FORWARD_NORM].of(group), 0, C * sizeof(float));
    const int begin = (int)((int64_t)l.tiles * group / groups), end = (int)((int64_t)l.tiles * (group + 1) / groups);
    for (int item = begin; item < end; item++) {
      const int first = item * l.tile, n = l.tile_rows(item);
      const bool add = item > begin;
      const float *middle = saved.middle + first * l.width_step, *both = saved.both + first * l.both_step;
      float *dmid = dmiddle + first * l.width_step;
      for (int r = 0; r < n; r++)
        copy_scaled(gradient + r * l.width_step, dy + (size_t)(first + r) * C, factors(c.of_feed_forward, b, first + r), C);
      product(gradient, l.width_step, n, of_down, C, l.up_column, dactivated, l.inner_step);
      for (int r = 0; r < n; r++)
        swiglu_backward(dactivated + r * l.inner_step, both + r * l.both_step, both + r * l.both_step + l.up_column,
                        dboth + r * l.both_step, dboth + r * l.both_step + l.up_column, activated + r * l.inner_step,
                        l.up_column);
      outer_product(gradient, l.width_step, C, activated, l.inner_step, n, l.up_column, sums[DOWN].of(group),
                    sums[DOWN].step, add);
      for (int r = 0; r < n; r++)
        rms_norm(middle + r * l.width_step, w.feed_forward_norm, C, b.eps, normed + r * l.width_step);
      outer_product(dboth, l.both_step, b.inner, normed, l.width_step, n, across, sums[GATE].of(group), sums[GATE].step,
                    add);
      outer_product(dboth + l.up_column, l.both_step, b.inner, normed, l.width_step, n, across, sums[UP].of(group),
                    sums[UP].step, add);
      product(dboth, l.both_step, n, of_both, b.inner, across, dnormed, l.width_step);
      product(dboth + l.up_column, l.both_step, n, of_both + (size_t)b.inner * across, b.inner, across, dnormed,
              l.width_step, true);
      for (int r = 0; r < n; r++) {
        float *here = dmid + r * l.width_step;
        memcpy(here, dy + (size_t)(first + r) * C, C * sizeof(float));
        rms_norm_backward(dnormed + r * l.width_step, middle + r * l.width_step, w.feed_forward_norm, C, b.eps, here, true,
                          sums[FEED_FORWARD_NORM].of(group));
        copy_scaled(gradient + r * l.width_step, here, factors(c.of_attention, b, first + r), C);
      }
      outer_product(gradient, l.width_step, C, saved.averaged + first * l.queries_step, l.queries_step, n,
                    up_to(l.queries, PANEL), sums[OUTPUT].of(group), sums[OUTPUT].step, add);
      product(gradient, l.width_step, n, of_output, C, up_to(l.queries, PANEL), daveraged + first * l.queries_step,
              l.queries_step);
    }
  });

  const int shared_by = b.heads / b.key_heads;
  parallel_for(b.threads, texts, [&](int item) {
    static thread_local Room own;
    const int text = item / b.key_heads, g = item % b.key_heads, some = queries_of(h);
    const size_t row = row_of(h.width), size = up_to(b.tokens, PANEL) * row, tokens = b.tokens;
    const size_t tile = some * up_to(b.tokens, PANEL);
    own.begin(8 * Room::padded(size) + 2 * Room::padded(tile));
    float *q = own.take(size), *k = own.take(size), *v = own.take(size), *panels = own.take(size),
          *values = own.take(size), *dq = own.take(size), *dk = own.take(size), *dv = own.take(size);
    float *weights = own.take(tile), *of_weights = own.take(tile);
    float *of_query_norm = sums[QUERY_NORM].of(item), *of_key_norm = sums[KEY_NORM].of(item);
    memset(of_query_norm, 0, h.width * sizeof(float));
    memset(of_key_norm, 0, h.width * sizeof(float));
    memset(dk, 0, size * sizeof(float));
    memset(dv, 0, size * sizeof(float));
    const float *from = saved.heads + text * tokens * l.heads_step;
    float *to = dheads + text * tokens * l.heads_step;
    head_of(h, from + l.key_column + g * h.width, l.heads_step, h.key_norm, k);
    turn(h, k, panels);
    for (int t = 0; t < b.tokens; t++) {
      const float factor = c.of_values ? c.of_values[(text * tokens + t) * b.key_heads + g] : 1;
      const float *value = from + t * l.heads_step + l.value_column + g * h.width;
      for (int d = 0; d < h.width; d++) v[t * row + d] = value[d] * factor;
    }
    turn(h, v, values);
    for (int i = 0; i < shared_by; i++) {
      const int head = g * shared_by + i;
      const size_t column = text * tokens * l.queries_step + head * h.width;
      head_of(h, from + head * h.width, l.heads_step, h.query_norm, q);
      attend_backward(h, q, k, panels, values, saved.averaged + column, daveraged + column, l.queries_step,
                      saved.log_sums + (text * b.heads + head) * tokens, dq, dk, dv, weights, of_weights);
      head_backward(h, dq, from + head * h.width, l.heads_step, h.query_norm, to + head * h.width, l.heads_step,
                    of_query_norm);
    }
    head_backward(h, dk, from + l.key_column + g * h.width, l.heads_step, h.key_norm, to + l.key_column + g * h.width,
                  l.heads_step, of_key_norm);
    for (int t = 0; t < b.tokens; t++) {
      const float factor = c.of_values ? c.of_values[(text * tokens + t) * b.key_heads + g] : 1;
      float *value = to + t * l.heads_step + l.value_column + g * h.width;
      for (int d = 0; d < h.width; d++) value[d] = dv[t * row + d] * factor;
    }
  });

  parallel_for(b.threads, groups, [&](int group) {
    static thread_local Room own;
    own.begin(2 * Room::padded(l.tile * l.width_step));
    float *normed = own.take(l.tile * l.width_step), *dnormed = own.take(l.tile * l.width_step);
    memset(sums[ATTENTION_NORM].of(group), 0, C * sizeof(float));
    const int begin = (int)((int64_t)l.tiles * group / groups), end = (int)((int64_t)l.tiles * (group + 1) / groups);
    for (int item = begin; item < end; item++) {
      const int first = item * l.tile, n = l.tile_rows(item);
      const bool add = item > begin;
      const float *gradient = dheads + first * l.heads_step;
      for (int r = 0; r < n; r++)
        rms_norm(x + (size_t)(first + r) * C, w.attention_norm, C, b.eps, normed + r * l.width_step);
      outer_product(gradient, l.heads_step, l.queries, normed, l.width_step, n, across, sums[QUERY].of(group),
                    sums[QUERY].step, add);
      outer_product(gradient + l.key_column, l.heads_step, keys, normed, l.width_step, n, across, sums[KEY].of(group),
                    sums[KEY].step, add);
      outer_product(gradient + l.value_column, l.heads_step, keys, normed, l.width_step, n, across,
                    sums[VALUE].of(group), sums[VALUE].step, add);
      product(gradient, l.heads_step, n, of_heads, l.queries, across, dnormed, l.width_step);
      product(gradient + l.key_column, l.heads_step, n, of_heads + (size_t)l.queries * across, keys, across, dnormed,
              l.width_step, true);
      product(gradient + l.value_column, l.heads_step, n, of_heads + (size_t)(l.queries + keys) * across, keys, across,
              dnormed, l.width_step, true);
      for (int r = 0; r < n; r++) {
        float *here = dx + (size_t)(first + r) * C;
        memcpy(here, dmiddle + (first + r) * l.width_step, C * sizeof(float));
        rms_norm_backward(dnormed + r * l.width_step, x + (size_t)(first + r) * C, w.attention_norm, C, b.eps, here, true,
                          sums[ATTENTION_NORM].of(group));
      }
    }
  });

  float *const found[ALL_SUMS] = {gradients.query, gradients.key,  gradients.value,          gradients.output,
                                  gradients.gate,  gradients.up,   gradients.down,           gradients.attention_norm,
                                  gradients.feed_forward_norm, gradients.query_norm, gradients.key_norm};
  constexpr int ROWS = 32; /* that one thread adds up at a time */
  int begins[ALL_SUMS + 1] = {0};
  for (int i = 0; i < ALL_SUMS; i++)
    begins[i + 1] = begins[i] + (found[i] ? (sums[i].outputs + ROWS - 1) / ROWS : 0);
  parallel_for(b.threads, begins[ALL_SUMS], [&](int item) {
    int i = 0;
    while (item >= begins[i + 1]) i++;
    const int first = (item - begins[i]) * ROWS, last = first + ROWS;
    add_up(sums[i], groups_of[i], first, last < sums[i].outputs ? last : sums[i].outputs, found[i]);
  });
}
