/* What `muon_step.py` hands to the step of Muon of either library: the matrices, and what is the same for all. */

#pragma once

#include <cstdint>

struct Matrix {
  float *weight;
  const float *gradient;
  float *momentum;
  int32_t rows, columns;
  int32_t walks; /* whether it takes this step; its momentum is brought up to date in any case */
};

struct Quintic {
  float a, b, c;
};

struct Rates {
  float momentum, step, kept; /* kept: what weight decay leaves of a weight */
  float leeway;
  int32_t iterations;
  Quintic quintics[8]; /* one for each iteration */
};
