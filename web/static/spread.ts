// Dots and whiskers: of each tag the median as a dot, a bar to the 95th percentile and a line to the longest, on
// one logarithmic scale. The picture is a column of the table, so that both are always the same.

import { paint, type Theme } from "./colour.js";
import { el, set, svg } from "./dom.js";
import { tooFew, type Spread } from "./answers.js";
import { count, FEW_SAMPLES } from "./format.js";
import { tagName } from "./layers.js";
import { keepTable } from "./bars.js";
import { anchor, type Scale } from "./scale.js";
import { swatch } from "./texture.js";

export class Spreads {
  readonly element: HTMLElement;
  private readonly axis = svg("svg", { class: "whisker", "aria-hidden": "true" });
  private readonly body = el("tbody");

  constructor(
    private theme: Theme,
    label: string,
    private readonly words: (value: number) => string,
  ) {
    const head = (words: string): HTMLElement => el("th", { scope: "col", class: "number" }, words);
    this.element = el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
      el(
        "table",
        { class: "drawn spreads" },
        el("caption", { class: "unseen" }, label),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "Tag"),
            head("Flows"),
            el("th", { scope: "col", class: "picture" }, el("span", { class: "unseen" }, "Drawn"), this.axis),
            head("Median"),
            head("95 %"),
            head("Longest"),
          ),
        ),
        this.body,
      ),
    );
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
  }

  show(rows: readonly Spread[], scale: Scale): void {
    this.axis.replaceChildren(
      ...scale.ticks.map(({ at, words }) =>
        svg("text", { x: `${at}%`, y: 14, "text-anchor": anchor(at) }, words),
      ),
    );
    this.body.replaceChildren(...rows.map(r => this.row(r, scale)));
    keepTable(this.element);
  }

  private row(r: Spread, scale: Scale): HTMLElement {
    const { experiment_id = 0, activity_id = null } = r.key;
    const enough = r.flows >= FEW_SAMPLES;
    const look = paint(this.theme, experiment_id, activity_id);
    const value = (v: number): HTMLElement => el("td", { class: "number" }, this.words(v));
    const tr = el(
      "tr",
      {},
      el("th", { scope: "row" }, swatch(look), tagName(r.key)),
      el("td", { class: "number" }, count(r.flows)),
      el("td", { class: "picture" }, whisker(r, scale, look.colour, enough)),
      ...(enough
        ? [value(r.median), value(r.p95)]
        : [el("td", { class: "number quiet", colspan: 2 }, tooFew(r.flows))]),
      value(r.max),
    );
    set(tr, {
      "data-experiment": experiment_id,
      "data-activity": activity_id,
      "data-flows": r.flows,
      "data-median": r.median,
      "data-p95": r.p95,
      "data-max": r.max,
    });
    return tr;
  }
}

function whisker(r: Spread, scale: Scale, colour: string, enough: boolean): SVGElement {
  const middle = 11;
  const across = (from: number, to: number, thick: number): SVGElement =>
    svg("line", {
      x1: `${from}%`,
      x2: `${to}%`,
      y1: middle,
      y2: middle,
      stroke: colour,
      "stroke-width": thick,
    });
  const picture = svg("svg", { class: "whisker", "aria-hidden": "true" });
  for (const { at } of scale.ticks)
    picture.append(svg("line", { class: "grid", x1: `${at}%`, x2: `${at}%`, y1: 0, y2: 22 }));
  const max = scale.at(r.max);
  if (enough) {
    const [median, p95] = [scale.at(r.median), scale.at(r.p95)];
    picture.append(
      across(median, max, 1.5),
      across(median, p95, 5),
      svg("circle", { class: "dot", cx: `${median}%`, cy: middle, r: 5.5, fill: colour }),
    );
  }
  picture.append(
    svg("line", { x1: `${max}%`, x2: `${max}%`, y1: 6, y2: 16, stroke: colour, "stroke-width": 1.5 }),
  );
  return picture;
}
