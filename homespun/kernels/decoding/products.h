/* Matrix products: y = x W' + bias, for weights in float32, bfloat16 or int8.

   A weight matrix (outputs, inputs) is kept in panels of 16 outputs, so that one vector, or a few,
   hold the same input's weights of 16 outputs. Every output is summed up over the inputs in the same
   order, however many rows there are and whichever thread does it: what a row gives does not
   depend on the rows beside it, to the bit. */

#include <cmath>

#include "../vectors.h"

constexpr int LANES = 16;     /* outputs in a panel */
constexpr int PARTS = LANES / WIDTH; /* vectors that make one input's weights of a panel */
constexpr int TILE_ROWS = 16; /* rows that a matrix unit takes at once */
constexpr int CLOSE_PANELS = 8; /* that stay in the cache while the rows pass */

enum { FLOAT32, BFLOAT16, INT8 };

/* weight: panels, see `native/packing.py`; bias: up_to(outputs, 16) numbers, or null;
   scale: one for each output, for int8. */
struct Linear {
  const void *weight;
  const float *bias, *scale;
  int32_t outputs, inputs;
};

/* The rows that go into a product, as the weights' kind wants them.
   scale: one for each row, for int8: what a unit of its whole numbers is worth. */
struct Packed {
  void *values;
  float *scale;
};

#if defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__linux__)
#define MATRIX_UNITS
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Inputs are filled up with zeros to a multiple of this: 64 bytes of a tile's row, or a pair. */
static inline int padded_inputs(int kind, int inputs) {
  return kind == FLOAT32 ? up_to(inputs, LANES) : up_to(inputs, kind == BFLOAT16 ? 32 : 64);
}

/* A vector of x from number k on, with zeros behind the last of the inputs. */
static inline floats inputs_from(const float *x, int k, int inputs) {
  if (k + WIDTH <= inputs) return load(x + k);
  floats v = all(0);
  for (int lane = 0; k + lane < inputs; lane++) v[lane] = x[k + lane];
  return v;
}

/* Where a row's 64 bytes number `block` are: 16 rows stand together, 64 bytes of each in turn. */
static inline char *block_of(void *values, int row, int block, int blocks) {
  return (char *)values + (((size_t)(row / TILE_ROWS) * blocks + block) * TILE_ROWS + row % TILE_ROWS) * 64;
}

/* Row number `row` of what goes into a product, x with `inputs` numbers, is put where the product finds it. */
static void pack(int kind, Packed to, int row, const float *x, int inputs) {
  int padded = padded_inputs(kind, inputs);
  if (kind == FLOAT32) {
    memcpy((float *)to.values + (size_t)row * padded, x, inputs * sizeof(float));
  } else if (kind == BFLOAT16) {
    for (int k = 0; k < padded; k += 32) {
      halves *block = (halves *)block_of(to.values, row, k / 32, padded / 32);
      for (int part = 0; part < 32 / WIDTH; part++)
        block[part] = to_bfloat16(inputs_from(x, k + part * WIDTH, inputs));
    }
  } else {
    floats most = all(0);
    for (int k = 0; k < inputs; k += WIDTH) {
      floats v = inputs_from(x, k, inputs);
      v = v < 0 ? -v : v;
      most = v > most ? v : most;
    }
    float largest = largest_of(most);
    float per_unit = largest > 0 ? 127 / largest : 0;
    to.scale[row] = largest / 127;
    for (int k = 0; k < padded; k += 64) {
      bytes *block = (bytes *)block_of(to.values, row, k / 64, padded / 64);
      for (int part = 0; part < 64 / WIDTH; part++)
        block[part] = __builtin_convertvector(whole(inputs_from(x, k + part * WIDTH, inputs) * per_unit), bytes);
    }
  }
}

/* ---- float32 ---- */

struct Output {
  float *values;
  int stride;
  bool add; /* to what is there, instead of in its place */
};

