// What kernel.wat computes, in plain JavaScript: for browsers without SIMD, and to hold the kernel to in tests.
import type { Kernel } from "./products.ts";

export function plain(buffer: ArrayBufferLike): Kernel {
  const floats = new Float32Array(buffer);
  const bytes = new Int8Array(buffer);
  const shorts = new Int16Array(buffer);
  return {
    float32(out, w, x, rows, columns, stride) {
      for (let row = 0; row < rows; row++) {
        const [first, from] = [(w + row * stride) >> 2, x >> 2];
        let sum = 0;
        for (let i = 0; i < columns; i++) sum += floats[first + i]! * floats[from + i]!;
        floats[(out >> 2) + row] = sum;
      }
    },
    round(out, x, columns, largest) {
      let high = 0;
      for (let i = 0; i < columns; i++) high = Math.max(high, Math.abs(floats[(x >> 2) + i]!));
      high = high || 1;
      for (let i = 0; i < columns; i++) {
        shorts[(out >> 1) + i] = Math.round((floats[(x >> 2) + i]! * largest) / high);
      }
      return high / largest;
    },
    int8(out, w, scale, x, unit, rows, columns) {
      for (let row = 0; row < rows; row++) {
        const [first, from] = [w + row * columns, x >> 1];
        let sum = 0;
        for (let i = 0; i < columns; i++) sum += bytes[first + i]! * shorts[from + i]!;
        floats[(out >> 2) + row] = unit * floats[(scale >> 2) + row]! * sum;
      }
    },
  };
}
