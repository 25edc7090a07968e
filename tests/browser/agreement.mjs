// The Agreement page: run by joined.mjs.

import { check, until } from "./browser.mjs";

const sum = list => list.reduce((a, b) => a + b, 0);

export async function agreement({ page, ask, open, data, look }) {
  await open("/agreement");
  const answer = await ask("/api/v1/agreement?limit=1000");
  const cell = (wire, claim) => `td[data-wire="${wire}"][data-claim="${claim}"]`;
  const tag = t => `${t.experiment_id}.${t.activity_id}`;
  const flows = verdict => sum(answer.cells.filter(c => c.verdict === verdict).map(c => c.flows_1h));
  const shown = await until(8, async () => {
    const cells = await data("table.tags-matrix td[data-cell]");
    return cells.length ? cells : null;
  });
  const of = (list, wire, claim) => list.find(c => String(c.wire) === wire && String(c.claim) === claim);
  const raw = await page
    .locator("table.tags-matrix td[data-cell]")
    .evaluateAll(list => list.map(td => ({ ...td.dataset, kind: td.className })));
  const drawn = kind => sum(raw.filter(c => c.kind.includes(kind)).map(c => Number(c.flows)));
  check(
    "the matrix: as many flows agree, disagree, are not marked as the API says",
    shown && flows("same") > 50 && ["same", "other", "unmarked"].every(v => drawn(v) === flows(v)),
    { page: ["same", "other", "unmarked"].map(drawn), api: ["same", "other", "unmarked"].map(flows) },
  );
  const same = answer.cells.filter(c => c.verdict === "same");
  check(
    `${same.length} cells of the diagonal are the API's`,
    same.every(c => Number(of(raw, tag(c.wire), tag(c.claim))?.flows) === c.flows_1h),
    raw,
  );
  const tile = which => page.locator(`[data-tile=${which}]`).getAttribute("data-value").then(Number);
  check(
    "the tiles say the same",
    (await tile("agree")) === flows("same") && (await tile("disagree")) === flows("other"),
  );

  const rows = await data("tr[data-sender]");
  check(
    `${rows.length} senders with what came of their flows are the API's`,
    rows.length === answer.senders.length &&
      answer.senders.every(s => {
        const r = rows.find(r => r.sender === s.sender);
        return r && ["claims", "joined", "confirmed", "disagree", "claimed"].every(k => r[k] === s[k]);
      }),
    { rows, api: answer.senders.map(({ oddities: _, ...s }) => s) },
  );
  const oddities = answer.senders.flatMap(s => s.oddities);
  const words = await page.locator("#oddities").textContent();
  check(
    `${oddities.length} oddities with their hints, in the observer's words`,
    oddities.length > 0 && oddities.every(o => words.includes(o.hint)),
    words,
  );
  const evidence = oddities.find(o => o.flows.length);
  check(
    "and the flows that show it",
    (await page.locator(`[data-oddity=${evidence.oddity}] a[href*="pick="]`).count()) > 0,
  );

  const share = await data("#site-coverage tbody tr");
  const { sites } = await ask("/api/v1/coverage?from=-1h");
  check(
    `coverage of ${share.length} sites is the API's`,
    share.length > 2 && share.every(r => sites.find(s => s.site === r.site)?.bytes === r.bytes),
    { share, sites },
  );

  const differs = answer.cells.find(c => c.verdict === "other");
  await page.locator(`${cell(tag(differs.wire), tag(differs.claim))} a`).click();
  const listed = () =>
    page
      .locator("table.flows tbody tr[data-flow]")
      .evaluateAll(list => list.map(tr => [tr.dataset.wire, tr.dataset.claimed]));
  check(
    "a number leads to the flows behind it",
    await until(5, () => new URL(page.url()).pathname === "/flows"),
  );
  await page.locator(".choice a.chip", { hasText: /^live$/ }).click(); // they are not over yet
  check(
    `which have these two tags`,
    await until(6, async () => {
      const all = await listed();
      return all.length > 0 && all.every(([w, c]) => w === tag(differs.wire) && c === tag(differs.claim));
    }),
    await listed(),
  );
  await open("/agreement");
  await until(8, async () => (await data("table.tags-matrix td[data-cell]")).length > 0);
  await look("agreement");
}
