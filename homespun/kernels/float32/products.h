/* Matrix products in float32.

   All of them are C (rows, columns) = A B, or are added to C. B is read PANEL numbers at a time. The depth of a product
   is exact; the columns of C are filled up to whole panels, and what stands there behind the last one is of no meaning. */

#pragma once

#include "panels.h"

/* Keeps a sum in its register: without it compilers move the sums around between two steps, and take twice as long. */
#if defined(__AVX512F__)
#define IN_REGISTER(v) asm("" : "+v"(v)) /* "x" would be one of the first sixteen */
#elif defined(__x86_64__)
#define IN_REGISTER(v) asm("" : "+x"(v))
#elif defined(__aarch64__)
#define IN_REGISTER(v) asm("" : "+w"(v))
#else
#define IN_REGISTER(v)
#endif

#define EACH_ROW(do_) \
  do_(0) do_(1) do_(2) do_(3) do_(4) do_(5) do_(6) do_(7) do_(8) do_(9) do_(10) do_(11)

/* ROWS rows by PANEL columns. DOWN: A is given by its columns, A(row, k) = a[k * lda + row], else a[row * lda + k].
   add: to what is there, instead of in its place. */
template <int ROWS, bool DOWN>
static __attribute__((noinline)) void tile(const float *a, size_t lda, const float *b, size_t ldb, int depth, float *c,
                                           size_t ldc, bool add) {
#define BEGIN(r)                                                    \
  floats s##r, t##r;                                                \
  if (ROWS > r) {                                                   \
    s##r = add ? load(c + r * ldc) : all(0);                        \
    t##r = add ? load(c + r * ldc + WIDTH) : all(0);                \
  }
#define STEP(r)                                                     \
  if (ROWS > r) {                                                   \
    const floats x = all(DOWN ? a[k * lda + r] : a[r * lda + k]);   \
    s##r += u * x;                                                  \
    t##r += v * x;                                                  \
    IN_REGISTER(s##r);                                              \
    IN_REGISTER(t##r);                                              \
  }
#define END(r)                                                      \
  if (ROWS > r) {                                                   \
    store(c + r * ldc, s##r);                                       \
    store(c + r * ldc + WIDTH, t##r);                               \
  }
  EACH_ROW(BEGIN)
#pragma GCC unroll 4
  for (int k = 0; k < depth; k++) {
    floats u = load(b + k * ldb), v = load(b + k * ldb + WIDTH);
    IN_REGISTER(u);
    IN_REGISTER(v);
    EACH_ROW(STEP)
  }
  EACH_ROW(END)
#undef BEGIN
#undef STEP
#undef END
}

/* How many of the rows that are left the next tile takes: none is left with few of them. */
static inline int tile_of(int left) {
  if (left <= TILE_ROWS) return left;
  return left < TILE_ROWS + TILE_ROWS / 2 + 1 ? (left + 1) / 2 : TILE_ROWS;
}

template <bool DOWN>
static inline void tile(int rows, const float *a, size_t lda, const float *b, size_t ldb, int depth, float *c, size_t ldc,
                        bool add) {
#define CASE(r) \
  case r + 1: return tile<(r < TILE_ROWS ? r + 1 : 1), DOWN>(a, lda, b, ldb, depth, c, ldc, add);
  switch (rows) { EACH_ROW(CASE) }
#undef CASE
}

constexpr int DEPTH = 384; /* of a panel that stays in the innermost cache */

/* C (rows, columns) = A (rows, depth) B, B in packed panels (panel, depth, PANEL). */
static void product(const float *a, size_t lda, int rows, const float *panels, int depth, int columns, float *c,
                    size_t ldc, bool add = false) {
  const int parts = (depth + DEPTH - 1) / DEPTH, part = (depth + parts - 1) / parts;
  for (int k = 0; k < depth; k += part, add = true) {
    const int here = depth - k < part ? depth - k : part;
    for (int n = 0; n < columns; n += PANEL) {
      const float *b = panels + (size_t)n * depth + (size_t)k * PANEL;
      for (int r = 0, some; r < rows; r += some) {
        some = tile_of(rows - r);
        tile<false>(some, a + r * lda + k, lda, b, PANEL, here, c + r * ldc + n, ldc, add);
      }
    }
  }
}

/* C (rows, columns) += A' B, A (depth, rows), B (depth, columns): the gradient of a weight. */
static void outer_product(const float *a, size_t lda, int rows, const float *b, size_t ldb, int depth, int columns,
                          float *c, size_t ldc, bool add) {
  constexpr int SOME = 8 * TILE_ROWS; /* columns of A that stay close while B passes */
  for (int first = 0; first < rows; first += SOME) {
    const int last = first + SOME < rows ? first + SOME : rows;
    for (int n = 0; n < columns; n += PANEL)
      for (int r = first, some; r < last; r += some) {
        some = tile_of(last - r);
        tile<true>(some, a + r, lda, b + n, ldb, depth, c + r * ldc + n, ldc, add);
      }
  }
}
