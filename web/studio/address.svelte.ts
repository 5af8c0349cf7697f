// The address of the page as state: reading follows it, writing changes it.
import { address, parsed, type Query } from "./route.ts";

let route = $state.raw(parsed(location.hash));
addEventListener("hashchange", () => (route = parsed(location.hash)));

export const here = {
  get route() {
    return route;
  },
  /** After the address was changed behind the browser's back. */
  reread(): void {
    route = parsed(location.hash);
  },
  /** Goes to an address: one step more for the browser's Back. */
  go(hash: string): void {
    location.hash = hash;
  },
  /** Notes settings of the page in its address, without a step for Back. "" takes one out. */
  note(change: Query): void {
    route = { ...route, query: { ...route.query, ...change } };
    history.replaceState(history.state, "", address(route));
  },
};
