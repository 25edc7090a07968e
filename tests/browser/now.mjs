// The Now page over a running observer with traffic of known truth.
//   BIN=DIR node tests/browser/now.mjs WORKDIR

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Browser, check, finish, sleep, until } from "./browser.mjs";
import { Observer } from "./observer.mjs";
import { Traffic } from "./traffic.mjs";

const TRANSFER_MAX_BYTES = 150_000;
const SAMPLES_PER_S = 2000;
const work = process.argv[2] ?? "/tmp";
const observer = await Observer.open(work);
check("the observer starts", await observer.start(), readFileSync(observer.log, "utf8"));
const browser = await Browser.open();
const page = await browser.page(observer.origin);
const { watch } = page;
const live = () => page.locator("html").getAttribute("data-live");
const chart = name => page.locator(".chart").getAttribute(`data-${name}`).then(Number);
const picture = name => page.screenshot({ path: join(work, `${name}.png`) });

// --- nothing yet ------------------------------------------------------------------------------------
await page.goto(observer.origin);
check(
  "without traffic the page teaches three ways to feed it",
  await until(5, async () => (await page.locator(".recipe pre").count()) === 3),
);
const recipes = (await page.locator(".recipe pre").allTextContents()).join("\n");
check(
  "the recipes name the ports of this observer",
  recipes.includes(`${observer.sflow}`) && recipes.includes(`${observer.firefly}`),
  recipes,
);
await picture("empty");

// --- live ------------------------------------------------------------------------------------------
const feed = {
  sflow_port: observer.sflow,
  firefly_port: observer.firefly,
  per_second: SAMPLES_PER_S,
};
const traffic = new Traffic(feed);
const fed_ms = Date.now();
const drawn = await until(10, async () => (await chart("layers")) >= 10);
check(
  `the chart shows stacked data within 10 s of the first sample (${((Date.now() - fed_ms) / 1000).toFixed(1)} s)`,
  drawn,
);
check("the badge says live", await until(5, async () => (await live()) === "live"));
check(
  "fireflies are counted a second",
  await until(20, async () => (await page.locator("[data-tile=fireflies]").getAttribute("data-value")) >= 1),
);
const newest_s = await chart("newest"),
  total = await chart("total");
