// The tag on the wire against the tag that was announced, as a table: agreement stands on the diagonal.

import { paint, type Theme } from "./colour.js";
import type { Tag } from "./answers.js";
import { el } from "./dom.js";
import { keepFocus } from "./focus.js";
import { byteCount, count, plural } from "./format.js";
import type { Sheet } from "./panel.js";
import { swatch } from "./texture.js";

const TAGS_MAX = 18;

/** A row or a column. */
export interface Side {
  id: string;
  name: string;
  rank: number;
  tag: Tag | null;
  hint: string;
}

export interface MatrixCell {
  wire: Side;
  claim: Side;
  verdict: "same" | "other" | "unmarked" | "dead" | "silent";
  flows: number;
  bytes: number;
  href: string;
}

const VERDICTS: Record<MatrixCell["verdict"], { sign: string; words: string }> = {
  same: { sign: "", words: "the same" },
  other: { sign: "≠ ", words: "different tags" },
  unmarked: { sign: "", words: "announced, but not marked" },
  dead: { sign: "? ", words: "announced with a tag that is not in the registry" },
  silent: { sign: "", words: "marked, but not announced" },
};

export class Matrix {
  readonly element = el("div", {
    class: "scroll",
    tabindex: 0,
    role: "region",
    "aria-label": "Tag on the wire against announced tag",
  });
  private cells: readonly MatrixCell[] = [];

  constructor(private theme: Theme) {}

  setTheme(theme: Theme): void {
    this.theme = theme;
  }

  show(cells: readonly MatrixCell[]): void {
    this.cells = cells;
    keepFocus(this.element, () => this.make(cells));
  }

  private make(cells: readonly MatrixCell[]): void {
    const sides = kept(cells);
    const rows = sorted(cells.map(c => c.wire).filter(s => sides.has(s.id)));
    const columns = sorted(cells.map(c => c.claim).filter(s => sides.has(s.id)));
    const at = new Map(cells.map(c => [`${c.wire.id} ${c.claim.id}`, c]));
    const most = Math.max(1, ...cells.map(c => c.flows));
    this.element.replaceChildren(
      cells.length
        ? el(
            "table",
            { class: "matrix tags-matrix" },
            el(
              "caption",
              { class: "unseen" },
              "Flows by the tag of their packets (rows) and the tag that fireflies announce (columns)",
            ),
            el(
              "thead",
              {},
              el(
                "tr",
                {},
                el("th", { scope: "col" }, "Packets ↓  Fireflies →"),
                ...columns.map(c =>
                  el(
                    "th",
                    { scope: "col", class: "turned", title: c.hint, "data-kind": c.tag ? null : "none" },
                    el("span", {}, c.name),
                    this.mark(c),
                  ),
                ),
              ),
            ),
            el(
              "tbody",
              {},
              ...rows.map(r =>
                el(
                  "tr",
                  {},
                  el(
                    "th",
                    { scope: "row", title: r.hint, "data-kind": r.tag ? null : "none" },
                    this.mark(r),
                    r.name,
                  ),
                  ...columns.map(c => this.cell(r, c, at.get(`${r.id} ${c.id}`), most)),
                ),
              ),
            ),
          )
        : "",
    );
    const left_out = cells.filter(c => !sides.has(c.wire.id) || !sides.has(c.claim.id));
    if (left_out.length)
      this.element.append(
        el(
          "p",
          { class: "sentence" },
          `${plural(
            left_out.reduce((s, c) => s + c.flows, 0),
            "flow",
          )} of rarer tags not drawn; the CSV has them.`,
        ),
      );
  }

  sheet(): Sheet | null {
    return {
      columns: [
        { name: "Packets", key: "wire_tag" },
        { name: "Fireflies", key: "claimed_tag" },
        { name: "Verdict", key: "verdict" },
        { name: "Flows", key: "flows", words: count, number: true },
        { name: "Bytes seen", key: "bytes", words: byteCount, number: true },
      ],
      rows: [...this.cells]
        .sort((a, b) => b.flows - a.flows)
        .map(c => [c.wire.name, c.claim.name, VERDICTS[c.verdict].words, c.flows, c.bytes]),
    };
  }

  private cell(row: Side, column: Side, c: MatrixCell | undefined, most: number): HTMLElement {
    if (!c)
      return el(
        "td",
        { class: row.id === column.id ? "number none diagonal" : "number none" },
        el("span", { class: "unseen" }, "none"),
      );
    const { sign, words } = VERDICTS[c.verdict];
    const td = el(
      "td",
      {
        class: `number ${c.verdict}`,
        "data-cell": `${row.id} ${column.id}`,
        "data-wire": row.id,
        "data-claim": column.id,
        "data-flows": c.flows,
        "data-bytes": c.bytes,
      },
      el(
        "a",
        {
          href: c.href,
          title: `${words}; ${byteCount(c.bytes)} seen`,
          "aria-label": `${plural(c.flows, "flow")}, ${words}: packets ${row.name}, fireflies ${column.name}`,
        },
        `${sign}${count(c.flows)}`,
      ),
    );
    td.style.setProperty("--share", String(0.25 + 0.75 * Math.sqrt(c.flows / most)));
    return td;
  }

  private mark(s: Side): SVGElement | null {
    return s.tag && swatch(paint(this.theme, s.tag.experiment_id, s.tag.activity_id));
  }
}

function sorted(sides: readonly Side[]): Side[] {
  return [...new Map(sides.map(s => [s.id, s])).values()].sort((a, b) => a.rank - b.rank);
}

/** The tags with the most flows, and what is no tag. */
function kept(cells: readonly MatrixCell[]): Set<string> {
  const flows = new Map<string, number>();
  for (const c of cells)
    for (const s of [c.wire, c.claim]) if (s.tag) flows.set(s.id, (flows.get(s.id) ?? 0) + c.flows);
  const tags = [...flows].sort((a, b) => b[1] - a[1]).slice(0, TAGS_MAX);
  const others = cells.flatMap(c => [c.wire, c.claim]).filter(s => !s.tag);
  return new Set([...tags.map(([id]) => id), ...others.map(s => s.id)]);
}
