/* What the tests of homespun/kernels/parallel.h call. */

#include "../../homespun/kernels/parallel.h"

#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

/* Counts how often each piece was computed; returns whether every thread's number was below `threads`. */
extern "C" int count(int threads, int pieces, int *times) {
  std::atomic<bool> good{true};
  parallel_for(threads, pieces, [&](int piece, int thread) {
    times[piece]++;
    if (thread < 0 || thread >= threads) good = false;
  });
  return good;
}

/* So many loops, one after the other, each over what the loop before has left; returns the sum. */
extern "C" int64_t many_loops(int threads, int pieces, int loops) {
  std::vector<int64_t> values(pieces, 1);
  for (int loop = 0; loop < loops; loop++)
    parallel_for(threads, pieces, [&](int piece, int) { values[piece] += piece + loop; });
  int64_t sum = 0;
  for (int64_t value : values) sum += value;
  return sum;
}

/* One piece holds its thread up until all the others are done, or for ten seconds; returns whether they were. */
extern "C" int one_is_held_up(int threads, int pieces) {
  std::atomic<int> done{0};
  std::atomic<bool> others_were_done{false};
  parallel_for(threads, pieces, [&](int piece, int) {
    if (piece == 0) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (done.load() < pieces - 1 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      others_were_done = done.load() == pieces - 1;
    } else {
      done++;
    }
  });
  return others_were_done;
}

/* Throws in a piece; returns how many of the others were computed, or -1 if nothing was thrown here. */
extern "C" int throws(int threads, int pieces, int in) {
  std::atomic<int> others{0};
  try {
    parallel_for(threads, pieces, [&](int piece, int) {
      if (piece == in) throw std::runtime_error("a piece failed");
      others++;
    });
  } catch (const std::runtime_error &) {
    return others;
  }
  return -1;
}

/* A loop in a loop; returns how many inner pieces were computed. */
extern "C" int nested(int threads, int pieces) {
  std::atomic<int> inner{0};
  parallel_for(threads, pieces, [&](int, int) { parallel_for(threads, pieces, [&](int, int) { inner++; }); });
  return inner;
}
