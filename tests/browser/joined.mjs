// The pages of what the observer joins - Flows, Sites, Agreement - over sFlow and fireflies of the same flows, as
// `scitag gen` makes them: what is drawn is what the API says, and what the API says is the generator's truth.
//   BIN=DIR node tests/browser/joined.mjs WORKDIR

import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { agreement } from "./agreement.mjs";
import { Browser, check, finish, until } from "./browser.mjs";
import { flows } from "./flows.mjs";
import { Observer } from "./observer.mjs";
import { emptySites, sites } from "./sites.mjs";

const work = process.argv[2] ?? "/tmp";
const scitag = join(process.env.BIN ?? "build", "scitag");
const axe = readFileSync(
  createRequire(new URL("../../web/static/package.json", import.meta.url)).resolve("axe-core/axe.min.js"),
  "utf8",
);

// the generator's sites are 2001:db8:1::/48, ours, and 2001:db8:10:: and on; half of them get a place
const places = Object.fromEntries(
  [
    [0x1, 46, 6],
    ...Array.from({ length: 16 }, (_, i) => [0x10 + i, 60 - 5 * i, i % 2 ? 20 * i - 150 : null]),
  ].map(([n, latitude, longitude]) => [
    `SITE-${n.toString(16)}`,
    {
      ...(longitude === null ? {} : { latitude, longitude }),
      country_code: "CH",
      rc_tier_level: 2,
      netroutes: { r: { netsite: "N", asn: 64500, networks: { ipv6: [`2001:db8:${n.toString(16)}::/48`] } } },
    },
  ]),
);
const cric = join(work, "cric.json");
writeFileSync(cric, JSON.stringify(places));

const observer = await Observer.open(work);
appendFileSync(observer.conf, `sites: {cric: "${cric}"}\n`);
check("the observer starts", await observer.start(), readFileSync(observer.log, "utf8"));
const browser = await Browser.open();
const page = await browser.page(observer.origin);
const { watch } = page;

const kit = {
  observer,
  page,
  places,
  ask: observer.ask.bind(observer),
  open: async path => {
    await page.goto(observer.origin + path);
    await page.waitForSelector("main > *");
  },
  /** What a selector finds, as its data- attributes; numbers as numbers. */
  data: selector =>
    page
      .locator(selector)
      .evaluateAll(list =>
        list.map(e =>
          Object.fromEntries(
            Object.entries(e.dataset).map(([k, v]) => [
              k,
              v !== "" && Number.isFinite(Number(v)) ? Number(v) : v,
            ]),
          ),
        ),
      ),
  look: async name => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() =>
      window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21aa"] }),
    );
    const grave = violations.filter(v => v.impact === "serious" || v.impact === "critical");
    const at = grave.map(
      v =>
        `${v.id}: ${v.help}\n${v.nodes
          .slice(0, 4)
          .map(n => n.html)
          .join("\n")}`,
    );
    check(`axe finds nothing serious on ${name} with data`, !grave.length, at.join("\n"));
    await page.setViewportSize({ width: 360, height: 740 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    check(`at 360 px nothing of ${name} sticks out sideways`, wide <= 360, wide);
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.screenshot({ path: join(work, `${name}.png`), fullPage: true });
  },
};

await emptySites(kit);

const made = kind => {
  const capture = join(work, `${kind}.pcap`);
  const truth = join(work, `${kind}.json`);
  const sizes = ["--seed", "3", "--duration", "3s", "--flows", "300", "--packets", "500000"];
  execFileSync(scitag, ["gen", kind, ...sizes, "--out", capture, "--truth", truth], { stdio: "ignore" });
  return { capture, truth: JSON.parse(readFileSync(truth, "utf8")) };
};
const [sampled, announced] = ["sflow", "firefly"].map(made);
const replay = ({ capture }, port) =>
  new Promise(done =>
    spawn(scitag, ["replay", capture, "--to", `127.0.0.1:${port}`, "--now"], { stdio: "ignore" }).on(
      "exit",
      done,
    ),
  );
await Promise.all([replay(sampled, observer.sflow), replay(announced, observer.firefly)]);
kit.truth = announced.truth;

// nothing comes any more: wait until all of it is in the database
const claimed = async () =>
  (await kit.ask("/api/v1/claims?group=&from=-1h&step=1m")).series
    .flatMap(s => s.starts)
    .reduce((a, b) => a + b, 0);
check(
  `${kit.truth.starts} flows begun are what the API says`,
  await until(10, async () => (await claimed()) === kit.truth.starts),
  { api: await claimed(), truth: kit.truth.starts },
);

await flows(kit);
await sites(kit);
await agreement(kit);

check("no request to any other host", !watch.foreign.length, watch.foreign);
check("no report of the content security policy", !watch.csp.length, watch.csp);
check("no error on the console, no exception", !watch.errors.length && !watch.failed.length, [
  ...watch.errors,
  ...watch.failed,
]);
await browser.close();
await observer.stop();
finish();
