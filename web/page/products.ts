// Matrix times vector: by the WebAssembly kernel where there is SIMD, else in plain JavaScript, with the same results.
import { plain } from "./plain.ts";

/** The functions of kernel.wat; all arguments but the numbers at the end are byte offsets. */
export interface Kernel {
  float32(out: number, w: number, x: number, rows: number, columns: number, stride: number): void;
  round(out: number, x: number, columns: number, largest: number): number;
  int8(out: number, w: number, scale: number, x: number, unit: number, rows: number, columns: number): void;
}

const ALIGNED = 64; // bytes, a cache line
const PAGE = 65536; // bytes, the unit of WebAssembly's memory

/** n, filled up to a multiple of `multiple`. */
export const filledUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

/** One memory for all weights, keys, values and activations, and the kernel that computes in it. */
export class Memory {
  readonly buffer: ArrayBufferLike;
  readonly kernel: Kernel;
  private used = ALIGNED;

  /** bytes: all that will ever be allocated; the system provides what is touched. wasm: the compiled kernel. */
  constructor(bytes: number, wasm: WebAssembly.Module | null) {
    if (wasm) {
      const memory = new WebAssembly.Memory({ initial: Math.ceil((bytes + ALIGNED) / PAGE) });
      this.buffer = memory.buffer;
      this.kernel = new WebAssembly.Instance(wasm, { page: { memory } }).exports as unknown as Kernel;
    } else {
      this.buffer = new ArrayBuffer(filledUp(bytes + ALIGNED, ALIGNED));
      this.kernel = plain(this.buffer);
    }
  }

  private allocate(bytes: number): number {
    const offset = this.used;
    this.used += filledUp(bytes, ALIGNED);
    return offset;
  }

  /** A vector of zeros, with room for what fills it up. */
  float32(length: number): Float32Array {
    return new Float32Array(this.buffer, this.allocate(4 * filledUp(length, 8)), filledUp(length, 8));
  }

  int8(length: number): Int8Array {
    return new Int8Array(this.buffer, this.allocate(length), length);
  }

  int16(length: number): Int16Array {
    return new Int16Array(this.buffer, this.allocate(2 * filledUp(length, 8)), filledUp(length, 8));
  }
}

/** The bytes that Memory takes for so many numbers of a size. */
export const bytesFor = (length: number, size: number): number => filledUp(filledUp(length, 8) * size, ALIGNED);

/** A matrix (rows, columns) of weights. Vectors that it is multiplied with are filled up with zeros. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** x (columns) -> out (rows) */
  times(x: Float32Array, out: Float32Array): void;
  /** One row -> out (columns): a table's entry. */
  row(index: number, out: Float32Array): void;
}

export class Float32Matrix implements Matrix {
  private readonly width: number;
  private readonly weights: Float32Array;

  constructor(
    private readonly memory: Memory,
    readonly rows: number,
    readonly columns: number,
    values: Float32Array,
  ) {
    this.width = filledUp(columns, 8);
    this.weights = memory.float32(filledUp(rows, 4) * this.width);
    for (let row = 0; row < rows; row++) {
      this.weights.set(values.subarray(row * columns, (row + 1) * columns), row * this.width);
    }
  }

  static bytes(rows: number, columns: number): number {
    return bytesFor(filledUp(rows, 4) * filledUp(columns, 8), 4);
  }

  times(x: Float32Array, out: Float32Array): void {
    const { weights, rows, width } = this;
    this.memory.kernel.float32(out.byteOffset, weights.byteOffset, x.byteOffset, rows, width, 4 * width);
  }

  row(index: number, out: Float32Array): void {
    out.set(this.weights.subarray(index * this.width, index * this.width + this.columns));
  }
}

/** Whole numbers from -127 to 127, and for each row what 1 stands for. */
export class Int8Matrix implements Matrix {
  private readonly width: number;
  private readonly weights: Int8Array;
  private readonly scales: Float32Array;
  private readonly rounded: Int16Array;
  private readonly largest: number;

  constructor(
    private readonly memory: Memory,
    readonly rows: number,
    readonly columns: number,
    values: Int8Array,
    scales: Float32Array,
  ) {
    this.width = filledUp(columns, 8);
    this.weights = memory.int8(filledUp(rows, 4) * this.width);
    this.scales = memory.float32(rows);
    this.rounded = memory.int16(columns);
    this.scales.set(scales);
    for (let row = 0; row < rows; row++) {
      this.weights.set(values.subarray(row * columns, (row + 1) * columns), row * this.width);
    }
    // The vector gets up to 16 bits: as many as leave the exact sum of a row within 32.
    this.largest = Math.min(32767, Math.floor((2 ** 31 - 1) / (127 * this.width)));
  }

  static bytes(rows: number, columns: number): number {
    const width = filledUp(columns, 8);
    return filledUp(filledUp(rows, 4) * width, ALIGNED) + bytesFor(rows, 4) + bytesFor(columns, 2);
  }

  times(x: Float32Array, out: Float32Array): void {
    const { weights, scales, rounded, rows, width } = this;
    const unit = this.memory.kernel.round(rounded.byteOffset, x.byteOffset, width, this.largest);
    this.memory.kernel.int8(
      out.byteOffset, weights.byteOffset, scales.byteOffset, rounded.byteOffset, unit, rows, width,
    );
  }

  row(index: number, out: Float32Array): void {
    const first = index * this.width;
    const unit = this.scales[index]!;
    for (let i = 0; i < this.columns; i++) out[i] = unit * this.weights[first + i]!;
  }
}
