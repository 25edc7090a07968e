// Live decoded packets and fireflies, headers only: a few of each second, newest first.

import { address, get, reason, type Tick } from "./api.js";
import { paint, type Theme } from "./colour.js";
import { el, on, set, text } from "./dom.js";
import { byteCount, clock, count, plural, seconds, zone } from "./format.js";
import { Page, type Shell } from "./page.js";
import { Panel, type Sheet } from "./panel.js";
import { recipes } from "./recipes.js";
import { LiveTable, type Row } from "./table.js";
import { swatch } from "./texture.js";
import { KINDS, type View } from "./view.js";

interface Packet {
  time: string;
  kind: "packet" | "firefly";
  source: string;
  direction?: string;
  family: number;
  protocol: string;
  src: string;
  src_port?: number;
  dst: string;
  dst_port?: number;
  experiment_id: number;
  experiment: string;
  activity_id: number;
  activity: string;
  // of packets
  carrier?: string;
  grade?: string;
  label?: string | null;
  dialect?: string | null;
  bytes?: number;
  weight?: number;
  tcp_flags?: string;
  notes?: string[];
  // of fireflies
  state?: string;
  producer?: string;
  sender?: string;
  application?: string;
}

interface PacketsAnswer {
  now: string;
  newest: number | null; // second
  packets: Packet[];
}

interface Listed extends Packet {
  id: string;
}

const A_SECOND = 200; // asked for at most
const SHOWN = 200;
const KEPT = 1000; // for the CSV
const KIND_WORDS = { both: "Packets and fireflies", packets: "Packets", fireflies: "Fireflies" };

export class PacketsPage extends Page {
  readonly element = el("div", { class: "packets full" });
  override readonly obeys = { filter: true, ranges: [], any_range: false };
  private rows: Listed[] = []; // newest first
  private after_s = NaN; // the newest second that is listed
  private number = 0;
  private asking = false;
  private paused = false;
  private missed = 0; // seconds that went by while it was paused
  private picked = "";
  private loading = new AbortController();

  private readonly kind = el("select", { id: "kind" });
  private readonly counted = el("span", { class: "sub", role: "status" });
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly empty = el("div", { class: "empty", hidden: true });
  private readonly table = new LiveTable("Packets and fireflies, newest first", [
    { name: "Time" },
    { name: "What" },
    { name: "From" },
    { name: "To" },
    { name: "Tag" },
    { name: "Grade" },
    { name: "Flow label" },
    { name: "Size", number: true, title: "of the frame on the wire" },
    { name: "Stands for", number: true, title: "packets, when it was sampled" },
    { name: "Seen by" },
    { name: "Notes" },
  ]);
  private readonly panel: Panel;
  private readonly details = el("dl", { class: "facts" });
  private readonly detail: HTMLElement;

  constructor(private readonly shell: Shell) {
    super();
    for (const value of KINDS) this.kind.append(el("option", { value }, KIND_WORDS[value]));
    on(this.kind, "change", () => shell.choose({ kind: KINDS.find(k => k === this.kind.value) ?? "both" }));
    this.panel = new Panel(shell, {
      id: "packets",
      title: "Packets and fireflies",
      kind: "stales",
      is_table: true,
      body: [this.empty, this.table.element],
      sheet: () => this.sheet(),
    });
    this.detail = el(
      "section",
      { class: "panel one", hidden: true, "aria-live": "polite", "aria-label": "The picked line" },
      this.details,
    );
    this.table.element.classList.add("tall", "lines");
    this.element.append(
      el("h1", { class: "unseen" }, "Packets"),
      el(
        "div",
        { class: "controls" },
        el("span", { class: "pick" }, el("label", { for: "kind" }, "Show"), this.kind),
        this.counted,
      ),
      this.problem,
      this.detail,
      this.panel.element,
      el(
        "p",
        { class: "sentence" },
        `Of each second and source a fair sample of up to 100 tagged packets, 100 others and 100 fireflies; ${A_SECOND} a second are listed. ` +
          "Headers only: the observer never looks at what is carried. Pick a line with a click, or with ↑ and ↓ in the table.",
      ),
    );
    on(this.table.element, "click", e => {
      const id = (e.target as Element | null)?.closest("tr")?.getAttribute("data-id");
      if (id) this.pick(id === this.picked ? "" : id);
    });
    on(this.table.element, "keydown", e => {
      const step = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
      if (!step && e.key !== "Escape") return;
      const at = this.rows.findIndex(r => r.id === this.picked);
      const next = this.rows[Math.max(0, Math.min(SHOWN - 1, at + step))];
      e.preventDefault();
      this.pick(step && next ? next.id : "");
    });
  }

