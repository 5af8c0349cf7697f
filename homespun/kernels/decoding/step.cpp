/* One step of a GPT for any number of tokens of any number of sequences, in one call.

   The same computation as homespun/model, which is the one to read; the tests hold the two
   together. A row is a token at a position of a sequence; the keys and values of a sequence are in KV
   blocks of 16 tokens, and its block table says which these are. */

#include "products.h"

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#define omp_get_num_threads() 1
#endif

constexpr int KV_BLOCK = 16; /* tokens; as many as a vector has lanes */

enum { RMSNORM, LAYERNORM };
enum { SWIGLU, GELU, RELU };

struct Layer {
  const float *attention_norm, *attention_norm_bias;
  Linear query_key_value;
  const float *query_norm, *key_norm; /* null where there is none */
  Linear output;
  const float *feed_forward_norm, *feed_forward_norm_bias;
  Linear up; /* for SwiGLU: 16 of the gate and 16 of the way up, in turn */
  Linear down;
};

struct Model {
  int32_t kind, layers, heads, key_heads, width, inner, head_width, vocabulary, context;
  int32_t norm, activation;
  float eps, scale;
  const float *embedding;      /* (vocabulary, width) */
  const float *positions;      /* (context, width), or null */
  const float *cosines, *sines; /* (context, head_width / 2), or null */
  const float *final_norm, *final_norm_bias;
  const Layer *layer;
  Linear head;
};

/* What is to be computed. rows: ids, positions, and which line of `tables` is theirs;
   tables: (sequences, blocks_of_a_sequence) numbers of KV blocks; wanted: the rows whose logits are wanted. */
struct Work {
  int32_t rows, blocks_of_a_sequence, wants;
  const int32_t *ids, *positions, *sequences, *tables, *wanted;
  void *kv_blocks; /* (kv_block, layer, key head): keys, then values; float32 beside such weights, else bfloat16 */
  float *logits;  /* (wants, up_to(vocabulary, 16)) */
  char *scratch;
};

/* ---- small things ---- */

