/* What a training step computes on a processor that multiplies in bfloat16 (AVX512-BF16, or matrix units: Intel
   AMX), where that is quicker than PyTorch's own way: attention, weight gradients, SwiGLU, the gradient of an
   embedding, and Muon. On any other processor this is an empty library, and PyTorch does it all. */

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include "halves.h"

#if defined(__AMX_BF16__) && defined(__linux__)
#include "tiles.h"
#else
#include "dots.h"
#endif

#include "attention.h"
#include "layers.h"
#include "muon.h"

#else

extern "C" int prepare() { return 0; }

#endif
