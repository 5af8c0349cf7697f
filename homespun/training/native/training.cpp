/* What a training step computes on a processor with matrix units for bfloat16 (Intel AMX), where that is quicker
   than PyTorch's own way: attention, weight gradients, SwiGLU, the gradient of an embedding, and Muon.
   On any other processor this is an empty library, and PyTorch does it all. */

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__) && \
    defined(__linux__)

#include <sys/syscall.h>
#include <unistd.h>

#include "tiles.h"

#include "attention.h"
#include "layers.h"
#include "muon.h"

/* Asks the system for the matrix units. 0: they cannot be had. */
extern "C" int prepare() {
  const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

#else

extern "C" int prepare() { return 0; }

#endif
