// Stacked columns: counts by time or by size. One column is read out by pointer or arrow keys.

import { QUIET, type Paint, type Theme } from "./colour.js";
import { el, on, set, svg, text } from "./dom.js";
import { drawing } from "./drawing.js";
import { Fills } from "./fills.js";
import type { Painting } from "./panel.js";
import { anchor, type Scale } from "./scale.js";
import { swatch } from "./texture.js";

/** One colour of the columns, from below. */
export interface Pile {
  name: string;
  paint: (theme: Theme) => Paint;
  values: readonly number[];
}

export interface ColumnsData {
  names: readonly string[]; // of the columns, as they are read out
  ticks: readonly { at: number; words: string }[]; // under them; column i of n begins at 100 i / n
  piles: readonly Pile[];
  scale: Scale;
  words: (value: number) => string;
}

const FOOT = 20;
const SIDE = 52; // of the words beside it, in a picture
const FILLED = 0.88; // of a column's place

export class Columns {
  readonly element: HTMLElement;
  private readonly plot = svg("svg", { "aria-hidden": "true" });
  private readonly side = el("div", { class: "side", "aria-hidden": "true" });
  private readonly mark = svg("rect", { class: "mark", y: 0, width: 0 });
  private readonly tip = el("div", { class: "tip", hidden: true });
  private readonly said = el("p", { class: "unseen", "aria-live": "polite" });
  private data: ColumnsData | null = null;
  private at = -1;

  constructor(
    private theme: Theme,
    private readonly id: string,
    label: string,
    private readonly height = 176,
  ) {
    set(this.plot, { height: height + FOOT });
    set(this.mark, { height });
    this.element = el(
      "div",
      {
        class: "columns-chart",
        tabindex: 0,
        role: "group",
        "aria-label": `${label}. Left and right arrow keys read out one column.`,
      },
      this.side,
      el("div", { class: "field" }, this.plot, this.tip),
      this.said,
    );
    on(this.element, "pointermove", e => this.point(e));
    on(this.element, "pointerleave", () => this.read(-1));
    on(this.element, "blur", () => this.read(-1));
    on(this.element, "keydown", e => this.key(e));
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    if (this.data) this.show(this.data);
  }

  show(data: ColumnsData): void {
    this.data = data;
    const n = data.names.length;
    const y = (v: number): number => this.height * (1 - data.scale.at(v) / 100);
    const fills = new Fills(this.id);
    const nodes: Node[] = [fills.defs];
    for (const { at } of data.scale.ticks) {
      const line = this.height * (1 - at / 100);
      nodes.push(svg("line", { class: "grid", x1: "0%", x2: "100%", y1: line, y2: line }));
    }
    nodes.push(this.mark);
    for (let i = 0; i < n; i++) {
      let below = 0;
      for (const pile of data.piles) {
        const v = pile.values[i] ?? 0;
        if (v <= 0) continue;
        const top = y(below + v);
        nodes.push(
          svg("rect", {
            class: "pile",
            x: `${((i + (1 - FILLED) / 2) / n) * 100}%`,
            width: `${(FILLED / n) * 100}%`,
            y: top,
            height: Math.max(0.75, y(below) - top),
            fill: fills.of(pile.paint(this.theme)),
          }),
        );
        below += v;
      }
    }
    for (const { at, words } of data.ticks)
      nodes.push(svg("text", { x: `${at}%`, y: this.height + 16, "text-anchor": anchor(at) }, words));
    this.plot.replaceChildren(...nodes);
    this.side.replaceChildren(
      ...data.scale.ticks.map(({ at, words }) => {
        const label = el("span", {}, words);
        label.style.top = `${this.height * (1 - at / 100)}px`;
        return label;
      }),
    );
    this.read(Math.min(this.at, n - 1));
  }

  painting(width: number): Painting {
    const { data, theme, height } = this;
    const key = (data?.piles ?? []).map(p => ({ paint: p.paint(theme), name: p.name }));
    return drawing(this.plot as SVGSVGElement, width, key, {
      width: SIDE,
      draw(ctx) {
        ctx.font = "12px Inter, system-ui, sans-serif";
        ctx.fillStyle = QUIET[theme];
        ctx.textAlign = "right";
        for (const { at, words } of data?.scale.ticks ?? [])
          ctx.fillText(words, SIDE - 8, Math.max(9, height * (1 - at / 100) + 4));
      },
    });
  }

  private point(e: PointerEvent): void {
    const box = this.plot.getBoundingClientRect();
    const n = this.data?.names.length ?? 0;
    const at = Math.floor(((e.clientX - box.left) / box.width) * n);
    this.read(at >= 0 && at < n ? at : -1);
  }

  private key(e: KeyboardEvent): void {
    const last = (this.data?.names.length ?? 0) - 1;
    if (last < 0 || e.altKey || e.ctrlKey || e.metaKey) return;
    const to =
      e.key === "ArrowLeft"
        ? this.at < 0
          ? last
          : Math.max(0, this.at - 1)
        : e.key === "ArrowRight"
          ? Math.min(last, this.at + 1)
          : e.key === "Home"
            ? 0
            : e.key === "End"
              ? last
              : e.key === "Escape" && this.at >= 0
                ? -1
                : null;
    if (to === null) return;
    e.preventDefault();
    this.read(to);
    if (to >= 0) text(this.said, this.tip.textContent ?? "");
  }

  private read(at: number): void {
    const { data } = this;
    this.at = at;
    this.tip.hidden = at < 0 || !data;
    if (at < 0 || !data) return set(this.mark, { width: 0 });
    const n = data.names.length;
    set(this.mark, { x: `${(at / n) * 100}%`, width: `${100 / n}%` });
    const rows = data.piles.map(p => ({ p, v: p.values[at] ?? 0 })).filter(r => r.v > 0);
    const row = (mark: Node | null, name: string, value: number, kind = ""): HTMLElement =>
      el(
        "tr",
        { class: kind, "data-name": name, "data-value": value },
        el("td", {}, mark),
        el("td", {}, name),
        el("td", { class: "number" }, data.words(value)),
      );
    this.tip.replaceChildren(
      el("strong", {}, data.names[at] ?? ""),
      el(
        "table",
        {},
        ...rows.reverse().map(({ p, v }) => row(swatch(p.paint(this.theme)), p.name, v)),
        row(
          null,
          "all",
          rows.reduce((sum, { v }) => sum + v, 0),
          "sum",
        ),
      ),
    );
    const right = at >= n / 2;
    this.tip.style.left = right ? "" : `calc(${((at + 1) / n) * 100}% + 8px)`;
    this.tip.style.right = right ? `calc(${((n - at) / n) * 100}% + 8px)` : "";
  }
}
