// Every input with what it received, accepted, rejected and why; and the state of the observer itself.

import type { HealthAnswer, Source } from "./api.js";
import { el, set, text } from "./dom.js";
import { bitRate, byteCount, count, dateTime, duration, percent, seconds, si } from "./format.js";
import { Page, type Shell } from "./page.js";
import { Panel, type Sheet, type SheetColumn } from "./panel.js";
import { LiveTable, type Row } from "./table.js";

const STATUS = { ok: "All is well", degraded: "Something needs attention", down: "Down" };
const RATE_OVER_S = 10;
const APART = 0.1; // flows against interface counters: more is worth a look
const JSON_AT = "/api/v1/health";

interface Refusal {
  source: Source;
  what: string;
  why: string;
  n: number;
}

export class HealthPage extends Page {
  readonly element = el("div", { class: "health" });
  override readonly health_every_ms = 2000;
  private answer: HealthAnswer | null = null;
  private past: { at_s: number; received: Map<string, number> }[] = [];
  private readonly status = el("h1", {}, "Asking …");
  private readonly reasons = el("ul", { class: "reasons" });
  private readonly balance = el("p", { class: "sentence" });
  private readonly none = el("p", { class: "quiet" }, "Nothing was rejected, dropped or lost.");
  private readonly facts = el("div", { class: "columns" });
  private readonly inputs = new LiveTable("Inputs", [
    { name: "Input" },
    { name: "State" },
    { name: "Received", number: true },
    { name: "A second", number: true, title: `mean of the last ${RATE_OVER_S} s` },
    { name: "Accepted", number: true },
    { name: "Rejected", number: true },
    { name: "Dropped", number: true },
    {
      name: "Lost before us",
      number: true,
      title: "gaps in its sequence, and what the agent says it dropped",
    },
    { name: "Sampling", number: true },
    {
      name: "Samples : counters",
      number: true,
      title: "bytes from samples against the interface counters of the same switch",
    },
    { name: "Last seen", number: true },
  ]);
  private readonly refusals = new LiveTable("Rejects by reason", [
    { name: "Input" },
    { name: "What" },
    { name: "Reason" },
    { name: "Count", number: true },
    { name: "Of received", number: true },
  ]);
  private readonly events = new LiveTable("Events", [{ name: "When" }, { name: "Kind" }, { name: "What" }]);
  private readonly panels: { inputs: Panel; rejects: Panel; observer: Panel; events: Panel };

  constructor(shell: Shell) {
    super();
    const panel = (id: string, title: string, body: Node[], sheet: (h: HealthAnswer) => Sheet): Panel =>
      new Panel(shell, { id, title, is_table: true, body, sheet: () => this.answer && sheet(this.answer) });
    this.panels = {
      inputs: panel("inputs", "Inputs", [this.inputs.element, this.balance], inputSheet),
      rejects: panel(
        "rejects",
        "Rejected, dropped and lost, by reason",
        [this.refusals.element, this.none],
        refusalSheet,
      ),
      observer: panel("observer", "The observer itself", [this.facts], factSheet),
      events: panel("events", "Events", [this.events.element], eventSheet),
    };
    this.element.append(
      el("section", { class: "panel stales" }, this.status, this.reasons),
      this.panels.inputs.element,
      this.panels.rejects.element,
      this.panels.observer.element,
      this.panels.events.element,
    );
  }

