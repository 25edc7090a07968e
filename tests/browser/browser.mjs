// Chromium as the tests use it, and the watch over what a page asks for and complains about.

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { chromium } = createRequire(new URL("../../web/static/package.json", import.meta.url))(
  "playwright-core",
);

export class Browser {
  static async open() {
    const b = new Browser();
    b.profile = mkdtempSync(join(tmpdir(), "scitag-browser-"));
    b.context = await chromium.launchPersistentContext(b.profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      headless: true,
      viewport: { width: 1280, height: 800 },
      colorScheme: "light",
      reducedMotion: "reduce",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    return b;
  }

  /** A page that notes foreign requests, CSP reports, console errors and exceptions in page.watch. */
  async page(origin) {
    const page = await this.context.newPage();
    const watch = (page.watch = { foreign: [], csp: [], errors: [], failed: [] });
    page.on("request", r => {
      if (!r.url().startsWith(origin) && !r.url().startsWith("data:")) watch.foreign.push(r.url());
    });
    page.on("console", m => {
      if (/Content Security Policy/i.test(m.text())) watch.csp.push(m.text());
      else if (m.type() === "error" && /Failed to load resource|ERR_/.test(m.text()))
        watch.failed.push(m.text()); // expected while the observer is stopped, and only then
      else if (m.type() === "error") watch.errors.push(m.text());
    });
    page.on("pageerror", e => watch.errors.push(String(e.stack ?? e)));
    await page.exposeFunction("reportCsp", text => watch.csp.push(text));
    await page.addInitScript(() =>
      addEventListener("securitypolicyviolation", e =>
        window.reportCsp(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`),
      ),
    );
    return page;
  }

  async close() {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}

let failures = 0;

/** One case: `found` is true, or an explanation is printed. */
export function check(what, good, explanation = "") {
  if (good) {
    console.log(`ok - ${what}`);
  } else {
    failures++;
    console.log(`not ok - ${what}`);
    if (explanation !== "")
      console.log(
        String(typeof explanation === "string" ? explanation : JSON.stringify(explanation, null, 1)).replace(
          /^/gm,
          "  # ",
        ),
      );
  }
  return good;
}

export const finish = () => process.exit(failures ? 1 : 0);

export async function until(seconds, probe) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(100)) {
    const value = await Promise.resolve()
      .then(probe)
      .catch(() => null);
    if (value) return value;
  }
  return null;
}

export const sleep = ms => new Promise(done => setTimeout(done, ms));
