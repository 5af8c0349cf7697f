/* Where work is divided among threads, and what a thread works in. An item's result must not depend on the thread that
   computes it, nor on the order of the items. */

#pragma once

#include "../parallel.h"

#include <cstddef>
#include <cstdlib>

/* Memory that is taken in pieces and given back all at once; it grows, and is kept for the next time. */
class Room {
  float *memory = nullptr;
  size_t size = 0, used = 0;

 public:
  void begin(size_t numbers) {
    used = 0;
    if (numbers <= size) return;
    free(memory);
    size = numbers;
    memory = static_cast<float *>(aligned_alloc(64, (numbers * sizeof(float) + 63) / 64 * 64));
    if (!memory) abort();
  }
  float *take(size_t numbers) {
    float *found = memory + used;
    used += padded(numbers);
    if (used > size) abort();
    return found;
  }
  /* A product may read up to a panel behind the last number, and sets of the cache shall not be shared by all pieces. */
  static size_t padded(size_t numbers) { return (numbers + 63) / 64 * 64 + 80; }
};
