// A bounded series of measurements: when it is full, neighbours are averaged, so that it holds a run of any length.

export interface Sample {
  step: number;
  tokens: number;
  seconds: number;
  loss: number;
}

const WEIGHED = ["step", "tokens", "seconds", "loss"] as const;

export class Ring {
  private kept: (Sample & { weight: number })[] = [];
  private stride = 1; // how many measurements a point stands for
  constructor(private readonly most = 4096) {
    if (most < 2) throw new RangeError("a series needs room for two points");
  }

  /** The points, the oldest first. The last one may stand for fewer measurements than the others. */
  get points(): readonly Sample[] {
    return this.kept;
  }

  get length(): number {
    return this.kept.length;
  }

  /** A step that came before, or an earlier one, replaces what was known from there on: the run went back. */
  add(sample: Sample): void {
    while (this.kept.length && this.kept.at(-1)!.step >= sample.step) this.kept.pop();
    const last = this.kept.at(-1);
    if (last && last.weight < this.stride) {
      merge(last, { ...sample, weight: 1 });
      return;
    }
    this.kept.push({ ...sample, weight: 1 });
    if (this.kept.length > this.most) this.halve();
  }

  clear(): void {
    this.kept = [];
    this.stride = 1;
  }

  private halve(): void {
    const half: typeof this.kept = [];
    for (let n = 0; n < this.kept.length; n += 2) {
      const [one, two] = [this.kept[n]!, this.kept[n + 1]];
      if (two) merge(one, two);
      half.push(one);
    }
    this.kept = half;
    this.stride *= 2;
  }
}

/** Puts a second point into a first: the loss is averaged, the place is the later one. */
function merge(one: Sample & { weight: number }, two: Sample & { weight: number }): void {
  const all = one.weight + two.weight;
  one.loss = (one.loss * one.weight + two.loss * two.weight) / all;
  for (const name of WEIGHED) if (name !== "loss") one[name] = two[name];
  one.weight = all;
}
