/* One step of a GPT for any number of tokens of any number of sequences, in one call.

   The same computation as homespun/model, which is the one to read; the tests hold the two
   together. A row is a token at a position of a sequence; the keys and values of a sequence are in KV
   blocks of 16 tokens, and its block table says which these are. */

#include "../parallel.h"
#include "products.h"

constexpr int KV_BLOCK = 16; /* tokens */
constexpr int SUMS = 8; /* sums that attention computes at once: each waits for its last addition, the others do not */

enum { RMSNORM, LAYERNORM };
enum { SWIGLU, GELU, RELU, GEGLU };

struct Layer {
  int32_t window;                /* tokens that a position attends to, itself included; 0: all */
  const float *cosines, *sines;  /* (context, rotated / 2), or null */
  const float *attention_norm, *attention_norm_bias; /* null where what it reads is not normalised */
  Linear query_key_value;
  const float *query_norm, *key_norm; /* null where there is none */
  Linear output;
  const float *attention_post_norm, *attention_post_norm_bias; /* null where what it adds is not normalised */
  const float *feed_forward_norm, *feed_forward_norm_bias;
  Linear up; /* where it is gated: 16 of the gate and 16 of the way up, in turn */
  Linear down;
  const float *feed_forward_post_norm, *feed_forward_post_norm_bias;
};

