// What the studio's folder has, kept up to date by its events: the runs, and what was started here.
import { Failure, get, openEvents, post, wordsOf, type Schemas } from "./api.ts";
import { follow } from "./sse.ts";

let studio = $state.raw<Schemas["Studio"] | null>(null);
let runs = $state.raw<readonly Schemas["RunSummary"][] | null>(null);
let jobs = $state.raw<ReadonlyMap<string, Schemas["StudioJob"]>>(new Map());
let notes = $state.raw<readonly string[]>([]);
let problem = $state("");
let away = $state(false);
let locked = $state(false);

export const folder = {
  get studio() { return studio; },
  /** null: not known yet. */
  get runs() { return runs; },
  get notes() { return notes; },
  get problem() { return problem; },
  /** The server does not answer. */
  get away() { return away; },
  /** This browser has no session. */
  get locked() { return locked; },
  get training() { return runs?.some(({ state }) => state === "training") ?? false; },
  run: (id: string) => runs?.find(({ run }) => run === id) ?? null,
  job: (id: string | null) => (id === null ? null : (jobs.get(id) ?? null)),
  get jobs() { return jobs; },
  /** What an answer says of a job, before its event has come. */
  learn(job: Schemas["StudioJob"]): void {
    const known = jobs.get(job.job);
    if (!known || known.ended === null) jobs = new Map(jobs).set(job.job, job);
  },
};

function receive({ event, data }: { event: string; data: string }): void {
  const news = JSON.parse(data) as Schemas["StudioEvent"];
  if (event === "runs" && news.runs) runs = news.runs;
  if (event === "job" && news.job) jobs = new Map(jobs).set(news.job.job, news.job);
}

/** Exchanges the token of the address, if there is one, and begins to follow. */
export async function open(token: string | null): Promise<void> {
  try {
    if (token) await post("/api/session", { token });
    studio = await get("/api/studio");
    const [list, started] = await Promise.all([get("/api/runs"), get("/api/jobs")]);
    runs = list.runs;
    notes = list.notes;
    jobs = new Map(started.jobs.map((job) => [job.job, job]));
    away = false;
  } catch (error) {
    if (error instanceof Failure && (error.status === 401 || error.status === 403)) {
      locked = true;
      problem = error.message;
      return;
    }
    if (error instanceof Failure && error.status === 0) {
      away = true;
      setTimeout(() => open(token), 2000);
      return;
    }
    problem = wordsOf(error);
    return;
  }
  follow({
    open: openEvents("/api/events", {}),
    receive,
    lost: (lost) => (away = lost),
    failed: (error) => {
      locked = error instanceof Failure && error.status === 401;
      problem = wordsOf(error);
    },
  });
}
