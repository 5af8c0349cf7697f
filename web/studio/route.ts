// Where one is, as the address says it: #/, #/train?…, #/runs/ID/write?…. A reload or a second tab begins there.

export const PARTS = ["run", "write", "chat", "compare", "inside", "finetune", "export"] as const;
export type Part = (typeof PARTS)[number];

export type Route =
  | { page: "home"; query: Query }
  | { page: "train"; query: Query }
  | { page: "model"; id: string; part: Part | null; query: Query } // part null: the first that the model has
  | { page: "unknown"; query: Query };

export type Query = Readonly<Record<string, string>>;

const isPart = (name: string | undefined): name is Part => (PARTS as readonly (string | undefined)[]).includes(name);

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a % that somebody typed
  }
}

/** "#/runs/a%2Fb/write?at=3" -> the route. */
export function parsed(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const query = Object.fromEntries(new URLSearchParams(search));
  const names = path.split("/").filter(Boolean).map(decoded);
  if (names.length === 0) return { page: "home", query };
  if (names.length === 1 && names[0] === "train") return { page: "train", query };
  const [first, id, part] = names;
  if (first === "runs" && id && names.length <= 3 && (part === undefined || isPart(part)))
    return { page: "model", id, part: part ?? null, query };
  return { page: "unknown", query };
}

/** The route -> "#/runs/a%2Fb/write?at=3". Empty values are left out. */
export function address(route: Route): string {
  const search = new URLSearchParams(Object.entries(route.query).filter(([, value]) => value !== "")).toString();
  const path =
    route.page === "train" ? "train"
    : route.page === "model" ? `runs/${encodeURIComponent(route.id)}${route.part ? `/${route.part}` : ""}`
    : "";
  return `#/${path}${search ? `?${search}` : ""}`;
}

/** The address of a part of a run or a model. */
export const hrefOf = (id: string, part: Part | null = null, query: Query = {}): string =>
  address({ page: "model", id, part, query });
