// Any stretch of time, by any dimension; held against the one before it.

import { address, reason, type Tick } from "./api.js";
import { LayerChart } from "./chart.js";
import { Drawing, pick, UNIT_WORDS } from "./controls.js";
import type { Theme } from "./colour.js";
import { el, on, set, text } from "./dom.js";
import {
  amountWords,
  dateMinute,
  error,
  fromInput,
  percent,
  RATE_UNITS,
  rateWords,
  spanOf,
  stepWords,
  toInput,
  zone,
} from "./format.js";
import { halfWidth, headsOf, nothing, plus, Points, type Amount, type Head, type Layer } from "./layers.js";
import { Legend } from "./legend.js";
import { Page, type Shell } from "./page.js";
import { Panel, type Sheet } from "./panel.js";
import { askPast, asksClaims, moved, rangeBefore, type Past } from "./past.js";
import { layerSheet } from "./sheet.js";
import { LiveTable } from "./table.js";
import { swatch } from "./texture.js";
import { fixedRange, isoSecond, rangeWords, type View } from "./view.js";

const RANGES = ["1d", "1h", "6h", "2d", "7d", "30d", "90d", "1y"];
const GROUPS: readonly [string, string][] = [
  ["experiment,activity", "Experiment and activity"],
  ["experiment", "Experiment"],
  ["experiment,family", "Experiment and IP version"],
  ["grade", "Grade"],
  ["carrier", "Carrier"],
  ["family", "IP version"],
  ["direction", "Direction"],
  ["source", "Source"],
  ["src_site", "From site"],
  ["dst_site", "To site"],
  ["application", "Application, as claimed"],
];
const REFRESH_MIN_S = 10;
const OBSERVED_MIN = 0.95;
const YOUNG = 0.3; // of the range lie before the first second
const SHORTEST_S = 600;

export class HistoryPage extends Page {
  readonly element = el("div", { class: "history full" });
  override readonly obeys = { filter: true, ranges: RANGES, any_range: true };
  private past: Past | null = null;
  private before: { points: Points; covered_s: number[]; totals: Map<string, Amount> } | null = null;
  private grades: Past | null = null;
  private loading = new AbortController();
  private asked = ""; // the question behind what is shown
  private paused = false;
  private again = 0; // timer; 0 none

  private readonly group = el("select", { id: "group" });
  private readonly drawing: Drawing;
  private readonly compare = el("input", { type: "checkbox", id: "compare" });
  private readonly later = el("button", { type: "button", title: "One span later" }, "Later ›");
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly panel: Panel;
  private readonly chart: LayerChart;
  private readonly legend: Legend;
  private readonly sentence = el("p", { class: "sentence" });
  private readonly notes = el("ul", { class: "notes" });
  private readonly note_at = el("input", { type: "datetime-local", id: "note-at", step: 1, required: true });
  private readonly note_words = el("input", {
    id: "note-words",
    maxlength: 60,
    required: true,
    placeholder: "data challenge",
  });
  private readonly note_form: HTMLFormElement;
  private readonly note_button = el("button", { type: "button", title: "Write a note at a time" }, "Note");
  private readonly totals: Panel;
  private readonly table: LiveTable;
  private readonly gradesPanel: Panel;
  private readonly gradesChart: LayerChart;
  private readonly gradesLegend: Legend;

