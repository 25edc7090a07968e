// A table that changes every second without losing the reader's place: rows are kept by name, cells are
// rewritten only when their text differs, rows move only when their order does.

import { el, set, text } from "./dom.js";

export interface Column {
  name: string;
  title?: string;
  number?: boolean;
}

export interface Row {
  id: string;
  cells: (string | { words: string; title?: string; kind?: string; detail?: string })[];
  /** Made once per row, put before the first cell's text. */
  mark?: () => Node;
  /** data- attributes, for whoever reads the page by program. */
  data?: Record<string, string | number>;
  kind?: string;
}

export class LiveTable {
  readonly element: HTMLElement;
  private readonly body = el("tbody");
  private readonly rows = new Map<
    string,
    { tr: HTMLTableRowElement; texts: HTMLElement[]; details: (HTMLElement | null)[] }
  >();

  constructor(
    caption: string,
    private readonly columns: Column[],
  ) {
    this.element = el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
      el(
        "table",
        {},
        el("caption", { class: "unseen" }, caption),
        el("thead", {}, headings(columns)),
        this.body,
      ),
    );
  }

  show(rows: Row[]): void {
    const wanted = new Set(rows.map(r => r.id));
    for (const [id, row] of this.rows)
      if (!wanted.has(id)) {
        row.tr.remove();
        this.rows.delete(id);
      }
    rows.forEach((row, at) => {
      let kept = this.rows.get(row.id);
      if (!kept) this.rows.set(row.id, (kept = this.make(row)));
      row.cells.forEach((cell, i) => {
        const target = kept.texts[i];
        if (!target) return;
        text(target, typeof cell === "string" ? cell : cell.words);
        if (typeof cell === "string") return;
        set(target, { title: cell.title ?? null, "data-kind": cell.kind ?? null });
        if (cell.detail === undefined) return;
        const detail = (kept.details[i] ??= el("span", { class: "detail" }));
        text(detail, cell.detail);
        if (!detail.isConnected) target.after(detail);
      });
      set(kept.tr, { class: row.kind ?? null });
      for (const [name, value] of Object.entries(row.data ?? {})) set(kept.tr, { [`data-${name}`]: value });
      if (this.body.children[at] !== kept.tr) this.body.insertBefore(kept.tr, this.body.children[at] ?? null);
    });
  }

  /** Forget the marks: the theme has changed. */
  clear(): void {
    this.rows.clear();
    this.body.replaceChildren();
  }

  private make(row: Row): { tr: HTMLTableRowElement; texts: HTMLElement[]; details: (HTMLElement | null)[] } {
    const tr = el("tr");
    const texts = this.columns.map((column, i) => {
      const words = el("span");
      const cell = el(i === 0 ? "th" : "td", {
        class: column.number ? "number" : null,
        scope: i === 0 ? "row" : null,
      });
      if (i === 0 && row.mark) cell.append(row.mark());
      cell.append(words);
      tr.append(cell);
      return words;
    });
    return { tr, texts, details: [] };
  }
}

function headings(columns: Column[]): HTMLTableRowElement {
  const tr = el("tr");
  for (const c of columns)
    tr.append(el("th", { scope: "col", class: c.number ? "number" : null, title: c.title ?? null }, c.name));
  return tr;
}
