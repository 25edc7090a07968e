// Every page: reached by address and by key, looked at by axe in three themes, at 360 px and at 200 %; and what
// they share: filter, legend, panels, range, zone, keys.
//   BIN=DIR node tests/browser/pages.mjs WORKDIR

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Browser, check, finish, sleep, until } from "./browser.mjs";
import { Observer } from "./observer.mjs";
import { Traffic } from "./traffic.mjs";

const work = process.argv[2] ?? "/tmp";
const axe = readFileSync(
  createRequire(new URL("../../web/static/package.json", import.meta.url)).resolve("axe-core/axe.min.js"),
  "utf8",
);
const PAGES = ["", "history", "flows", "sites", "agreement", "packets", "health", "decode", "help"];
const ASKED = { decode: "?v=1&value=0x30038", history: "?v=1&range=15m" };
const THEMES = ["light", "dark", "contrast"];

const observer = await Observer.open(work);
check("the observer starts", await observer.start(), readFileSync(observer.log, "utf8"));
const traffic = new Traffic({ sflow_port: observer.sflow, firefly_port: observer.firefly, per_second: 800 });
const browser = await Browser.open();
const page = await browser.page(observer.origin);
const { watch } = page;
const refused = [];
page.on(
  "response",
  r => r.status() >= 400 && /v1\/(series|top|coverage|health|decode)/.test(r.url()) && refused.push(r.url()),
);
const chart = name => page.locator(".chart").first().getAttribute(`data-${name}`).then(Number);
const param = name => new URL(page.url()).searchParams.get(name);
const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName);
const open = async path => {
  await page.goto(observer.origin + path);
  await page.waitForSelector("main > *");
};

// --- the first picture -------------------------------------------------------------------------------------
await sleep(3000);
const [paint_max, chart_max] = (process.env.PAINT_MS ?? "500,1000").split(",").map(Number);
let best = [Infinity, Infinity];
for (let i = 0; i < 4 && !(best[0] <= paint_max && best[1] <= chart_max); i++) {
  // the best of four: what is measured is the page, not what else the machine does
  const asked_ms = Date.now();
  await open("/");
  await until(10, async () => (await chart("layers")) >= 8);
  const chart_ms = Date.now() - asked_ms;
  const paint_ms = await page.evaluate(
    () => performance.getEntriesByName("first-contentful-paint")[0].startTime,
  );
  best = [Math.min(best[0], paint_ms), Math.min(best[1], chart_ms)];
}
check(
  `first paint after ${Math.round(best[0])} ms, chart with data after ${best[1]} ms (at most ${paint_max}, ${chart_max})`,
  best[0] <= paint_max && best[1] <= chart_max,
);

// --- keys ------------------------------------------------------------------------------------------------------
for (const [i, name] of PAGES.entries()) {
  await page.keyboard.press(String(i + 1));
  await until(3, async () => new URL(page.url()).pathname === `/${name}`);
  if (new URL(page.url()).pathname !== `/${name}`) check(`key ${i + 1} shows /${name}`, false, page.url());
}
check("the digit keys show the nine pages", new URL(page.url()).pathname === "/help");
await page.goBack();
check(
  "and the back button goes back",
  await until(3, async () => new URL(page.url()).pathname === "/decode"),
);
await page.keyboard.press("?");
check("? shows the keys", await page.locator("dialog.keys").isVisible());
await page.keyboard.press("Escape");
check("Escape closes them", await page.locator("dialog.keys").isHidden());
await page.keyboard.press("z");
check("z changes to local time, in the address", param("zone") === "local");
await page.keyboard.press("z");
check("and back", param("zone") === null);