  constructor(private readonly shell: Shell) {
    super();
    this.drawing = new Drawing(shell);
    const zoom = (from_s: number, to_s: number): void => this.zoom(from_s, to_s);
    this.chart = new LayerChart(shell.theme, shell.cursor, "Traffic over time", zoom);
    this.legend = new Legend(shell, shell.theme);
    this.gradesChart = new LayerChart(shell.theme, shell.cursor, "Share of bytes by grade", zoom);
    this.gradesLegend = new Legend(shell, shell.theme);
    this.note_form = el(
      "form",
      { class: "note-form", hidden: true },
      el("label", { for: "note-at" }, "At"),
      this.note_at,
      el("label", { for: "note-words" }, "note"),
      this.note_words,
      el("button", { type: "submit" }, "Add"),
    );
    this.panel = new Panel(shell, {
      id: "history",
      title: "Traffic",
      kind: "traffic",
      body: [this.legend.element, this.chart.element, this.sentence, this.notes, this.note_form],
      sheet: () => this.past && layerSheet(this.past.layers, this.past, shell.view.unit),
      painting: width => this.legend.painting(width, this.chart.painting(width)),
    });
    this.table = new LiveTable("Totals of the range", [
      { name: "What" },
      { name: "Mean rate", number: true },
      { name: "Peak", number: true, title: "the highest bucket" },
      { name: "Amount", number: true },
      { name: "± 95 %", number: true },
      { name: "Share", number: true },
      { name: "Before", number: true, title: "mean rate of the period before" },
      { name: "Change", number: true, title: "of the mean rate" },
    ]);
    this.totals = new Panel(shell, {
      id: "totals",
      title: "Totals",
      kind: "totals",
      is_table: true,
      body: [this.table.element],
      sheet: () => this.sheet(),
    });
    this.gradesPanel = new Panel(shell, {
      id: "tagged",
      title: "How well tagged",
      kind: "tagged",
      body: [this.gradesLegend.element, this.gradesChart.element],
      sheet: () => this.grades && layerSheet(this.grades.layers, this.grades, "bytes"),
      painting: width => this.gradesLegend.painting(width, this.gradesChart.painting(width)),
    });
    this.element.append(
      el("h1", { class: "unseen" }, "History"),
      this.controls(),
      this.problem,
      this.panel.element,
      el("div", { class: "halves" }, this.totals.element, this.gradesPanel.element),
    );
    on(this.note_form, "submit", e => {
      e.preventDefault();
      this.addNote();
    });
  }

  private controls(): HTMLElement {
    const button = (words: string, title: string, does: () => void): HTMLButtonElement => {
      const b = el("button", { type: "button", title }, words);
      on(b, "click", does);
      return b;
    };
    for (const [value, words] of GROUPS) this.group.append(el("option", { value }, words));
    const groupOf = (): string => (this.group.value === GROUPS[0]?.[0] ? "" : this.group.value);
    on(this.group, "change", () => this.shell.choose({ group: groupOf(), hide: [] }));
    on(this.compare, "change", () => this.shell.choose({ compare: this.compare.checked }));
    on(this.later, "click", () => this.move(1));
    on(this.note_button, "click", () => this.openNote());
    return el(
      "div",
      { class: "controls" },
      pick("By", this.group),
      this.drawing.shapes,
      this.drawing.units,
      el("span", { class: "pick" }, this.compare, el("label", { for: "compare" }, "Period before")),
      el(
        "span",
        { class: "steps" },
        button("‹ Earlier", "One span earlier", () => this.move(-1)),
        this.later,
        button("Zoom out", "Twice the span (key − in the chart)", () => this.move(0, 2)),
        this.note_button,
      ),
    );
  }

  override close(): void {
    this.loading.abort();
    clearTimeout(this.again);
    this.chart.destroy();
    this.gradesChart.destroy();
  }

  override setTheme(theme: Theme): void {
    this.chart.setTheme(theme);
    this.legend.setTheme(theme);
    this.gradesChart.setTheme(theme);
    this.gradesLegend.setTheme(theme);
    this.table.clear();
    this.draw();
  }

  override setPaused(paused: boolean): void {
    this.paused = paused;
  }

  override show(view: View, _before: View | null): void {
    this.group.value = view.group || (GROUPS[0]?.[0] ?? "");
    if (this.group.selectedIndex < 0) this.group.value = GROUPS[0]?.[0] ?? "";
    this.drawing.show(view);
    this.compare.checked = view.compare;
    this.later.disabled = this.shell.range().live;
    this.showNotes();
    if (this.question() !== this.asked) void this.load();
    else this.draw();
  }

  /** A live range is asked for anew when its newest bucket is full. */
  override tick(tick: Tick): void {
    const { past } = this;
    if (!past || this.paused || !this.shell.range().live) return;
    if (tick.second - past.newest_s >= Math.max(past.step_s, REFRESH_MIN_S)) void this.load();
  }

  // --- what the reader chooses ----------------------------------------------------------------------------

  private zoom(from_s: number, to_s: number): void {
    const now_s = Date.now() / 1000;
    const end_s = Math.min(now_s, to_s);
    const start_s = Math.min(from_s, end_s - 60);
    this.shell.choose({ range: fixedRange(Math.floor(start_s), Math.ceil(end_s)) });
  }