static inline void put(Output y, int row, int column, floats value, const float *bias) {
  float *to = y.values + (size_t)row * y.stride + column;
  if (bias) value += load(bias + column);
  store(to, y.add ? load(to) + value : value);
}

/* ROWS rows by PANELS panels at once: the sums stay in registers. ahead: panels that are wanted soon, of which as many
   are fetched meanwhile. */
template <int ROWS, int PANELS>
static void float32_tile(const Linear *m, Packed in, int row, int panel, const float *ahead, Output y) {
  const int inputs = m->inputs, stride = padded_inputs(FLOAT32, inputs);
  const float *x = (const float *)in.values + (size_t)row * stride;
  const float *weight = (const float *)m->weight + (size_t)panel * inputs * LANES;
  floats sums[ROWS][PANELS][PARTS];
  for (int r = 0; r < ROWS; r++)
    for (int p = 0; p < PANELS; p++)
      for (int part = 0; part < PARTS; part++) sums[r][p][part] = all(0);
  /* Whichever are fewer, weights or inputs, stay in registers while the others pass one by one: with all of both
     the compiler keeps sums in memory, and each addition waits for that. */
  if constexpr (ROWS > PANELS * PARTS) {
    for (int k = 0; k < inputs; k++) {
      for (int p = 0; p < PANELS; p++) __builtin_prefetch(ahead + ((size_t)p * inputs + k) * LANES);
      floats w[PANELS][PARTS];
      for (int p = 0; p < PANELS; p++)
        for (int part = 0; part < PARTS; part++)
          w[p][part] = load(weight + ((size_t)p * inputs + k) * LANES + part * WIDTH);
      for (int r = 0; r < ROWS; r++) {
        const floats one = all(x[(size_t)r * stride + k]);
        for (int p = 0; p < PANELS; p++)
          for (int part = 0; part < PARTS; part++) sums[r][p][part] = multiply_add(w[p][part], one, sums[r][p][part]);
      }
    }
  } else {
    for (int k = 0; k < inputs; k++)
      for (int p = 0; p < PANELS; p++)
        for (int part = 0; part < PARTS; part++) {
          floats w = load(weight + ((size_t)p * inputs + k) * LANES + part * WIDTH);
          for (int r = 0; r < ROWS; r++) sums[r][p][part] = multiply_add(w, all(x[(size_t)r * stride + k]), sums[r][p][part]);
        }
  }
  for (int r = 0; r < ROWS; r++)
    for (int p = 0; p < PANELS; p++)
      for (int part = 0; part < PARTS; part++)
        put(y, row + r, (panel + p) * LANES + part * WIDTH, sums[r][p][part], m->bias);
}

/* So many panels at once that the sums leave a few registers to weights and inputs. */
constexpr int panels_beside(int rows) {
  int panels = (REGISTERS - REGISTERS / 4) / (rows * PARTS);
  return panels >= 8 ? 8 : panels >= 4 ? 4 : panels >= 2 ? 2 : 1;
}

template <int ROWS>
static void float32_rows(const Linear *m, Packed in, int row, int first, int last, int ahead, Output y) {
  constexpr int MANY = panels_beside(ROWS), FEW = MANY > 2 ? MANY / 2 : 1;
  auto panels_at = [&](int p) { return (const float *)m->weight + (size_t)(p + ahead) * m->inputs * LANES; };
  int p = first;
  for (; last - p >= MANY; p += MANY) float32_tile<ROWS, MANY>(m, in, row, p, panels_at(p), y);
  for (; last - p >= FEW; p += FEW) float32_tile<ROWS, FEW>(m, in, row, p, panels_at(p), y);
  for (; p < last; p++) float32_tile<ROWS, 1>(m, in, row, p, panels_at(p), y);
}

