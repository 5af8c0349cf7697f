// Arrays as the server sends them: base64 of little-endian numbers.
import type { Schemas } from "./api.ts";

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  return bytes;
}

/** One number of 16 bits (IEEE 754 binary16). */
export function halfOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}

function viewOf({ dtype, shape, data }: Schemas["Numbers"]): { view: DataView; size: number } {
  const bytes = bytesOf(data);
  const size = shape.reduce((all, one) => all * one, 1);
  const width = dtype === "float16" ? 2 : 4;
  if (bytes.length !== size * width)
    throw new RangeError(`${bytes.length} bytes are no ${dtype} array of shape ${shape.join(" by ")}`);
  return { view: new DataView(bytes.buffer), size };
}

export function floats(numbers: Schemas["Numbers"]): Float32Array {
  const { view, size } = viewOf(numbers);
  const values = new Float32Array(size);
  for (let n = 0; n < size; n++)
    values[n] =
      numbers.dtype === "float16" ? halfOf(view.getUint16(2 * n, true))
      : numbers.dtype === "float32" ? view.getFloat32(4 * n, true)
      : view.getInt32(4 * n, true);
  return values;
}

export function integers(numbers: Schemas["Numbers"]): Int32Array {
  if (numbers.dtype !== "int32") throw new TypeError(`${numbers.dtype} where int32 was expected`);
  const { view, size } = viewOf(numbers);
  return Int32Array.from({ length: size }, (_, n) => view.getInt32(4 * n, true));
}
