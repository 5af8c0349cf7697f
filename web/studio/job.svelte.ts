// A job that was asked for: its latest state, and the answer before it, which stays on the screen meanwhile.
import { get, post, wordsOf, type Schemas } from "./api.ts";
import { folder } from "./folder.svelte.ts";

type Job = Schemas["StudioJob"];

/** Asks for a job, and for another one when something changed: then the one before is cancelled. */
export class Asked {
  private id = $state<string | null>(null);
  private failure = $state("");
  private serial = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  waiting = $state(false); // before the request is sent, or answered

  get job(): Job | null {
    return folder.job(this.id);
  }
  get busy(): boolean {
    const job = this.job;
    return this.waiting || (job !== null && (job.state === "waiting" || job.state === "running"));
  }
  get problem(): string {
    const job = this.job;
    if (this.failure) return this.failure;
    return !this.waiting && job?.state === "failed" ? (job.problem ?? "It failed, without a reason.") : "";
  }

  /** delay: milliseconds of quiet before it is sent. */
  ask(send: () => Promise<Job>, delay = 0): void {
    const own = ++this.serial;
    clearTimeout(this.timer);
    this.waiting = true;
    this.failure = "";
    this.timer = setTimeout(async () => {
      await this.cancel();
      if (own !== this.serial) return;
      try {
        const job = await send();
        folder.learn(job);
        if (own === this.serial) this.id = job.job;
        else post("/api/act/cancel", { job: job.job }).catch(() => {}); // somebody asked anew: whether it is gone is all the same
      } catch (error) {
        if (own === this.serial) this.failure = wordsOf(error);
      }
      if (own === this.serial) this.waiting = false;
    }, delay);
  }

  /** Takes up a job that was asked for before the page was reloaded. */
  async take(id: string): Promise<void> {
    this.id = id;
    if (folder.job(id)) return;
    try {
      folder.learn(await get("/api/job", { job: id }));
    } catch {
      this.id = null; // the studio was started anew since then
    }
  }

  async cancel(): Promise<void> {
    const job = this.job;
    if (!job || (job.state !== "waiting" && job.state !== "running")) return;
    await post("/api/act/cancel", { job: job.job }).catch(() => {}); // it may have ended meanwhile
  }

  drop(): void {
    this.serial++;
    clearTimeout(this.timer);
    this.waiting = false;
    this.cancel();
    this.id = null;
    this.failure = "";
  }
}
