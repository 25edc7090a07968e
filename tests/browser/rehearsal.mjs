// The page over what `scitag gen` makes and `scitag replay` sends, held against the truth file beside it.
//   BIN=DIR node tests/browser/rehearsal.mjs WORKDIR

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Browser, check, finish, until } from "./browser.mjs";
import { Observer } from "./observer.mjs";

const work = process.argv[2] ?? "/tmp";
const capture = join(work, "rehearsal.pcap");
const scitag = (...args) =>
  execFileSync(join(process.env.BIN ?? "build", "scitag"), args, { stdio: ["ignore", "inherit", "ignore"] });
const observer = await Observer.open(work);
check("the observer starts", await observer.start(), readFileSync(observer.log, "utf8"));
const browser = await Browser.open();
const page = await browser.page(observer.origin);
await page.goto(observer.origin);

const made = `${capture}.json`;
scitag("gen", "sflow", "--seed", "2", "--duration", "5s", "--agents", "2", "--out", capture, "--truth", made);
const truth = JSON.parse(readFileSync(made, "utf8"));
scitag("replay", capture, "--to", `127.0.0.1:${observer.sflow}`, "--speed", "4");

const { experiments } = await observer.ask("/api/v1/registry");
const registered = new Set(
  experiments.flatMap(e => e.activities.map(a => `${e.experiment_id} ${a.activity_id}`)),
);
const expected = {};
const add = (name, bytes) => (expected[name] = (expected[name] ?? 0) + bytes);
for (const { experiment_id, activity_id, bytes } of [...truth.tags, ...truth.by_chance]) {
  const pair = `${experiment_id} ${activity_id}`;
  add(registered.has(pair) ? pair : "-1 -1", bytes);
}
// the random labels are in by_chance already, one by one
add("0 0", truth.untagged.ipv4.bytes + truth.untagged.ipv6_label_zero.bytes);

await until(15, () =>
  page
    .locator(".tags .fold")
    .isVisible()
    .then(async seen => seen && (await page.locator(".tags .fold").click(), true)),
);
const shown = async () =>
  Object.fromEntries(
    await page.locator(".tags tbody tr").evaluateAll(rows => {
      const sums = {};
      for (const { experiment, activity, value } of rows.map(r => r.dataset))
        sums[`${experiment} ${activity}`] = (sums[`${experiment} ${activity}`] ?? 0) + Number(value);
      return Object.entries(sums);
    }),
  );
const sorted = o => JSON.stringify(Object.entries(o).sort());
check(
  `${Object.keys(expected).length} tags made by scitag gen are on the page, to the byte`,
  await until(15, async () => sorted(await shown()) === sorted(expected)),
  { page: await shown(), expected },
);
check(
  "and the sum is the truth's",
  Number(await page.locator(".chart").getAttribute("data-total")) === truth.bytes,
  { page: await page.locator(".chart").getAttribute("data-total"), truth: truth.bytes },
);
await browser.close();
await observer.stop();
finish();
