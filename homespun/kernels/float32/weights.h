/* Weights on their way into products, and the sums of their gradients. */

#pragma once

#include "parallel.h"
#include "products.h"

/* A weight (outputs, inputs), and where its panels go. */
struct Packing {
  const float *weight;
  int outputs, inputs;
  float *panels;
};

/* One panel of W', for y = x W': (inputs, PANEL). */
static void pack_turned(const Packing &w, int panel) {
  float *to = w.panels + (size_t)panel * w.inputs * PANEL;
  for (int lane = 0; lane < PANEL; lane++) {
    const int n = panel * PANEL + lane;
    const float *from = w.weight + (size_t)n * w.inputs;
    for (int k = 0; k < w.inputs; k++) to[(size_t)k * PANEL + lane] = n < w.outputs ? from[k] : 0;
  }
}

/* One panel of W, for dx = dy W: (outputs, PANEL). */
static void pack_plain(const Packing &w, int panel) {
  const int first = panel * PANEL, there = w.inputs - first < PANEL ? w.inputs - first : PANEL;
  float *to = w.panels + (size_t)panel * w.outputs * PANEL;
  for (int n = 0; n < w.outputs; n++, to += PANEL) {
    const float *from = w.weight + (size_t)n * w.inputs + first;
    if (there == PANEL) store(to, load(from)), store(to + WIDTH, load(from + WIDTH));
    else
      for (int lane = 0; lane < PANEL; lane++) to[lane] = lane < there ? from[lane] : 0;
  }
}

/* All panels of these weights, turned or plain; a thread takes some of them at a time. */
template <bool TURNED>
static void pack_all(const Packing *packings, int count, int threads) {
  constexpr int SOME = 4;
  const auto items_of = [&](const Packing &w) {
    return (up_to(TURNED ? w.outputs : w.inputs, PANEL) / PANEL + SOME - 1) / SOME;
  };
  int items = 0;
  for (int i = 0; i < count; i++) items += items_of(packings[i]);
  parallel_for(threads, items, [&](int item) {
    int i = 0;
    for (; item >= items_of(packings[i]); i++) item -= items_of(packings[i]);
    const int panels = up_to(TURNED ? packings[i].outputs : packings[i].inputs, PANEL) / PANEL;
    for (int p = item * SOME; p < (item + 1) * SOME && p < panels; p++)
      TURNED ? pack_turned(packings[i], p) : pack_plain(packings[i], p);
  });
}

/* The gradient of one weight, summed over groups: one sum of each group stands behind the other. */
struct Sums {
  float *numbers;
  int outputs, inputs;
  size_t step, size; /* from row to row, from group to group */
  Sums() = default;
  Sums(int outputs, int inputs)
      : outputs(outputs), inputs(inputs), step(up_to(inputs, PANEL)), size(Room::padded(outputs * step)) {}
  float *of(int group) const { return numbers + group * size; }
};

/* to = the sum of all groups, in their order. */
static void add_up(const Sums &s, int groups, int first, int last, float *to) {
  for (int r = first; r < last; r++)
    for (int i = 0; i < s.inputs; i++) {
      float total = s.numbers[r * s.step + i];
      for (int g = 1; g < groups; g++) total += s.of(g)[r * s.step + i];
      to[(size_t)r * s.inputs + i] = total;
    }
}