// --- the filter -------------------------------------------------------------------------------------------------
await page.keyboard.press("1");
await until(10, async () => (await chart("layers")) >= 8);
await page.keyboard.press("/");
check("/ goes to the filter", (await focused()) === "filter");
await page.keyboard.type("exp");
const offered = () => page.locator("#filter-options li:visible > span:first-child").allTextContents();
check(
  "a dimension is completed",
  await until(3, async () => (await offered()).join() === "experiment"),
  await offered(),
);
await page.keyboard.press("ArrowDown");
await page.keyboard.press("Enter");
check(
  "then its values are offered, from the registry",
  await until(3, async () => ["atlas", "cms", "belleii"].every(n => offered().then(o => o.includes(n)))),
  await offered(),
);
await page.keyboard.type("cmz");
await page.keyboard.press("Enter");
check(
  "what the observer does not know is refused, at its place",
  (await until(3, async () =>
    /there is no experiment 'cmz'.*character 12/i.test(await page.locator("#filter-problem").textContent()),
  )) &&
    (await page.locator(".filter-place").isVisible()) &&
    param("filter") === null,
  await page.locator("#filter-problem").textContent(),
);
await page.keyboard.press("Backspace");
await page.keyboard.type("s and act");
await page.keyboard.press("ArrowDown");
await page.keyboard.press("Tab");
const listed = () => page.locator("#filter-options li > span:first-child").allTextContents();
const { experiments } = await observer.ask("/api/v1/registry");
const of_cms = experiments.find(e => e.experiment === "cms").activities.map(a => a.activity);
check(
  "activities are those of the experiment before",
  await until(3, async () => (await listed()).join() === of_cms.join()),
  { offered: await listed(), of_cms },
);
await page.keyboard.type("ana");
await page.keyboard.press("ArrowDown");
await page.keyboard.press("Enter");
const typed = await page.locator("#filter").inputValue();
check(
  "values with blanks are quoted",
  /activity="Analysis Input" $/.test(typed) || /activity="[^"]+" $/.test(typed),
  typed,
);
await page.locator("#filter").fill("experiment=cms and family=6");
await page.keyboard.press("Enter");
check(
  "Enter applies it, into the address",
  await until(3, () => param("filter") === "experiment=cms and family=6"),
);
const filtered = async () => {
  const { rows } = await observer.ask("/api/v1/top?group=&from=-1h&filter=experiment%3Dcms+and+family%3D6");
  return rows[0]?.bytes ?? 0;
};
check("only its traffic is shown", await until(5, async () => (await page.locator(".chip").count()) === 1));
const before_total = await chart("total");
check("and it goes on living", await until(6, async () => (await chart("total")) > before_total));
await page.keyboard.press("Escape");
await page.locator("body").press("2");
await until(5, async () => (await chart("layers")) > 0);
check("the filter goes along to another page", param("filter") === "experiment=cms and family=6");

// --- the legend -----------------------------------------------------------------------------------------------
await open("/");
await until(10, async () => (await chart("layers")) >= 8);
await page.locator(".chip[data-head='3']").click();
check("a click in the legend filters", await until(3, () => param("filter") === "experiment=cms"));
await until(5, async () => (await page.locator(".chip").count()) === 1);
await page.locator(".chip[data-head='3']").click();
check("and another click takes it back", await until(3, () => param("filter") === null));
await until(5, async () => (await page.locator(".chip").count()) >= 8);
await page.locator(".chip[data-head='0']").click({ modifiers: ["Shift"] });
check(
  "shift-click leaves only this in the picture",
  await until(3, async () => (await chart("layers")) === 1),
);
await page.goBack();
check("the back button brings all back", await until(3, async () => (await chart("layers")) >= 8));
await page.locator(".chip[data-head='2']").focus();
await page.keyboard.press("h");
check(
  "h hides it, and the focus stays",
  (await until(3, () => param("hide") === "2")) &&
    (await page.evaluate(() => document.activeElement.getAttribute("data-head"))) === "2",
);

// --- all pages, to everyone -------------------------------------------------------------------------------------
for (const name of PAGES) {
  const path = `/${name}${ASKED[name] ?? ""}`;
  await open(path);
  await until(4, async () => (await page.locator("main h1, main h2").count()) > 0);
  await sleep(700);
  const found = [];
  for (const theme of THEMES) {
    while ((await page.locator("html").getAttribute("data-theme")) !== theme) await page.keyboard.press("t");
    await sleep(150);
    await page.evaluate(axe);
    const run =
      theme === "light" ? ["wcag2a", "wcag2aa", "wcag21aa"] : { type: "rule", values: ["color-contrast"] };
    const { violations } = await page.evaluate(runOnly => window.axe.run({ runOnly }), run);
    for (const v of violations.filter(v => v.impact === "serious" || v.impact === "critical"))
      found.push(
        `${theme}: ${v.id}: ${v.help}\n${v.nodes
          .slice(0, 5)
          .map(n => n.html)
          .join("\n")}`,
      );
  }
  await page.keyboard.press("t"); // light again
  for (const width of [360, 640]) {
    await page.setViewportSize({ width, height: 740 });
    await sleep(120);
    const out = await page.evaluate(w => {
      if (document.documentElement.scrollWidth <= w) return [];
      const scrolls = e => e.closest(".scroll, pre, nav, .unseen") !== null;
      return [...document.querySelectorAll("body *")]
        .filter(e => e.getBoundingClientRect().right > w + 1 && !scrolls(e))
        .map(e => `${e.tagName}.${e.className}`)
        .slice(0, 9);
    }, width);
    if (await page.evaluate(w => document.documentElement.scrollWidth > w, width))
      found.push(`${width} px: ${out.join(" ")}`);
  }
  await page.screenshot({ path: join(work, `${name || "now"}-640.png`) });
  await page.setViewportSize({ width: 1280, height: 800 });
  check(
    `axe and the eye find nothing serious on /${name}: three themes, 360 px, 200 %`,
    !found.length,
    found.join("\n"),
  );
}

