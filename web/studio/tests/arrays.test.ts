import { describe, expect, test } from "vitest";
import { floats, halfOf, integers } from "../numbers.ts";
import { ChatCells } from "../talk.ts";
import { Streamed } from "../stream_cells.ts";
import { weighed } from "../weigh.ts";

const base64 = (bytes: ArrayLike<number>) => btoa(String.fromCharCode(...Array.from(bytes)));

describe("arrays of the server", () => {
  test("numbers of 16 bits", () => {
    // 1, -2, 65504, the smallest, 0.333…, NaN; IEEE 754 binary16
    expect([0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555].map(halfOf)).toEqual([1, -2, 65504, 2 ** -24, 0.333251953125]);
    expect(halfOf(0x7e00)).toBeNaN();
    expect(halfOf(0xfc00)).toBe(-Infinity);
  });

  test("are little-endian", () => {
    expect([...floats({ dtype: "float16", shape: [2], data: base64([0x00, 0x3c, 0x00, 0xc0]) })]).toEqual([1, -2]);
    expect([...integers({ dtype: "int32", shape: [1, 1], data: base64([1, 2, 0, 0]) })]).toEqual([513]);
    const bytes = new Uint8Array(new Float32Array([0.5, -3]).buffer);
    expect([...floats({ dtype: "float32", shape: [2], data: base64(bytes) })]).toEqual([0.5, -3]);
  });

  test("one that is too short is refused", () => {
    expect(() => floats({ dtype: "float32", shape: [3], data: base64([0, 0, 0, 0]) })).toThrow("4 bytes are no float32 array of shape 3");
  });
});

const chunk = (text: string, logprobs: (number | null)[], text_offset: number[], finish_reason: string | null = null) => ({
  text, logprobs: { token_logprobs: logprobs, text_offset }, finish_reason,
});

describe("a text as it is written", () => {
  test("is in pieces, each with its surprise and its place", () => {
    const streamed = new Streamed(10);
    streamed.take(chunk("ab", [-Math.LN2, -2 * Math.LN2], [0, 1]));
    streamed.take(chunk("c", [-Math.LN2], [2], "stop"));
    expect(streamed.text).toBe("abc");
    expect(streamed.finish).toBe("stop");
    expect(streamed.cells.map(({ text, place, bits }) => [text, place, bits])).toEqual([["a", 10, 1], ["b", 11, 2], ["c", 12, 1]]);
  });

  test("tokens that are parts of one character are one piece", () => {
    const streamed = new Streamed(0);
    streamed.take(chunk("é!", [-Math.LN2, -Math.LN2, -Math.LN2], [0, 0, 1]));
    expect(streamed.cells.map(({ text, tokens, bits }) => [text, tokens, bits])).toEqual([["é", 2, 2], ["!", 1, 1]]);
    expect(streamed.tokens).toBe(3);
  });

  test("offsets count characters, also those that JavaScript counts twice", () => {
    const streamed = new Streamed(0);
    streamed.take(chunk("😀a", [-1, -1], [0, 1]));
    streamed.take(chunk("b😀", [-1, -1], [2, 3]));
    expect(streamed.cells.map(({ text }) => text)).toEqual(["😀", "a", "b", "😀"]);
  });

  test("an answer of a chat is cut into whole characters", () => {
    const cells = new ChatCells();
    cells.take([{ logprob: -Math.LN2, bytes: [0xc3] }, { logprob: -Math.LN2, bytes: [0xa9] }, { logprob: 0, bytes: [0x21] }]);
    expect(cells.cells.map(({ text, bits, tokens }) => [text, bits, tokens])).toEqual([["é", 2, 2], ["!", 0, 1]]);
  });
});

describe("the sliders", () => {
  const found = {
    place: 1, left: 3, entropy: 1,
    choices: [0, 1, 2].map((id) => ({ id, token: String(id), probability: 0, weighed: 0 })),
  };
  const logits = Float32Array.from([2, 1, 0].map((one) => one * Math.LN2));
  const usual = { temperature: 1, top_k: null, top_p: null, min_p: null, repetition_penalty: null };
  const shares = (change: object) => weighed(found, logits, { ...usual, ...change }).choices.map(({ weighed }) => weighed);

  test("weigh the same logits anew", () => {
    expect(shares({})[0]).toBeCloseTo(4 / 7);
    expect(shares({ temperature: 0.5 })[0]).toBeCloseTo(16 / 21);
    expect(shares({ temperature: 0 })).toEqual([1, 0, 0]);
    expect(shares({ top_k: 2 })[1]).toBeCloseTo(1 / 3);
  });

  test("say how many tokens are left", () => expect(weighed(found, logits, { ...usual, min_p: 0.4 }).left).toBe(2));
});
