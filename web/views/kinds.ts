// Kinds of tokens, with a shape beside the colour, so that nothing depends on colours alone.

const VOWEL = /^[aeiouyäöüáéíóúàèìòùâêîôûåæøœаеёиоуыэюяαεηιουω]$/;

export const KINDS: readonly (readonly [name: string, mark: string, belongs: (token: string) => boolean])[] = [
  ["vowels", "●", (c) => VOWEL.test(c)],
  ["small letters", "○", (c) => /^\p{Ll}$/u.test(c)],
  ["capital letters", "▲", (c) => /^\p{Lu}$/u.test(c)],
  ["other letters", "◆", (c) => /^\p{L}$/u.test(c)],
  ["everything else", "+", () => true],
];

export const kindOf = (token: string): number => KINDS.findIndex(([, , belongs]) => belongs(token));
