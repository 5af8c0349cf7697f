/* What stands between the matrix products: normalisation, rope, SwiGLU, each with its backward pass. */

#pragma once

#include "panels.h"

/* y = x / sqrt(mean(x²) + eps) * weight; returns the factor of x. */
static inline float rms_norm(const float *x, const float *weight, int n, float eps, float *y) {
  const float factor = 1 / sqrtf(dot(x, x, n) / n + eps);
  int i = 0;
  for (; i + WIDTH <= n; i += WIDTH) store(y + i, load(x + i) * factor * load(weight + i));
  for (; i < n; i++) y[i] = x[i] * factor * weight[i];
  return factor;
}

/* dx = the gradient of x, or is added to what is there; of_weight += that of the weight. */
static inline void rms_norm_backward(const float *dy, const float *x, const float *weight, int n, float eps, float *dx,
                                     bool add, float *of_weight) {
  const float factor = 1 / sqrtf(dot(x, x, n) / n + eps);
  floats sums = all(0);
  int i = 0;
  for (; i + WIDTH <= n; i += WIDTH) {
    const floats scaled = load(dy + i) * load(x + i);
    sums += scaled * load(weight + i);
    store(of_weight + i, load(of_weight + i) + scaled * factor);
  }
  float along = sum(sums);
  for (; i < n; i++) {
    along += dy[i] * x[i] * weight[i];
    of_weight[i] += dy[i] * x[i] * factor;
  }
  const float back = along * factor * factor * factor / n;
  for (i = 0; i + WIDTH <= n; i += WIDTH) {
    const floats found = load(dy + i) * load(weight + i) * factor - load(x + i) * back;
    store(dx + i, add ? load(dx + i) + found : found);
  }
  for (; i < n; i++) {
    const float found = dy[i] * weight[i] * factor - x[i] * back;
    dx[i] = add ? dx[i] + found : found;
  }
}

/* The pairs (x[i], x[i + half]) rotated by their angles, in place; with sign = -1 backwards. */
static inline void rotate(float *x, const float *cosines, const float *sines, int half, float sign) {
  int i = 0;
  for (; i + WIDTH <= half; i += WIDTH) {
    const floats a = load(x + i), b = load(x + half + i), c = load(cosines + i), s = load(sines + i) * sign;
    store(x + i, a * c - b * s);
    store(x + half + i, b * c + a * s);
  }
  for (; i < half; i++) {
    const float a = x[i], b = x[half + i], c = cosines[i], s = sines[i] * sign;
    x[i] = a * c - b * s;
    x[half + i] = b * c + a * s;
  }
}

static inline floats sigmoid(floats x) { return 1.0f / (1.0f + exponential(-x)); }

/* out = silu(gate) * up, for n numbers; n is filled up to whole vectors. */
static inline void swiglu(const float *gate, const float *up, float *out, int n) {
  for (int i = 0; i < n; i += WIDTH) {
    const floats g = load(gate + i);
    store(out + i, g * sigmoid(g) * load(up + i));
  }
}

/* The gradients of gate and up from that of the result, and the result once more. */
static inline void swiglu_backward(const float *gradient, const float *gate, const float *up, float *of_gate,
                                   float *of_up, float *out, int n) {
  for (int i = 0; i < n; i += WIDTH) {
    const floats d = load(gradient + i), g = load(gate + i), u = load(up + i), s = sigmoid(g), silu = g * s;
    store(out + i, silu * u);
    store(of_up + i, d * silu);
    store(of_gate + i, d * u * (s + silu * (1.0f - s)));
  }
}

/* to = from * by, where `by` is null for ones. */
static inline void copy_scaled(float *to, const float *from, const float *by, int n) {
  if (!by) {
    memcpy(to, from, n * sizeof(float));
    return;
  }
  for (int i = 0; i < n; i++) to[i] = from[i] * by[i];
}

/* to = base + from * by */
static inline void add_scaled(float *to, const float *base, const float *from, const float *by, int n) {
  if (by)
    for (int i = 0; i < n; i++) to[i] = base[i] + from[i] * by[i];
  else
    for (int i = 0; i < n; i++) to[i] = base[i] + from[i];
}
