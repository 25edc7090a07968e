// Every input with what it received, accepted, rejected and why; and the state of the observer itself.

import type { HealthAnswer, Source } from "./api.js";
import { el, set, text } from "./dom.js";
import { bitRate, byteCount, count, dateTime, duration, percent, seconds } from "./format.js";
import { Page, type Shell } from "./page.js";

const STATUS = { ok: "All is well", degraded: "Something needs attention", down: "Down" };

export class HealthPage extends Page {
  override readonly health_every_ms = 2000;
  readonly element = el("div", { class: "health" });
  private readonly status = el("h1");
  private readonly reasons = el("ul", { class: "reasons" });
  private readonly inputs = el("tbody");
  private readonly balance = el("p", { class: "sentence" });
  private readonly refusals = el("tbody");
  private readonly facts = el("div", { class: "columns" });
  private readonly events = el("tbody");
  private answered = false;

  constructor(_shell: Shell) {
    super();
    const table = (label: string, heads: [string, boolean][], body: HTMLElement): HTMLElement =>
      el(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
        el(
          "table",
          {},
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              ...heads.map(([h, number]) => el("th", { scope: "col", class: number ? "number" : null }, h)),
            ),
          ),
          body,
        ),
      );
    this.element.append(
      el("section", { class: "panel stales" }, this.status, this.reasons),
      el(
        "section",
        { class: "panel", id: "inputs" },
        el(
          "div",
          { class: "head" },
          el("h2", {}, "Inputs"),
          el("span", { class: "sub" }, "counted since the observer started"),
          el("a", { class: "raw", href: "/api/v1/health" }, "JSON"),
        ),
        table(
          "Inputs",
          [
            ["Input", false],
            ["State", false],
            ["Received", true],
            ["Accepted", true],
            ["Rejected", true],
            ["Dropped", true],
            ["Lost before us", true],
            ["Sampling", true],
            ["Flows against interface counters", true],
            ["Last seen", true],
          ],
          this.inputs,
        ),
        this.balance,
      ),
      el(
        "section",
        { class: "panel", id: "rejects" },
        el("div", { class: "head", id: "loss" }, el("h2", {}, "Rejected, dropped and lost, by reason")),
        table(
          "Rejects by reason",
          [
            ["Input", false],
            ["What", false],
            ["Reason", false],
            ["Count", true],
            ["Of received", true],
          ],
          this.refusals,
        ),
      ),
      el(
        "section",
        { class: "panel", id: "database" },
        el("div", { class: "head", id: "registry" }, el("h2", { id: "clock" }, "The observer itself")),
        this.facts,
      ),
      el(
        "section",
        { class: "panel" },
        el("div", { class: "head" }, el("h2", {}, "Events")),
        table(
          "Events",
          [
            ["When", false],
            ["Kind", false],
            ["What", false],
          ],
          this.events,
        ),
      ),
    );
  }

  override health(h: HealthAnswer, offset_s: number): void {
    this.fill(h, offset_s);
    if (!this.answered && location.hash)
      // now the sections have their heights
      document.getElementById(location.hash.slice(1))?.scrollIntoView();
    this.answered = true;
  }

  private fill(h: HealthAnswer, offset_s: number): void {
    const now_s = seconds(h.now);
    text(this.status, STATUS[h.status] ?? h.status);
    set(this.status, { "data-status": h.status });
    this.reasons.replaceChildren(...h.reasons.map(r => el("li", {}, r)));
    this.inputs.replaceChildren(...h.sources.map(s => inputRow(s, now_s)));
    const off = h.sources.filter(s => s.received !== s.accepted + sum(s.rejected) + sum(s.dropped));
    text(
      this.balance,
      off.length
        ? `The books do not balance for ${off.map(s => s.name).join(", ")}: received is not accepted + rejected + dropped.`
        : "For every input: received = accepted + rejected + dropped.",
    );
    const refusals = h.sources.flatMap(s => [
      ...reasonRows(s, "rejected", s.rejected),
      ...reasonRows(s, "dropped", s.dropped),
      ...reasonRows(s, "lost before us", {
        "sequence gaps": s.lost ?? 0,
        "dropped by the agent": s.agent_drops ?? 0,
      }),
    ]);
    this.refusals.replaceChildren(
      ...(refusals.length
        ? refusals
        : [el("tr", {}, el("td", { colspan: 5 }, "Nothing was rejected, dropped or lost."))]),
    );
    const clock = {
      "observer's time": dateTime(now_s),
      "this browser":
        Math.abs(offset_s) < 1
          ? "agrees within a second"
          : `${Math.abs(offset_s).toFixed(1)} s ${offset_s > 0 ? "behind the observer" : "ahead of the observer"}`,
    };
    this.facts.replaceChildren(
      facts("Registry", h.registry),
      facts("Database", h.store),
      facts("Process", h.process),
      facts("Clock", clock),
    );
    this.events.replaceChildren(
      ...h.events.map(e =>
        el("tr", {}, el("td", {}, when(e.time)), el("td", {}, e.kind), el("td", {}, e.text)),
      ),
    );
  }
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((a, b) => a + b, 0);
}

