// Parts of the page without a browser: the address, the filter language, one stream for all pages, Markdown
// and CSV. Run: node tests/browser/parts.mjs

import { readFileSync } from "node:fs";
import { check, finish } from "./browser.mjs";
import { bundle } from "./bundle.mjs";

const same = (what, found, expected) =>
  check(what, JSON.stringify(found) === JSON.stringify(expected), { found, expected });

// --- the address --------------------------------------------------------------------------------------------
const v = await bundle("view.ts");
const first = v.parseView("");
same("at first the address is empty", v.printView(first), "");
const whole = {
  ...first,
  filter: 'experiment=cms and activity="Analysis Input"',
  range: "2026-01-10T08:00:00Z/2026-01-10T09:00:00Z",
  zone: "local",
  unit: "packets",
  shape: "share",
  hide: ["2", "-1"],
  compare: true,
  notes: [{ at_s: 1768032000, words: "data challenge, day 2" }], // date -u -d @1768032000: 2026-01-10 08:00
};
const printed = v.printView(whole);
check("a version stands in front", printed.startsWith("?v=1&"), printed);
check("a note keeps its time and its words", printed.includes("2026-01-10T08:00:00Z"), printed);
same("what is printed is read back", v.parseView(printed), { ...whole, hide: ["-1", "2"] });
const odd = v.parseView("?v=1&zone=mars&range=7&shape=pie&compare=x&notes=soon%20x&unit=");
same("what is not understood is left as at first", odd, first);
same(
  "filter, range, unit and zone go along to another page, the rest stays",
  [...new URLSearchParams(v.pageAddress("/flows", whole).slice("/flows".length)).keys()].sort(),
  ["filter", "range", "unit", "v", "zone"],
);
same("15m is a live range of 900 s", v.parseRange("15m"), {
  text: "15m",
  from: "-15m",
  to: "now",
  span_s: 900,
  live: true,
});
for (const bad of ["", "0m", "5x", "1h/2h", "2026-01-10T09:00:00Z/2026-01-10T08:00:00Z", "a/b"])
  check(`no range: "${bad}"`, v.parseRange(bad) === null);
same("words of a range", v.rangeWords(v.parseRange("7d")), "last 7 days");

// --- the filter -----------------------------------------------------------------------------------------------
const f = await bundle("filter.ts");
for (const [text, shape] of [
  ["family=6", "is"],
  ["family=6 and not (grade=untagged or direction=in)", "and"],
  ['activity in ("Analysis Input", 3)', "is"],
  ["NOT experiment=cms OR experiment!=atlas", "or"],
])
  same(`read: ${text}`, f.parseFilter(text)?.op, shape);
for (const text of [
  "",
  "family",
  "family=",
  "family=6 and",
  "(family=6",
  "planet=mars",
  "family=6 grade=x",
  'source="eth',
])
  same(`not (yet) a filter: ${text || "nothing"}`, f.parseFilter(text), null);
for (const [text, dim, value, expected] of [
  ["", "source", "eth1", "source=eth1"],
  ["family=6", "source", "sflow:192.0.2.1", "family=6 and source=sflow:192.0.2.1"],
  ["source=a and family=6", "source", "b", "family=6 and source=b"],
  ["source=a and family=6", "source", "", "family=6"],
  ["source=a", "source", "", ""],
  ["family=6 or family=4", "source", "b", "(family=6 or family=4) and source=b"],
  ["(family=6 or family=4) and source=a", "source", "b", "(family=6 or family=4) and source=b"],
  ["not source=a", "source", "b", "not source=a and source=b"],
  ["family=6", "activity", "Analysis Input", 'family=6 and activity="Analysis Input"'],
  ["family=6 or source=a", "source", "", "family=6 or source=a"],
])
  same(`${dim}=${value || "nothing"} in "${text}"`, f.withCondition(text, dim, value), expected);
