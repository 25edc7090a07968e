// The table of flows: both tags, grade and why, seen against claimed. While it is read - the pointer or the
// focus is in it, or a flow's details are open - its rows keep their places and only their numbers change.

import {
  endWords,
  hasTag,
  isRegistered,
  tagNumbers,
  type Claim,
  type Ends,
  type Flow,
  type Tag,
  type Way,
} from "./answers.js";
import { paint, plainPaint, type Paint, type Theme } from "./colour.js";
import { el, on, set, text } from "./dom.js";
import { withCondition } from "./filter.js";
import {
  bitRate,
  byteCount,
  clock,
  count,
  dateTime,
  duration,
  error,
  percent,
  plural,
  seconds,
} from "./format.js";
import { GRADE_RANK } from "./grades.js";
import { tagName } from "./layers.js";
import type { Shell } from "./page.js";
import type { Sheet } from "./panel.js";
import { swatch } from "./texture.js";
import { bareWords, evidenceWords, provenanceWords } from "./words.js";

/** What the observer sorts by; everything else is sorted here, among the rows that it gave. */
export const ORDERS: readonly string[] = ["bytes", "rate", "newest", "duration"];
export const ROWS_MAX = 200;
const ROWS_FOLDED = 40;

interface Column {
  key: string; // in the address
  name: string;
  number?: boolean;
  title?: string;
  by: (f: Flow) => string | number;
}

const lower = -Infinity; // what is not known comes last
const ofClaim = (f: Flow, value: (c: Claim) => number | null): number =>
  f.claim ? (value(f.claim) ?? lower) : lower;
const claimedBytes = (c: Claim): number | null => c.bytes_src_to_dst ?? c.bytes_dst_to_src;

const COLUMNS: readonly Column[] = [
  { key: "flow", name: "Flow", by: f => f.src },
  { key: "wire", name: "On the wire", title: "tag of the packets, and its carrier", by: f => tagOf(f) },
  {
    key: "claimed",
    name: "Announced",
    title: "tag that fireflies name, and the application",
    by: f => (f.claim ? tagOf(f.claim) : "~"),
  },
  { key: "grade", name: "Grade", by: f => GRADE_RANK.indexOf(f.grade) },
  {
    key: "bytes",
    name: "Bytes seen",
    number: true,
    title: "with the sampling error at 95 %",
    by: f => f.bytes,
  },
  {
    key: "said",
    name: "Bytes said",
    number: true,
    title: "by fireflies; the share of it that was seen",
    by: f => ofClaim(f, claimedBytes),
  },
  { key: "rate", name: "Rate", number: true, by: f => f.bytes_per_s ?? lower },
  { key: "rtt", name: "RTT", number: true, title: "as fireflies say", by: f => ofClaim(f, c => c.rtt_s) },
  { key: "duration", name: "Lasted", number: true, by: f => f.duration_s ?? lower },
  { key: "newest", name: "Begun", number: true, by: f => seconds(f.first) || lower },
  { key: "sites", name: "Sites", by: f => known(f.src_site) || "~" },
  { key: "sender", name: "Sender", title: "of the fireflies", by: f => f.claim?.sender ?? "~" },
];

interface Shown {
  flow: Flow;
  tr: HTMLTableRowElement;
  open: HTMLButtonElement;
  cells: { cell: HTMLElement; main: HTMLElement; sub: HTMLElement; marked: string }[];
}

export class FlowTable {
  readonly element: HTMLElement;
  private readonly head = el("tr", { role: "row" });
  private readonly body = el("tbody", { role: "rowgroup" });
  private readonly rows = new Map<string, Shown>();
  private readonly details = el("tr", { class: "details", role: "row" });
  private given: readonly Flow[] = [];
  private readonly fold = el("button", { type: "button", class: "fold", hidden: true });
  private unfolded = false;
  /** Words about what waits while the order is held; "" nothing does. */
  waiting = "";

