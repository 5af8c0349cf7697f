// What can wait until the browser has nothing else to do.

const LATEST = 3000; // milliseconds

const idle = () =>
  new Promise<void>((done) => {
    if ("requestIdleCallback" in window) requestIdleCallback(() => done(), { timeout: LATEST });
    else setTimeout(done, LATEST);
  });

/** Has code of pages loaded that are not shown yet: to go there waits for nobody then, whatever else computes. One
 *  after the other: what somebody asks for meanwhile stands behind one of them at most. */
export async function loadWhenIdle(loads: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const load of loads) {
    await idle();
    await load().catch(() => {}); // whoever goes there is told
  }
}