/* e^x to about 1e-7 of itself: x = n ln 2 + r, a polynomial in r, and n into the exponent. */
static inline floats exponential(floats x) {
  floats low = all(-87.0f), high = all(88.0f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  floats n = whole(x * 1.44269504088896341f);
  floats r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  floats y = p * r * r + r + 1.0f;
  ints exponent = (__builtin_convertvector(n, ints) + 127) << 23;
  return y * (floats)exponent;
}

static inline floats activate(int activation, floats x) {
  floats zero = all(0);
  if (activation == RELU) return x > zero ? x : zero;
  /* GELU by tanh is x times the sigmoid of 2 sqrt(2/pi) (x + 0.044715 x^3); SiLU is x times the sigmoid of x. */
  floats z = activation == GELU ? 1.5957691216057308f * (x + 0.044715f * x * x * x) : x;
  return x / (1.0f + exponential(-z));
}

static inline floats first_lanes(floats v, int number) {
  for (int lane = number; lane < LANES; lane++) v[lane] = 0;
  return v;
}

/* x, `width` numbers and zeros up to a multiple of 16, to the same size -> y. */
static void normalise(int norm, const float *x, int width, const float *weight, const float *bias, float eps, float *y) {
  int padded = up_to(width, LANES);
  float mean = 0;
  if (norm == LAYERNORM) {
    floats total = all(0);
    for (int c = 0; c < padded; c += LANES) total += load(x + c);
    mean = sum(total) / width;
  }
  floats squares = all(0);
  for (int c = 0; c < padded; c += LANES) {
    floats v = load(x + c) - mean;
    if (width - c < LANES) v = first_lanes(v, width - c);
    squares += v * v;
  }
  float factor = 1.0f / sqrtf(sum(squares) / width + eps);
  for (int c = 0; c < padded; c += LANES) {
    floats v = (load(x + c) - mean) * factor * load(weight + c);
    store(y + c, bias ? v + load(bias + c) : v);
  }
}

/* ---- attention ----

   Keys and values are kept in float32 or in bfloat16, T below: reading them is most of the work when many
   sequences are long, and beside weights in bfloat16 or int8 the rounding of keys and values is no loss. */

static inline size_t key_size(const Model *m) { return (size_t)m->head_width * KV_BLOCK; }
static inline size_t value_size(const Model *m) { return (size_t)KV_BLOCK * up_to(m->head_width, LANES); }

static inline floats load_kept(const float *from) { return load(from); }
static inline floats load_kept(const uint16_t *from) {
  return (floats)(__builtin_convertvector(*(const halves *)from, words) << 16);
}
static inline void store_kept(float *to, float value) { *to = value; }
static inline void store_kept(uint16_t *to, float value) { *to = to_bfloat16(all(value))[0]; }

/* Where the keys of that KV block, layer and head begin, (head_width, 16); the values (16, padded width) follow. */
template <typename T>
static inline T *kv_block_of(const Model *m, const Work *w, int sequence, int number, int layer, int head) {
  size_t kv_block = w->tables[(size_t)sequence * w->blocks_of_a_sequence + number];
  size_t size = key_size(m) + value_size(m);
  return (T *)w->kv_blocks + ((kv_block * m->layers + layer) * m->key_heads + head) * size;
}

/* One head of a query or a key: normalised and turned to its position, where it is. */
static void prepare_head(const Model *m, float *head, const float *norm, int position) {
  int width = m->head_width, half = width / 2;
  if (norm) {
    floats squares = all(0);
    for (int d = 0; d < width; d += LANES) {
      floats v = inputs_from(head, d, width);
      squares += v * v;
    }
    float factor = 1.0f / sqrtf(sum(squares) / width + m->eps);
    for (int d = 0; d < width; d++) head[d] = head[d] * factor * norm[d];
  }
  if (m->cosines) {
    const float *cosines = m->cosines + (size_t)position * half, *sines = m->sines + (size_t)position * half;
    for (int d = 0; d < half; d++) {
      float a = head[d], b = head[half + d];
      head[d] = a * cosines[d] - b * sines[d];
      head[half + d] = b * cosines[d] + a * sines[d];
    }
  }
}

/* Writes one head's key and value of a row into its KV block. */
template <typename T>
static void keep(const Model *m, const Work *w, int row, int layer, int head, const float *key, const float *value) {
  int position = w->positions[row], slot = position % KV_BLOCK, padded = up_to(m->head_width, LANES);
  T *keys = kv_block_of<T>(m, w, w->sequences[row], position / KV_BLOCK, layer, head), *values = keys + key_size(m);
  for (int d = 0; d < m->head_width; d++) store_kept(keys + d * KV_BLOCK + slot, key[d]);
  for (int d = 0; d < m->head_width; d++) store_kept(values + slot * padded + d, value[d]);
}

/* A query, the number of tokens that it sees, and where what it makes of them goes. */
struct Query {
  const float *values;
  int tokens;
  float *out;
};

/* Q queries that look at the same keys: each for itself, but what they look at is read once.
   scores: for each of them room for context + 16. */
template <int Q, typename T>
static void attend(const Model *m, const Work *w, int sequence, int layer, int key_head, const Query *query, float *scores) {
  const int width = m->head_width, padded = up_to(width, LANES), room = up_to(m->context, KV_BLOCK);
  int tokens = 0;
  for (int q = 0; q < Q; q++) tokens = query[q].tokens > tokens ? query[q].tokens : tokens;
  const int kv_blocks = (tokens + KV_BLOCK - 1) / KV_BLOCK;
  floats largest[Q], total[Q];
  for (int q = 0; q < Q; q++) largest[q] = all(-INFINITY), total[q] = all(0);
  for (int p = 0; p < kv_blocks; p++) {
    const T *keys = kv_block_of<T>(m, w, sequence, p, layer, key_head);
    floats even[Q], odd[Q];
    for (int q = 0; q < Q; q++) even[q] = odd[q] = all(0);
    int d = 0;
    for (; d + 2 <= width; d += 2) {
      floats one = load_kept(keys + d * KV_BLOCK), other = load_kept(keys + (d + 1) * KV_BLOCK);
      for (int q = 0; q < Q; q++) even[q] += one * query[q].values[d], odd[q] += other * query[q].values[d + 1];
    }
    if (d < width)
      for (int q = 0; q < Q; q++) even[q] += load_kept(keys + d * KV_BLOCK) * query[q].values[d];
    for (int q = 0; q < Q; q++) {
      floats score = (even[q] + odd[q]) * m->scale;
      for (int lane = query[q].tokens - p * KV_BLOCK; lane < LANES; lane++) score[lane < 0 ? 0 : lane] = -INFINITY;
      largest[q] = score > largest[q] ? score : largest[q];
      store(scores + q * room + p * KV_BLOCK, score);
    }
  }
  for (int q = 0; q < Q; q++) {
    float top = largest[q][0];
    for (int lane = 1; lane < LANES; lane++) top = largest[q][lane] > top ? largest[q][lane] : top;
    for (int p = 0; p < kv_blocks; p++) {
      float *at = scores + q * room + p * KV_BLOCK;
      floats score = load(at), weight = exponential(score - top);
      weight = score > -INFINITY ? weight : all(0);
      total[q] += weight;
      store(at, weight);
    }
  }
  for (int d = 0; d < padded; d += LANES) {
    floats even[Q], odd[Q];
    for (int q = 0; q < Q; q++) even[q] = odd[q] = all(0);
    for (int p = 0; p < kv_blocks; p++) {
      const T *values = kv_block_of<T>(m, w, sequence, p, layer, key_head) + key_size(m) + d;
      for (int t = 0; t < KV_BLOCK; t += 2) {
        floats one = load_kept(values + t * padded), other = load_kept(values + (t + 1) * padded);
        for (int q = 0; q < Q; q++) {
          const float *weight = scores + q * room + p * KV_BLOCK + t;
          even[q] += one * weight[0], odd[q] += other * weight[1];
        }
      }
    }
    for (int q = 0; q < Q; q++) {
      floats result = (even[q] + odd[q]) * (1.0f / sum(total[q]));
      for (int lane = 0; lane < LANES && d + lane < width; lane++) query[q].out[d + lane] = result[lane];
    }
  }
}

constexpr int QUERIES = 4; /* that look at the same keys at once, at most */

/* All queries of some rows of one sequence that look at that key head. heads, mixed: what comes in and goes out. */
template <typename T>
static void attend_rows(const Model *m, const Work *w, int row, int rows, int layer, int key_head,
                        const float *heads, int heads_stride, float *mixed, int mixed_stride, float *scores) {
  int share = m->heads / m->key_heads, sequence = w->sequences[row], number = rows * share;
  for (int first = 0; first < number;) {
    Query query[QUERIES];
    int here = number - first >= 4 ? 4 : number - first >= 2 ? 2 : 1;
    for (int q = 0; q < here; q++) {
      int r = row + (first + q) / share, head = key_head * share + (first + q) % share;
      query[q].values = heads + (size_t)r * heads_stride + head * m->head_width;
      query[q].tokens = w->positions[r] + 1;
      query[q].out = mixed + (size_t)r * mixed_stride + head * m->head_width;
    }
    if (here == 4) attend<4, T>(m, w, sequence, layer, key_head, query, scores);
    else if (here == 2) attend<2, T>(m, w, sequence, layer, key_head, query, scores);
    else attend<1, T>(m, w, sequence, layer, key_head, query, scores);
    first += here;
  }
}

/* ---- the step ---- */

struct Scratch {
  float *x, *normed, *heads, *mixed, *wide, *scores;
  Packed packed;
  size_t size;
};

static size_t take(size_t *size, size_t bytes) {
  size_t at = *size;
  *size = up_to(at + bytes, 64);
  return at;
}

static int wide_columns(const Model *m) { return up_to(m->inner, LANES) * (m->activation == SWIGLU ? 2 : 1); }
static int head_columns(const Model *m) { return up_to((m->heads + 2 * m->key_heads) * m->head_width, LANES); }

static size_t scores_size(const Model *m) { return (size_t)QUERIES * up_to(m->context, KV_BLOCK); }

static Scratch divide(const Model *m, char *from, int rows, int threads) {
  size_t size = 0, padded_rows = up_to(rows, TILE_ROWS), f = sizeof(float);
  int width = up_to(m->width, LANES), mixed = up_to(m->heads * m->head_width, LANES);
  int widest = up_to(m->inner > mixed ? m->inner : mixed, 64);
  widest = widest > up_to(m->width, 64) ? widest : up_to(m->width, 64);
  Scratch s;
  auto room = [&](size_t bytes) { return (float *)(from + take(&size, bytes)); };
  s.x = room((size_t)rows * width * f);
  s.normed = room((size_t)rows * width * f);
  s.heads = room((size_t)rows * head_columns(m) * f);
  s.mixed = room((size_t)rows * mixed * f);
  s.wide = room((size_t)rows * wide_columns(m) * f);
  s.scores = room((size_t)threads * scores_size(m) * f);
  s.packed.values = room(padded_rows * widest * f);
  s.packed.scale = room(padded_rows * f);
  s.size = size;
  return s;
}

/* Bytes that `step` needs to work in. */
extern "C" int64_t scratch_size(const Model *m, int rows, int threads) { return divide(m, 0, rows, threads).size; }

/* This thread's share of `number` things, one after the other. */
#define SHARE(number)                                                                     \
  int share_first = (int)((int64_t)(number) * thread / threads),                          \
      share_last = (int)((int64_t)(number) * (thread + 1) / threads)
#define WAIT _Pragma("omp barrier")

static void multiply(const Model *m, const Linear *matrix, Packed in, int rows, Output y, int thread, int threads) {
  SHARE(up_to(matrix->outputs, LANES) / LANES);
  product(m->kind, matrix, in, rows, share_first, share_last, y);
}

/* The rows of x, normalised and packed for the next product. */
static void normalise_rows(const Model *m, Scratch s, const float *weight, const float *bias, int rows, int thread,
                           int threads) {
  int width = up_to(m->width, LANES);
  SHARE(rows);
  for (int r = share_first; r < share_last; r++) {
    float *normed = s.normed + (size_t)r * width;
    normalise(m->norm, s.x + (size_t)r * width, m->width, weight, bias, m->eps, normed);
    pack(m->kind, s.packed, r, normed, m->width);
  }
}

template <typename T>
static void layer_step(const Model *m, const Work *w, Scratch s, int number, int thread, int threads) {
  const Layer *layer = m->layer + number;
  int width = up_to(m->width, LANES), columns = head_columns(m), mixed = m->heads * m->head_width;
  int inner = up_to(m->inner, LANES), wide = wide_columns(m), rows = w->rows, kind = m->kind;
  normalise_rows(m, s, layer->attention_norm, layer->attention_norm_bias, rows, thread, threads);
  WAIT
  multiply(m, &layer->query_key_value, s.packed, rows, Output{s.heads, columns, false}, thread, threads);
  WAIT
  {
    int heads = m->heads + m->key_heads;
    SHARE(rows * heads);
    for (int i = share_first; i < share_last; i++) {
      int row = i / heads, head = i % heads;
      float *all_heads = s.heads + (size_t)row * columns, *ours = all_heads + head * m->head_width;
      int key_head = head - m->heads;
      prepare_head(m, ours, key_head < 0 ? layer->query_norm : layer->key_norm, w->positions[row]);
      if (key_head >= 0) keep<T>(m, w, row, number, key_head, ours, ours + m->key_heads * m->head_width);
    }
  }
  WAIT
  int item = 0; /* dealt out in turn: later rows look at more */
  for (int row = 0, next; row < rows; row = next) {
    int most = m->heads / m->key_heads >= QUERIES ? 1 : QUERIES / (m->heads / m->key_heads);
    for (next = row + 1; next < rows && next - row < most && w->sequences[next] == w->sequences[row];) next++;
    for (int key_head = 0; key_head < m->key_heads; key_head++)
      if (item++ % threads == thread)
        attend_rows<T>(m, w, row, next - row, number, key_head, s.heads, columns, s.mixed, up_to(mixed, LANES),
                       s.scores + thread * scores_size(m));
  }
  WAIT
  {
    SHARE(rows);
    for (int r = share_first; r < share_last; r++)
      pack(kind, s.packed, r, s.mixed + (size_t)r * up_to(mixed, LANES), mixed);
  }
  WAIT
  multiply(m, &layer->output, s.packed, rows, Output{s.x, width, true}, thread, threads);
  WAIT
  normalise_rows(m, s, layer->feed_forward_norm, layer->feed_forward_norm_bias, rows, thread, threads);
  WAIT
  multiply(m, &layer->up, s.packed, rows, Output{s.wide, wide, false}, thread, threads);
  WAIT
  {
    SHARE(rows);
    for (int r = share_first; r < share_last; r++) {
      float *up = s.wide + (size_t)r * wide; /* what comes out is never behind what is still to be read */
      for (int i = 0; i < inner; i += LANES) {
        if (m->activation == SWIGLU) store(up + i, activate(SWIGLU, load(up + 2 * i)) * load(up + 2 * i + LANES));
        else store(up + i, activate(m->activation, load(up + i)));
      }
      pack(kind, s.packed, r, up, m->inner);
    }
  }
  WAIT
  multiply(m, &layer->down, s.packed, rows, Output{s.x, width, true}, thread, threads);
  WAIT
}

static void whole_step(const Model *m, const Work *w, Scratch s, int thread, int threads) {
  int width = up_to(m->width, LANES);
  {
    SHARE(w->rows);
    for (int r = share_first; r < share_last; r++) {
      float *x = s.x + (size_t)r * width;
      for (int c = 0; c < width; c++) x[c] = 0;
      memcpy(x, m->embedding + (size_t)w->ids[r] * m->width, m->width * sizeof(float));
      if (m->positions)
        for (int c = 0; c < m->width; c++) x[c] += m->positions[(size_t)w->positions[r] * m->width + c];
    }
  }
  for (int number = 0; number < m->layers; number++) {
    if (m->kind == FLOAT32) layer_step<float>(m, w, s, number, thread, threads);
    else layer_step<uint16_t>(m, w, s, number, thread, threads);
  }
  {
    SHARE(w->wants);
    for (int i = share_first; i < share_last; i++) {
      float *normed = s.normed + (size_t)i * width;
      normalise(m->norm, s.x + (size_t)w->wanted[i] * width, m->width, m->final_norm, m->final_norm_bias, m->eps,
                normed);
      pack(m->kind, s.packed, i, normed, m->width);
    }
  }
  WAIT
  Output logits = {w->logits, up_to(m->vocabulary, LANES), false};
  if (w->wants) multiply(m, &m->head, s.packed, w->wants, logits, thread, threads);
}

extern "C" void step(const Model *m, const Work *w, int threads) {
#pragma omp parallel num_threads(threads)
  {
    int thread = omp_get_thread_num(), all_threads = omp_get_num_threads();
    Scratch s = divide(m, w->scratch, w->rows, threads);
    if (m->kind != FLOAT32) open_tiles();
    whole_step(m, w, s, thread, all_threads);
    if (m->kind != FLOAT32) close_tiles();
  }
}

/* Asks the system for the matrix units, where there are some. 0: they cannot be had. */
extern "C" int prepare() {
#ifdef MATRIX_UNITS
  const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
#else
  return 1;
#endif
}
