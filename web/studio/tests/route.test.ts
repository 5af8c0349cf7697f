import { describe, expect, test } from "vitest";
import { address, hrefOf, parsed, type Route } from "../route.ts";

describe("the address of the page", () => {
  test.each<[string, Route]>([
    ["", { page: "home", query: {} }],
    ["#/", { page: "home", query: {} }],
    ["#/train?text=named%3Ashakespeare&minutes=5", { page: "train", query: { text: "named:shakespeare", minutes: "5" } }],
    ["#/runs/runs%2Fa%20b/write", { page: "model", id: "runs/a b", part: "write", query: {} }],
    ["#/runs/runs%2Fshakespeare", { page: "model", id: "runs/shakespeare", part: null, query: {} }],
    ["#/runs/x/elsewhere", { page: "unknown", query: {} }],
    ["#/nothing", { page: "unknown", query: {} }],
  ])("%s is read", (hash, route) => expect(parsed(hash)).toEqual(route));

  test("what is written is read again, whatever the names and values are", () => {
    const route: Route = { page: "model", id: "runs/ä?b#c%/d", part: "inside", query: { text: "a&b=c\n?", look: "heads" } };
    expect(parsed(address(route))).toEqual(route);
  });

  test("an empty setting is not in the address", () => {
    expect(hrefOf("runs/x", "run", { by: "", in: "nats" })).toBe("#/runs/runs%2Fx/run?in=nats");
  });

  test("a percent sign that somebody typed is no error", () => {
    expect(parsed("#/runs/100%")).toMatchObject({ page: "model", id: "100%" });
  });
});
