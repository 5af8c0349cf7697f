// The random numbers that Python's engine draws, for the same seed: torch.rand on a CPU.
// The Mersenne twister MT19937 (Matsumoto and Nishimura 1998), of which a float32 takes 24 bits.

const [SIZE, MIDDLE] = [624, 397];

export class Random {
  private readonly state = new Uint32Array(SIZE);
  private next = SIZE;

  /** seed: a whole number; its lowest 32 bits count, as in torch. */
  constructor(seed: bigint) {
    const { state } = this;
    state[0] = Number(seed & 0xffffffffn);
    for (let i = 1; i < SIZE; i++) {
      const before = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = Math.imul(1812433253, before) + i;
    }
  }

  /** A number from 0 to below 1. */
  draw(): number {
    return (this.uint32() & 0xffffff) / 2 ** 24;
  }

  private uint32(): number {
    if (this.next === SIZE) this.refill();
    let y = this.state[this.next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private refill(): void {
    const { state } = this;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % SIZE]! & 0x7fffffff);
      state[i] = state[(i + MIDDLE) % SIZE]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}
