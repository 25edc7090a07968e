// The Packets page: what it lists is what the API says, filtered, paused and picked.
//   BIN=DIR node tests/browser/packets.mjs WORKDIR

import { readFileSync } from "node:fs";
import { Browser, check, finish, sleep, until } from "./browser.mjs";
import { Observer } from "./observer.mjs";
import { Traffic } from "./traffic.mjs";

const observer = await Observer.open(process.argv[2] ?? "/tmp");
check("the observer starts", await observer.start(), readFileSync(observer.log, "utf8"));
const browser = await Browser.open();
const page = await browser.page(observer.origin);
const rows = page.locator(".packets .lines tbody tr");
const texts = () =>
  rows.evaluateAll(list =>
    list.map(tr => ({ ...tr.dataset, cells: [...tr.cells].map(c => c.textContent) })),
  );

await page.goto(`${observer.origin}/packets`);
check(
  "without an input there is a sentence instead of an empty table",
  await until(5, async () => (await page.locator(".packets .empty").textContent()).length > 10),
);

const traffic = new Traffic({
  sflow_port: observer.sflow,
  firefly_port: observer.firefly,
  per_second: 300,
});
check("lines come by themselves", await until(10, async () => (await rows.count()) > 100));

await page.keyboard.press("p");
const held = await texts();
const { packets } = await observer.ask("/api/v1/packets?limit=1000");
const ends = (ip, port) => (port ? (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`) : ip);
const known = new Set(
  packets.map(p =>
    [p.time.slice(11, 23), ends(p.src, p.src_port), ends(p.dst, p.dst_port), p.label ?? "", p.experiment_id].join(" "),
  ),
);
const strange = held.filter(
  r => !known.has([r.cells[0], r.cells[2], r.cells[3], r.cells[6], r.experiment].join(" ")),
);
check(`${held.length} lines are each one of the API's`, held.length > 100 && !strange.length, strange.slice(0, 3));
check(
  "newest first",
  held.every((r, i) => !i || r.cells[0] <= held[i - 1].cells[0]),
);
await sleep(2500);
check("paused, nothing moves", JSON.stringify(await texts()) === JSON.stringify(held));
await page.keyboard.press("p");
check(
  "resumed, it goes on",
  await until(5, async () => (await texts())[0]?.cells[0] > held[0].cells[0]),
);

await page.goto(`${observer.origin}/packets?v=1&filter=experiment%3Dcms`);
check(
  "a filter in the address leaves cms alone",
  await until(8, async () => {
    const list = await texts();
    return list.length > 5 && list.every(r => r.experiment === "3");
  }),
);
await page.goto(`${observer.origin}/packets?v=1&kind=fireflies`);
check(
  "fireflies alone",
  await until(8, async () => {
    const list = await texts();
    return list.length > 0 && list.every(r => r.kind === "firefly" && r.cells[1].startsWith("firefly "));
  }),
);

await page.goto(`${observer.origin}/packets?v=1&kind=packets&filter=carrier%3Ddestination`);
await until(8, async () => (await rows.count()) > 0);
await page.keyboard.press("p");
await page.locator(".packets .lines").focus();
await page.keyboard.press("ArrowDown");
const facts = await page.locator(".packets .one dl").innerText();
const picked = (await texts())[0];
check(
  "an arrow picks a line, and the panel says all of it",
  facts.includes(picked.cells[2]) && facts.includes("destination"),
  facts,
);
await page.keyboard.press("Escape");
check("Escape puts it away", await page.locator(".packets .one").isHidden());
await traffic.stop();
const { watch } = page;
check("no foreign request, CSP report or console error", !watch.foreign.length && !watch.csp.length && !watch.errors.length, watch);
await browser.close();
await observer.stop();
finish();
