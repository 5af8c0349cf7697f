/* A training step in float32 for processors that multiply in nothing smaller: AVX2, AVX-512, NEON. */

#include "block.h"
#include "head.h"
#include "muon.h"

extern "C" {

/* Whether this is such a processor. */
int prepare() {
#if (defined(__AVX2__) && defined(__FMA__)) || defined(__aarch64__)
  return 1;
#else
  return 0;
#endif
}

int64_t saved_size(const BlockShape *b) {
  const Layout l(*b);
  return (int64_t)Saved::size(*b, l);
}

void forward_block(const BlockShape *b, const BlockWeights *w, const BlockContext *c, const float *x, float *y,
                   float *saved) {
  block_forward(*b, *w, *c, x, y, saved);
}

void backward_block(const BlockShape *b, const BlockWeights *w, const BlockContext *c, const float *x,
                    const float *saved, const float *dy, float *dx, const BlockWeights *gradients) {
  block_backward(*b, *w, *c, x, saved, dy, dx, *gradients);
}

double loss_of_head(const HeadShape *b, const float *x, const float *norm, const float *weight, const int64_t *targets,
                    float share, float *of_x, float *of_norm, float *of_weight) {
  return head_loss(*b, x, norm, weight, targets, share, of_x, of_norm, of_weight);
}

void gradient_of_embedding(const int64_t *ids, const float *gradient, int rows, int vocab_size, int width, int threads,
                           float *of_weight) {
  embedding_gradient(ids, gradient, rows, vocab_size, width, threads, of_weight);
}

void muon_step(const Matrix *matrices, int count, const Rates *rates, int threads) {
  step_of_muon(matrices, count, *rates, threads);
}
}