  constructor(
    private readonly shell: Shell,
    private theme: Theme,
  ) {
    const sortable = COLUMNS.map(c => {
      const button = el("button", { type: "button", class: "sort", title: c.title }, c.name);
      on(button, "click", () => {
        const now = sorting(this.shell.view.sort);
        const down = now.key === c.key ? !now.down : (c.number ?? false);
        this.shell.choose({ sort: (down ? "-" : "") + c.key });
      });
      return el(
        "th",
        { scope: "col", role: "columnheader", class: c.number ? "number" : null, "data-sort": c.key },
        button,
      );
    });
    this.head.append(...sortable);
    on(this.fold, "click", () => {
      this.unfolded = !this.unfolded;
      this.show(this.given, true);
    });
    const scroll = el(
      "div",
      { class: "scroll flows-scroll", tabindex: 0, role: "region", "aria-label": "Flows" },
      el(
        "table",
        { class: "flows", role: "table" },
        el("caption", { class: "unseen" }, "Flows"),
        el("thead", { role: "rowgroup" }, this.head),
        this.body,
      ),
    );
    this.element = el("div", {}, scroll, this.fold);
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.rows.clear();
    this.body.replaceChildren();
    this.show(this.given, true);
  }

  /** `anew`: the reader asked for something else, so that rows may move. */
  show(flows: readonly Flow[], anew: boolean): void {
    this.given = flows;
    const { key, down } = sorting(this.shell.view.sort);
    for (const th of this.head.children)
      set(th, {
        "aria-sort": th.getAttribute("data-sort") !== key ? null : down ? "descending" : "ascending",
      });
    const column = COLUMNS.find(c => c.key === key);
    const sign = down ? -1 : 1;
    const sorted = !column
      ? flows
      : [...flows].sort((a, b) => {
          const [x, y] = [column.by(a), column.by(b)];
          return (
            sign *
            (typeof x === "string" && typeof y === "string" ? x.localeCompare(y) : Number(x) - Number(y))
          );
        });
    this.put(this.unfolded ? sorted : sorted.slice(0, ROWS_FOLDED), !anew && this.isRead());
    this.fold.hidden = flows.length <= ROWS_FOLDED;
    set(this.fold, { "aria-expanded": String(this.unfolded) });
    text(this.fold, this.unfolded ? `Only the first ${ROWS_FOLDED}` : `${flows.length - ROWS_FOLDED} more`);
  }

  /** Which flow's details are open is in the address. */
  pick(): void {
    const { pick } = this.shell.view;
    const row = [...this.rows.values()].find(
      r => flowName(r.flow) === pick || flowName(r.flow, true) === pick,
    );
    for (const r of this.rows.values()) set(r.open, { "aria-expanded": String(r === row) });
    if (!row) return this.details.remove();
    this.details.replaceChildren(
      el("td", { colspan: COLUMNS.length, role: "cell" }, flowDetails(row.flow, this.shell, this.theme)),
    );
    if (row.tr.nextElementSibling !== this.details) row.tr.after(this.details);
  }

  sheet(): Sheet {
    return flowSheet(this.given);
  }

  private isRead(): boolean {
    return (
      this.rows.size > 0 &&
      (this.details.isConnected || this.body.matches(":hover") || this.body.contains(document.activeElement))
    );
  }

  private put(flows: readonly Flow[], held: boolean): void {
    const named = new Map(flows.map(f => [rowName(f), f]));
    const place = new Map([...this.rows.keys()].map((id, i) => [id, i]));
    let order = [...named.keys()];
    if (held) {
      order = [...this.rows.keys()]; // what is gone stays as it was seen last
      const waiting = [...named.keys()].filter(id => !place.has(id)).length;
      const gone = order.filter(id => !named.has(id)).length;
      this.waiting = [
        waiting && `${plural(waiting, "other flow")} to come in`,
        gone && `${plural(gone, "flow")} to go`,
      ]
        .filter(Boolean)
        .join(", ");
    } else {
      this.waiting = "";
      for (const [id, row] of this.rows)
        if (!named.has(id)) {
          row.tr.remove();
          this.rows.delete(id);
        }
    }
    const rows = order.map(id => {
      const flow = named.get(id);
      const row = this.rows.get(id) ?? this.make();
      if (flow) this.fill(row, flow);
      set(row.tr, { class: !flow ? "gone" : flow.seen && !isSure(flow) ? "few" : null });
      return [id, row] as const;
    });
    this.rows.clear();
    let at: Element | null = this.body.firstElementChild;
    for (const [id, row] of rows) {
      this.rows.set(id, row);
      if (at === this.details) at = at.nextElementSibling;
      if (at === row.tr) at = at.nextElementSibling;
      else this.body.insertBefore(row.tr, at);
    }
    this.pick();
  }