  private move(by: number, stretch = 1): void {
    const [from_s, to_s] = moved(this.shell.range(), Date.now() / 1000, by, stretch);
    this.shell.choose({ range: fixedRange(from_s, to_s) });
  }

  private openNote(): void {
    const { past } = this;
    this.note_form.hidden = !this.note_form.hidden;
    if (this.note_form.hidden || !past) return;
    this.note_at.value = toInput(this.shell.cursor.at_s ?? (past.from_s + past.newest_s) / 2);
    this.note_words.focus();
  }

  private addNote(): void {
    const note = { at_s: fromInput(this.note_at.value), words: this.note_words.value.trim() };
    if (!Number.isFinite(note.at_s) || !note.words) return;
    this.note_form.hidden = true;
    this.note_words.value = "";
    this.note_button.focus();
    this.shell.choose({ notes: [...this.shell.view.notes, note].sort((a, b) => a.at_s - b.at_s) });
  }

  private showNotes(): void {
    const { notes } = this.shell.view;
    this.notes.hidden = !notes.length;
    this.notes.replaceChildren(
      ...notes.map(note => {
        const gone = el(
          "button",
          { type: "button", class: "bare", "aria-label": `Remove the note ${note.words}` },
          "✕",
        );
        on(gone, "click", () => {
          this.shell.choose({ notes: notes.filter(n => n !== note) });
          this.note_button.focus();
        });
        return el(
          "li",
          {},
          el("span", { class: "quiet" }, `${dateMinute(note.at_s)} ${zone(note.at_s)}`),
          ` ${note.words} `,
          gone,
        );
      }),
    );
  }

  // --- data -----------------------------------------------------------------------------------------------

  private groupWanted(): string {
    const { group } = this.shell.view;
    return GROUPS.some(([g]) => g === group) ? group : (GROUPS[0]?.[0] ?? "");
  }

  private question(): string {
    const { filter, unit, compare } = this.shell.view;
    return JSON.stringify([filter, unit, compare, this.groupWanted(), this.shell.range().text]);
  }

  private async load(): Promise<void> {
    this.loading.abort();
    clearTimeout(this.again);
    const { signal } = (this.loading = new AbortController());
    const range = this.shell.range();
    const { from, to } = range;
    const { filter, unit, compare } = this.shell.view;
    const group = this.groupWanted();
    const asked = this.question();
    const other = asked !== this.asked;
    set(this.element, { "aria-busy": other ? "true" : null });
    try {
      const ask = (start: string): Promise<[Past, Past | null]> =>
        Promise.all([
          askPast({ from: start, to, step: "auto", filter, group, unit }, signal),
          asksClaims({ filter, group }) // have no grade
            ? null
            : askPast({ from: start, to, step: "auto", filter, group: "grade", unit: "bytes" }, signal),
        ]);
      let [past, grades] = await ask(from);
      const first_s = range.live ? firstSecond(past) : past.from_s;
      // an observer younger than the range: its own life, in finer steps
      if (first_s > past.from_s + (past.to_s - past.from_s) * YOUNG)
        [past, grades] = await ask(isoSecond(Math.min(first_s, past.to_s - SHORTEST_S)));
      const before = compare
        ? await askPast({ ...rangeBefore(past), step: `${past.step_s}s`, filter, group, unit }, signal)
        : null;
      this.past = past;
      this.grades = grades;
      this.before = before && {
        points: before.layers.reduce((sum, l) => addPoints(sum, l.points), new Points(before.starts.length)),
        covered_s: before.covered_s,
        totals: before.totals,
      };
      this.asked = asked;
      this.say("");
      this.draw();
    } catch (e) {
      if (signal.aborted) return;
      if (other) this.past = null;
      this.asked = "";
      if (this.shell.refused(e)) this.say("The filter is not understood; nothing is shown.");
      else {
        this.say(`The history cannot be loaded: ${reason(e)}.`);
        this.again = setTimeout(() => void this.load(), 5000);
      }
    }
    set(this.element, { "aria-busy": null });
  }

  private say(words: string): void {
    text(this.problem, words);
    this.problem.hidden = !words;
  }

