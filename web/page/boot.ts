// The first code of the page: it unpacks the rest. What it runs is named by its hash in the page's security policy.

const text = async (id: string): Promise<string> => {
  const packed = document.getElementById(id)?.textContent;
  if (!packed) return "";
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
};

const boot = async (): Promise<void> => {
  const [page, ...sources] = await Promise.all(["page", "tokenizers", "jinja", "worker"].map(text));
  const script = document.createElement("script");
  script.textContent = page!;
  document.head.append(script);
  const start = () => (globalThis as unknown as { homespun: (sources: string[]) => void }).homespun(sources.filter(Boolean));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
};

boot().catch((error: Error) => {
  document.getElementById("app")!.textContent = `This browser does not run the page: ${error.message}`;
});