template <int ROWS = 6>
static void float32_pass(const Linear *m, Packed in, int row, int rows, int first, int last, int ahead, Output y) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return float32_pass<ROWS - 1>(m, in, row, rows, first, last, ahead, y);
  }
  float32_rows<ROWS>(m, in, row, first, last, ahead, y);
}

/* The rows are divided evenly among as few passes over the weights as there can be: a pass with 5 rows hardly takes
   longer than one with 6, and one with 2 is bound by the cache, not by the arithmetic. The last pass, whose own
   weights are in the cache by then, fetches those of the next panels from memory. */
static void float32_product(const Linear *m, Packed in, int rows, int first, int last, int ahead, Output y) {
  const int passes = (rows + 5) / 6;
  for (int group = first; group < last; group += CLOSE_PANELS) {
    const int end = group + CLOSE_PANELS < last ? group + CLOSE_PANELS : last;
    for (int pass = 0; pass < passes; pass++) {
      const int row = rows * pass / passes;
      float32_pass(m, in, row, rows * (pass + 1) / passes - row, group, end, pass == passes - 1 ? ahead : 0, y);
    }
  }
}

/* ---- bfloat16 and int8 ---- */

#ifdef MATRIX_UNITS

struct Tiles {
  uint8_t palette, start, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
};

static void open_tiles(void) {
  Tiles tiles = {};
  tiles.palette = 1;
  for (int t = 0; t < 8; t++) tiles.bytes[t] = 64, tiles.rows[t] = TILE_ROWS;
  _tile_loadconfig(&tiles);
}

static void close_tiles(void) { _tile_release(); }

/* The numbers of one tile of results, for `rows` rows. */
static void put_tile(int kind, const Linear *m, Packed in, int row, int rows, int panel, const void *tile, Output y) {
  for (int r = 0; r < rows; r++) {
    floats value;
    if (kind == BFLOAT16) value = load((const float *)tile + r * LANES);
    else
      value = __builtin_convertvector(((const ints *)tile)[r], floats) * in.scale[row + r] *
              load(m->scale + panel * LANES);
    put(y, row + r, panel * LANES, value, m->bias);
  }
}

#define MULTIPLY(to, a, b)                             \
  do {                                                 \
    if (kind == BFLOAT16) { _tile_dpbf16ps(to, a, b); } \
    else { _tile_dpbssd(to, a, b); }                    \
  } while (0)

constexpr int AHEAD = 4096; /* bytes: loading tiles, the processor does not look ahead by itself */

static inline void fetch(const char *one, const char *other) {
  for (int line = 0; line < 1024; line += 64) {
    _mm_prefetch(one + line, _MM_HINT_T0);
    _mm_prefetch(other + line, _MM_HINT_T0);
  }
}

template <int kind>
static void tile_product(const Linear *m, Packed in, int rows, int first, int last, Output y) {
  int steps = padded_inputs(kind, m->inputs) / (kind == BFLOAT16 ? 32 : 64);
  const char *weight = (const char *)m->weight, *x = (const char *)in.values;
  const size_t tile = 1024, panel = tile * steps;
  alignas(64) char results[4][1024];
  for (int p = first; p < last; p += 2) {
    const char *w = weight + p * panel;
    int two = p + 1 < last;
    for (int row = 0; row < rows; row += 2 * TILE_ROWS) {
      const char *a = x + (row / TILE_ROWS) * panel;
      int more = row + TILE_ROWS < rows;
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int s = 0; s < steps; s++) {
        if (row == 0) fetch(w + s * tile + AHEAD, two ? w + panel + s * tile + AHEAD : w);
        _tile_loadd(6, w + s * tile, 64);
        _tile_loadd(4, a + s * tile, 64);
        MULTIPLY(0, 4, 6);
        if (two) {
          _tile_loadd(7, w + panel + s * tile, 64);
          MULTIPLY(1, 4, 7);
        }
        if (more) {
          _tile_loadd(5, a + panel + s * tile, 64);
          MULTIPLY(2, 5, 6);
          if (two) MULTIPLY(3, 5, 7);
        }
      }
      _tile_stored(0, results[0], 64);
      _tile_stored(1, results[1], 64);
      _tile_stored(2, results[2], 64);
      _tile_stored(3, results[3], 64);
      int here = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
      int there = more ? (rows - row - TILE_ROWS < TILE_ROWS ? rows - row - TILE_ROWS : TILE_ROWS) : 0;
      put_tile(kind, m, in, row, here, p, results[0], y);
      put_tile(kind, m, in, row + TILE_ROWS, there, p, results[2], y);
      if (two) {
        put_tile(kind, m, in, row, here, p + 1, results[1], y);
        put_tile(kind, m, in, row + TILE_ROWS, there, p + 1, results[3], y);
      }
    }
  }
}

