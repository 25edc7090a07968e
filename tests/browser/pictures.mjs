// Pictures of every page, light and dark, for the documents: screenshot-PAGE.png, screenshot-PAGE-dark.png.
//   BIN=DIR node tests/browser/pictures.mjs WORKDIR OUTDIR [MINUTES]
// Two observers for MINUTES (20): one over traffic that breathes, with three weeks that never were in its
// database; one over sFlow and fireflies of the same flows, as scitag gen makes them, with made-up sites.
// pngquant makes the files small where it is installed.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Browser, check, finish, sleep } from "./browser.mjs";
import { CHALLENGE_DAYS_AGO, fillDays } from "./days.mjs";
import { Observer } from "./observer.mjs";
import { Traffic } from "./traffic.mjs";

const [work = "/tmp", out = "docs", minutes = "20"] = process.argv.slice(2);
const BYTES_MAX = 120_000;
const scitag = join(process.env.BIN ?? "build", "scitag");

const SITES = [
  ["SITE-A", 1, 52.4, 4.9, "NL", "2001:db8:1::/48", "192.0.2.0/24"],
  ["SITE-B", 2, 41.8, -88.3, "US", "2001:db8:2::/48"],
  ["SITE-C", 0, 46.2, 6.1, "CH", "2001:db8:10::/46", "203.0.113.0/24"],
  ["SITE-D", 1, 40.9, -72.9, "US", "2001:db8:14::/46"],
  ["SITE-E", 2, 35.7, 139.7, "JP", "2001:db8:18::/46"],
  ["SITE-F", 2, -33.9, 18.4, "ZA", "2001:db8:1c::/46"],
];
const cric = join(work, "cric.json");
writeFileSync(
  cric,
  JSON.stringify(
    Object.fromEntries(
      SITES.map(([name, rc_tier_level, latitude, longitude, country_code, ...any]) => [
        name,
        { name, rc_tier_level, latitude, longitude, country_code, netroutes: { R: { networks: { any } } } },
      ]),
    ),
  ),
);

const open = async (name, change = conf => conf) => {
  const directory = join(work, name);
  mkdirSync(directory);
  const observer = await Observer.open(directory);
  writeFileSync(observer.conf, change(readFileSync(observer.conf, "utf8")));
  check(`the observer ${name} starts`, await observer.start(), readFileSync(observer.log, "utf8"));
  return observer;
};
const breathing = await open("breathing");
await breathing.stop();
fillDays(join(work, "breathing", "observer.db"));
await breathing.start();
const traffic = new Traffic({
  sflow_port: breathing.sflow,
  firefly_port: breathing.firefly,
  per_second: 1500,
});
const joined = await open(
  "joined",
  conf => conf.replace(/(firefly: \{.*)\}/, '$1, relays: ["127.0.0.1"]}') + `sites: {cric: "${cric}"}\n`,
);

const flows = ["--seed", "7", "--duration", "120s", "--flows", "900", "--packets", "20000000"];
const loops = ["sflow", "firefly"].map(kind => {
  const capture = join(work, `${kind}.pcap`);
  const more = kind === "sflow" ? ["--agents", "3", "--rate", "1000"] : [];
  execFileSync(scitag, ["gen", kind, ...flows, ...more, "--out", capture], { stdio: "ignore" });
  const to = `127.0.0.1:${joined[kind]}`;
  return spawn(scitag, ["replay", capture, "--to", to, "--loop", "--now"], { stdio: "ignore" });
});
process.on("exit", () => loops.forEach(loop => loop.kill()));
await sleep(Number(minutes) * 60_000);

const day_s = 86400;
const challenge_s = Math.round(Date.now() / 1000 - CHALLENGE_DAYS_AGO * day_s);
const note = `${new Date(challenge_s * 1000).toISOString().slice(0, 19)}Z data challenge`;
const PAGES = {
  now: [breathing, "/"],
  history: [breathing, `/history?v=1&range=14d&group=experiment&notes=${encodeURIComponent(note)}`],
  flows: [joined, "/flows"],
  sites: [joined, "/sites"],
  agreement: [joined, "/agreement"],
  packets: [joined, "/packets"],
  health: [breathing, "/health"],
  decode: [breathing, "/decode?v=1&value=0x30038"],
  help: [breathing, "/help"],
};
const browser = await Browser.open();
const page = await browser.page(breathing.origin);
await page.setViewportSize({ width: 1280, height: 980 });
// the database as it is named where the package is installed, not in this directory
await page.route("**/api/v1/health", async route => {
  const response = await route.fetch();
  const health = await response.json();
  health.store.url = "sqlite:/var/lib/scitag/observer.db";
  await route.fulfill({ response, json: health });
});
for (const theme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme: theme });
  for (const [name, [observer, path]] of Object.entries(PAGES)) {
    const file = join(out, `screenshot-${name}${theme === "dark" ? "-dark" : ""}.png`);
    await page.goto(observer.origin + path);
    await sleep(4000);
    await page.screenshot({ path: file });
    for (const colours of ["96", "48", "32"])
      try {
        execFileSync("pngquant", ["--force", "--ext", ".png", "--speed", "1", colours, file], {
          stdio: "ignore",
        });
        if (statSync(file).size <= BYTES_MAX) break;
      } catch {
        break; // not installed: larger, and just as good
      }
    const { size } = statSync(file);
    check(`${file}: ${size} bytes (at most ${BYTES_MAX})`, size <= BYTES_MAX);
  }
}
await browser.close();
loops.forEach(loop => loop.kill());
await traffic.stop();
await Promise.all([breathing.stop(), joined.stop()]);
finish();
