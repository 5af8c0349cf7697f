/* What a layer does beside its products, and the gradient of its weights. */

/* The last rows of x (…, columns), filled up with zeros to `rows`, a multiple of 32; all where nothing is missing. */
static const half *filled_up(const half *x, int there, int rows, int columns, half *to) {
  if (there == rows) return x;
  memcpy(to, x, (size_t)there * columns * sizeof(half));
  memset(to + (size_t)there * columns, 0, (size_t)(rows - there) * columns * sizeof(half));
  return to;
}

constexpr int STRETCH = 256; /* tokens whose numbers stay in the cache together */

/* sums (outputs, inputs) = y' x, or is increased by it, over a stretch of tokens. */
static void add_stretch(const half *x, const half *y, int tokens, int inputs, int outputs, bool first, float *sums,
                        Room &room) {
  int rows = up_to(tokens, 32);
  room.begin(((size_t)STRETCH * (2 * inputs + outputs + SIDE)) * sizeof(half) + 4096);
  half *right = room.take<half>((size_t)rows * inputs), *left = room.take<half>((size_t)rows * SIDE);
  x = filled_up(x, tokens, rows, inputs, room.take<half>((size_t)rows * inputs));
  y = filled_up(y, tokens, rows, outputs, room.take<half>((size_t)rows * outputs));
  pack(x, inputs, rows, inputs, right);
  for (int o = 0; o < outputs; o += SIDE) {
    turn_columns(y + o, outputs, rows, left);
    for (int i = 0; i < inputs; i += SIDE) {
      const half *column = right + (size_t)i / 16 * TILE;
      float *to = sums + (size_t)o * inputs + i;
      if (first) multiply(turned(left), column, (size_t)inputs / 16 * TILE, rows / 32, to, inputs);
      else multiply_add(turned(left), column, (size_t)inputs / 16 * TILE, rows / 32, to, inputs);
    }
  }
}

/* gradient (outputs, inputs), float32 = y' x, for x (tokens, inputs) and y (tokens, outputs), bfloat16;
   inputs and outputs are multiples of 32. Each thread adds up its share of the tokens. */
extern "C" void weight_gradient(const half *x, const half *y, float *gradient, int tokens, int inputs, int outputs) {
  static thread_local Room sums;
  size_t size = (size_t)outputs * inputs;
  sums.begin((omp_get_max_threads() - 1) * size * sizeof(float) + 64);
  float *others = (float *)sums.start;
#pragma omp parallel
  {
    static thread_local Room room;
    int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    float *mine = thread ? others + (thread - 1) * size : gradient;
    int stretches = (tokens + STRETCH - 1) / STRETCH;
    int first = stretches * thread / threads, last = stretches * (thread + 1) / threads;
    if (first == last) memset(mine, 0, size * sizeof(float));
    open_tiles();
    for (int s = first; s < last; s++) {
      size_t t = (size_t)s * STRETCH;
      int here = tokens - t < STRETCH ? tokens - t : STRETCH;
      add_stretch(x + t * inputs, y + t * outputs, here, inputs, outputs, s == first, mine, room);
    }
    close_tiles();
#pragma omp barrier
#pragma omp for schedule(static)
    for (size_t i = 0; i < size; i++)
      for (int other = 0; other < threads - 1; other++) gradient[i] += others[other * size + i];
  }
}

/* 1 / (1 + e^-x) */
static inline __m512 sigmoid(__m512 x) {
  __m512 e = exponential(_mm512_sub_ps(_mm512_setzero_ps(), x));
  return _mm512_rcp14_ps(_mm512_add_ps(e, _mm512_set1_ps(1)));
}

/* out = gate * sigmoid(gate) * up */
extern "C" void swiglu(const half *gate, const half *up, half *out, int64_t n) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 here = up_to_and_with(n - 1, i);
    __m512 g = load_some(gate + i, here), u = load_some(up + i, here);
    store_some(out + i, here, _mm512_mul_ps(_mm512_mul_ps(g, sigmoid(g)), u));
  }
}

extern "C" void swiglu_backward(const half *gradient, const half *gate, const half *up, half *gate_gradient,
                                half *up_gradient, int64_t n) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 here = up_to_and_with(n - 1, i);
    __m512 y = load_some(gradient + i, here), g = load_some(gate + i, here), u = load_some(up + i, here);
    __m512 s = sigmoid(g), bent = _mm512_mul_ps(g, s);
    /* s + g s (1 - s) = s + bent - bent s */
    __m512 slope = _mm512_fnmadd_ps(bent, s, _mm512_add_ps(s, bent));
    store_some(gate_gradient + i, here, _mm512_mul_ps(_mm512_mul_ps(y, u), slope));
    store_some(up_gradient + i, here, _mm512_mul_ps(y, bent));
  }
}

/* gradient (vocabulary, width) = the sums of y's rows over the tokens with one id. */
extern "C" void embedding_gradient(const int64_t *ids, const float *y, float *gradient, int64_t tokens,
                                   int64_t vocabulary, int64_t width) {
#pragma omp parallel
  {
    int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    int64_t first = width * thread / threads, last = width * (thread + 1) / threads;
    for (int64_t v = 0; v < vocabulary; v++) memset(gradient + v * width + first, 0, (last - first) * sizeof(float));
    for (int64_t t = 0; t < tokens; t++) {
      float *to = gradient + ids[t] * width;
      const float *from = y + t * width;
      for (int64_t c = first; c < last; c++) to[c] += from[c];
    }
  }
}