static void bfloat16_product(const Linear *m, Packed in, int rows, int first, int last, Output y) {
  tile_product<BFLOAT16>(m, in, rows, first, last, y);
}

static void int8_product(const Linear *m, Packed in, int rows, int first, int last, Output y) {
  tile_product<INT8>(m, in, rows, first, last, y);
}

#else

static void open_tiles(void) {}
static void close_tiles(void) {}

#if defined(__AVX512BF16__)
#include <immintrin.h>

/* Each weight register has two bfloat16 weights of 16 outputs, and is multiplied with two inputs of a row.
   ROWS rows by PANELS panels at once: the sums stay in registers. */
template <int ROWS, int PANELS>
static void bfloat16_tile(const Linear *m, Packed in, int row, int panel, Output y) {
  const int blocks = padded_inputs(BFLOAT16, m->inputs) / 32, pairs = 16;
  const words *weight = (const words *)m->weight + (size_t)panel * blocks * pairs;
  const char *x[ROWS];
  __m512 sums[ROWS][PANELS];
  for (int r = 0; r < ROWS; r++) {
    x[r] = block_of(in.values, row + r, 0, blocks);
    for (int p = 0; p < PANELS; p++) sums[r][p] = _mm512_setzero_ps();
  }
  for (int b = 0; b < blocks; b++)
    for (int k = 0; k < pairs; k++)
      for (int p = 0; p < PANELS; p++) {
        const words w = weight[((size_t)p * blocks + b) * pairs + k];
        for (int r = 0; r < ROWS; r++) {
          int two;
          memcpy(&two, x[r] + (size_t)b * TILE_ROWS * 64 + k * 4, 4);
          sums[r][p] = _mm512_dpbf16_ps(sums[r][p], (__m512bh)w, (__m512bh)_mm512_set1_epi32(two));
        }
      }
  for (int r = 0; r < ROWS; r++)
    for (int p = 0; p < PANELS; p++) put(y, row + r, (panel + p) * LANES, (floats)sums[r][p], m->bias);
}

template <int ROWS>
static void bfloat16_rows(const Linear *m, Packed in, int row, int first, int last, Output y) {
  int p = first;
  if (ROWS <= 2) /* few rows need more sums at once to keep the processor busy */
    for (; last - p >= 8; p += 8) bfloat16_tile<ROWS, ROWS <= 2 ? 8 : 1>(m, in, row, p, y);
  for (; last - p >= 4; p += 4) bfloat16_tile<ROWS, 4>(m, in, row, p, y);
  for (; p < last; p++) bfloat16_tile<ROWS, 1>(m, in, row, p, y);
}

static void bfloat16_product(const Linear *m, Packed in, int rows, int first, int last, Output y) {
  for (int group = first; group < last; group += 8) { /* panels that stay close while the rows pass */
    int end = group + 8 < last ? group + 8 : last, row = 0;
    for (; rows - row >= 6; row += 6) bfloat16_rows<6>(m, in, row, group, end, y);
    for (; rows - row >= 2; row += 2) bfloat16_rows<2>(m, in, row, group, end, y);
    for (; row < rows; row++) bfloat16_rows<1>(m, in, row, group, end, y);
  }
}

