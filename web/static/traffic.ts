// Whose: the stacked chart with its legend, a sentence, and the same as a table.

import { address } from "./api.js";
import { StackChart } from "./chart.js";
import type { Theme } from "./colour.js";
import { el, on, set, text } from "./dom.js";
import { bitRate, byteCount, clock, error, hourMinute, percent } from "./format.js";
import {
  experimentName,
  halfWidth,
  nothing,
  plus,
  tagName,
  type Amount,
  type History,
  type Stack,
} from "./history.js";
import { swatch } from "./texture.js";
import type { View } from "./view.js";

export class Traffic {
  readonly element: HTMLElement;
  private readonly chart: StackChart;
  private readonly sub = el("span", { class: "sub" });
  private readonly link = el("a", { class: "raw" }, "JSON");
  private readonly legend = el("div", { class: "legend", role: "group", "aria-label": "Show or hide" });
  private readonly sentence = el("p", { class: "sentence" });
  private readonly scroll = el("div", {
    class: "scroll tall",
    tabindex: 0,
    role: "region",
    "aria-label": "Traffic as a table",
  });
  private readonly details = el(
    "details",
    { class: "as-table" },
    el("summary", {}, "As a table"),
    this.scroll,
  );
  private drawn: { history: History; stacks: Stack[] } | null = null;

  constructor(
    private theme: Theme,
    private readonly toggle: (experiment_id: number) => void,
  ) {
    this.chart = new StackChart(theme);
    this.element = el(
      "section",
      { class: "panel traffic", "aria-labelledby": "traffic-title" },
      el(
        "div",
        { class: "head" },
        el("h2", { id: "traffic-title" }, "Traffic by experiment and activity"),
        this.sub,
        this.link,
      ),
      this.legend,
      this.chart.element,
      this.sentence,
      this.details,
    );
    on(this.details, "toggle", () => this.showTable());
  }

  close(): void {
    this.chart.destroy();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.chart.setTheme(theme);
    this.legend.replaceChildren();
  }

  /** `to_s`: the right edge; `words`: what is shown, in words; `params`: the same for the API. */
  show(history: History, view: View, to_s: number, words: string, params: Record<string, string>): void {
    const { starts, covered_s } = history.buckets();
    const stacks = history.stacks(view.direction, starts);
    const shown = stacks.filter(s => !view.hidden.has(s.key.experiment_id));
    const { range, newest_s, gaps } = history;
    const from_s = history.from(to_s);
    this.drawn = { history, stacks };
    this.chart.setData({
      from_s,
      to_s,
      newest_s,
      starts,
      covered_s,
      step_s: range.step_s,
      stacks: shown,
      gaps,
    });
    text(
      this.sub,
      `bit/s, ${range.step_s === 1 ? "each second" : `means of ${range.step_s} s`}, ${words}, ` +
        `${hourMinute(from_s)} to ${hourMinute(to_s)} UTC`,
    );
    this.link.setAttribute(
      "href",
      address("series", { ...params, step: `${range.step_s}s`, group: "experiment,activity" }),
    );
    this.showLegend(history, view);
    const total = sum(stacks);
    text(
      this.sentence,
      sentence(stacks, total, range.words) +
        (shown.length < stacks.length
          ? ` Hidden in the picture: ${byteCount(total.bytes - sum(shown).bytes)}.`
          : ""),
    );
    set(this.chart.element, {
      "data-newest": newest_s,
      "data-total": total.bytes,
      "data-layers": shown.length,
    });
    this.showTable();
  }

  private showLegend(history: History, view: View): void {
    const experiments = new Map(this.drawn?.stacks.map(s => [s.key.experiment_id, experimentName(s.key)]));
    const have = [...this.legend.children].map(c => c.getAttribute("data-experiment")).join(" ");
    if (have !== [...experiments.keys()].join(" "))
      this.legend.replaceChildren(
        ...[...experiments].map(([id, name]) => {
          const chip = el(
            "button",
            { type: "button", class: "chip", "data-experiment": id },
            swatch(this.theme, id, 0),
            el("span", {}, name),
            el("span", { class: "quiet number" }),
          );
          on(chip, "click", () => this.toggle(id));
          return chip;
        }),
      );
    const sums = history.sums(view.direction, k => String(k.experiment_id));
    for (const chip of this.legend.children) {
      const id = chip.getAttribute("data-experiment") ?? "";
      const hidden = view.hidden.has(Number(id));
      set(chip, {
        "aria-pressed": String(!hidden),
        title: hidden ? "hidden: click to show" : "click to hide",
      });
      if (chip.lastElementChild)
        text(chip.lastElementChild, bitRate((sums.get(id)?.now.bytes ?? 0) / history.recentSeconds()));
    }
  }

  /** The chart as numbers, newest first: a line a minute, or 10 s; a column per experiment. */
  private showTable(): void {
    if (!this.details.open || !this.drawn) return;
    const { history, stacks } = this.drawn;
    const { starts, covered_s } = history.buckets();
    const line_s = history.range.span_s > 900 ? 60 : 10;
    const experiments = [...new Map(stacks.map(s => [s.key.experiment_id, s.key])).values()];
    const lines = new Map<number, number[]>();
    starts.forEach((s, i) => {
      const at = Math.floor(s / line_s) * line_s;
      lines.set(at, [...(lines.get(at) ?? []), i]);
    });
    const rows = [...lines].reverse().map(([at, indices]) => {
      const observed_s = indices.reduce((a, i) => a + (covered_s[i] ?? 0), 0);
      return el(
        "tr",
        {},
        el("th", { scope: "row" }, clock(at)),
        ...experiments.map(k => {
          const own = stacks.filter(s => s.key.experiment_id === k.experiment_id);
          const bytes = indices.reduce((a, i) => own.reduce((b, s) => b + (s.points[i]?.bytes ?? 0), a), 0);
          return el("td", { class: "number" }, observed_s > 0 ? bitRate(bytes / observed_s) : "no data");
        }),
      );
    });
    const head = el(
      "tr",
      {},
      el("th", { scope: "col" }, "UTC"),
      ...experiments.map(k => el("th", { scope: "col", class: "number" }, experimentName(k))),
    );
    const top = this.scroll.scrollTop;
    this.scroll.replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
    this.scroll.scrollTop = top;
  }
}

const sum = (stacks: Stack[]): Amount => stacks.reduce((a, s) => s.points.reduce(plus, a), nothing());

function sentence(stacks: Stack[], total: Amount, range: string): string {
  const [largest] = stacks
    .filter(s => s.key.experiment_id > 0)
    .map(s => ({ name: tagName(s.key), bytes: sum([s]).bytes }))
    .sort((a, b) => b.bytes - a.bytes);
  return (
    `${byteCount(total.bytes)} (${error(total.bytes, halfWidth(total.variance), total.samples)}) in the ${range}; ` +
    (largest
      ? `the largest tag is ${largest.name} with ${byteCount(largest.bytes)}, ${percent(largest.bytes / total.bytes)}.`
      : "none of it carries a registered tag.")
  );
}
