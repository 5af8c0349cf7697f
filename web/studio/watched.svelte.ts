// A run that is watched: its files as they grow, and what it is doing.
import { get, openEvents, wordsOf, type Schemas } from "./api.ts";
import { folder } from "./folder.svelte.ts";
import { RunLog } from "./run_log.ts";
import { follow } from "./sse.ts";

const REDRAW = 300; // milliseconds: more often, nobody sees

export class Watched {
  private log = new RunLog();
  private drawn = $state(0);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stop: () => void;
  summary = $state.raw<Schemas["RunSummary"] | null>(null);
  details = $state.raw<Schemas["RunDetails"] | null>(null);
  problem = $state("");
  gone = $state(false);

  constructor(readonly run: string) {
    this.summary = folder.run(run);
    this.stop = follow({
      open: openEvents("/api/run/events", { run }),
      receive: ({ event, data }) => this.receive(event, JSON.parse(data) as Schemas["RunEvent"]),
      failed: (error) => (this.problem = wordsOf(error)),
    });
    this.describe();
  }

  private receive(event: string, { lines, summary }: Schemas["RunEvent"]): void {
    if (event === "gone") this.gone = true;
    if (lines) {
      this.gone = false;
      this.log.take(lines);
      this.timer ??= setTimeout(() => {
        this.timer = undefined;
        this.drawn++;
      }, REDRAW);
    }
    if (summary) {
      const before = this.summary;
      this.summary = summary;
      // The plan changes with the end that moves, the model card when it is finished.
      if (!this.details || before?.state !== summary.state || before?.steps !== summary.steps) this.describe();
    }
  }

  private asking = false;
  private async describe(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      this.details = await get("/api/run", { run: this.run });
      this.summary ??= this.details.summary;
      this.problem = "";
    } catch (error) {
      this.problem = wordsOf(error);
    }
    this.asking = false;
  }

  get losses() {
    this.drawn;
    return [...this.log.losses.points];
  }
  get metrics() {
    this.drawn;
    return this.log.metrics;
  }
  get samples() {
    this.drawn;
    return this.log.samples;
  }
  get notes() {
    this.drawn;
    return [...this.log.notes];
  }
  get final() {
    this.drawn;
    return this.log.final;
  }

  close(): void {
    clearTimeout(this.timer);
    this.stop();
  }
}