#else

static inline floats upper(words pair) { return (floats)(pair & 0xffff0000u); }
static inline floats lower(words pair) { return (floats)(pair << 16); }

/* Each weight register has two bfloat16 weights of WIDTH outputs. ROWS rows by PANELS panels at once: the sums stay in
   registers, and there are enough of them to keep the processor busy. */
template <int ROWS, int PANELS>
static void bfloat16_tile(const Linear *m, Packed in, int row, int panel, Output y) {
  const int padded = padded_inputs(BFLOAT16, m->inputs), blocks = padded / 32;
  const uint32_t *weight = (const uint32_t *)m->weight + (size_t)panel * padded / 2 * LANES;
  const char *x[ROWS];
  floats sums[ROWS][PANELS][PARTS];
  for (int r = 0; r < ROWS; r++) {
    x[r] = block_of(in.values, row + r, 0, blocks);
    for (int p = 0; p < PANELS; p++)
      for (int part = 0; part < PARTS; part++) sums[r][p][part] = all(0);
  }
  for (int b = 0; b < blocks; b++)
    for (int k = 0; k < 16; k++) {
      floats one[ROWS], other[ROWS];
      for (int r = 0; r < ROWS; r++) {
        uint32_t pair;
        memcpy(&pair, x[r] + (size_t)b * TILE_ROWS * 64 + k * 4, 4);
        one[r] = lower((words){} + pair), other[r] = upper((words){} + pair);
      }
      for (int p = 0; p < PANELS; p++)
        for (int part = 0; part < PARTS; part++) {
          const words pair = *(const words *)(weight + (((size_t)p * blocks + b) * 16 + k) * LANES + part * WIDTH);
          for (int r = 0; r < ROWS; r++) {
            sums[r][p][part] += lower(pair) * one[r];
            sums[r][p][part] += upper(pair) * other[r];
          }
        }
    }
  for (int r = 0; r < ROWS; r++)
    for (int p = 0; p < PANELS; p++)
      for (int part = 0; part < PARTS; part++)
        put(y, row + r, (panel + p) * LANES + part * WIDTH, sums[r][p][part], m->bias);
}

template <int ROWS>
static void bfloat16_rows(const Linear *m, Packed in, int row, int first, int last, Output y) {
  constexpr int MANY = 8 / (ROWS * PARTS) > 1 ? 8 / (ROWS * PARTS) : 1;
  int p = first;
  for (; last - p >= MANY; p += MANY) bfloat16_tile<ROWS, MANY>(m, in, row, p, y);
  for (; p < last; p++) bfloat16_tile<ROWS, 1>(m, in, row, p, y);
}

static void bfloat16_product(const Linear *m, Packed in, int rows, int first, int last, Output y) {
  for (int group = first; group < last; group += 8) { /* panels that stay close while the rows pass */
    int end = group + 8 < last ? group + 8 : last, row = 0;
    for (; rows - row >= 4; row += 4) bfloat16_rows<4>(m, in, row, group, end, y);
    for (; rows - row >= 2; row += 2) bfloat16_rows<2>(m, in, row, group, end, y);
    for (; row < rows; row++) bfloat16_rows<1>(m, in, row, group, end, y);
  }
}

#endif

#if defined(__AVX512VNNI__)
#include <immintrin.h>

/* Each weight register has four weights of 16 outputs. The instruction multiplies unsigned inputs with signed weights,
   so 128 is added to the inputs, and 128 times the sum of the weights taken off again. All sums are exact. */
/* Not inlined, so that it is rounded in one way however many rows are computed at once. */
static __attribute__((noinline)) void put_int8(
    const Linear *m, Packed in, int row, int at, __m512i sum, Output y) {
  floats value = (floats)_mm512_cvtepi32_ps(sum);
  put(y, row, at, value * in.scale[row] * load(m->scale + at), m->bias);
}

