// The studio's server, with the types of its schema (schema.ts is generated: npm run schema).
import type { components, paths } from "./schema.ts";

export type Schemas = components["schemas"];
type With<M extends string> = { [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never }[keyof paths];
type Json<T> = T extends { content: { "application/json": infer J } } ? J : never;
type Answer<P extends keyof paths, M extends "get" | "post"> =
  paths[P][M] extends { responses: { 200: infer R } } ? Json<R> : never;
type QueryOf<P extends keyof paths, M extends "get" | "post"> =
  paths[P][M] extends { parameters: { query?: infer Q } } ? Q : undefined;
type Body<P extends keyof paths> = paths[P]["post"] extends { requestBody?: infer B } ? Json<NonNullable<B>> : never;

/** What the server says is wrong, and what to do next. status 0: it did not answer. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string | null = null,
    readonly param: string | null = null,
  ) {
    super(message);
  }
}

const AWAY = "The studio does not answer. Is `homespun studio` still running in its terminal? This page tries again by itself.";

function withQuery(path: string, query: unknown): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries((query ?? {}) as Record<string, unknown>))
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== undefined && one !== null) search.append(name, String(one));
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/** Any request. Raises Failure, also where the answer is an error. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Failure(AWAY, 0);
  }
  if (answer.ok) return answer;
  let problem: Schemas["ErrorBody"] | undefined;
  try {
    problem = ((await answer.json()) as Schemas["Problem"]).error;
  } catch {
    throw new Failure(`The studio answered with ${answer.status} ${answer.statusText}, without a reason.`, answer.status);
  }
  throw new Failure(problem.message, answer.status, problem.code, problem.param);
}

export async function get<P extends With<"get">>(path: P, query?: QueryOf<P, "get">, signal?: AbortSignal): Promise<Answer<P, "get">> {
  return (await request(withQuery(path, query), { signal: signal ?? null })).json();
}

const jsonOf = (body: unknown): RequestInit => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

export async function post<P extends With<"post">>(
  path: P, body: Body<P>, { query, signal }: { query?: QueryOf<P, "post">; signal?: AbortSignal } = {},
): Promise<Answer<P, "post">> {
  return (await request(withQuery(path, query), { ...jsonOf(body), signal: signal ?? null })).json();
}

/** A stream of events, from behind the one with this id. */
export const openEvents = (path: With<"get">, query: Record<string, string>) => (lastId: string, signal: AbortSignal) =>
  request(withQuery(path, query), {
    signal,
    headers: { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) },
  });

/** A POST to the models' own addresses, which are those of `homespun serve`. */
export const openAnswer = (path: string, body: unknown, signal: AbortSignal | null = null): Promise<Response> =>
  request(path, { ...jsonOf(body), signal });

/** A file into the cache, as a text. upload: add it to that upload. */
export async function upload(file: File, folder: string, upload: string | null): Promise<Schemas["Uploaded"]> {
  const path = withQuery("/api/act/upload", { name: file.name, folder: folder || undefined, upload });
  const init = { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file };
  return (await request(path, init)).json();
}

export const linkTo = (path: With<"get">, query: Record<string, string>): string => withQuery(path, query);

export const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
