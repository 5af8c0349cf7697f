// The weights in the page: a safetensors file, whose matrices are int8 with a scale for each row, or float16.
// https://huggingface.co/docs/safetensors: the header's length in 8 bytes, the header as JSON, the numbers.
import { bytesFor, Float32Matrix, Int8Matrix, type Matrix, Memory } from "./products.ts";

interface Entry {
  dtype: "F32" | "F16" | "I8";
  shape: number[];
  data_offsets: [number, number];
}

const SCALE = ".scale";

export class Weights {
  private readonly entries: Record<string, Entry>;
  private readonly numbers: number; // the byte where they begin

  constructor(private readonly file: Uint8Array) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    this.numbers = 8 + Number(view.getBigUint64(0, true));
    this.entries = JSON.parse(new TextDecoder().decode(file.subarray(8, this.numbers)));
    delete this.entries["__metadata__"];
  }

  has(name: string): boolean {
    return name in this.entries;
  }

  /** The bytes that all of them take in a Memory. */
  get bytes(): number {
    return Object.values(this.entries).reduce((sum, { dtype, shape: [rows = 1, columns] }) => {
      if (columns === undefined) return sum + bytesFor(rows, 4);
      return sum + (dtype === "I8" ? Int8Matrix : Float32Matrix).bytes(rows, columns);
    }, 0);
  }

  vector(memory: Memory, name: string): Float32Array {
    const values = this.floats(name);
    const vector = memory.float32(values.length);
    vector.set(values);
    return vector.subarray(0, values.length);
  }

  matrix(memory: Memory, name: string): Matrix {
    const { dtype, shape } = this.entry(name);
    const [rows, columns] = shape as [number, number];
    if (dtype !== "I8") return new Float32Matrix(memory, rows, columns, this.floats(name));
    const bytes = this.slice(name);
    const values = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    return new Int8Matrix(memory, rows, columns, values, this.floats(name + SCALE));
  }

  private entry(name: string): Entry {
    const entry = this.entries[name];
    if (!entry) throw new Error(`the page has no weights ${name}`);
    return entry;
  }

  private slice(name: string): Uint8Array {
    const [from, to] = this.entry(name).data_offsets;
    return this.file.subarray(this.numbers + from, this.numbers + to);
  }

  private floats(name: string): Float32Array {
    const bytes = this.slice(name).slice(); // aligned
    if (this.entry(name).dtype === "F32") return new Float32Array(bytes.buffer);
    return Float32Array.from(new Uint16Array(bytes.buffer), float16);
  }
}

/** The number that 16 bits stand for: a sign, 5 bits of exponent, 10 of fraction (IEEE 754). */
export function float16(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}