template <int ROWS, int PANELS>
static void int8_tile(const Linear *m, Packed in, int row, int panel, Output y) {
  const int blocks = padded_inputs(INT8, m->inputs) / 64, quads = 16;
  const __m512i *weight = (const __m512i *)m->weight + (size_t)panel * blocks * quads;
  const __m512i offset = _mm512_set1_epi8((char)0x80);
  const char *x[ROWS];
  __m512i sums[ROWS][PANELS], offsets[PANELS];
  for (int p = 0; p < PANELS; p++) {
    offsets[p] = _mm512_setzero_si512();
    for (int r = 0; r < ROWS; r++) sums[r][p] = _mm512_setzero_si512();
  }
  for (int r = 0; r < ROWS; r++) x[r] = block_of(in.values, row + r, 0, blocks);
  for (int b = 0; b < blocks; b++)
    for (int k = 0; k < quads; k++)
      for (int p = 0; p < PANELS; p++) {
        const __m512i w = _mm512_loadu_si512(weight + ((size_t)p * blocks + b) * quads + k);
        offsets[p] = _mm512_dpbusd_epi32(offsets[p], offset, w);
        for (int r = 0; r < ROWS; r++) {
          int four;
          memcpy(&four, x[r] + (size_t)b * TILE_ROWS * 64 + k * 4, 4);
          sums[r][p] = _mm512_dpbusd_epi32(sums[r][p], _mm512_set1_epi32(four ^ (int)0x80808080u), w);
        }
      }
  for (int r = 0; r < ROWS; r++)
    for (int p = 0; p < PANELS; p++)
      put_int8(m, in, row + r, (panel + p) * LANES, _mm512_sub_epi32(sums[r][p], offsets[p]), y);
}

template <int ROWS>
static void int8_rows(const Linear *m, Packed in, int row, int first, int last, Output y) {
  int p = first;
  for (; last - p >= 4; p += 4) int8_tile<ROWS, 4>(m, in, row, p, y);
  for (; p < last; p++) int8_tile<ROWS, 1>(m, in, row, p, y);
}

static void int8_product(const Linear *m, Packed in, int rows, int first, int last, Output y) {
  for (int group = first; group < last; group += 8) { /* panels that stay close while the rows pass */
    int end = group + 8 < last ? group + 8 : last, row = 0;
    for (; rows - row >= 4; row += 4) int8_rows<4>(m, in, row, group, end, y);
    for (; row < rows; row++) int8_rows<1>(m, in, row, group, end, y);
  }
}

#elif defined(__AVX2__)
#include <immintrin.h>

/* Each weight register has four weights of 8 outputs. The instruction multiplies unsigned with signed numbers and adds
   neighbours: it is given the size of the inputs, and the weights with the inputs' sign. Two products of numbers of at
   most 127 fit into 16 bits, so all sums are exact. */
static __attribute__((noinline)) void put_int8(const Linear *m, Packed in, int row, int at, __m256i sum, Output y) {
  floats value = (floats)_mm256_cvtepi32_ps(sum);
  put(y, row, at, value * in.scale[row] * load(m->scale + at), m->bias);
}

