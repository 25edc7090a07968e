// From datagram to pixel: one sFlow datagram at a random moment, and when the Now page has drawn its bytes.
//   BIN=DIR PROBES=n node tests/bench/pixel.mjs WORKDIR

import { Browser, sleep, until } from "../browser/browser.mjs";
import { Observer } from "../browser/observer.mjs";
import { Traffic } from "../browser/traffic.mjs";

const PROBES = Number(process.env.PROBES ?? 50);
const observer = await Observer.open(process.argv[2] ?? "/tmp");
if (!(await observer.start())) throw new Error("the observer does not start");
const browser = await Browser.open();
const page = await browser.page(observer.origin);
await page.goto(observer.origin);
const traffic = new Traffic({ sflow_port: observer.sflow, firefly_port: observer.firefly, per_second: 0 });
traffic.sendOne(observer.sflow);
await until(10, async () => (await page.locator(".chart").count()) > 0);
await sleep(3000);
// the frame after the one in which the sum changed: then it is on the screen
await page.evaluate(() => {
  window.drawn = [];
  let before = "";
  const look = () => {
    const now = document.querySelector(".chart")?.getAttribute("data-total") ?? "";
    if (now !== before) requestAnimationFrame(() => window.drawn.push(performance.timeOrigin + performance.now()));
    before = now;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
});
await sleep(2500);
const took_ms = [];
for (let i = 0; i < PROBES; i++) {
  await sleep(Math.random() * 1000);
  await page.evaluate(() => (window.drawn.length = 0));
  const sent_ms = performance.timeOrigin + performance.now();
  traffic.sendOne(observer.sflow);
  const drawn_ms = await until(5, () => page.evaluate(() => window.drawn[0] ?? 0));
  took_ms.push(drawn_ms ? drawn_ms - sent_ms : Infinity);
  await sleep(1100); // into the next second, so that the next change is the next probe's
}
took_ms.sort((a, b) => a - b);
const at = share => Math.round(took_ms[Math.min(PROBES - 1, Math.floor(PROBES * share))]);
console.log(
  `datagram to pixel: median ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, at worst ${at(1)} ms of ${PROBES}`,
);
await traffic.stop();
await browser.close();
await observer.stop();
process.exit(0);
