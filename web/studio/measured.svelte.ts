// A question about the model that takes seconds: its answer, and whether it waits for a training to end.
import { Failure, wordsOf } from "./api.ts";

export class Question<T> {
  answer = $state.raw<T | null>(null);
  problem = $state("");
  busy = $state(false);
  waits = $state(false); // a training has the computer, and nobody said "anyway"
  private serial = 0;

  /** Asks; what was asked before does not count any more. Returns what takes the question back. */
  ask(question: () => Promise<T>): () => void {
    const own = ++this.serial;
    this.busy = true;
    question().then(
      (answer) => {
        if (own === this.serial) [this.answer, this.problem, this.waits, this.busy] = [answer, "", false, false];
      },
      (error: unknown) => {
        if (own !== this.serial) return;
        this.waits = error instanceof Failure && error.code === "training";
        [this.problem, this.busy] = [wordsOf(error), false];
      },
    );
    return () => {
      if (own === this.serial) this.serial++;
    };
  }
}