same("what a filter demands as a whole", f.condition("family=6 and source=a", "source"), "a");
same("one of several is not demanded", f.condition("source=a or family=6", "source"), "");
same("two filters at once", f.both("a=1 or b=2", "", "family=6"), "a=1 or b=2 and family=6"); // not a filter: left alone
same(
  "an or is put in parentheses",
  f.both("family=6 or family=4", "grade=untagged"),
  "(family=6 or family=4) and grade=untagged",
);
for (const [text, kind, from, dim = ""] of [
  ["", "dimension", 0],
  ["fam", "dimension", 0],
  ["family", "dimension", 0],
  ["family ", "operator", 7],
  ["family=", "value", 7, "family"],
  ["family=6", "value", 7, "family"],
  ["family=6 ", "connector", 9],
  ["family=6 and ", "dimension", 13],
  ["not (grade=untagged or ca", "dimension", 23],
  ["experiment in (cms, a", "value", 20, "experiment"],
  ['activity="Analysis In', "value", 9, "activity"],
]) {
  const c = f.complete(text, text.length);
  same(`what may stand at the end of "${text}"`, [c.kind, c.from, c.dim], [kind, from, dim]);
}
same(
  "activities are completed for the experiment beside",
  f.complete("experiment=cms and activity=", 28).experiment,
  "cms",
);

// --- one stream for all pages ---------------------------------------------------------------------------------
const opened = [];
globalThis.fetch = async (_path, { headers }) => {
  opened.push(headers["Last-Event-ID"]);
  let controller;
  const body = new ReadableStream({ start: c => (controller = c) });
  globalThis.say = second =>
    controller.enqueue(new TextEncoder().encode(`event: tick\ndata: {"second":${second}}\n\n`));
  return { ok: true, body };
};
const { Feed } = await bundle("feed.ts");
const told = [];
const feed = new Feed({ tick: t => told.push(t.second), state: () => {} });
feed.start();
const soon = () => new Promise(done => setTimeout(done, 30));
await soon();
for (const s of [100, 101, 102]) globalThis.say(s);
await soon();
same(
  "the newest second is enough: nothing is asked for by number",
  [opened.length, opened[0] ?? "none"],
  [1, "none"],
);
feed.since(100);
await soon();
same(
  "seconds that are kept are told again, without another question",
  [told, opened.length],
  [[100, 101, 102, 101, 102], 1],
);
feed.since(40);
await soon();
same("older ones are asked for", opened, [undefined, "40"]);
told.length = 0;
for (const s of [41, 42]) globalThis.say(s);
await soon();
same("and told as they come", told, [41, 42]);

// --- documents --------------------------------------------------------------------------------------------------
class Element {
  constructor(tag) {
    this.tagName = tag.toUpperCase();
    this.attributes = {};
    this.children = [];
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  removeAttribute() {}
  append(...nodes) {
    this.children.push(...nodes);
  }
  toString() {
    const { href, id } = this.attributes;
    const tag = this.tagName.toLowerCase() + (href ? `>${href}` : id ? `#${id}` : "");
    return `${tag}(${this.children.map(String).filter(Boolean).join("|")})`;
  }
}
globalThis.document = { createElement: tag => new Element(tag) };
const { markdown } = await bundle("markdown.ts");
const text = `# One & two

A *b* **c** \`d<e>\` [f](reading.md#x)
and on.

- one
  more
- two

| a | b |
| --- | --- |
| \`c\` | d |

\`\`\`
<pre>
\`\`\``;
same("Markdown becomes elements", markdown(text, href => `#${href}`).map(String), [
  "h1#one-two(One & two)",
  "p(A |em(b)| |strong(c)| |code(d<e>)| |a>#reading.md#x(f)| and on.)",
  "ul(li(one more)|li(two))",
  "div(table(thead(tr(th(a)|th(b)))|tbody(tr(td(code(c))|td(d)))))",
  "pre(<pre>)",
]);
const manual = markdown(readFileSync(new URL("../../docs/page.md", import.meta.url), "utf8"), () => null);
check("the manual has its headings", manual.filter(e => e.tagName === "H2").length >= 10, manual.length);

// --- CSV, RFC 4180 ------------------------------------------------------------------------------------------------
const { csv } = await bundle("panel.ts");
same(
  "CSV: quotes, empty cells, times, and nothing that a spreadsheet would calculate",
  csv({
    columns: [
      { name: "When", key: "start_utc" },
      { name: "Who", key: "who" },
      { name: "Bytes", key: "bytes" },
    ],
    rows: [
      [1768032000, 'a "b", c', 12.5],
      [1768032010, "=1+1", null],
    ],
  }),
  'start_utc,who,bytes\r\n2026-01-10T08:00:00Z,"a ""b"", c",12.5\r\n2026-01-10T08:00:10Z,\'=1+1,\r\n',
);
finish();