  private make(): Shown {
    const open = el("button", { type: "button", class: "open", "aria-expanded": "false" });
    const tr = el("tr", { role: "row" });
    const cells = COLUMNS.map((c, i) => {
      const main = el("span", { class: "main" });
      const sub = el("span", { class: "sub" });
      const cell = el(
        i ? "td" : "th",
        {
          scope: i ? null : "row",
          role: i ? "cell" : "rowheader",
          class: `of-${c.key}${c.number ? " number" : ""}`,
          "data-label": c.name,
        },
        main,
        sub,
      );
      tr.append(cell);
      return { cell, main, sub, marked: "" };
    });
    cells[0]?.cell.replaceChildren(open);
    open.append(...(cells[0] ? [cells[0].main, cells[0].sub] : []));
    const row = { flow: null as unknown as Flow, tr, open, cells };
    on(open, "click", () => {
      const name = flowName(row.flow);
      this.shell.choose({ pick: open.getAttribute("aria-expanded") === "true" ? "" : name }, true);
    });
    return row;
  }

  private fill(row: Shown, f: Flow): void {
    row.flow = f;
    const { claim } = f;
    set(row.tr, {
      "data-flow": flowName(f),
      "data-bytes": f.bytes,
      "data-grade": f.grade,
      "data-wire": tagNumbers(f),
      "data-claimed": claim ? tagNumbers(claim) : null,
    });
    const total = claim ? claimedBytes(claim) : null;
    const cells: [string, string, Node?][] = [
      [endWords(f.src, f.src_port), `→\u00a0${endWords(f.dst, f.dst_port)}`],
      tagCell(f, f.carrier === "none" ? "" : f.carrier, f.seen ? "no tag" : "never seen"),
      claim ? tagCell(claim, said(claim.application), "no tag") : ["not announced", ""],
      [f.grade, f.why],
      f.seen ? [byteCount(f.bytes), error(f.bytes, f.error_bytes, f.samples)] : ["–", ""],
      total === null
        ? ["–", ""]
        : [byteCount(total), total > 0 && isSure(f) ? `${wholePercent(f.bytes / total)} seen` : ""],
      [f.bytes_per_s === null ? "–" : bitRate(f.bytes_per_s), ""],
      [rttWords(claim?.rtt_s ?? null), ""],
      [f.duration_s === null ? "–" : duration(f.duration_s), bareWords(f.state)],
      f.first ? [clock(seconds(f.first)), f.seen ? "" : "as said"] : ["–", ""],
      known(f.src_site) || known(f.dst_site)
        ? [known(f.src_site) || "not known", `→\u00a0${known(f.dst_site) || "not known"}`]
        : ["–", ""],
      claim ? [senderWords(f, claim), claim.producer === "other" ? "" : claim.producer] : ["–", ""],
    ];
    cells.forEach(([main, sub], i) => {
      const c = row.cells[i];
      if (!c) return;
      text(c.main, main);
      text(c.sub, sub);
    });
    this.mark(row.cells[1], `tag ${tagNumbers(f)}`, () => hasTag(f) && swatch(lookOf(this.theme, f)));
    this.mark(
      row.cells[2],
      claim ? `tag ${tagNumbers(claim)}` : "",
      () => claim && hasTag(claim) && swatch(lookOf(this.theme, claim)),
    );
    this.mark(row.cells[3], `grade ${f.grade}`, () => swatch(plainPaint(this.theme, "grade", f.grade, 0)));
    set(row.cells[3]?.sub ?? row.tr, { title: f.why });
    set(row.cells[4]?.sub ?? row.tr, { title: plural(f.samples, "sample") });
  }

  /** The coloured mark before a cell's words; made anew only when it would look different. */
  private mark(c: Shown["cells"][number] | undefined, what: string, make: () => Node | false | null): void {
    if (!c || c.marked === what) return;
    c.marked = what;
    if (c.cell.firstElementChild !== c.main) c.cell.firstElementChild?.remove();
    const node = make();
    if (node) c.cell.prepend(node);
  }
}