  override health(h: HealthAnswer, offset_s: number): void {
    if (!this.answer) {
      // places for links to go to, once what is above them has its height
      this.panels.rejects.element.prepend(el("span", { id: "loss" }));
      for (const id of ["registry", "database", "clock"])
        this.panels.observer.element.prepend(el("span", { id }));
    }
    this.answer = h;
    const now_s = seconds(h.now);
    this.past.push({ at_s: now_s, received: new Map(h.sources.map(s => [s.name, s.received])) });
    while (this.past.length > 2 && (this.past[1]?.at_s ?? now_s) <= now_s - RATE_OVER_S) this.past.shift();
    text(this.status, STATUS[h.status] ?? h.status);
    set(this.status, { "data-status": h.status });
    this.reasons.replaceChildren(...h.reasons.map(r => el("li", {}, r)));
    this.inputs.show(h.sources.map(s => this.inputRow(s, now_s)));
    const off = h.sources.filter(s => s.received !== s.accepted + sum(s.rejected) + sum(s.dropped));
    text(
      this.balance,
      off.length
        ? `The books do not balance for ${off.map(s => s.name).join(", ")}: received is not accepted + rejected + dropped.`
        : "For every input: received = accepted + rejected + dropped.",
    );
    const refused = refusalsOf(h);
    this.none.hidden = refused.length > 0;
    this.refusals.element.hidden = !refused.length;
    this.refusals.show(
      refused.map(({ source, what, why, n }) => ({
        id: `${source.name} ${what} ${why}`,
        cells: [
          source.name,
          what,
          why.replaceAll("_", " "),
          count(n),
          source.received ? percent(n / source.received) : "",
        ],
      })),
    );
    const off_s = Math.abs(offset_s);
    const clock = {
      "observer's time": dateTime(now_s),
      "this browser":
        off_s < 1
          ? "agrees within a second"
          : `${off_s.toFixed(1)} s ${offset_s > 0 ? "behind" : "ahead of"} the observer`,
    };
    this.facts.replaceChildren(
      facts("Registry", h.registry),
      facts("Database", h.store),
      facts("Flows and fireflies", joinFacts(h.join)),
      facts("Process", h.process),
      facts("Clock", clock),
    );
    this.events.show(
      h.events.map((e, i) => ({ id: `${e.time} ${e.kind} ${i}`, cells: [when(e.time), e.kind, e.text] })),
    );
    const since = `counted since the observer started, ${duration(h.process.uptime_s)} ago`;
    this.panels.inputs.show({ unit: "", range: since, json: JSON_AT });
    this.panels.rejects.show({ unit: "", range: since, json: JSON_AT });
    this.panels.observer.show({
      unit: `version ${h.process.version}`,
      range: dateTime(now_s),
      json: JSON_AT,
    });
    this.panels.events.show({ unit: "", range: "newest first", json: JSON_AT });
  }

  private inputRow(s: Source, now_s: number): Row {
    const seen_s = seconds(s.last_seen);
    const ago_s = now_s - seen_s;
    const before = this.past[0];
    const passed_s = now_s - (before?.at_s ?? now_s);
    const per_s = (s.received - (before?.received.get(s.name) ?? s.received)) / passed_s;
    const lost = (s.lost ?? 0) + (s.agent_drops ?? 0);
    const bad = (n: number, words = count(n)): { words: string; kind: string } => ({
      words,
      kind: n ? "warn" : "",
    });
    const ratio = s.if_bytes_per_s && s.flow_bytes_per_s ? s.flow_bytes_per_s / s.if_bytes_per_s : NaN;
    return {
      id: s.name,
      kind: s.parent ? "child" : "",
      data: { source: s.name, received: s.received },
      cells: [
        { words: s.name, detail: s.detail ?? "" },
        { words: s.up ? "✓ up" : "✕ down", kind: s.up ? "good" : "bad" },
        `${count(s.received)} ${s.unit}`,
        passed_s > 0 ? si(per_s, "/s").join(" ") : "",
        count(s.accepted),
        bad(sum(s.rejected)),
        bad(sum(s.dropped)),
        s.lost === undefined && s.agent_drops === undefined ? "" : bad(lost),
        {
          words: s.sampling_rate ? `1 in ${count(s.sampling_rate)}` : "",
          detail: s.effective_rate ? `measured ${count(s.effective_rate)}` : "",
        },
        Number.isFinite(ratio)
          ? {
              words: percent(ratio),
              kind: Math.abs(ratio - 1) > APART ? "warn" : "",
              detail: `${bitRate(s.flow_bytes_per_s ?? 0)} of ${bitRate(s.if_bytes_per_s ?? 0)}`,
            }
          : "",
        Number.isFinite(seen_s)
          ? { words: ago_s < 1.5 ? "now" : `${duration(ago_s)} ago`, title: dateTime(seen_s) }
          : "never",
      ],
    };
  }
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((a, b) => a + b, 0);
}

