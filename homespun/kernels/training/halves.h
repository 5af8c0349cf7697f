/* Numbers of 16 bits (bfloat16), and the order that products want them in.

   A tile holds 16 rows of 64 bytes. A product takes from the left rows of 32 numbers as they stand, and from
   the right tiles of 16 rows of 16 *pairs*: a pair is two numbers that stand below each other. What goes in
   on the right is brought into that order first ("packed"): tile after tile, 1024 bytes each, all tiles of
   one stretch of 32 rows side by side. tiles.h and dots.h multiply them. */

#include <immintrin.h>
#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
static int omp_get_num_threads() { return 1; }
static int omp_get_max_threads() { return 1; }
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

typedef uint16_t half; /* the upper half of a float: a bfloat16 */

constexpr int SIDE = 32; /* results are computed in squares of 32 */
constexpr int TILE = 1024 / sizeof(half);

static inline int up_to(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Memory of this thread that is used again at the next call. */
struct Room {
  char *start = nullptr, *next = nullptr;
  size_t size = 0;
  ~Room() { free(start); }
  void begin(size_t bytes) {
    if (size < bytes) {
      free(start);
      start = (char *)aligned_alloc(64, (bytes + 63) / 64 * 64);
      if (!start) abort(); /* as an allocation that fails anywhere below Python does */
      size = bytes;
    }
    next = start;
  }
  template <typename T>
  T *take(size_t numbers) {
    char *mine = next;
    next += (numbers * sizeof(T) + 63) / 64 * 64;
    return (T *)mine;
  }
};

static inline __m512 load_halves(const half *from) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)), 16));
}

static inline void store_halves(half *to, __m512 values) {
  _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(values));
}

/* Numbers i … i + 15 of some: those up to and with `last`. */
static inline __mmask16 up_to_and_with(int64_t last, int64_t i) {
  int64_t there = last - i + 1;
  return there >= 16 ? 0xffff : there <= 0 ? 0 : (1 << there) - 1;
}

static inline __m512 load_some(const half *from, __mmask16 these) {
  __m256i halves = _mm256_maskz_loadu_epi16(these, from);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline void store_some(half *to, __mmask16 these, __m512 values) {
  _mm256_mask_storeu_epi16(to, these, (__m256i)_mm512_cvtneps_pbh(values));
}

/* e^x: 2^n times a polynomial for the rest; exact to about one part in five million. */
static inline __m512 exponential(__m512 x) {
  __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  __m512 n = _mm512_roundscale_ps(t, 0);
  __m512 f = _mm512_sub_ps(t, n), p = _mm512_set1_ps(1.32609e-3f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.67018e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550712e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022224e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.93147e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

/* Turns 16 rows of 16 numbers of 32 bits into columns. */
static inline void turn(__m512i row[16]) {
  __m512i pair[16];
  for (int i = 0; i < 16; i += 2) {
    pair[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    pair[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    row[i] = _mm512_unpacklo_epi64(pair[i], pair[i + 2]);
    row[i + 1] = _mm512_unpackhi_epi64(pair[i], pair[i + 2]);
    row[i + 2] = _mm512_unpacklo_epi64(pair[i + 1], pair[i + 3]);
    row[i + 3] = _mm512_unpackhi_epi64(pair[i + 1], pair[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    pair[i] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0x88);
    pair[i + 4] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0xdd);
    pair[i + 8] = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0x88);
    pair[i + 12] = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    row[i] = _mm512_shuffle_i32x4(pair[i], pair[i + 8], 0x88);
    row[i + 4] = _mm512_shuffle_i32x4(pair[i + 4], pair[i + 12], 0x88);
    row[i + 8] = _mm512_shuffle_i32x4(pair[i], pair[i + 8], 0xdd);
    row[i + 12] = _mm512_shuffle_i32x4(pair[i + 4], pair[i + 12], 0xdd);
  }
}

/* 16 numbers of one row with the 16 below them: 16 pairs. */
static inline __m512i pairs(const half *upper, const half *lower) {
  __m512i a = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)upper));
  __m512i b = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)lower));
  return _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
}

/* x (rows, columns) for the right of a product, as it stands. rows and columns are multiples of 32. */
static void pack(const half *x, size_t stride, int rows, int columns, half *to) {
  for (int r = 0; r < rows; r += 32)
    for (int c = 0; c < columns; c += 16, to += TILE)
      for (int p = 0; p < 16; p++) {
        const half *from = x + (r + 2 * p) * stride + c;
        _mm512_store_si512(to + 32 * p, pairs(from, from + stride));
      }
}

/* The transpose of x (rows, columns) for the right of a product: what is packed has `columns` rows. */
static void pack_turned(const half *x, size_t stride, int rows, int columns, half *to) {
  for (int c = 0; c < columns; c += 32)
    for (int r = 0; r < rows; r += 16, to += TILE) {
      __m512i row[16];
      for (int i = 0; i < 16; i++) row[i] = _mm512_loadu_si512(x + (r + i) * stride + c);
      turn(row);
      for (int i = 0; i < 16; i++) _mm512_store_si512(to + 32 * i, row[i]);
    }
}

/* 32 columns of x (rows, …) as 32 rows for the left of a product: (32, rows), in stretches of 32 by 32. */
static void turn_columns(const half *x, size_t stride, int rows, half *to) {
  for (int r = 0; r < rows; r += 32)
    for (int c = 0; c < 32; c += 16, to += TILE) {
      __m512i row[16];
      for (int p = 0; p < 16; p++) {
        const half *from = x + (r + 2 * p) * stride + c;
        row[p] = pairs(from, from + stride);
      }
      turn(row);
      for (int i = 0; i < 16; i++) _mm512_store_si512(to + 32 * i, row[i]);
    }
}

/* The left of a product: 32 rows, `stride` numbers apart; the next 32 numbers of a row are `step` further on. */
struct Left {
  const half *rows;
  size_t stride, step;
};

/* Rows as they stand in memory. */
static inline Left plain(const half *rows, size_t stride) { return {rows, stride, SIDE}; }

/* What `turn_columns` made. */
static inline Left turned(const half *tiles) { return {tiles, SIDE, 2 * TILE}; }
