// The pieces of a text as they are shown, kept up to date by what the worker sends of them.
import type { Cell } from "../views/types.ts";
import type { Update } from "./runtime.ts";

export function updated(cells: Cell[], { from, cells: now, rest }: Extract<Update, { type: "cells" }>): Cell[] {
  return [...cells.slice(0, from), ...now, ...(rest ? cells.slice(from + now.length) : [])];
}
