/* One step of Muon for many matrices, each by one thread from its gradient to its weights: what is read again
   and again in between stays in that thread's cache. See training/muon.py for what is computed. */

#include "../muon_step.h"

/* A matrix on its way: x (rows, columns), not higher than wide, filled up with zeros to multiples of 32. */
struct Wide {
  int rows, columns;
  bool turned; /* it stands on its side: its rows are the weight's columns */
  explicit Wide(const Matrix &m)
      : rows(up_to(m.rows < m.columns ? m.rows : m.columns, SIDE)),
        columns(up_to(m.rows < m.columns ? m.columns : m.rows, SIDE)),
        turned(m.rows > m.columns) {}
  size_t size() const { return (size_t)rows * columns; }
  size_t room() const { return (2 * size() + 3 * (size_t)rows * rows) * sizeof(half) + 4096; }
};

/* The 16 numbers from (r, c) on, as far as they are there. */
static inline __mmask16 there(const Matrix &m, int r, int c) {
  int left = r < m.rows ? m.columns - c : 0;
  return left >= 16 ? 0xffff : left <= 0 ? 0 : (1 << left) - 1;
}

/* Brings the momentum up to date; x = the momentum with a look ahead, bfloat16. Returns its length. */
static float look_ahead(const Matrix &m, const Wide &w, const Rates &rates, half *x) {
  __m512 share = _mm512_set1_ps(1 - rates.momentum), beta = _mm512_set1_ps(rates.momentum), sums = _mm512_setzero_ps();
  int height = w.turned ? w.columns : w.rows, width = w.turned ? w.rows : w.columns;
  for (int r = 0; r < height; r += 16)
    for (int c = 0; c < width; c += 16) {
      __m512i row[16];
      for (int i = 0; i < 16; i++) {
        __mmask16 here = there(m, r + i, c);
        size_t at = (size_t)(r + i) * m.columns + c;
        __m512 g = _mm512_maskz_loadu_ps(here, m.gradient + at), v = _mm512_maskz_loadu_ps(here, m.momentum + at);
        v = _mm512_fmadd_ps(share, _mm512_sub_ps(g, v), v);
        _mm512_mask_storeu_ps(m.momentum + at, here, v);
        g = _mm512_fmadd_ps(beta, _mm512_sub_ps(v, g), g);
        sums = _mm512_fmadd_ps(g, g, sums);
        row[i] = _mm512_castps_si512(g);
      }
      if (w.turned) turn(row);
      half *to = w.turned ? x + (size_t)c * w.columns + r : x + (size_t)r * w.columns + c;
      for (int i = 0; i < 16; i++) store_halves(to + (size_t)i * w.columns, _mm512_castsi512_ps(row[i]));
    }
  return sqrtf(_mm512_reduce_add_ps(sums));
}

/* to = a * to + b * sums, for a square of 32; to is bfloat16. */
static inline void mix(half *to, size_t stride, const float *sums, float a, float b) {
  for (int r = 0; r < SIDE; r++)
    for (int c = 0; c < SIDE; c += 16) {
      half *at = to + r * stride + c;
      __m512 v = _mm512_mul_ps(_mm512_set1_ps(b), _mm512_load_ps(sums + r * SIDE + c));
      if (a != 0) v = _mm512_fmadd_ps(_mm512_set1_ps(a), load_halves(at), v);
      store_halves(at, v);
    }
}

/* to = the transpose of from, a square of 32. */
static inline void mirror(const half *from, half *to, size_t stride) {
  alignas(64) half tiles[2 * TILE];
  turn_columns(from, stride, SIDE, tiles);
  for (int r = 0; r < SIDE; r++) _mm512_storeu_si512(to + r * stride, _mm512_load_si512(tiles + r * SIDE));
}

/* The left triangle of to = a * to + b * left * right, all (n, n) and symmetric; the rest is its mirror image. */
static void symmetric(const half *left, size_t stride, int steps, const half *right, int n, half *to, float a,
                      float b) {
  alignas(64) float square[SIDE * SIDE];
  for (int r = 0; r < n; r += SIDE)
    for (int c = 0; c <= r; c += SIDE) {
      const half *column = right + (size_t)c / 16 * TILE;
      multiply(plain(left + r * stride, stride), column, (size_t)n / 16 * TILE, steps, square, SIDE);
      half *at = to + (size_t)r * n + c;
      mix(at, n, square, a, b);
      if (c < r) mirror(at, to + (size_t)c * n + r, n);
    }
}