check(
  "the newest second moves and the total grows with it, without a reload",
  await until(5, async () => (await chart("newest")) >= newest_s + 2 && (await chart("total")) > total),
);
check(
  "coloured areas are on the canvas",
  await page.evaluate(() => {
    const canvas = document.querySelector(".chart canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
    const strong = [...seen]
      .map(c => c.split(",").map(Number))
      .filter(c => Math.max(...c) - Math.min(...c) > 60);
    return strong.length > 5;
  }),
);
await sleep(8000);

// --- the numbers: page = API = truth --------------------------------------------------------------------
await traffic.stop();
await sleep(4000);
const pageTags = async () =>
  Object.fromEntries(
    await page
      .locator(".tags tbody tr")
      .evaluateAll(rows =>
        rows.map(r => [`${r.dataset.experiment} ${r.dataset.activity}`, Number(r.dataset.value)]),
      ),
  );
const sumBy = (rows, key) =>
  rows.reduce((sums, r) => ({ ...sums, [key(r)]: (sums[key(r)] ?? 0) + r.bytes }), {});
const sorted = o => JSON.stringify(Object.entries(o).sort());
const truth = Object.fromEntries(traffic.by(([experiment, activity]) => `${experiment} ${activity}`));
const api = async () =>
  sumBy((await observer.ask("/api/v1/top?group=experiment,activity,grade&from=-1h")).rows, ({ key }) =>
    key.grade === "unregistered" ? "-1 -1" : `${key.experiment_id} ${key.activity_id}`,
  );
const settled = await until(15, async () => sorted(await api()) === sorted(truth));
check("what the API says of each tag is the truth, to the byte", settled, {
  api: await api(),
  truth,
});
check(
  "what the table says of each tag is what the API says, to the byte",
  sorted(await pageTags()) === sorted(await api()),
  { page: await pageTags(), api: await api() },
);
check(
  "the chart's total is the sum of the truth",
  (await chart("total")) === Object.values(truth).reduce((a, b) => a + b, 0),
);

const inputs = (await observer.ask("/api/v1/sources")).sources;
const accepted = kind => inputs.filter(s => s.kind === kind).reduce((sum, s) => sum + s.accepted, 0);
check(
  `every one of ${traffic.fireflies} fireflies and every sample was accepted`,
  accepted("firefly_input") === traffic.fireflies &&
    accepted("sflow_agent") === [...traffic.truth.values()].reduce((sum, t) => sum + t.samples, 0),
  inputs,
);

const grades = Object.fromEntries(traffic.by(([, , grade]) => grade));
const pageGrades = () =>
  page
    .locator(".coverage tbody tr")
    .evaluateAll(rows => Object.fromEntries(rows.map(r => [r.dataset.grade, Number(r.dataset.bytes)])));
check(
  "coverage by grade is the truth, to the byte",
  await until(15, async () => sorted(await pageGrades()) === sorted(grades)),
  { page: await pageGrades(), truth: grades },
);
// the floor by hand: bytes on unregistered labels, over the 2^15 code points less the 114 registered pairs
const floor_bytes = grades.unregistered / (32768 - 114);
const noise = (await observer.ask("/api/v1/coverage")).noise;
check(
  "the noise floor is unregistered bytes over 32,654 code points",
  Math.abs(noise.floor_bytes_per_code_point - floor_bytes) < 1e-6 * floor_bytes,
  { api: noise.floor_bytes_per_code_point, by_hand: floor_bytes },
);
check(
  "the page says the floor in a sentence and draws it",
  /Noise floor: .* 32,654 code points .* 114 registered pairs/.test(
    await page.locator(".floor-note").textContent(),
  ) && (await page.locator(".coverage-bar .chance-edge").count()) === 1,
);

// one bucket under the cursor, reached by keyboard, against the same bucket of the API
await page.locator(".chart").focus();
for (
  let i = 0;
  i < 12 && (await page.locator(".tip tr[data-tag]").count()) < 10;
  i++ // past the silence to the last full bucket
)
  await page.keyboard.press("ArrowLeft");
const [from] = (await page.locator(".tip strong").textContent()).split(" ");
const hovered = Object.fromEntries(
  await page
    .locator(".tip tr[data-tag]")
    .evaluateAll(rows => rows.map(r => [r.dataset.tag, Number(r.dataset.value)])),
);
const series = await observer.ask("/api/v1/series?step=10s&group=experiment,activity,grade&from=-1h");
const bucket = series.series[0].bytes.findIndex(
  (_, i) => new Date(Date.parse(series.from) + i * 10_000).toISOString().slice(11, 19) === from,
);
const asked = sumBy(
  series.series.map(s => ({ key: s.key, bytes: s.bytes[bucket] })).filter(r => r.bytes),
  ({ key }) => (key.grade === "unregistered" ? "-1 -1" : `${key.experiment_id} ${key.activity_id}`),
);
const hovered_sum = Number(await page.locator(".tip tr.sum").getAttribute("data-value"));
check(
  `the bucket of ${from} read out by keyboard is the API's, layer by layer and in all`,
  Object.keys(hovered).length >= 10 &&
    Object.entries(hovered).every(([tag, bytes]) => asked[tag] === bytes) &&
    hovered_sum === Object.values(asked).reduce((a, b) => a + b, 0),
  { page: hovered, page_sum: hovered_sum, api: asked },
);
check(
  "it is said for screen readers, with the error",
  /± [\d.]+ %/.test(await page.locator(".chart [aria-live]").textContent()),
);
await page.keyboard.press("Escape");

// --- one source, one direction, a hidden experiment: in the address, and it survives a reload -----------
const second = new Traffic({ ...feed, seed: 2 });
check(
  "a hint is shown while several sources are added up, or what the observer knows of them",
  await until(
    20,
    async () =>
      (await page.locator(".hint").isVisible()) ||
      /see the same flows/.test(await page.locator("p.reasons").textContent()),
  ),
);
await page.selectOption("#source", "sflow:192.0.2.252");
await page.selectOption("#direction", "in");
await page.locator(".chip[data-head='2']").click({ modifiers: ["Alt"] });
const address = new URL(page.url());
check(
  "the view is in the address",
  address.searchParams.get("v") === "1" &&
    address.searchParams.get("filter") === "source=sflow:192.0.2.252 and direction=in" &&
    address.searchParams.get("hide") === "2",
  page.url(),
);
await page.reload();
check(
  "and comes back from it",
  (await until(10, async () => (await chart("layers")) > 0)) &&
    (await page.locator("#source").inputValue()) === "sflow:192.0.2.252" &&
    (await page.locator(".chip[data-head='2']").getAttribute("data-hidden")) === "",
);
await page.selectOption("#range", "5m");
await page.goBack();
check(
  "the back button takes one choice back",
  (await until(5, async () => (await page.locator("#range").inputValue()) === "1h")) &&
    (await page.locator("#source").inputValue()) === "sflow:192.0.2.252",
);
check("no hint with one source", await page.locator(".hint").isHidden());
await page.goto(observer.origin);
await until(10, async () => (await chart("layers")) > 0);

// --- keys -----------------------------------------------------------------------------------------------
await page.locator("body").press("p");
const frozen_s = await chart("newest");
await sleep(2500);
check(
  "p freezes the picture",
  (await chart("newest")) === frozen_s && (await page.locator(".badge").textContent()) === "Paused",
);
await page.locator("body").press("p");
check("and p again goes on", await until(4, async () => (await chart("newest")) > frozen_s));
await page.emulateMedia({ colorScheme: "dark" });
check(
  "the theme follows the system",
  await until(3, async () => (await page.locator("html").getAttribute("data-theme")) === "dark"),
);
await page.emulateMedia({ colorScheme: "light" });
await until(3, async () => (await page.locator("html").getAttribute("data-theme")) === "light");
await page.locator("body").press("t");
check("t changes the theme", (await page.locator("html").getAttribute("data-theme")) === "dark");
await page.locator("body").press("t");
await page.locator("body").press("t");

// --- how it looks, and to whom ------------------------------------------------------------------------------
await picture("light");
await page.locator("body").press("t");
await sleep(300);
await picture("dark");
await page.setViewportSize({ width: 1920, height: 1080 });
await sleep(500);
await picture("dark-1920");
await page.locator("body").press("t");
await page.locator("body").press("t");
await page.setViewportSize({ width: 1280, height: 800 });
await page.goto(`${observer.origin}/health`);
check(
  "the health page has a row per input and balanced books",
  (await until(5, async () => (await page.locator("tr[data-source]").count()) >= 5)) &&
    (await page.locator("#inputs .sentence").textContent()).startsWith("For every input"),
);

// --- it goes, it comes back ------------------------------------------------------------------------------
await page.goto(observer.origin);
await until(10, async () => (await live()) === "live");
const failed_before = watch.failed.length;
check("no request failed while the observer ran", failed_before === 0, watch.failed);
check("the observer ends with 0", (await observer.stop()) === 0);
check("5 s later the page is marked stale", await until(9, async () => (await live()) === "stale"));
check(
  "with the time of the last data and the zone",
  /last data \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, \d+ s ago/.test(await page.locator(".since").textContent()),
  await page.locator(".since").textContent(),
);
check(
  "what was drawn stays, and is not drawn as zero",
  (await chart("total")) > 0 && (await chart("layers")) >= 10,
);
await picture("stale");
const last_s = await chart("newest");
const continued = [];
page.on("request", r => {
  if (r.url().endsWith("/stream")) continued.push(Number(r.headers()["last-event-id"]));
});
check("the observer starts again", await observer.start(), readFileSync(observer.log, "utf8"));
check(
  "the page comes back to life by itself",
  await until(15, async () => (await live()) === "live" && (await chart("newest")) > last_s),
);
check("it asked for the seconds after the last one it had", continued[0] === last_s - 1, {
  continued,
  last_s,
});
await sleep(5000);
await picture("back");
const gap = (await observer.ask("/api/v1/series?from=-5m&step=10s")).gaps;
check(
  "the time in between is a gap, with its reason",
  gap.some(g => g.reason === "not running"),
  gap,
);
await second.stop();

// --- what the browser had to say ---------------------------------------------------------------------------
check("no request to any other host", !watch.foreign.length, watch.foreign);
check("no report of the content security policy", !watch.csp.length, watch.csp);
check("no error on the console, no exception", !watch.errors.length, watch.errors);
const sizes = await Promise.all(
  ["/", "/app.js", "/app.css", "/favicon.svg", "/map.json"].map(async path => {
    const response = await fetch(observer.origin + path, {
      headers: { "accept-encoding": "gzip" },
    });
    await response.arrayBuffer();
    return Number(response.headers.get("content-length"));
  }),
);
const transfer = sizes.reduce((a, b) => a + b, 0);
check(
  `the whole page with its map is ${transfer} bytes on the wire (at most ${TRANSFER_MAX_BYTES})`,
  transfer > 10_000 && transfer <= TRANSFER_MAX_BYTES,
  sizes,
);
await browser.close();
await observer.stop();
finish();
