/* Causal attention, forward and backward, one head of one text at a time: scores never leave the cache, and
   what lies in the future is not computed.

   q (B, T, H, D), k and v (B, T, G, D), all bfloat16 and without gaps; H / G queries share a key and value.
   Softmax and sums are float32. What the backward pass needs of the softmax is one number a row, the
   logarithm of its sum; the scores are computed again (Dao et al. 2022, arXiv 2205.14135). */

struct Shape {
  int32_t texts, tokens, heads, key_heads, width;
  float scale;
};

/* How one head of one text lies in memory, and filled up to squares of 32. */
struct Head {
  int tokens, width, rows, columns; /* rows, columns: tokens and width, filled up */
  float scale;
  explicit Head(const Shape *s)
      : tokens(s->tokens),
        width(s->width),
        rows(up_to(s->tokens, SIDE)),
        columns(up_to(s->width, SIDE)),
        scale(s->scale) {}
  size_t size() const { return (size_t)rows * columns; }
};

static const half *at(const half *x, const Shape *s, int heads, int text, int head) {
  return x + ((size_t)text * s->tokens * heads + head) * s->width;
}
static half *at(half *x, const Shape *s, int heads, int text, int head) {
  return x + ((size_t)text * s->tokens * heads + head) * s->width;
}

/* The rows of one head, filled up with zeros. */
static void fetch(const Head &h, const half *from, size_t stride, half *to) {
  for (int t = 0; t < h.tokens; t++)
    for (int c = 0; c < h.columns; c += 32) {
      __mmask32 there = h.width - c >= 32 ? ~0u : (1u << (h.width - c)) - 1;
      _mm512_store_si512(to + (size_t)t * h.columns + c, _mm512_maskz_loadu_epi16(there, from + t * stride + c));
    }
  memset(to + (size_t)h.tokens * h.columns, 0, (size_t)(h.rows - h.tokens) * h.columns * sizeof(half));
}

/* scores (32, S) of the rows `first` … of q with all keys that they see, S a multiple of 32. */
static void score(const Head &h, const half *q, const half *keys, int first, float *scores) {
  for (int c = 0; c <= first; c += SIDE)
    multiply(plain(q + (size_t)first * h.columns, h.columns), keys + (size_t)c / 16 * TILE, (size_t)h.rows / 16 * TILE,
             h.columns / 32, scores + c, h.rows);
}

/* weights = e^(scale * (score - highest)) for row `row`; returns their sum, and the highest. */
static float soften(const Head &h, const float *scores, int row, half *weights, float *highest) {
  int last = row < h.tokens ? row : h.tokens - 1, end = up_to(row + 1, SIDE);
  __m512 most = _mm512_set1_ps(-INFINITY), sums = _mm512_setzero_ps();
  for (int i = 0; i <= last; i += 16)
    most = _mm512_mask_max_ps(most, up_to_and_with(last, i), most, _mm512_loadu_ps(scores + i));
  *highest = _mm512_reduce_max_ps(most);
  __m512 scale = _mm512_set1_ps(h.scale), down = _mm512_set1_ps(*highest);
  for (int i = 0; i < end; i += 16) {
    __m512 e = exponential(_mm512_mul_ps(scale, _mm512_sub_ps(_mm512_loadu_ps(scores + i), down)));
    e = _mm512_maskz_mov_ps(up_to_and_with(last, i), e);
    sums = _mm512_add_ps(sums, e);
    store_halves(weights + i, e);
  }
  return _mm512_reduce_add_ps(sums);
}

/* x (32, 32) times `factor`, for each row its own: to rows of bfloat16, those that there are. */
static void leave(const Head &h, const float *x, size_t stride, const float *factor, int row, int column, half *to,
                  size_t to_stride) {
  int rows = h.tokens - row < SIDE ? h.tokens - row : SIDE;
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < SIDE && column + c < h.width; c += 16) {
      __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + r * stride + c), _mm512_set1_ps(factor ? factor[r] : 1));
      store_some(to + (row + r) * to_stride + column + c, up_to_and_with(h.width - 1, column + c), v);
    }
}