  override show(view: View, before: View | null): void {
    this.kind.value = view.kind;
    if (before && before.filter === view.filter && before.kind === view.kind && before.zone === view.zone)
      return;
    if (before?.filter !== view.filter || before.kind !== view.kind) {
      this.rows = [];
      this.after_s = NaN;
      this.pick("");
      void this.ask();
    }
    this.draw();
  }

  override tick(_tick: Tick): void {
    if (this.paused) {
      this.missed++;
      this.say();
    } else {
      void this.ask();
    }
  }

  override setPaused(paused: boolean): void {
    this.paused = paused;
    this.missed = 0;
    this.say();
  }

  override setTheme(_theme: Theme): void {
    this.table.clear();
    this.draw();
  }

  override close(): void {
    this.loading.abort();
  }

  // --- what comes -----------------------------------------------------------------------------------------

  private params(): Record<string, string> {
    const { filter, kind } = this.shell.view;
    return { filter, kind: kind === "both" ? "" : kind };
  }

  private async ask(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    const params = this.params();
    const asked = JSON.stringify(params);
    try {
      const answer = await get<PacketsAnswer>(
        "packets",
        { ...params, after: Number.isNaN(this.after_s) ? "" : String(this.after_s), limit: String(A_SECOND) },
        this.loading.signal,
      );
      this.problem.hidden = true;
      if (asked === JSON.stringify(this.params())) this.take(answer);
    } catch (e) {
      if (!this.loading.signal.aborted && !this.shell.refused(e)) {
        text(this.problem, reason(e));
        this.problem.hidden = false;
      }
    }
    this.asking = false;
    if (asked !== JSON.stringify(this.params()) && !this.loading.signal.aborted) void this.ask();
  }

  private take({ newest, packets }: PacketsAnswer): void {
    if (newest !== null) this.after_s = newest;
    const listed = packets.map(p => ({ ...p, id: String(this.number++) }));
    this.rows = [...listed.reverse(), ...this.rows].slice(0, KEPT);
    this.draw();
  }

  // --- what is shown --------------------------------------------------------------------------------------

  private draw(): void {
    this.table.show(this.rows.slice(0, SHOWN).map(r => this.row(r)));
    this.table.element.hidden = !this.rows.length;
    this.empty.hidden = this.rows.length > 0;
    if (!this.rows.length) this.explain();
    this.say();
    this.panel.show({
      unit: plural(Math.min(SHOWN, this.rows.length), "line"),
      range: `newest first, times in ${zone()}`,
      json: address("packets", this.params()),
    });
  }

  private say(): void {
    text(
      this.counted,
      this.paused
        ? `Paused; ${plural(this.missed, "second")} went by.`
        : this.rows.length
          ? `${count(this.rows.length)} of the newest are kept for the CSV.`
          : "",
    );
  }

  private explain(): void {
    const { filter, kind } = this.shell.view;
    const inputs = this.shell.health?.sources ?? [];
    if (!inputs.length) this.empty.replaceChildren(recipes(inputs));
    else
      this.empty.replaceChildren(
        el(
          "p",
          { class: "quiet" },
          filter
            ? "Nothing of the last minute passes the filter."
            : kind === "fireflies"
              ? "No firefly in the last minute. A sender announces its flows to UDP port 10514 of this machine; Help tells how."
              : "Nothing in the last minute.",
        ),
      );
  }