struct Model {
  int32_t kind, layers, heads, key_heads, width, inner, head_width, vocabulary, context;
  int32_t norm, activation, rotated; /* rotated: so many numbers of a head */
  float eps, scale, embedding_scale, residual_scale;
  const void *embedding;  /* (vocabulary, width), in float32 beside such weights, else in bfloat16 */
  const float *positions; /* (context, width), or null */
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

static inline floats activate(int activation, floats x) {
  floats zero = all(0);
  if (activation == RELU) return x > zero ? x : zero;
  /* GELU by tanh is x times the sigmoid of 2 sqrt(2/pi) (x + 0.044715 x^3); SiLU is x times the sigmoid of x. */
  floats z = activation == GELU || activation == GEGLU ? 1.5957691216057308f * (x + 0.044715f * x * x * x) : x;
  return x / (1.0f + exponential(-z));
}

static inline floats first_lanes(floats v, int number) {
  for (int lane = number < 0 ? 0 : number; lane < WIDTH; lane++) v[lane] = 0;
  return v;
}

static inline bool is_gated(const Model *m) { return m->activation == SWIGLU || m->activation == GEGLU; }

/* x, `width` numbers and zeros up to a multiple of 16, to the same size -> y, which may be x. */
static void normalise(int norm, const float *x, int width, const float *weight, const float *bias, float eps, float *y) {
  int padded = up_to(width, LANES);
  float mean = 0;
  if (norm == LAYERNORM) {
    floats total = all(0);
    for (int c = 0; c < padded; c += WIDTH) total += load(x + c);
    mean = sum(total) / width;
  }
  floats squares = all(0);
  for (int c = 0; c < padded; c += WIDTH) {
    floats v = load(x + c) - mean;
    if (width - c < WIDTH) v = first_lanes(v, width - c);
    squares += v * v;
  }
  float factor = 1.0f / sqrtf(sum(squares) / width + eps);
  for (int c = 0; c < padded; c += WIDTH) {
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
static inline floats load_kept(const uint16_t *from) { return from_bfloat16(*(const halves *)from); }
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
static void prepare_head(const Model *m, const Layer *layer, float *head, const float *norm, int position) {
  int width = m->head_width, half = m->rotated / 2;
  if (norm) {
    floats squares = all(0);
    for (int d = 0; d < width; d += WIDTH) {
      floats v = inputs_from(head, d, width);
      squares += v * v;
    }
    float factor = 1.0f / sqrtf(sum(squares) / width + m->eps);
    for (int d = 0; d < width; d++) head[d] = head[d] * factor * norm[d];
  }
  if (layer->cosines) {
    const float *cosines = layer->cosines + (size_t)position * half, *sines = layer->sines + (size_t)position * half;
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

/* The numbers that a query's scores take: vectors of them are computed together, some behind the last token. */
static inline int scores_room(const Model *m) { return up_to(m->context, KV_BLOCK) + SUMS / 2 * WIDTH; }

/* The first `number` lanes, where there are so many. */
static inline void put_lanes(float *to, int number, floats value) {
  if (number >= WIDTH) return store(to, value);
  for (int lane = 0; lane < number; lane++) to[lane] = value[lane];
}

/* A query, the first of the tokens that it attends to, the one behind the last, and where the average goes. */
struct Query {
  const float *values;
  int first, tokens;
  float *out;
};

/* The scores of Q queries with VECTORS vectors of tokens, (Q, VECTORS): `keys` says where those of each vector are. */
template <int Q, int VECTORS, typename T>
static inline void vector_scores(const T *const *keys, int width, const Query *query, float scale,
                                 floats score[Q][VECTORS]) {
  floats even[Q][VECTORS], odd[Q][VECTORS];
  for (int q = 0; q < Q; q++)
    for (int v = 0; v < VECTORS; v++) even[q][v] = odd[q][v] = all(0);
  int d = 0;
  for (; d + 2 <= width; d += 2)
    for (int v = 0; v < VECTORS; v++) {
      floats one = load_kept(keys[v] + d * KV_BLOCK), other = load_kept(keys[v] + (d + 1) * KV_BLOCK);
      for (int q = 0; q < Q; q++) {
        even[q][v] = multiply_add(one, all(query[q].values[d]), even[q][v]);
        odd[q][v] = multiply_add(other, all(query[q].values[d + 1]), odd[q][v]);
      }
    }
  if (d < width)
    for (int v = 0; v < VECTORS; v++) {
      floats one = load_kept(keys[v] + d * KV_BLOCK);
      for (int q = 0; q < Q; q++) even[q][v] = multiply_add(one, all(query[q].values[d]), even[q][v]);
    }
  for (int q = 0; q < Q; q++)
    for (int v = 0; v < VECTORS; v++) score[q][v] = (even[q][v] + odd[q][v]) * scale;
}

/* The sums over the tokens of some blocks of N vectors of values, each by its query's weight, (Q, N). `width`: of a
   token's values */
template <int Q, int N, typename T, typename Values>
static inline void weighted_sums(Values values_of, int d, int width, int first_block, int kv_blocks, const float *weights,
                                 int room, floats result[Q][N]) {
  for (int q = 0; q < Q; q++)
    for (int n = 0; n < N; n++) result[q][n] = all(0);
  for (int p = first_block; p < kv_blocks; p++) {
    const T *values = values_of(p) + d;
    for (int t = 0; t < KV_BLOCK; t++) {
      floats value[N];
      for (int n = 0; n < N; n++) value[n] = load_kept(values + t * width + n * WIDTH);
      for (int q = 0; q < Q; q++)
        for (int n = 0; n < N; n++)
          result[q][n] = multiply_add(value[n], all(weights[q * room + p * KV_BLOCK + t]), result[q][n]);
    }
  }
}

/* Q queries that look at the same keys: each for itself, but what they look at is read once.
   scores: for each of them `scores_room`. */
template <int Q, typename T>
static void attend(const Model *m, const Work *w, int sequence, int layer, int key_head, const Query *query, float *scores) {
  const int width = m->head_width, padded = up_to(width, LANES), room = scores_room(m);
  int begin = query[0].first, tokens = 0;
  for (int q = 0; q < Q; q++) {
    begin = query[q].first < begin ? query[q].first : begin;
    tokens = query[q].tokens > tokens ? query[q].tokens : tokens;
  }
  const int first_block = begin / KV_BLOCK, kv_blocks = (tokens + KV_BLOCK - 1) / KV_BLOCK;
  auto keys_of = [&](int p) { return kv_block_of<T>(m, w, sequence, p < kv_blocks ? p : kv_blocks - 1, layer, key_head); };
  auto values_of = [&](int p) { return keys_of(p) + key_size(m); };
  floats largest[Q], total[Q];
  for (int q = 0; q < Q; q++) largest[q] = all(-INFINITY), total[q] = all(0);
  constexpr int VECTORS = SUMS / 2 / Q;
  for (int first = first_block * KV_BLOCK; first < kv_blocks * KV_BLOCK; first += VECTORS * WIDTH) {
    const T *keys[VECTORS];
    floats score[Q][VECTORS];
    for (int v = 0; v < VECTORS; v++) {
      const int t = first + v * WIDTH;
      keys[v] = keys_of(t / KV_BLOCK) + t % KV_BLOCK;
    }
    vector_scores<Q, VECTORS, T>(keys, width, query, m->scale, score);
    for (int q = 0; q < Q; q++)
      for (int v = 0; v < VECTORS; v++) {
        const int begins = first + v * WIDTH;
        floats s = score[q][v];
        for (int lane = query[q].tokens - begins; lane < WIDTH; lane++) s[lane < 0 ? 0 : lane] = -INFINITY;
        for (int lane = 0; lane < WIDTH && begins + lane < query[q].first; lane++) s[lane] = -INFINITY;
        largest[q] = s > largest[q] ? s : largest[q];
        store(scores + q * room + begins, s);
      }
  }
  for (int q = 0; q < Q; q++) {
    float top = largest_of(largest[q]);
    for (int t = first_block * KV_BLOCK; t < kv_blocks * KV_BLOCK; t += WIDTH) {
      float *at = scores + q * room + t;
      floats score = load(at), weight = exponential(score - top);
      weight = score > -INFINITY ? weight : all(0);
      total[q] += weight;
      store(at, weight);
    }
  }
  auto mix = [&](auto number, int d) {
    constexpr int N = decltype(number)::value;
    floats result[Q][N];
    weighted_sums<Q, N, T>(values_of, d, padded, first_block, kv_blocks, scores, room, result);
    for (int q = 0; q < Q; q++) {
      const float share = 1.0f / sum(total[q]);
      for (int n = 0; n < N; n++) put_lanes(query[q].out + d + n * WIDTH, width - d - n * WIDTH, result[q][n] * share);
    }
  };
  int d = 0;
  for (; padded - d >= SUMS / Q * WIDTH; d += SUMS / Q * WIDTH) mix(std::integral_constant<int, SUMS / Q>(), d);
  for (; d < padded; d += WIDTH) mix(std::integral_constant<int, 1>(), d);
}

constexpr int QUERIES = 4; /* that look at the same keys at once, at most */

/* All queries of some rows of one sequence that look at that key head. heads, mixed: what comes in and goes out. */
template <typename T>
static void attend_rows(const Model *m, const Work *w, int row, int rows, int layer, int key_head,
                        const float *heads, int heads_stride, float *mixed, int mixed_stride, float *scores) {
  int share = m->heads / m->key_heads, sequence = w->sequences[row], number = rows * share;
  const int window = m->layer[layer].window;
  for (int first = 0; first < number;) {
    Query query[QUERIES];
    int here = number - first >= 4 ? 4 : number - first >= 2 ? 2 : 1;
    for (int q = 0; q < here; q++) {
      int r = row + (first + q) / share, head = key_head * share + (first + q) % share;
      query[q].values = heads + (size_t)r * heads_stride + head * m->head_width;
      query[q].tokens = w->positions[r] + 1;
      query[q].first = window && window < query[q].tokens ? query[q].tokens - window : 0;
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
  int *groups; /* where each run of rows begins that attend together, and where the last one ends */
  size_t size;
};

static size_t take(size_t *size, size_t bytes) {
  size_t at = *size;
  *size = up_to(at + bytes, 64);
  return at;
}

static int wide_columns(const Model *m) { return up_to(m->inner, LANES) * (is_gated(m) ? 2 : 1); }
static int head_columns(const Model *m) { return up_to((m->heads + 2 * m->key_heads) * m->head_width, LANES); }

static size_t scores_size(const Model *m) { return (size_t)QUERIES * scores_room(m); }

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
  s.groups = (int *)room(((size_t)rows + 1) * sizeof(int));
  s.size = size;
  return s;
}

/* Bytes that `step` needs to work in. */
extern "C" int64_t scratch_size(const Model *m, int rows, int threads) { return divide(m, 0, rows, threads).size; }

constexpr int ROWS_A_PIECE = 8, HEADS_A_PIECE = 64; /* what takes longer than telling another thread */

/* f(first, last) for pieces of `number` things, `each` at a time. */
template <typename F>
static void share(int threads, int number, int each, F f) {
  parallel_for(threads, (number + each - 1) / each, [&](int piece, int) {
    const int first = piece * each, last = first + each;
    f(first, last < number ? last : number);
  });
}

static void multiply(const Model *m, const Linear *matrix, Packed in, int rows, Output y, int threads) {
  const int panels = up_to(matrix->outputs, LANES) / LANES;
  const int each = threads == 1 ? panels : panels < 16 * threads ? 2 : 4;
  const int ahead = threads == 1 ? CLOSE_PANELS : each * threads;
  share(threads, panels, each, [&](int first, int last) {
    if (m->kind != FLOAT32) open_tiles();
    product(m->kind, matrix, in, rows, first, last, ahead, y);
    if (m->kind != FLOAT32) close_tiles();
  });
}

/* The rows of x, normalised where there is a norm, and packed for the next product. */
static void normalise_rows(const Model *m, Scratch s, const float *weight, const float *bias, int rows, int threads) {
  int width = up_to(m->width, LANES);
  share(threads, rows, ROWS_A_PIECE, [&](int first, int last) {
    for (int r = first; r < last; r++) {
      float *normed = s.normed + (size_t)r * width, *x = s.x + (size_t)r * width;
      if (weight) normalise(m->norm, x, m->width, weight, bias, m->eps, normed);
      pack(m->kind, s.packed, r, weight ? normed : x, m->width);
    }
  });
}

/* x += the product of what is packed, normalised where there is a norm, and scaled. */
static void add_product(const Model *m, const Linear *matrix, Scratch s, const float *weight, const float *bias, int rows,
                        int threads) {
  const int width = up_to(m->width, LANES);
  if (!weight && m->residual_scale == 1.0f) {
    multiply(m, matrix, s.packed, rows, Output{s.x, width, true}, threads);
    return;
  }
  multiply(m, matrix, s.packed, rows, Output{s.normed, width, false}, threads);
  share(threads, rows, ROWS_A_PIECE, [&](int first, int last) {
    for (int r = first; r < last; r++) {
      float *added = s.normed + (size_t)r * width, *x = s.x + (size_t)r * width;
      if (weight) normalise(m->norm, added, m->width, weight, bias, m->eps, added);
      for (int c = 0; c < width; c += WIDTH) store(x + c, load(x + c) + load(added + c) * m->residual_scale);
    }
  });
}

/* Divides the rows into runs of one sequence whose queries look at the same keys at once; returns how many. */
static int group_rows(const Model *m, const Work *w, int *groups) {
  int share = m->heads / m->key_heads, most = share >= QUERIES ? 1 : QUERIES / share, number = 0;
  for (int row = 0, next; row < w->rows; row = next) {
    for (next = row + 1; next < w->rows && next - row < most && w->sequences[next] == w->sequences[row];) next++;
    groups[number++] = row;
  }
  groups[number] = w->rows;
  return number;
}

/* What an activation makes of a row of `wide`, in its place: it is never behind what is still to be read. */
static void activate_row(const Model *m, float *up) {
  for (int i = 0; i < up_to(m->inner, LANES); i += WIDTH) {
    if (!is_gated(m)) {
      store(up + i, activate(m->activation, load(up + i)));
      continue;
    }
    const float *gate = up + 2 * (i - i % LANES) + i % LANES; /* 16 of the gate, then 16 of the way up */
    store(up + i, activate(m->activation, load(gate)) * load(gate + LANES));
  }
}

template <typename T>
static void layer_step(const Model *m, const Work *w, Scratch s, int number, int groups, int threads) {
  const Layer *layer = m->layer + number;
  const int columns = head_columns(m), mixed = m->heads * m->head_width;
  const int wide = wide_columns(m), rows = w->rows, heads = m->heads + m->key_heads;
  normalise_rows(m, s, layer->attention_norm, layer->attention_norm_bias, rows, threads);
  multiply(m, &layer->query_key_value, s.packed, rows, Output{s.heads, columns, false}, threads);
  share(threads, rows * heads, HEADS_A_PIECE, [&](int first, int last) {
    for (int i = first; i < last; i++) {
      const int row = i / heads, head = i % heads, key_head = head - m->heads;
      float *ours = s.heads + (size_t)row * columns + head * m->head_width;
      prepare_head(m, layer, ours, key_head < 0 ? layer->query_norm : layer->key_norm, w->positions[row]);
      if (key_head >= 0) keep<T>(m, w, row, number, key_head, ours, ours + m->key_heads * m->head_width);
    }
  });
  parallel_for(threads, groups * m->key_heads, [&](int piece, int thread) {
    const int group = groups - 1 - piece / m->key_heads; /* later rows look at more: they go first */
    const int row = s.groups[group], next = s.groups[group + 1];
    attend_rows<T>(m, w, row, next - row, number, piece % m->key_heads, s.heads, columns, s.mixed,
                   up_to(mixed, LANES), s.scores + thread * scores_size(m));
  });
  share(threads, rows, ROWS_A_PIECE, [&](int first, int last) {
    for (int r = first; r < last; r++) pack(m->kind, s.packed, r, s.mixed + (size_t)r * up_to(mixed, LANES), mixed);
  });
  add_product(m, &layer->output, s, layer->attention_post_norm, layer->attention_post_norm_bias, rows, threads);
  normalise_rows(m, s, layer->feed_forward_norm, layer->feed_forward_norm_bias, rows, threads);
  multiply(m, &layer->up, s.packed, rows, Output{s.wide, wide, false}, threads);
  share(threads, rows, ROWS_A_PIECE, [&](int first, int last) {
    for (int r = first; r < last; r++) {
      float *up = s.wide + (size_t)r * wide;
      activate_row(m, up);
      pack(m->kind, s.packed, r, up, m->inner);
    }
  });
  add_product(m, &layer->down, s, layer->feed_forward_post_norm, layer->feed_forward_post_norm_bias, rows, threads);
}

static inline float embedding_at(const Model *m, size_t at) {
  if (m->kind == FLOAT32) return ((const float *)m->embedding)[at];
  return from_bfloat16(((const uint16_t *)m->embedding)[at]);
}

/* The embeddings of the rows -> x. */
static void embed(const Model *m, const Work *w, float *to) {
  int width = up_to(m->width, LANES);
  for (int r = 0; r < w->rows; r++) {
    float *x = to + (size_t)r * width;
    for (int c = 0; c < width; c++) x[c] = 0;
    const size_t at = (size_t)w->ids[r] * m->width;
    for (int c = 0; c < m->width; c++) x[c] = embedding_at(m, at + c) * m->embedding_scale;
    if (m->positions)
      for (int c = 0; c < m->width; c++) x[c] += m->positions[(size_t)w->positions[r] * m->width + c];
  }
}

extern "C" void step(const Model *m, const Work *w, int threads) {
  const Scratch s = divide(m, w->scratch, w->rows, threads);
  const int width = up_to(m->width, LANES), groups = group_rows(m, w, s.groups);
  embed(m, w, s.x);
  for (int number = 0; number < m->layers; number++) {
    if (m->kind == FLOAT32) layer_step<float>(m, w, s, number, groups, threads);
    else layer_step<uint16_t>(m, w, s, number, groups, threads);
  }
  for (int i = 0; i < w->wants; i++) {
    float *normed = s.normed + (size_t)i * width;
    normalise(m->norm, s.x + (size_t)w->wanted[i] * width, m->width, m->final_norm, m->final_norm_bias, m->eps,
              normed);
    pack(m->kind, s.packed, i, normed, m->width);
  }
  Output logits = {w->logits, up_to(m->vocabulary, LANES), false};
  if (w->wants) multiply(m, &m->head, s.packed, w->wants, logits, threads);
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