export function sorting(sort: string): { key: string; down: boolean } {
  const key = sort.replace(/^-/, "");
  return COLUMNS.some(c => c.key === key)
    ? { key, down: sort.startsWith("-") }
    : { key: "bytes", down: true };
}

// --- names ------------------------------------------------------------------------------------------------

/** As in the address: the same flow at another time has the same name. */
export function flowName(f: Ends, turned = false): string {
  const [src, dst] = [endWords(f.src, f.src_port), endWords(f.dst, f.dst_port)];
  return `${turned ? dst : src} ${turned ? src : dst} ${f.protocol}`;
}
const rowName = (f: Flow): string => `${flowName(f)} ${f.first ?? f.claim?.start ?? ""}`;
const known = (site: string): string => (site === "(unknown)" ? "" : site);
const said = (application: string): string => (application === "(unsaid)" ? "" : application);
/** Whether its bytes say anything: exact, or from enough samples. */
const isSure = (f: Flow): boolean => f.seen && error(f.bytes, f.error_bytes, f.samples) !== "too few";
const wholePercent = (share: number): string =>
  share < 0.0995 ? percent(share) : `${Math.round(share * 100)} %`;
const tagOf = (t: Tag): string => (hasTag(t) ? tagName(t) : "~");

function lookOf(theme: Theme, t: Tag): Paint {
  return isRegistered(t) ? paint(theme, t.experiment_id, t.activity_id) : paint(theme, -1, null);
}

function tagCell(t: Tag, sub: string, none: string): [string, string] {
  return [hasTag(t) ? tagName(t) : none, sub];
}

function rttWords(rtt_s: number | null): string {
  if (rtt_s === null) return "–";
  const ms = rtt_s * 1000;
  return ms >= 9.95
    ? `${ms.toFixed(0)} ms`
    : ms >= 0.995
      ? `${ms.toFixed(1)} ms`
      : `${(ms * 1000).toFixed(0)} µs`;
}

const senderWords = (f: Flow, c: Claim): string =>
  c.sender === f.src ? "the source" : c.sender === f.dst ? "the destination" : c.sender;

// --- details ----------------------------------------------------------------------------------------------

function flowDetails(f: Flow, shell: Shell, theme: Theme): HTMLElement {
  const { claim } = f;
  const filter = (dim: string, value: string): HTMLElement | string =>
    value
      ? el(
          "a",
          { href: shell.address("/flows", { filter: withCondition(shell.view.filter, dim, value) }) },
          value,
        )
      : "not known";
  const tag = (t: Tag): Node =>
    el(
      "span",
      {},
      hasTag(t) && swatch(lookOf(theme, t)),
      hasTag(t) ? `${tagName(t)} (${tagNumbers(t)})` : "none",
    );
  const time = (iso: string | null): string => (iso ? dateTime(seconds(iso)) : "not said");
  const bytes = (n: number | null): string =>
    n === null ? "not said" : `${byteCount(n)} (${count(n)} bytes)`;
  const way = (w: Way): Node =>
    el(
      "span",
      {},
      w.packets
        ? `${byteCount(w.bytes)} in ${plural(w.packets, "packet")}${w.samples < w.packets ? `, of ${plural(w.samples, "sample")}` : ""}; tag `
        : "nothing seen",
      w.packets ? tag(w) : "",
      hasTag(w) ? `, ${w.carrier}` : "",
      w.label ? `, label ${w.label}` : "",
    );
  const list = (title: string, rows: readonly (readonly [string, Node | string | null])[]): HTMLElement =>
    el(
      "section",
      {},
      el("h3", {}, title),
      el(
        "dl",
        {},
        ...rows.flatMap(([name, value]) => (value === null ? [] : [el("dt", {}, name), el("dd", {}, value)])),
      ),
    );
  return el(
    "div",
    { class: "flow-details" },
    el(
      "section",
      { class: "evidence" },
      el("h3", {}, `Why ${f.grade}`),
      el("p", {}, f.why),
      f.evidence.length > 0 &&
        el("ul", {}, ...f.evidence.map(e => el("li", { "data-evidence": e }, evidenceWords(e)))),
    ),
    list("Seen", [
      ["There", way(f)],
      ["Back", way(f.back)],
      [
        "First, last",
        f.seen && f.first
          ? `${dateTime(seconds(f.first))} to ${f.last ? clock(seconds(f.last)) : "–"}`
          : "never seen",
      ],
      [
        "Point",
        f.seen
          ? `${f.point}${f.points > 1 ? `, and ${plural(f.points - 1, "other point")} that see it, too` : ""}`
          : null,
      ],
      ["From site", filter("src_site", known(f.src_site))],
      ["To site", filter("dst_site", known(f.dst_site))],
    ]),
    claim
      ? list("Announced by fireflies", [
          ["Tag", tag(claim)],
          ["Sender", `${claim.sender}, ${provenanceWords(claim.provenance)}; ${claim.producer}`],
          ["Application", said(claim.application) ? filter("application", claim.application) : "not said"],
          [
            "Start, end",
            `${time(claim.start)} to ${claim.end ? clock(seconds(claim.end)) : bareWords(claim.state)}`,
          ],
          ["Ends", claim.turned ? "named the other way around; turned here" : null],
          ["There", bytes(claim.bytes_src_to_dst)],
          ["Back", bytes(claim.bytes_dst_to_src)],
          ["RTT", claim.rtt_s === null ? "not said" : rttWords(claim.rtt_s)],
          [
            "Odd",
            claim.oddities.length
              ? el(
                  "span",
                  {},
                  ...claim.oddities.flatMap((o, i) => [
                    i ? ", " : "",
                    el("a", { href: shell.address("/agreement", {}) + `#${o}` }, bareWords(o)),
                  ]),
                )
              : "nothing",
          ],
        ])
      : el("section", {}, el("h3", {}, "Announced by fireflies"), el("p", {}, "No firefly names this flow.")),
  );
}