// --- by keyboard alone --------------------------------------------------------------------------------------------
await open("/");
await until(10, async () => (await chart("layers")) >= 8);
await page.locator("body").press("Tab");
const walk = [];
for (let i = 0; i < 90; i++) {
  const at = await page.evaluate(() => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const box = e.getBoundingClientRect();
    const outline = getComputedStyle(e);
    return {
      name: `${e.tagName}#${e.id}.${e.className}`,
      seen:
        box.width > 0 &&
        box.height > 0 &&
        box.bottom > 0 &&
        box.top < innerHeight &&
        outline.outlineStyle !== "none",
    };
  });
  if (!at) break;
  walk.push(at);
  await page.keyboard.press("Tab");
}
check(
  `Tab reaches ${walk.length} places, each seen with its outline`,
  walk.length > 30 && walk.length < 90 && walk.every(w => w.seen),
  walk.filter(w => !w.seen),
);

// --- a panel's menu ---------------------------------------------------------------------------------------------
await page.locator("#coverage .panel-menu > button").focus();
await page.keyboard.press("Enter");
check(
  "the menu opens on its first entry",
  (await page.evaluate(() => document.activeElement.textContent)) === "CSV",
);
const [csv] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
const coverage_csv = readFileSync(await csv.path(), "utf8");
check(
  "CSV: a line per grade, in bytes",
  /^grade,bytes,error_bytes,share\r\n/.test(coverage_csv) &&
    /\r\nregistered,\d+,\d+,0\.\d+\r\n/.test(coverage_csv),
  coverage_csv,
);
check(
  "and the focus is back at the menu's button",
  await page.evaluate(() => document.activeElement.getAttribute("aria-controls") === "coverage-menu"),
);
await page.locator("#traffic .panel-menu > button").click();
const [png] = await Promise.all([
  page.waitForEvent("download"),
  page.locator("#traffic .menu .item", { hasText: "PNG" }).click(),
]);
const picture = readFileSync(await png.path());
check(
  "PNG: a picture of twice the panel's width",
  picture.subarray(1, 4).toString() === "PNG" && picture.readUInt32BE(16) > 2000 && picture.length > 20_000,
  `${picture.readUInt32BE(16)} x ${picture.readUInt32BE(20)}, ${picture.length} bytes`,
);
await page.locator("#traffic .panel-menu > button").click();
await page.locator("#traffic .menu .item", { hasText: "As a table" }).click();
check("the chart as a table", (await page.locator("#traffic .sheet tbody tr").count()) >= 1);

// --- history: numbers ----------------------------------------------------------------------------------------------
await traffic.stop();
await sleep(2500);
const to = new Date(Math.floor(Date.now() / 10_000) * 10_000).toISOString().replace(".000", "");
const from = new Date(Date.parse(to) - 600_000).toISOString().replace(".000", "");
await open(`/history?v=1&range=${from}/${to}`);
check("a fixed range is drawn", await until(5, async () => (await chart("layers")) >= 8));
const top = await observer.ask(`/api/v1/top?from=${from}&to=${to}&step=10s&group=`);
check("its total is the API's, to the byte", (await chart("total")) === top.rows[0].bytes, {
  page: await chart("total"),
  api: top.rows[0].bytes,
});
const tableOf = () =>
  page
    .locator("#totals tbody tr")
    .evaluateAll(rows => Object.fromEntries(rows.map(r => [r.dataset.tag, Number(r.dataset.value)])));