static void attend_head(const Head &h, const half *q, size_t stride, const half *keys, const half *values, half *out,
                        float *log_sums, Room &room) {
  half *queries = room.take<half>(h.size()), *weights = room.take<half>((size_t)SIDE * h.rows);
  float *scores = room.take<float>((size_t)SIDE * h.rows), mixed[SIDE * SIDE], factor[SIDE];
  fetch(h, q, stride, queries);
  for (int first = 0; first < h.tokens; first += SIDE) {
    score(h, queries, keys, first, scores);
    for (int r = 0; r < SIDE; r++) {
      float highest, total = soften(h, scores + (size_t)r * h.rows, first + r, weights + (size_t)r * h.rows, &highest);
      factor[r] = 1 / total;
      if (first + r < h.tokens) log_sums[first + r] = h.scale * highest + logf(total);
    }
    for (int c = 0; c < h.columns; c += SIDE) {
      multiply(plain(weights, h.rows), values + (size_t)c / 16 * TILE, (size_t)h.columns / 16 * TILE, first / 32 + 1,
               mixed, SIDE);
      leave(h, mixed, SIDE, factor, first, c, out, stride);
    }
  }
}

extern "C" void attend(const Shape *s, const half *q, const half *k, const half *v, half *out, float *log_sums) {
  Head h(s);
  int share = s->heads / s->key_heads;
  size_t need = (4 * h.size() + (size_t)SIDE * h.rows) * sizeof(half) + (size_t)SIDE * h.rows * sizeof(float) + 4096;
#pragma omp parallel
  {
    static thread_local Room room;
    open_tiles();
#pragma omp for schedule(static)
    for (int item = 0; item < s->texts * s->key_heads; item++) {
      int text = item / s->key_heads, group = item % s->key_heads;
      size_t stride = (size_t)s->heads * s->width, key_stride = (size_t)s->key_heads * s->width;
      room.begin(need);
      half *rows = room.take<half>(h.size()), *keys = room.take<half>(h.size()), *values = room.take<half>(h.size());
      fetch(h, at(k, s, s->key_heads, text, group), key_stride, rows);
      pack_turned(rows, h.columns, h.rows, h.columns, keys);
      fetch(h, at(v, s, s->key_heads, text, group), key_stride, rows);
      pack(rows, h.columns, h.rows, h.columns, values);
      char *here = room.next;
      for (int head = group * share; head < (group + 1) * share; head++, room.next = here)
        attend_head(h, at(q, s, s->heads, text, head), stride, keys, values, at(out, s, s->heads, text, head),
                    log_sums + ((size_t)text * s->heads + head) * s->tokens, room);
    }
    close_tiles();
  }
}

/* One head's keys and values in every order that the backward pass wants, and the sums of their gradients. */
struct Shared {
  half *keys, *keys_turned, *values_turned;
  float *key_gradient, *value_gradient;
};

/* weights and the scores' gradients (32, S), from scores and from the gradients of the weights. */
static void slope(const Head &h, const float *scores, const float *weight_gradients, int row, float log_sum,
                  float along, half *weights, half *gradients) {
  int last = row < h.tokens ? row : -1, end = up_to(row + 1, SIDE);
  __m512 scale = _mm512_set1_ps(h.scale), down = _mm512_set1_ps(log_sum), back = _mm512_set1_ps(along);
  for (int i = 0; i < end; i += 16) {
    __mmask16 seen = up_to_and_with(last, i);
    __m512 p = exponential(_mm512_fmsub_ps(scale, _mm512_loadu_ps(scores + i), down));
    p = _mm512_maskz_mov_ps(seen, p);
    __m512 g = _mm512_sub_ps(_mm512_loadu_ps(weight_gradients + i), back);
    store_halves(weights + i, p);
    store_halves(gradients + i, _mm512_maskz_mul_ps(seen, _mm512_mul_ps(p, scale), g));
  }
}

/* sums (rows, columns) += x' times right, x (rows, rows) lower triangular: what all queries give to a key. */
static void collect(const Head &h, const half *x, const half *right, half *columns, float *sums) {
  float square[SIDE * SIDE];
  for (int first = 0; first < h.rows; first += SIDE) {
    turn_columns(x + (size_t)first * h.rows + first, h.rows, h.rows - first, columns);
    for (int c = 0; c < h.columns; c += SIDE) {
      multiply(turned(columns), right + ((size_t)first / 32 * (h.columns / 16) + c / 16) * TILE,
               (size_t)h.columns / 16 * TILE, (h.rows - first) / 32, square, SIDE);
      for (int r = 0; r < SIDE; r++)
        for (int i = 0; i < SIDE; i++) sums[(size_t)(first + r) * h.columns + c + i] += square[r * SIDE + i];
    }
  }
}

static float dot(const half *a, const half *b, int n) {
  __m512 sums = _mm512_setzero_ps();
  for (int i = 0; i < n; i += 16) sums = _mm512_fmadd_ps(load_halves(a + i), load_halves(b + i), sums);
  return _mm512_reduce_add_ps(sums);
}