function inputRow(s: Source, now_s: number): HTMLElement {
  const seen_s = seconds(s.last_seen);
  const number = (words: string, title?: string): HTMLElement =>
    el("td", { class: "number", title: title ?? null }, words);
  const n = (v: number | undefined): string => (v === undefined || v === null ? "" : count(v));
  const announced = s.sampling_rate ? `1 in ${count(s.sampling_rate)}` : "";
  const measured = s.effective_rate ? `, measured ${count(s.effective_rate)}` : "";
  const against =
    s.if_bytes_per_s && s.flow_bytes_per_s
      ? `${bitRate(s.flow_bytes_per_s)} of ${bitRate(s.if_bytes_per_s)}`
      : "";
  return el(
    "tr",
    { "data-source": s.name, "data-received": s.received },
    el(
      "th",
      { scope: "row", class: s.parent ? "child" : null },
      s.name,
      el("span", { class: "detail" }, s.detail ?? ""),
    ),
    el(
      "td",
      {},
      el("span", { class: "state", "data-level": s.up ? "good" : "bad" }, s.up ? "✓ up" : "✕ down"),
    ),
    number(`${n(s.received)} ${s.unit}`),
    number(n(s.accepted)),
    number(n(sum(s.rejected))),
    number(n(sum(s.dropped))),
    number(n((s.lost ?? 0) + (s.agent_drops ?? 0))),
    number(announced + measured),
    number(against),
    number(
      Number.isFinite(seen_s) ? `${duration(now_s - seen_s)} ago` : "never",
      Number.isFinite(seen_s) ? dateTime(seen_s) : undefined,
    ),
  );
}

function reasonRows(s: Source, what: string, counts: Record<string, number>): HTMLElement[] {
  return Object.entries(counts)
    .filter(([, n]) => n > 0)
    .map(([why, n]) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, s.name),
        el("td", {}, what),
        el("td", {}, why.replaceAll("_", " ")),
        el("td", { class: "number" }, count(n)),
        el("td", { class: "number" }, s.received ? percent(n / s.received) : ""),
      ),
    );
}

function facts(title: string, values: Record<string, unknown>): HTMLElement {
  const list = el("dl");
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === "" || typeof value === "object") continue;
    const words =
      name.endsWith("_bytes") || name.endsWith("size")
        ? byteCount(Number(value))
        : name.endsWith("_s")
          ? duration(Number(value))
          : typeof value === "number"
            ? count(value)
            : typeof value === "boolean"
              ? value
                ? "yes"
                : "no"
              : typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value)
                ? when(value)
                : String(value);
    list.append(el("dt", {}, name.replace(/_(bytes|s)$/, "").replaceAll("_", " ")), el("dd", {}, words));
  }
  return el("div", {}, el("h3", {}, title), list);
}

function when(iso: unknown): string {
  const s = seconds(String(iso ?? ""));
  return Number.isFinite(s) ? dateTime(s) : "";
}