/* The square root of the sum of squares. */
static float length_of(const half *numbers, size_t count) {
  __m512 sums = _mm512_setzero_ps();
  for (size_t i = 0; i < count; i += 16) {
    __m512 v = load_halves(numbers + i);
    sums = _mm512_fmadd_ps(v, v, sums);
  }
  return sqrtf(_mm512_reduce_add_ps(sums));
}

/* x, of that length, becomes nearly orthogonal; see `orthogonalise` in training/muon.py. */
static void orthogonalise(const Wide &w, const Rates &rates, float length, half *x, Room &room) {
  int m = w.rows, n = w.columns;
  half *packed = room.take<half>(w.size()), *square = room.take<half>((size_t)m * m);
  half *squares = room.take<half>((size_t)m * m), *poly = room.take<half>((size_t)m * m);
  alignas(64) float sums[SIDE * SIDE];
  float scale = 1 / (length + 1e-7f);
  for (int i = 0; i < rates.iterations; i++, scale = 1) {
    Quintic q = rates.quintics[i];
    pack_turned(x, n, m, n, packed);
    symmetric(x, n, n / 32, packed, m, square, 0, scale * scale);
    if (i == 0) {
      float size = rates.leeway * sqrtf(length_of(square, (size_t)m * m)) + 1e-7f;
      scale /= size;
      q.b /= size * size;
      q.c /= size * size * size * size;
    }
    pack(square, m, m, m, squares);
    memcpy(poly, square, (size_t)m * m * sizeof(half));
    symmetric(square, m, m / 32, squares, m, poly, q.b, q.c);
    pack(x, n, m, n, packed);
    for (int r = 0; r < m; r += SIDE)
      for (int c = 0; c < n; c += SIDE) {
        const half *column = packed + (size_t)c / 16 * TILE;
        multiply(plain(poly + (size_t)r * m, m), column, (size_t)n / 16 * TILE, m / 32, sums, SIDE);
        mix(x + (size_t)r * n + c, n, sums, scale * q.a, scale);
      }
  }
}

/* weight = kept * weight - step * x */
static void walk(const Matrix &m, const Wide &w, float kept, float step, const half *x) {
  for (int r = 0; r < m.rows; r += 16)
    for (int c = 0; c < m.columns; c += 16) {
      __m512i row[16];
      const half *from = w.turned ? x + (size_t)c * w.columns + r : x + (size_t)r * w.columns + c;
      for (int i = 0; i < 16; i++) row[i] = _mm512_castps_si512(load_halves(from + (size_t)i * w.columns));
      if (w.turned) turn(row);
      for (int i = 0; i < 16; i++) {
        __mmask16 here = there(m, r + i, c);
        float *at = m.weight + (size_t)(r + i) * m.columns + c;
        __m512 v = _mm512_mul_ps(_mm512_set1_ps(kept), _mm512_maskz_loadu_ps(here, at));
        _mm512_mask_storeu_ps(at, here, _mm512_fnmadd_ps(_mm512_set1_ps(step), _mm512_castsi512_ps(row[i]), v));
      }
    }
}

extern "C" void muon_step(const Matrix *matrices, int count, const Rates *rates) {
#pragma omp parallel
  {
    static thread_local Room room;
    open_tiles();
#pragma omp for schedule(dynamic, 1)
    for (int i = 0; i < count; i++) {
      const Matrix &m = matrices[i];
      Wide w(m);
      room.begin(w.room());
      half *x = room.take<half>(w.size());
      float length = look_ahead(m, w, *rates, x);
      if (!m.walks) continue;
      orthogonalise(w, *rates, length, x, room);
      int longer = m.rows > m.columns ? m.rows : m.columns;
      walk(m, w, rates->kept, rates->step * sqrtf((float)longer), x);
    }
    close_tiles();
  }
}
