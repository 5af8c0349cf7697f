/* The same as tiles.h for a processor that has no matrix units, but multiplies and adds pairs (AVX512-BF16). */

extern "C" int prepare() { return 1; }

static void open_tiles() {} /* vectors are always there */
static void close_tiles() {}

constexpr int ROWS = 8; /* the sums of so many rows and 32 columns stay in registers */

/* sums (8, 32) += left (8, 32 steps) times two columns of tiles, `step` numbers apart. */
static inline void add_up(Left left, const half *right, size_t step, int steps, __m512 sums[ROWS][2]) {
  for (int s = 0; s < steps; s++) {
    const half *a = left.rows + s * left.step, *b = right + s * step;
    for (int p = 0; p < 16; p++) {
      __m512bh first = (__m512bh)_mm512_loadu_si512(b + 32 * p);
      __m512bh second = (__m512bh)_mm512_loadu_si512(b + TILE + 32 * p);
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; r++) {
        int32_t pair;
        memcpy(&pair, a + r * left.stride + 2 * p, sizeof pair);
        __m512bh pairs = (__m512bh)_mm512_set1_epi32(pair);
        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], pairs, first);
        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], pairs, second);
      }
    }
  }
}

/* to (32, 32) = left times right; or += where they are added */
template <bool ADDED>
static inline void product(Left left, const half *right, size_t step, int steps, float *to, size_t stride) {
  for (int row = 0; row < SIDE; row += ROWS, left.rows += ROWS * left.stride, to += ROWS * stride) {
    __m512 sums[ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < 2; c++)
        sums[r][c] = ADDED ? _mm512_loadu_ps(to + r * stride + 16 * c) : _mm512_setzero_ps();
    add_up(left, right, step, steps, sums);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < 2; c++) _mm512_storeu_ps(to + r * stride + 16 * c, sums[r][c]);
  }
}

static inline void multiply(Left left, const half *right, size_t step, int steps, float *to, size_t stride) {
  product<false>(left, right, step, steps, to, stride);
}

static inline void multiply_add(Left left, const half *right, size_t step, int steps, float *to, size_t stride) {
  product<true>(left, right, step, steps, to, stride);
}