function refusalsOf(h: HealthAnswer): Refusal[] {
  return h.sources.flatMap(source =>
    Object.entries({
      rejected: source.rejected,
      dropped: source.dropped,
      "lost before us": {
        "sequence gaps": source.lost ?? 0,
        "dropped by the agent": source.agent_drops ?? 0,
      },
    }).flatMap(([what, counts]) =>
      Object.entries(counts)
        .filter(([, n]) => n > 0)
        .map(([why, n]) => ({ source, what, why, n })),
    ),
  );
}

// --- as sheets --------------------------------------------------------------------------------------------

const words = (...names: string[]): SheetColumn[] => names.map(name => ({ name, key: name.toLowerCase() }));
const numbers = (...names: string[]): SheetColumn[] =>
  names.map(name => ({ name, key: name.toLowerCase().replaceAll(" ", "_"), words: count, number: true }));

function inputSheet(h: HealthAnswer): Sheet {
  return {
    columns: [
      ...words("Input", "Kind", "Unit"),
      ...numbers("Up", "Received", "Accepted", "Rejected", "Dropped", "Lost", "Agent drops", "Sampling rate"),
    ],
    rows: h.sources.map(s => [
      s.name,
      s.kind,
      s.unit,
      s.up ? 1 : 0,
      s.received,
      s.accepted,
      sum(s.rejected),
      sum(s.dropped),
      s.lost ?? null,
      s.agent_drops ?? null,
      s.sampling_rate ?? null,
    ]),
  };
}

function refusalSheet(h: HealthAnswer): Sheet {
  return {
    columns: [...words("Input", "What", "Reason"), ...numbers("Count", "Received")],
    rows: refusalsOf(h).map(r => [r.source.name, r.what, r.why, r.n, r.source.received]),
  };
}

function factSheet(h: HealthAnswer): Sheet {
  const rows = Object.entries({ registry: h.registry, database: h.store, join: h.join, process: h.process }).flatMap(
    ([of, values]) =>
      Object.entries(values ?? {})
        .filter(([, v]) => v !== null && typeof v !== "object")
        .map(([name, v]) => [of, name, String(v)]),
  );
  return { columns: words("Of", "What", "Value"), rows };
}

function eventSheet(h: HealthAnswer): Sheet {
  return { columns: words("Time", "Kind", "What"), rows: h.events.map(e => [e.time, e.kind, e.text]) };
}

// --- facts ------------------------------------------------------------------------------------------------

function facts(title: string, values: Record<string, unknown>): HTMLElement {
  const list = el("dl");
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === "" || typeof value === "object") continue;
    list.append(
      el("dt", {}, name.replace(/_(bytes|s)$/, "").replaceAll("_", " ")),
      el("dd", {}, factWords(name, value)),
    );
  }
  return el("div", {}, el("h3", {}, title), list);
}

/** How full the tables are, and what had to leave them. */
function joinFacts(join: Record<string, number> | null): Record<string, unknown> {
  const n = (name: string): number => join?.[name] ?? 0;
  const of = (name: string): string => `${count(n(name))} of ${count(n(`${name}_max`))}`;
  if (!join) return {};
  return {
    flows: of("flows"),
    "flows evicted": n("flows_evicted"),
    "claims kept": of("claims"),
    "claims evicted": n("claims_evicted"),
    "claims joined": `${count(n("claims_joined"))} of ${count(n("claims_begun"))}`,
    duplicates: n("duplicates"),
    senders: n("senders"),
    memory: `${byteCount(n("memory_bytes"))} of ${byteCount(n("memory_max_bytes"))}`,
    "rows not kept": n("flow_rows_let_go"),
  };
}

function factWords(name: string, value: unknown): string {
  if (name.endsWith("_bytes") || name.endsWith("size")) return byteCount(Number(value));
  if (name.endsWith("_s")) return duration(Number(value));
  if (typeof value === "number") return count(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? when(value) : String(value);
}

function when(iso: unknown): string {
  const s = seconds(String(iso ?? ""));
  return Number.isFinite(s) ? dateTime(s) : "";
}
