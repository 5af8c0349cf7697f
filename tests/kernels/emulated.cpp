/* One block, forward and backward, for a processor that is emulated: shape and numbers come on standard input, and
   the results go to standard output. See test_float32_on_arm.py. */

#include <cstdio>
#include <vector>

#include "../../homespun/kernels/float32/step.cpp"

static std::vector<float> numbers(size_t count) {
  std::vector<float> found(count);
  if (count && fread(found.data(), sizeof(float), count, stdin) != count) exit(1);
  return found;
}

static void write(const std::vector<float> &found) { fwrite(found.data(), sizeof(float), found.size(), stdout); }

int main() {
  BlockShape b;
  if (!prepare() || fread(&b, sizeof b, 1, stdin) != 1) return 1;
  const size_t C = b.width, D = b.head_width, Q = b.heads * D, K = b.key_heads * D, I = b.inner;
  const size_t sizes[] = {C, Q * C, K * C, K * C, C * Q, D, D, C, I * C, I * C, C * I}, rows = b.texts * b.tokens;
  std::vector<std::vector<float>> weights, gradients;
  for (size_t size : sizes) weights.push_back(numbers(size)), gradients.emplace_back(size);
  const std::vector<float> cosines = numbers(b.tokens * D / 2), sines = numbers(b.tokens * D / 2), x = numbers(rows * C),
                           dy = numbers(rows * C);
  std::vector<float> y(rows * C), dx(rows * C), saved(saved_size(&b));
  BlockWeights w, of_w;
  for (int i = 0; i < 11; i++) ((float **)&w)[i] = weights[i].data(), ((float **)&of_w)[i] = gradients[i].data();
  const BlockContext c = {cosines.data(), sines.data(), nullptr, nullptr, nullptr};
  forward_block(&b, &w, &c, x.data(), y.data(), saved.data());
  backward_block(&b, &w, &c, x.data(), saved.data(), dy.data(), dx.data(), &of_w);
  write(y);
  write(dx);
  for (const auto &gradient : gradients) write(gradient);
}
