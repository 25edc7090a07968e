// The Sites page: run by joined.mjs.

import { check, until } from "./browser.mjs";

const MAP_MAX_BYTES = 30_000;
const sum = list => list.reduce((a, b) => a + b, 0);

/** Before anything was seen. */
export async function emptySites({ page, open }) {
  await open("/sites");
  const words = async () => (await page.locator(".recipe pre").allTextContents()).join("\n");
  check(
    "without sites the page teaches the two keys",
    await until(
      5,
      async () =>
        /^sites:\n {2}own:\n {4}- \S+=2001:db8:\S+/.test(await words()) &&
        /\n?sites:\n {2}cric: /.test(await words()),
    ),
    await words(),
  );
}

export async function sites({ page, ask, open, data, look, observer, places }) {
  const sizes = [];
  page.on(
    "response",
    r => r.url().endsWith("/map.json") && sizes.push(Number(r.headers()["content-length"])),
  );
  await open("/sites");
  const answer = await ask("/api/v1/sites?from=-1h");
  const name = site => (site === "(unknown)" ? "" : site);

  // --- ribbons -----------------------------------------------------------------------------------------------
  const all = () => page.locator(".sankey svg").getAttribute("data-bytes").then(Number);
  check("the ribbons' sum is the API's", await until(8, async () => (await all()) === answer.bytes), {
    page: await all(),
    api: answer.bytes,
  });
  const columns = await data(".sankey [data-place]");
  const of = sign => columns.filter(c => String(c.place).startsWith(sign));
  check(
    "each column has all of it: sources, experiments, destinations",
    ["<", "=", ">"].every(sign => of(sign).length > 1 && sum(of(sign).map(c => c.bytes)) === answer.bytes),
    columns,
  );
  const sent = new Map(answer.sites.map(s => [name(s.name), s.sent_bytes]));
  check(
    "a site's height is what it sent",
    of("<")
      .filter(c => sent.has(String(c.place).slice(1)))
      .every(c => c.bytes === sent.get(String(c.place).slice(1))),
  );
  await page.locator(".sankey").focus();
  await page.keyboard.press("ArrowRight");
  const said = await page.locator(".sankey [aria-live]").textContent();
  const largest = (await data(".sankey .ribbon")).sort((a, b) => b.bytes - a.bytes)[0];
  check(
    "arrow keys read out the largest ribbon, with error",
    /(from|to) .*B, .* % of all; (±|too few|exact)/.test(said) && largest.bytes > 0,
    said,
  );
  await page.keyboard.press("Enter");
  check("Enter shows its flows", await until(3, () => /\/flows\?.*filter=/.test(page.url())), page.url());
  await page.goBack();
  await until(8, async () => (await all()) === answer.bytes);

  // --- map -----------------------------------------------------------------------------------------------------
  check(
    "the outlines come from the observer, once, small",
    (await until(5, async () => (await page.locator(".world .land").count()) === 1)) &&
      sizes.length >= 1 &&
      sizes.every(s => s > 1000 && s <= MAP_MAX_BYTES),
    sizes,
  );
  const placed = new Set(answer.sites.filter(s => s.latitude !== null).map(s => s.name));
  const dots = (await data(".world circle[data-site]")).map(d => d.site);
  check(
    `${dots.length} sites with a place are on the map, and no other`,
    dots.length >= 3 &&
      dots.length === placed.size &&
      dots.every(d => placed.has(d) && places[d].longitude !== undefined),
    { dots, placed: [...placed] },
  );
  const arcs = await data(".world .arc");
  const between = answer.pairs.filter(
    p => placed.has(p.src_site) && placed.has(p.dst_site) && p.src_site !== p.dst_site,
  );
  check(
    "its arcs carry the bytes between them",
    sum(arcs.map(a => a.bytes)) === sum(between.map(p => p.bytes)) && arcs.length > 0,
    { arcs: sum(arcs.map(a => a.bytes)), api: sum(between.map(p => p.bytes)) },
  );
  await page.locator(".world").focus();
  await page.keyboard.press("+");
  await page.keyboard.press("ArrowRight");
  check(
    "it zooms and reads out by key",
    /bit\/s on the average/.test(await page.locator(".world [aria-live]").textContent()),
  );

  // --- matrix ----------------------------------------------------------------------------------------------------
  const cells = await data("table.matrix td[data-src]");
  const own = cells.filter(c => [c.src, c.dst].every(s => s === "" || sent.has(s)));
  check(
    `${own.length} cells of the matrix are the API's pairs`,
    own.length >= 10 &&
      own.every(
        c =>
          answer.pairs.find(p => name(p.src_site) === c.src && name(p.dst_site) === c.dst)?.bytes === c.bytes,
      ) &&
      sum(cells.map(c => c.bytes)) === answer.bytes,
    own.slice(0, 3),
  );
  const pair = own.find(c => c.src && c.dst);
  await page.locator(`table.matrix td[data-src="${pair.src}"][data-dst="${pair.dst}"] a`).click();
  check(
    "a number leads to the flows behind it",
    (await until(5, async () => (await page.locator("table.flows tbody tr[data-flow]").count()) > 0)) &&
      decodeURIComponent(page.url().replaceAll("+", " ")).includes(
        `src_site=${pair.src} and dst_site=${pair.dst}`,
      ),
    page.url(),
  );
  await page.goBack();
  await until(8, async () => (await all()) === answer.bytes);
  await look("sites");
  check("the page's own address survives a reload", new URL(page.url()).origin === observer.origin);
}
