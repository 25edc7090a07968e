// A bar a row: by application, by family. The picture is a column of the table.

import type { Paint, Theme } from "./colour.js";
import { el, set, svg } from "./dom.js";
import { Fills } from "./fills.js";
import { keepFocus } from "./focus.js";

export interface Part {
  value: number;
  paint: (theme: Theme) => Paint;
}

export interface BarRow {
  name: string;
  mark?: Node | undefined;
  href?: string | undefined;
  parts: readonly Part[];
  cells: readonly string[]; // behind the picture
  data?: Record<string, string | number>;
}

export class Bars {
  readonly element: HTMLElement;
  private readonly body = el("tbody");

  /** Of "sizes" the largest row fills the width, of "shares" each does. */
  constructor(
    private theme: Theme,
    private readonly id: string,
    label: string,
    [first = "", ...others]: readonly string[],
    private readonly kind: "sizes" | "shares",
  ) {
    this.element = el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
      el(
        "table",
        { class: "drawn" },
        el("caption", { class: "unseen" }, label),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, first),
            el("th", { scope: "col", class: "picture" }, el("span", { class: "unseen" }, "Drawn")),
            ...others.map(h => el("th", { scope: "col", class: "number" }, h)),
          ),
        ),
        this.body,
      ),
    );
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
  }

  show(rows: readonly BarRow[]): void {
    const sum = (r: BarRow): number => r.parts.reduce((a, p) => a + p.value, 0);
    const largest = Math.max(0, ...rows.map(sum));
    const made = rows.map((r, i) => {
      const tr = el(
        "tr",
        {},
        el("th", { scope: "row" }, r.mark, r.href ? el("a", { href: r.href }, r.name) : r.name),
        el("td", { class: "picture" }, this.bar(r.parts, this.kind === "shares" ? sum(r) : largest, i)),
        ...r.cells.map(c => el("td", { class: "number" }, c)),
      );
      for (const [name, value] of Object.entries(r.data ?? {})) set(tr, { [`data-${name}`]: value });
      return tr;
    });
    keepFocus(this.body, () => this.body.replaceChildren(...made));
    keepTable(this.element);
  }

  private bar(parts: readonly Part[], whole: number, row: number): SVGElement {
    const fills = new Fills(`${this.id}-${row}`);
    const picture = svg("svg", { class: "bar-row", "aria-hidden": "true" }, fills.defs);
    let at = 0;
    for (const p of parts) {
      const width = whole > 0 ? (p.value / whole) * 100 : 0;
      if (width > 0)
        picture.append(
          svg("rect", {
            x: `${at}%`,
            y: 2,
            width: `${width}%`,
            height: 14,
            fill: fills.of(p.paint(this.theme)),
          }),
        );
      at += width;
    }
    return picture;
  }
}

/** On a narrow screen the style sheet lays the rows out anew; to a screen reader it stays a table. */
export function keepTable(within: HTMLElement): void {
  const roles: Record<string, string> = {
    TABLE: "table",
    THEAD: "rowgroup",
    TBODY: "rowgroup",
    TR: "row",
    TD: "cell",
  };
  for (const e of within.querySelectorAll("table, thead, tbody, tr, td, th"))
    set(e, { role: roles[e.tagName] ?? (e.getAttribute("scope") === "col" ? "columnheader" : "rowheader") });
}
