// Base64 to bytes, without a fetch, in parts that no browser finds too long.

const PART = 2 ** 20; // characters, a multiple of 4

export function bytesOf(text: string): Uint8Array {
  const native = Uint8Array as typeof Uint8Array & { fromBase64?: (text: string) => Uint8Array };
  if (native.fromBase64) return native.fromBase64(text);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  let at = 0;
  for (let start = 0; start < text.length; start += PART) {
    const part = atob(text.slice(start, start + PART));
    for (let i = 0; i < part.length; i++) bytes[at++] = part.charCodeAt(i);
  }
  return bytes;
}
