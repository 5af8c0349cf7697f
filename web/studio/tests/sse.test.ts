import { describe, expect, test } from "vitest";
import { EventParser } from "../sse.ts";

const STREAM = "id: 7\nevent: lines\ndata: {\"a\":\ndata: 1}\n\n: nobody reads this\n\ndata: é漢\r\n\r\nevent: gone\ndata\n\n";
const EVENTS = [
  { id: "7", event: "lines", data: '{"a":\n1}' },
  { id: "7", event: "message", data: "é漢" },
  { id: "7", event: "gone", data: "" },
];

describe("server-sent events", () => {
  test("are cut from the stream", () => expect(new EventParser().feed(STREAM)).toEqual(EVENTS));

  test("are the same wherever the stream is divided", () => {
    for (let at = 0; at <= STREAM.length; at++) {
      const parser = new EventParser();
      expect([...parser.feed(STREAM.slice(0, at)), ...parser.feed(STREAM.slice(at))]).toEqual(EVENTS);
    }
  });

  test("are not given out before they are whole", () => {
    const parser = new EventParser();
    expect(parser.feed("id: 1\ndata: half")).toEqual([]);
    expect(parser.feed("\n")).toEqual([]);
    expect(parser.feed("\n")).toEqual([{ id: "1", event: "message", data: "half" }]);
  });

  test("keep the id from before the connection was lost until another one comes", () => {
    const parser = new EventParser("120");
    expect(parser.feed("data: a\n\nid: 140\ndata: b\n\n").map(({ id }) => id)).toEqual(["120", "140"]);
  });
});