  // --- what is shown ------------------------------------------------------------------------------------------

  private draw(): void {
    const { past, grades, shell } = this;
    if (!past) return;
    const { view } = shell;
    const { unit } = view;
    const range = shell.range();
    const words = `${range.live ? `${rangeWords(range)}, ` : ""}${spanOf(past.from_s, past.to_s)}`;
    const step = stepWords(past.step_s);
    const params = { from: range.from, to: range.to, filter: view.filter };
    const shown = past.layers.filter(l => !view.hide.includes(l.head.id));
    const total = sumOf(past.layers, past);
    const common = {
      from_s: past.from_s,
      to_s: past.to_s,
      gaps: past.gaps,
      step_s: past.step_s,
      starts: past.starts,
      covered_s: past.covered_s,
    };
    this.chart.setData({
      ...common,
      newest_s: past.newest_s,
      to_s: range.live ? past.newest_s : past.to_s,
      layers: shown,
      unit,
      shape: view.shape,
      notes: view.notes,
      ...(this.before ? { before: { words: "period before", ...this.before } } : {}),
    });
    this.panel.show({
      unit: `${view.shape === "share" ? "share of " : ""}${RATE_UNITS[unit]}${grades ? "" : " as fireflies claim"}, means of ${step}`,
      range: words,
      error: error(total.value, halfWidth(total.variance), total.samples),
      json: address("series", { ...params, unit, group: this.groupWanted() }),
    });
    const observed_s = past.covered_s.reduce((a, b) => a + b, 0);
    const rate = (h: Head): string =>
      rateWords(
        unit,
        sumOf(
          past.layers.filter(l => l.head.id === h.id),
          past,
        ).value / (observed_s || 1),
      );
    this.legend.show(headsOf(past.layers), rate);
    text(this.sentence, this.sentenceOf(past, total, observed_s, shown));
    set(this.chart.element, {
      "data-total": total.value,
      "data-layers": shown.length,
      "data-step": past.step_s,
    });
    this.showTable(past, total, observed_s, words);
    shell.headline("");
    this.gradesPanel.element.hidden = !grades;
    if (!grades) return;
    const grades_all = sumOf(grades.layers, grades);
    this.gradesChart.setData({
      ...common,
      newest_s: grades.newest_s,
      to_s: range.live ? past.newest_s : past.to_s,
      starts: grades.starts,
      covered_s: grades.covered_s,
      layers: [...grades.layers],
      unit: "bytes",
      shape: "share",
    });
    this.gradesLegend.show(headsOf(grades.layers), h =>
      percent(
        sumOf(
          grades.layers.filter(l => l.id === h.id),
          grades,
        ).value / grades_all.value,
      ),
    );
    this.gradesPanel.show({
      unit: `share of bytes, means of ${step}`,
      range: words,
      json: address("series", { ...params, group: "grade" }),
    });
  }

  private sentenceOf(past: Past, total: Amount, observed_s: number, shown: readonly Layer[]): string {
    const { unit, hide } = this.shell.view;
    if (!total.value) return "Nothing was seen in this time.";
    const before = this.before && [...this.before.totals.values()].reduce(plus, nothing());
    const before_s = this.beforeSeconds();
    const unobserved = past.starts.length * past.step_s - observed_s;
    return [
      `${amountWords(unit, total.value)}, ${rateWords(unit, total.value / (observed_s || 1))} in the mean.`,
      before &&
        (before.value
          ? `The period before had ${rateWords(unit, before.value / before_s)}: ${changeWords(total.value / (observed_s || 1), before.value / before_s)}.` +
            (before_s < OBSERVED_MIN * (past.newest_s - past.from_s)
              ? ` Of it only ${percent(before_s / (past.to_s - past.from_s))} was observed.`
              : "")
          : "In the period before nothing was seen."),
      unobserved > past.step_s &&
        `${percent(unobserved / (past.newest_s - past.from_s))} of the time was not observed; means leave it out.`,
      hide.length > 0 &&
        shown.length < past.layers.length &&
        `Hidden in the picture: ${amountWords(unit, total.value - sumOf(shown, past).value)}.`,
    ]
      .filter(Boolean)
      .join(" ");
  }