for (const [group, key] of [
  ["grade", k => k.grade],
  ["family", k => String(k.family)],
  ["experiment,family", null],
  ["direction", k => k.direction],
]) {
  await page.selectOption("#group", group);
  if (!key) {
    check(
      "IPv4 and IPv6 of each experiment",
      await until(3, async () => "3 6" in (await tableOf()) && "0 4" in (await tableOf())),
      await tableOf(),
    );
    continue;
  }
  const { rows } = await observer.ask(`/api/v1/top?from=${from}&to=${to}&step=10s&group=${group}`);
  const expected = Object.fromEntries(rows.map(r => [key(r.key), r.bytes]));
  const sorted = o => JSON.stringify(Object.entries(o).sort());
  check(
    `by ${group}: the API's numbers`,
    await until(4, async () => sorted(await tableOf()) === sorted(expected)),
    {
      page: await tableOf(),
      api: expected,
    },
  );
}
await page.locator("[data-shape=share]").click();
check("shares are drawn, in the address", param("shape") === "share");
await page.locator("[data-shape=lines]").click();
await page.locator(".chart").first().focus();
for (let i = 0; i < 30 && (await page.locator(".tip tr[data-tag]").count()) < 2; i++)
  await page.keyboard.press("ArrowLeft");
const at = (await page.locator(".tip strong").first().textContent()).slice(0, 8);
const series = await observer.ask(`/api/v1/series?from=${from}&to=${to}&group=direction`);
const bucket = series.series[0].bytes.findIndex(
  (_, i) => new Date(Date.parse(series.from) + i * series.step_s * 1000).toISOString().slice(11, 19) === at,
);
const tip = Object.fromEntries(
  await page
    .locator(".tip:visible tr[data-tag]")
    .evaluateAll(rows => rows.map(r => [r.dataset.tag, Number(r.dataset.value)])),
);
check(
  `the bucket of ${at} read out is the API's`,
  Object.keys(tip).length >= 2 && series.series.every(s => (tip[s.key.direction] ?? 0) === s.bytes[bucket]),
  { tip, bucket, series: series.series.map(s => [s.key.direction, s.bytes[bucket]]) },
);
check(
  "the other chart points at the same time",
  await page.evaluate(() => {
    const [a, b] = [...document.querySelectorAll(".u-cursor-x")].map(
      e => e.getBoundingClientRect().left - e.closest(".u-over").getBoundingClientRect().left,
    );
    const [v, w] = [...document.querySelectorAll(".u-over")].map(e => e.getBoundingClientRect().width);
    return a > 0 && Math.abs(a / v - b / w) < 0.01;
  }),
);
const box = await page.locator(".chart .u-over").first().boundingBox();
await page.mouse.move(box.x + box.width * 0.9, box.y + 50);
await page.mouse.down();
await page.mouse.move(box.x + box.width * 0.97, box.y + 60, { steps: 4 });
await page.mouse.up();
check(
  "dragging zooms: the range in the address is shorter",
  await until(3, () => {
    const [a, b] = (param("range") ?? "/").split("/").map(Date.parse);
    return b - a > 20_000 && b - a < 120_000;
  }),
  page.url(),
);
await page.goBack();
await page.locator("button", { hasText: "Note" }).click();
await page.locator("#note-words").fill("data challenge");
await page.keyboard.press("Enter");
check(
  "a note is in the address and on the page",
  (await until(3, () => / data challenge$/.test(param("notes") ?? ""))) &&
    (await page.locator(".notes li").count()) === 1,
  page.url(),
);
await page.locator("#compare").check();
check(
  "the period before is compared",
  await until(4, async () => /period before/.test(await page.locator("#history .sentence").textContent())),
);
await page.locator("body").press("l");
check("l returns to the live range", await until(3, () => param("range") === null));

// --- what the browser had to say ------------------------------------------------------------------------------------
check("no request to any other host", !watch.foreign.length, watch.foreign);
check("no report of the content security policy", !watch.csp.length, watch.csp);
check("no error on the console, no exception", !watch.errors.length, watch.errors);
check(
  "the only refused questions were those with the wrong filter",
  refused.length === 1 && refused[0].includes("cmz"),
  refused,
);
await browser.close();
await observer.stop();
finish();