static void attend_head_backward(const Head &h, const half *gradient, const half *q, const half *out,
                                 const float *log_sums, size_t stride, const Shared &shared, half *query_gradient,
                                 Room &room) {
  half *queries = room.take<half>(h.size()), *gradients = room.take<half>(h.size()), *rows = room.take<half>(h.size());
  half *packed = room.take<half>(h.size()), *columns = room.take<half>((size_t)SIDE * h.rows);
  half *weights = room.take<half>((size_t)h.rows * h.rows), *slopes = room.take<half>((size_t)h.rows * h.rows);
  float *scores = room.take<float>((size_t)SIDE * h.rows), *back = room.take<float>((size_t)SIDE * h.rows);
  float square[SIDE * SIDE], along[SIDE];
  fetch(h, q, stride, queries);
  fetch(h, gradient, stride, gradients);
  fetch(h, out, stride, rows);
  for (int first = 0; first < h.rows; first += SIDE) {
    score(h, queries, shared.keys_turned, first, scores);
    score(h, gradients, shared.values_turned, first, back);
    for (int r = 0; r < SIDE; r++) {
      size_t row = first + r;
      along[r] = dot(gradients + row * h.columns, rows + row * h.columns, h.columns);
      slope(h, scores + (size_t)r * h.rows, back + (size_t)r * h.rows, row, row < (size_t)h.tokens ? log_sums[row] : 0,
            along[r], weights + row * h.rows, slopes + row * h.rows);
    }
    for (int c = 0; c < h.columns; c += SIDE) {
      multiply(plain(slopes + (size_t)first * h.rows, h.rows), shared.keys + (size_t)c / 16 * TILE,
               (size_t)h.columns / 16 * TILE, first / 32 + 1, square, SIDE);
      leave(h, square, SIDE, nullptr, first, c, query_gradient, stride);
    }
  }
  pack(gradients, h.columns, h.rows, h.columns, packed);
  collect(h, weights, packed, columns, shared.value_gradient);
  pack(queries, h.columns, h.rows, h.columns, packed);
  collect(h, slopes, packed, columns, shared.key_gradient);
}

extern "C" void attend_backward(const Shape *s, const half *gradient, const half *q, const half *k, const half *v,
                                const half *out, const float *log_sums, half *query_gradient, half *key_gradient,
                                half *value_gradient) {
  Head h(s);
  int share = s->heads / s->key_heads;
  size_t square = (size_t)h.rows * h.rows, strip = (size_t)SIDE * h.rows;
  size_t need = (8 * h.size() + 2 * square + strip) * sizeof(half) + (2 * h.size() + 2 * strip) * sizeof(float) + 4096;
#pragma omp parallel
  {
    static thread_local Room room;
    open_tiles();
#pragma omp for schedule(static)
    for (int item = 0; item < s->texts * s->key_heads; item++) {
      int text = item / s->key_heads, group = item % s->key_heads;
      size_t stride = (size_t)s->heads * s->width, key_stride = (size_t)s->key_heads * s->width;
      room.begin(need);
      half *rows = room.take<half>(h.size());
      Shared shared = {room.take<half>(h.size()), room.take<half>(h.size()), room.take<half>(h.size()),
                       room.take<float>(h.size()), room.take<float>(h.size())};
      fetch(h, at(k, s, s->key_heads, text, group), key_stride, rows);
      pack(rows, h.columns, h.rows, h.columns, shared.keys);
      pack_turned(rows, h.columns, h.rows, h.columns, shared.keys_turned);
      fetch(h, at(v, s, s->key_heads, text, group), key_stride, rows);
      pack_turned(rows, h.columns, h.rows, h.columns, shared.values_turned);
      memset(shared.key_gradient, 0, h.size() * sizeof(float));
      memset(shared.value_gradient, 0, h.size() * sizeof(float));
      char *here = room.next;
      for (int head = group * share; head < (group + 1) * share; head++, room.next = here)
        attend_head_backward(h, at(gradient, s, s->heads, text, head), at(q, s, s->heads, text, head),
                             at(out, s, s->heads, text, head),
                             log_sums + ((size_t)text * s->heads + head) * s->tokens, stride, shared,
                             at(query_gradient, s, s->heads, text, head), room);
      half *key_to = at(key_gradient, s, s->key_heads, text, group);
      half *value_to = at(value_gradient, s, s->key_heads, text, group);
      for (int first = 0; first < h.tokens; first += SIDE)
        for (int c = 0; c < h.columns; c += SIDE) {
          size_t from = (size_t)first * h.columns + c;
          leave(h, shared.key_gradient + from, h.columns, nullptr, first, c, key_to, key_stride);
          leave(h, shared.value_gradient + from, h.columns, nullptr, first, c, value_to, key_stride);
        }
    }
    close_tiles();
  }
}
