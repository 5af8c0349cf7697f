/* Products of bfloat16 matrices on the processor's matrix units (Intel AMX), for numbers that are close by. */

#include <sys/syscall.h>
#include <unistd.h>

/* Asks the system for the matrix units. 0: they cannot be had. */
extern "C" int prepare() {
  const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

struct Tiles {
  uint8_t palette, start, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
};

/* Before a thread's first product, … */
static void open_tiles() {
  Tiles tiles = {};
  tiles.palette = 1;
  for (int t = 0; t < 8; t++) tiles.bytes[t] = 64, tiles.rows[t] = 16;
  _tile_loadconfig(&tiles);
}

/* … and after its last. */
static void close_tiles() { _tile_release(); }

/* The sums of two by two tiles: left (32, 32 steps) times two columns of tiles, `step` numbers apart. */
static inline void add_up(Left left, const half *right, size_t step, int steps) {
  for (int s = 0; s < steps; s++) {
    const half *a = left.rows + s * left.step, *b = right + s * step;
    _tile_loadd(4, a, left.stride * sizeof(half));
    _tile_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + TILE, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + 16 * left.stride, left.stride * sizeof(half));
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

static inline void leave_sums(float *to, size_t stride) {
  _tile_stored(0, to, stride * sizeof(float));
  _tile_stored(1, to + 16, stride * sizeof(float));
  _tile_stored(2, to + 16 * stride, stride * sizeof(float));
  _tile_stored(3, to + 16 * stride + 16, stride * sizeof(float));
}

/* to (32, 32) = left times right */
static inline void multiply(Left left, const half *right, size_t step, int steps, float *to, size_t stride) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  add_up(left, right, step, steps);
  leave_sums(to, stride);
}

/* to (32, 32) += left times right */
static inline void multiply_add(Left left, const half *right, size_t step, int steps, float *to, size_t stride) {
  _tile_loadd(0, to, stride * sizeof(float));
  _tile_loadd(1, to + 16, stride * sizeof(float));
  _tile_loadd(2, to + 16 * stride, stride * sizeof(float));
  _tile_loadd(3, to + 16 * stride + 16, stride * sizeof(float));
  add_up(left, right, step, steps);
  leave_sums(to, stride);
}
