// The Flows page: run by joined.mjs.

import { check, until } from "./browser.mjs";

const sum = list => list.reduce((a, b) => a + b, 0);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const ends = (ip, port) => (port ? (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`) : ip);
const name = f => `${ends(f.src, f.src_port)} ${ends(f.dst, f.dst_port)} ${f.protocol}`;

export async function flows({ page, ask, open, data, look, truth }) {
  const rows = () => data("table.flows tbody tr[data-flow]");
  const param = which => new URL(page.url()).searchParams.get(which);
  await open("/flows");

  // --- charts ---------------------------------------------------------------------------------------------
  const total = id => page.locator(`#${id} .columns-chart`).getAttribute("data-total").then(Number);
  check(
    "flows begun: the picture has as many as the generator made",
    await until(8, async () => (await total("begun")) === truth.starts),
    { page: await total("begun"), truth: truth.starts },
  );
  await page.locator("#begun .columns-chart").focus();
  await page.keyboard.press("End");
  const read = {};
  for (let i = 0; i < 6 && sum(Object.values(read)) < truth.starts; i++) {
    for (const { name, value } of await data("#begun .tip tr[data-name]:not(.sum)"))
      read[name] = (read[name] ?? 0) + value;
    await page.keyboard.press("ArrowLeft");
  }
  const { series } = await ask("/api/v1/claims?group=experiment,activity&from=-1h&step=1m");
  const begun = Object.fromEntries(
    series.map(s => [`${s.key.experiment} · ${s.key.activity}`, sum(s.starts)]).filter(([, n]) => n > 0),
  );
  const shown = Object.keys(read).filter(n => n in begun);
  check(
    `column by column, read out by arrow keys, ${shown.length} tags are the API's`,
    shown.length >= 8 && shown.every(n => read[n] === begun[n]) && sum(Object.values(read)) === truth.starts,
    { read, begun },
  );

  const lengths = await ask("/api/v1/durations?kind=duration&group=experiment,activity&from=-1h");
  const whiskers = await data("#lengths tbody tr");
  check(
    `median, 95 % and longest of ${whiskers.length} tags are the API's`,
    whiskers.length >= 8 &&
      whiskers.every(w => {
        const r = lengths.rows.find(
          r => r.key.experiment_id === w.experiment && r.key.activity_id === w.activity,
        );
        return r?.flows === w.flows && r.median === w.median && r.p95 === w.p95 && r.max === w.max;
      }),
    { whiskers, api: lengths.rows },
  );
  const few = whiskers.filter(w => w.flows < 10).length;
  check(
    `of ${few} tags with fewer than ten flows no median is told`,
    few > 0 && (await page.locator("#lengths tbody tr td[colspan]").count()) === few,
  );
  const sizes = await ask("/api/v1/durations?kind=bytes&group=experiment&from=-1h");
  check("sizes: as many flows as the API has", (await total("sizes")) === sum(sizes.rows.map(r => r.flows)));

  const bars = await data("#applications tbody tr");
  const claims = await ask("/api/v1/claims?group=application&from=-1h&step=1m");
  check(
    "every application of the generator has its bar, with the bytes of the API",
    bars.length === Object.keys(truth.applications).length &&
      bars.every(
        b =>
          b.application in truth.applications &&
          sum(claims.series.find(s => s.key.application === b.application).bytes) === b.bytes,
      ),
    { bars, truth: truth.applications },
  );
  const { rows: families } = await ask("/api/v1/top?group=experiment,family&from=-1h");
  const drawn = await data("#families tbody tr");
  const six = id =>
    sum(families.filter(r => r.key.experiment_id === id && r.key.family === 6).map(r => r.bytes));
  check(
    "IPv6 of each experiment is the API's",
    drawn.filter(d => d.experiment > 0).length >= 6 &&
      drawn.filter(d => d.experiment > 0).every(d => d.six === six(d.experiment)),
    drawn,
  );

  // --- the table -----------------------------------------------------------------------------------------------
  const fields = f => ({
    flow: name(f),
    bytes: f.bytes,
    grade: f.grade,
    wire: `${f.experiment_id}.${f.activity_id}`,
    claimed: f.claim ? `${f.claim.experiment_id}.${f.claim.activity_id}` : undefined,
  });
  const fromPage = async () =>
    (
      await page
        .locator("table.flows tbody tr[data-flow]")
        .evaluateAll(list => list.map(tr => ({ ...tr.dataset })))
    ).map(d => ({ ...d, bytes: Number(d.bytes) }));
  const agrees = async params => {
    const api = (await ask(`/api/v1/flows?state=recent&limit=200&${params}`)).flows.map(fields);
    const seen = await fromPage();
    const strip = list => list.map(f => JSON.stringify([f.flow, f.bytes, f.grade, f.wire, f.claimed])).sort();
    return same(strip(api), strip(seen)) && api.length;
  };
  const unfold = () => page.locator("#flows button.fold").click();
  check("forty rows come first", await until(8, async () => (await rows()).length === 40));
  await unfold();
  const n = await until(8, () => agrees("order=bytes"));
  check(`${n} flows in the table are the API's: ends, both tags, grade and bytes`, n > 100);
  check(
    "the largest first",
    (await rows()).every((r, i, all) => !i || all[i - 1].bytes >= r.bytes),
  );
  const { matching } = await ask("/api/v1/flows?state=recent&limit=1");
  check(
    "and how many there are in all is said",
    await until(6, async () =>
      new RegExp(matching.toLocaleString("en-GB")).test(
        await page.locator("#flows .sub").first().textContent(),
      ),
    ),
  );
  await page.getByRole("button", { name: "Rate", exact: true }).click();
  check(
    "a head sorts, in the address, and the observer does it",
    (await until(6, () => agrees("order=rate"))) &&
      param("sort") === "-rate" &&
      (await page.locator("th[data-sort=rate]").getAttribute("aria-sort")) === "descending",
  );
  await page.goBack();
  await until(6, () => agrees("order=bytes"));

  const { flows: listed } = await ask("/api/v1/flows?state=recent&limit=200&claim=yes&grade=confirmed");
  const one = listed.find(f => f.evidence.length > 1) ?? listed[0];
  await page.locator(`tr[data-flow="${name(one)}"] button.open`).press("Enter");
  const evidence = async () => (await data(".flow-details [data-evidence]")).map(d => d.evidence);
  check("a row opens by key, with its evidence", same(await evidence(), one.evidence), {
    page: await evidence(),
    api: one.evidence,
  });
  check(
    "and says why in the API's words",
    (await page.locator(".flow-details .evidence").textContent()).includes(one.why),
  );
  await page.reload();
  await page.waitForSelector("#flows button.fold:visible");
  await unfold();
  check("it is in the address", await until(6, async () => same(await evidence(), one.evidence)));
  const order = (await rows()).map(r => r.flow);
  const again = page.waitForResponse(r => r.url().includes("/api/v1/flows"), { timeout: 8000 });
  await page.keyboard.press("p");
  await page.keyboard.press("p"); // asks at once
  await again;
  check(
    "while it is open no row moves",
    same(
      (await rows()).map(r => r.flow),
      order,
    ),
  );
  await page.locator(`tr[data-flow="${name(one)}"] button.open`).press("Enter");

  await page.locator(".choice a.chip", { hasText: /^disagree$/ }).click();
  const other = await until(6, () => agrees("grade=disagree&order=bytes"));
  check(`a chip filters: ${other} flows disagree`, other > 0 && param("filter") === "grade=disagree");
  check(
    "what is not recorded by grade says so",
    await until(6, async () =>
      /regardless of grade/.test(await page.locator("#lengths .sub").first().textContent()),
    ),
  );
  await page.locator(".choice a.chip", { hasText: /^ended$/ }).click();
  check("those that ended are asked of the database", await until(5, () => param("state") === "ended"));
  const few_rows = "/flows?v=1&filter=grade%3Ddisagree"; // axe looks at each cell for long
  await open(few_rows);
  await page.locator("table.flows button.open").first().click();
  await look("flows");
}