  /** How much of the period before was observed, up to where this one has come; at least 1. */
  private beforeSeconds(): number {
    return Math.max(1, this.before?.covered_s.reduce((a, b) => a + b, 0) ?? 1);
  }

  private showTable(past: Past, total: Amount, observed_s: number, words: string): void {
    const { unit } = this.shell.view;
    const before_s = this.beforeSeconds();
    const layers = [...past.layers].sort((a, b) => amountOf(b, past).value - amountOf(a, past).value);
    this.table.show(
      layers.map(layer => {
        const sum = amountOf(layer, past);
        const before = this.before?.totals.get(layer.id)?.value;
        return {
          id: layer.id,
          mark: () => swatch(layer.paint(this.shell.theme)),
          data: { tag: layer.id, value: sum.value },
          cells: [
            layer.name,
            rateWords(unit, sum.value / (observed_s || 1)),
            rateWords(unit, peak(layer, past)),
            amountWords(unit, sum.value),
            error(sum.value, halfWidth(sum.variance), sum.samples),
            percent(sum.value / total.value),
            this.before ? rateWords(unit, (before ?? 0) / before_s) : "",
            this.before ? changeWords(sum.value / (observed_s || 1), (before ?? 0) / before_s) : "",
          ],
        };
      }),
    );
    set(this.table.element, { "data-compare": !!this.before });
    const { from, to } = this.shell.range();
    this.totals.show({
      unit: this.grades ? UNIT_WORDS[unit] : "as fireflies claim",
      range: words,
      json: address("top", { from, to, filter: this.shell.view.filter, unit, group: this.groupWanted() }),
    });
  }

  private sheet(): Sheet | null {
    const { past } = this;
    if (!past) return null;
    const { unit } = this.shell.view;
    const observed_s = past.covered_s.reduce((a, b) => a + b, 0) || 1;
    const amounts = (n: number): string => amountWords(unit, n);
    const rates = (n: number): string => rateWords(unit, n);
    return {
      columns: [
        { name: "What", key: "name" },
        { name: "Mean rate", key: `${unit}_per_s`, words: rates, number: true },
        { name: "Peak", key: `peak_${unit}_per_s`, words: rates, number: true },
        { name: "Amount", key: unit, words: amounts, number: true },
        { name: "± 95 %", key: `error_${unit}`, words: amounts, number: true },
        { name: "Samples", key: "samples", number: true },
        { name: "Before", key: `before_${unit}_per_s`, words: rates, number: true },
      ],
      rows: past.layers.map(l => {
        const sum = amountOf(l, past);
        return [
          l.name,
          sum.value / observed_s,
          peak(l, past),
          sum.value,
          Math.round(halfWidth(sum.variance)),
          sum.samples,
          this.before ? (this.before.totals.get(l.id)?.value ?? 0) / this.beforeSeconds() : null,
        ];
      }),
    };
  }
}

/** When this observer began, if that is within the range. */
function firstSecond({ gaps, from_s }: Past): number {
  return gaps.find(g => g.from_s <= from_s && g.reason === "before the first second")?.to_s ?? from_s;
}

const amountOf = (l: Layer, past: Past): Amount => past.totals.get(l.id) ?? nothing();
const sumOf = (layers: readonly Layer[], past: Past): Amount =>
  layers.reduce((sum, l) => plus(sum, amountOf(l, past)), nothing());

function addPoints(sum: Points, more: Points): Points {
  for (let i = 0; i < sum.length; i++)
    sum.add(i, more.value[i] ?? 0, more.variance[i] ?? 0, more.samples[i] ?? 0);
  return sum;
}

/** The highest mean of a bucket; of one that was hardly observed it would say little. */
function peak({ points }: Layer, past: Past): number {
  let most = 0;
  past.covered_s.forEach((s, i) => {
    if (s * 2 >= past.step_s) most = Math.max(most, (points.value[i] ?? 0) / s);
  });
  return most;
}

function changeWords(now: number, before: number): string {
  if (!before) return now ? "new" : "–";
  if (!now) return "gone";
  const ratio = now / before;
  if (ratio >= 10) return `× ${ratio.toFixed(0)}`;
  const p = (ratio - 1) * 100;
  return `${p < 0 ? "−" : "+"}${Math.abs(p).toFixed(Math.abs(p) < 10 ? 1 : 0)} %`;
}
