// How quantities are written on the screen.

/** 217792 -> "218 thousand"; 1354000 -> "1.35 million". */
export function many(n: number): string {
  if (n < 10_000) return Math.round(n).toLocaleString("en");
  const [size, name] = n < 999_500 ? [1e3, "thousand"] : n < 999_500_000 ? [1e6, "million"] : [1e9, "billion"];
  return `${significant(n / size)} ${name}`;
}

const significant = (n: number): string => (n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : n.toFixed(0));

/** Seconds -> "8 s", "2 min 5 s", "1 h 20 min", "2 days 3 h". */
export function duration(seconds: number): string {
  const all = Math.max(0, Math.round(seconds));
  if (all < 60) return `${all} s`;
  const minutes = all < 600 ? Math.floor(all / 60) : Math.round(all / 60);
  if (minutes < 60) return all < 600 && all % 60 ? `${minutes} min ${all % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return `${days} ${days === 1 ? "day" : "days"}${hours % 24 ? ` ${hours % 24} h` : ""}`;
}

/** Bytes -> "729 MB", in powers of ten, as the command line writes them. */
export function bytes(n: number): string {
  if (n < 1000) return `${n} bytes`;
  const [size, name] = n < 999_500 ? [1e3, "kB"] : n < 999_500_000 ? [1e6, "MB"] : [1e9, "GB"];
  const share = n / size;
  return `${share < 10 ? share.toFixed(1) : share.toFixed(0)} ${name}`;
}

/** When something happened, as seen from now (seconds since 1970): "just now", "5 minutes ago", a date. */
export function ago(then: number, now = Date.now() / 1000): string {
  const seconds = now - then;
  if (seconds < 60) return "just now";
  const one = (n: number, name: string) => `${n} ${name}${n === 1 ? "" : "s"} ago`;
  if (seconds < 3600) return one(Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return one(Math.floor(seconds / 3600), "hour");
  if (seconds < 7 * 86_400) return one(Math.floor(seconds / 86_400), "day");
  return new Date(then * 1000).toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric" });
}

export const plural = (n: number, one: string, more = `${one}s`): string =>
  `${n.toLocaleString("en")} ${n === 1 ? one : more}`;

/** Nats per token -> bits per token. */
export const bitsOf = (nats: number): number => nats / Math.LN2;
