// How tokens and numbers are written on the screen.

const SIGNS: Record<string, string> = { "\n": "↵", " ": "␣", "\t": "⇥", "\r": "␍", "": "∅" };

/** A token that can be seen: spaces and line ends have signs, where they stand alone or at its edges. */
export function visible(token: string): string {
  if (token in SIGNS) return SIGNS[token]!;
  return token.replace(/[\n\t\r]/g, (c) => SIGNS[c]!).replace(/^ | $/g, "␣");
}

export function percent(share: number): string {
  if (share >= 0.9995) return "100%";
  if (share >= 0.0995) return `${(100 * share).toFixed(0)}%`;
  if (share >= 0.00095) return `${(100 * share).toFixed(1)}%`;
  return share > 0 ? "<0.1%" : "0";
}

export const count = (n: number): string => n.toLocaleString("en");

const BITS = 9; // what is as surprising is shown in the strongest shade: a chance of one in 500

/** A shade from 0 to 8 for so many bits of surprise. */
export const shadeOfBits = (bits: number): number =>
  Number.isNaN(bits) ? 0 : Math.min(8, Math.floor((Math.max(0, bits - 0.5) / BITS) * 9));

/** The same for a share of attention: its root, so that differences among many small ones can be seen. */
export const shadeOfShare = (share: number, most: number): number =>
  most > 0 ? Math.min(8, Math.floor(Math.sqrt(share / most) * 8.99)) : 0;
