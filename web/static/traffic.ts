// Whose: the chart with its legend and a sentence, of the newest stretch of time.

import { address } from "./api.js";
import { LayerChart } from "./chart.js";
import type { Theme } from "./colour.js";
import { el, set, text } from "./dom.js";
import { amountWords, error, percent, RATE_UNITS, rateWords, spanOf } from "./format.js";
import { halfWidth, headsOf, nothing, plus, type Amount, type Layer } from "./layers.js";
import { Legend } from "./legend.js";
import type { Shell } from "./page.js";
import { Panel } from "./panel.js";
import type { Recent } from "./recent.js";
import { layerSheet } from "./sheet.js";
import { fixedRange, rangeWords, type View } from "./view.js";

export class Traffic {
  readonly element: HTMLElement;
  private readonly panel: Panel;
  private readonly chart: LayerChart;
  private readonly legend: Legend;
  private readonly sentence = el("p", { class: "sentence" });
  private drawn: { recent: Recent; layers: Layer[] } | null = null;

  constructor(shell: Shell) {
    this.chart = new LayerChart(
      shell.theme,
      shell.cursor,
      "Traffic by experiment and activity",
      (from_s, to_s) =>
        shell.go(shell.address("/history", { range: fixedRange(Math.floor(from_s), Math.ceil(to_s)) })),
    );
    this.legend = new Legend(shell, shell.theme);
    this.panel = new Panel(shell, {
      id: "traffic",
      title: "Traffic by experiment and activity",
      kind: "traffic",
      body: [this.legend.element, this.chart.element, this.sentence],
      sheet: () =>
        this.drawn && layerSheet(this.drawn.layers, this.drawn.recent.buckets(), this.drawn.recent.unit),
      painting: width => this.legend.painting(width, this.chart.painting(width)),
    });
    this.element = this.panel.element;
  }

  close(): void {
    this.chart.destroy();
  }

  setTheme(theme: Theme): void {
    this.chart.setTheme(theme);
    this.legend.setTheme(theme);
  }

  /** `to_s`: the right edge; `words`: what is shown, in words; `params`: the same for the API. Returns what is
   * in the range, hidden or not. */
  show(recent: Recent, view: View, to_s: number, words: string, params: Record<string, string>): Layer[] {
    const { starts, covered_s } = recent.buckets();
    const layers = recent.layers(starts);
    const shown = layers.filter(l => !view.hide.includes(l.head.id));
    const { range, step_s, newest_s, gaps, unit } = recent;
    const from_s = recent.from(to_s);
    this.drawn = { recent, layers };
    this.chart.setData({
      from_s,
      to_s,
      newest_s,
      starts,
      covered_s,
      step_s,
      layers: shown,
      gaps,
      unit,
      shape: view.shape,
    });
    const total = sum(layers);
    this.panel.show({
      unit: `${RATE_UNITS[unit]}, ${step_s === 1 ? "each second" : `means of ${step_s} s`}`,
      range: `${words}, ${spanOf(from_s, to_s)}`,
      error: error(total.value, halfWidth(total.variance), total.samples),
      json: address("series", { ...params, step: `${step_s}s`, group: "experiment,activity", unit }),
    });
    const now = recent.sums(k => String(k.experiment_id));
    this.legend.show(headsOf(layers), h =>
      rateWords(unit, (now.get(h.id)?.now.value ?? 0) / recent.recentSeconds()),
    );
    text(
      this.sentence,
      sentence(recent, layers, total, rangeWords(range)) +
        (shown.length < layers.length
          ? ` Hidden in the picture: ${amountWords(unit, total.value - sum(shown).value)}.`
          : ""),
    );
    set(this.chart.element, {
      "data-newest": newest_s,
      "data-total": total.value,
      "data-layers": shown.length,
    });
    return layers;
  }
}

const sum = (layers: readonly Layer[]): Amount =>
  layers.reduce((a, l) => plus(a, l.points.total()), nothing());

function sentence({ unit }: Recent, layers: readonly Layer[], total: Amount, range: string): string {
  const [largest] = layers
    .filter(l => Number(l.head.id) > 0)
    .map(l => ({ name: l.name, value: l.points.total().value }))
    .sort((a, b) => b.value - a.value);
  return (
    `${amountWords(unit, total.value)} in the ${range}; ` +
    (largest
      ? `the largest tag is ${largest.name} with ${amountWords(unit, largest.value)}, ${percent(largest.value / total.value)}.`
      : "none of it carries a registered tag.")
  );
}