  private row(r: Listed): Row {
    const firefly = r.kind === "firefly";
    return {
      id: r.id,
      mark: () =>
        swatch(
          r.grade === "unregistered"
            ? paint(this.shell.theme, -1, -1)
            : paint(this.shell.theme, r.experiment_id, r.activity_id),
        ),
      kind: [firefly ? "firefly" : "", r.id === this.picked ? "picked" : ""].filter(Boolean).join(" "),
      data: { id: r.id, experiment: r.experiment_id, activity: r.activity_id, kind: r.kind },
      cells: [
        clock(seconds(r.time)) + (r.time.slice(19).replace("Z", "").slice(0, 4) || ""),
        what(r),
        end(r.src, r.src_port),
        end(r.dst, r.dst_port),
        tag(r),
        r.grade ?? "",
        r.label ?? "",
        r.bytes === undefined ? "" : byteCount(r.bytes),
        r.weight === undefined || r.weight === 1 ? "" : count(r.weight),
        r.kind === "firefly" ? `from ${r.sender ?? ""}` : r.source,
        notes(r),
      ],
    };
  }

  private pick(id: string): void {
    this.picked = id;
    const r = this.rows.find(one => one.id === id);
    this.detail.hidden = !r;
    if (r) this.details.replaceChildren(...facts(r, this.shell));
    for (const tr of this.table.element.querySelectorAll("tbody tr"))
      set(tr, { "aria-selected": tr.getAttribute("data-id") === id ? "true" : null });
    this.draw();
    this.table.element.querySelector("tr.picked")?.scrollIntoView({ block: "nearest" });
  }

  private sheet(): Sheet | null {
    if (!this.rows.length) return null;
    const keys = [
      "kind source direction family protocol src src_port dst dst_port experiment_id experiment activity_id activity",
      "carrier grade label dialect bytes weight tcp_flags state producer sender application",
    ]
      .join(" ")
      .split(" ") as (keyof Packet)[];
    return {
      columns: [
        { name: "time", key: "time" },
        ...keys.map(k => ({ name: k.replaceAll("_", " "), key: k })),
        { name: "notes", key: "notes" },
      ],
      rows: this.rows.map(r => [
        r.time,
        ...keys.map(k => (r[k] as string | number | null | undefined) ?? null),
        (r.notes ?? []).join("; "),
      ]),
    };
  }
}

const end = (address_: string, port: number | undefined): string =>
  port ? `${address_.includes(":") ? `[${address_}]` : address_}:${port}` : address_;

const tag = (r: Packet): string =>
  r.experiment_id === 0 && r.activity_id === 0
    ? ""
    : r.activity
      ? `${r.experiment} · ${r.activity}`
      : r.experiment;

const what = (r: Packet): string =>
  r.kind === "firefly"
    ? `firefly ${r.state ?? ""}`
    : [r.protocol.toUpperCase(), r.tcp_flags].filter(Boolean).join(" ");

const notes = (r: Packet): string =>
  r.kind === "firefly"
    ? [r.producer, r.application && `“${r.application}”`].filter(Boolean).join(", ")
    : [r.carrier && r.carrier !== "none" && r.carrier !== "label" ? r.carrier : "", ...(r.notes ?? [])]
        .filter(Boolean)
        .join(", ");

function facts(r: Listed, shell: Shell): HTMLElement[] {
  const rows: [string, string | HTMLElement | undefined | null][] = [
    ["Time", r.time],
    ["Seen by", r.source],
    ["What", what(r)],
    ["Direction", r.direction],
    ["From", end(r.src, r.src_port)],
    ["To", end(r.dst, r.dst_port)],
    ["Experiment", r.experiment_id ? `${r.experiment} (${r.experiment_id})` : ""],
    ["Activity", r.experiment_id ? `${r.activity} (${r.activity_id})` : ""],
    ["Grade", r.grade],
    ["Carrier", r.carrier === "none" ? "" : r.carrier],
    ["Option's form", r.dialect],
    [
      "Flow label",
      r.label ? el("a", { href: shell.address("/decode", { value: r.label }) }, `${r.label}, decoded`) : "",
    ],
    ["Frame", r.bytes === undefined ? "" : `${count(r.bytes)} bytes`],
    ["Stands for", r.weight === undefined ? "" : plural(r.weight, "packet")],
    ["Producer", r.producer],
    ["Sender", r.sender],
    ["Application", r.application],
    ["Notes", (r.notes ?? []).join(", ")],
  ];
  return rows.filter(([, v]) => v).map(([name, v]) => el("div", {}, el("dt", {}, name), el("dd", {}, v)));
}