template <int ROWS, int PANELS>
static void int8_tile(const Linear *m, Packed in, int row, int panel, Output y) {
  const int blocks = padded_inputs(INT8, m->inputs) / 64, quads = 16;
  const __m256i *weight = (const __m256i *)m->weight + (size_t)panel * blocks * quads * PARTS;
  const __m256i ones = _mm256_set1_epi16(1);
  const char *x[ROWS];
  __m256i sums[ROWS][PANELS][PARTS];
  for (int r = 0; r < ROWS; r++) {
    x[r] = block_of(in.values, row + r, 0, blocks);
    for (int p = 0; p < PANELS; p++)
      for (int part = 0; part < PARTS; part++) sums[r][p][part] = _mm256_setzero_si256();
  }
  for (int b = 0; b < blocks; b++)
    for (int k = 0; k < quads; k++) {
      __m256i four[ROWS], sizes[ROWS];
      for (int r = 0; r < ROWS; r++) {
        int inputs;
        memcpy(&inputs, x[r] + (size_t)b * TILE_ROWS * 64 + k * 4, 4);
        four[r] = _mm256_set1_epi32(inputs), sizes[r] = _mm256_abs_epi8(four[r]);
      }
      for (int p = 0; p < PANELS; p++)
        for (int part = 0; part < PARTS; part++) {
          const __m256i w = _mm256_loadu_si256(weight + (((size_t)p * blocks + b) * quads + k) * PARTS + part);
          for (int r = 0; r < ROWS; r++) {
            const __m256i pairs = _mm256_maddubs_epi16(sizes[r], _mm256_sign_epi8(w, four[r]));
            sums[r][p][part] = _mm256_add_epi32(sums[r][p][part], _mm256_madd_epi16(pairs, ones));
          }
        }
    }
  for (int r = 0; r < ROWS; r++)
    for (int p = 0; p < PANELS; p++)
      for (int part = 0; part < PARTS; part++)
        put_int8(m, in, row + r, (panel + p) * LANES + part * WIDTH, sums[r][p][part], y);
}

template <int ROWS>
static void int8_rows(const Linear *m, Packed in, int row, int first, int last, Output y) {
  constexpr int MANY = ROWS == 1 ? 4 : ROWS == 2 ? 2 : 1; /* sums that stay in registers */
  int p = first;
  for (; last - p >= MANY; p += MANY) int8_tile<ROWS, MANY>(m, in, row, p, y);
  for (; p < last; p++) int8_tile<ROWS, 1>(m, in, row, p, y);
}

static void int8_product(const Linear *m, Packed in, int rows, int first, int last, Output y) {
  for (int group = first; group < last; group += 8) { /* panels that stay close while the rows pass */
    int end = group + 8 < last ? group + 8 : last, row = 0;
    for (; rows - row >= 4; row += 4) int8_rows<4>(m, in, row, group, end, y);
    for (; rows - row >= 2; row += 2) int8_rows<2>(m, in, row, group, end, y);
    for (; row < rows; row++) int8_rows<1>(m, in, row, group, end, y);
  }
}

#else

static void int8_product(const Linear *m, Packed in, int rows, int first, int last, Output y) {
  int padded = padded_inputs(INT8, m->inputs);
  for (int p = first; p < last; p++) {
    const int8_t *weight = (const int8_t *)m->weight + (size_t)p * padded * LANES;
    for (int row = 0; row < rows; row++) {
      int32_t acc[LANES] = {0};
      for (int k = 0; k < padded; k += 4) {
        const int8_t *at = (const int8_t *)block_of(in.values, row, k / 64, padded / 64) + k % 64;
        const int8_t *w = weight + (size_t)k * LANES;
        for (int lane = 0; lane < LANES; lane++)
          for (int j = 0; j < 4; j++) acc[lane] += at[j] * w[lane * 4 + j];
      }
      for (int lane = 0; lane < LANES; lane += WIDTH) {
        floats value = __builtin_convertvector(*(const ints *)(acc + lane), floats);
        put(y, row, p * LANES + lane, value * in.scale[row] * load(m->scale + p * LANES + lane), m->bias);
      }
    }
  }
}

#endif

#endif

/* The panels first … last - 1 of the product, for all rows. ahead: how much further on those are that this thread
   will probably want next. */
static void product(int kind, const Linear *m, Packed in, int rows, int first, int last, int ahead, Output y) {
  if (kind == FLOAT32) float32_product(m, in, rows, first, last, ahead, y);
  else if (kind == BFLOAT16) bfloat16_product(m, in, rows, first, last, y);
  else int8_product(m, in, rows, first, last, y);
}