// --- as a sheet -----------------------------------------------------------------------------------------

function flowSheet(flows: readonly Flow[]): Sheet {
  const number = true;
  return {
    columns: [
      { name: "Source", key: "src" },
      { name: "Port", key: "src_port", number },
      { name: "Destination", key: "dst" },
      { name: "Port", key: "dst_port", number },
      { name: "Protocol", key: "protocol" },
      { name: "On the wire", key: "tag" },
      { name: "Carrier", key: "carrier" },
      { name: "Announced", key: "claimed_tag" },
      { name: "Grade", key: "grade" },
      { name: "Why", key: "why" },
      { name: "Bytes seen", key: "bytes", words: byteCount, number },
      { name: "± 95 %", key: "error_bytes", words: byteCount, number },
      { name: "Samples", key: "samples", words: count, number },
      { name: "Said there", key: "claimed_bytes_src_to_dst", words: byteCount, number },
      { name: "Said back", key: "claimed_bytes_dst_to_src", words: byteCount, number },
      { name: "Rate", key: "bytes_per_s", words: bitRate, number },
      { name: "RTT", key: "rtt_s", words: rttWords, number },
      { name: "Lasted", key: "duration_s", words: duration, number },
      { name: "Begun", key: "first_utc", words: dateTime, number },
      { name: "State", key: "state" },
      { name: "From site", key: "src_site" },
      { name: "To site", key: "dst_site" },
      { name: "Application", key: "application" },
      { name: "Sender", key: "sender" },
    ],
    rows: flows.map(f => [
      f.src,
      f.src_port,
      f.dst,
      f.dst_port,
      f.protocol,
      hasTag(f) ? tagName(f) : "",
      f.carrier,
      f.claim && hasTag(f.claim) ? tagName(f.claim) : "",
      f.grade,
      f.why,
      f.bytes,
      f.error_bytes,
      f.samples,
      f.claim?.bytes_src_to_dst ?? null,
      f.claim?.bytes_dst_to_src ?? null,
      f.bytes_per_s,
      f.claim?.rtt_s ?? null,
      f.duration_s,
      f.first ? seconds(f.first) : null,
      f.state,
      known(f.src_site),
      known(f.dst_site),
      said(f.claim?.application ?? ""),
      f.claim?.sender ?? "",
    ]),
  };
}
