// A panel: one answer with its title, what it is measured in, when, and how sure it is; and behind its menu
// the same as a table, CSV, JSON, a picture and a link. It is grey while nothing new comes.

import { el, on, set, text } from "./dom.js";
import { isoSecond } from "./view.js";
import { picturePanel } from "./picture.js";
import type { Shell } from "./page.js";

export interface SheetColumn {
  name: string;
  /** As it goes into CSV: base units, in the name: "cms_bytes". */
  key: string;
  /** How a number is written on the page; times and numbers without one are written as they are. */
  words?: (value: number) => string;
  number?: boolean;
}

/** What a panel shows, as rows of plain values; times in seconds since 1970 under a key ending in "_utc". */
export interface Sheet {
  columns: readonly SheetColumn[];
  rows: readonly (readonly (string | number | null)[])[];
}

/** For the picture: something that paints itself at (0, 0), so many CSS pixels wide. */
export interface Painting {
  height: number;
  draw(ctx: CanvasRenderingContext2D): void;
}

export interface PanelParts {
  id: string;
  title: string;
  body: readonly Node[];
  sheet: () => Sheet | null;
  /** What the picture shows; without it, the sheet. */
  painting?: (width: number) => Painting;
  /** The body is the table already. */
  is_table?: boolean;
  kind?: string;
}

export interface Caption {
  unit: string;
  range: string;
  error?: string;
  /** Address of the API's answer. */
  json: string;
}

const TABLE_ROWS_MAX = 500;

export class Panel {
  readonly element: HTMLElement;
  private readonly sub = el("span", { class: "sub" });
  private readonly json = el("a", { class: "item", target: "_blank", rel: "noopener" }, "JSON");
  private readonly menu: HTMLElement;
  private readonly button: HTMLButtonElement;
  private readonly table_item: HTMLButtonElement;
  private readonly table: HTMLElement;
  private tabled = false;
  private listed_ms = 0;

  constructor(
    private readonly shell: Pick<Shell, "say">,
    private readonly parts: PanelParts,
  ) {
    const { id, title } = parts;
    const item = (words: string, does: () => void): HTMLButtonElement => {
      const b = el("button", { type: "button", class: "item" }, words);
      on(b, "click", () => {
        this.close();
        does();
      });
      return b;
    };
    this.button = el(
      "button",
      {
        type: "button",
        class: "bare",
        "aria-expanded": "false",
        "aria-controls": `${id}-menu`,
        "aria-label": `${title}: table, data, picture, link`,
        title: "Table, CSV, JSON, PNG, link",
      },
      "⋯",
    );
    this.table_item = item("As a table", () => this.toggleTable());
    set(this.table_item, { "aria-pressed": "false" });
    this.menu = el(
      "div",
      { class: "menu", id: `${id}-menu`, hidden: true },
      !parts.is_table && this.table_item,
      item("CSV", () => this.saveCsv()),
      this.json,
      item("PNG", () => void this.savePng()),
      item("Copy link", () => void this.copyLink()),
    );
    this.table = el("div", {
      class: "scroll tall sheet",
      tabindex: 0,
      role: "region",
      "aria-label": `${title} as a table`,
      hidden: true,
    });
    this.element = el(
      "section",
      { class: `panel stales ${parts.kind ?? ""}`.trim(), id, "aria-labelledby": `${id}-title` },
      el(
        "div",
        { class: "head" },
        el("h2", { id: `${id}-title` }, title),
        this.sub,
        el("div", { class: "panel-menu" }, this.button, this.menu),
      ),
      ...parts.body,
      this.table,
    );
    on(this.button, "click", () => (this.menu.hidden ? this.open() : this.close()));
    on(this.element, "keydown", e => {
      if (e.key !== "Escape" || this.menu.hidden) return;
      e.stopPropagation();
      this.close();
    });
    on(this.menu, "focusout", e => {
      if (!this.menu.contains(e.relatedTarget as Node | null) && e.relatedTarget !== this.button)
        this.menu.hidden = true;
      set(this.button, { "aria-expanded": String(!this.menu.hidden) });
    });
    on(this.json, "click", () => this.close());
  }

  /** After every change of what is shown; the table follows at most once a second. */
  show({ unit, range, error, json }: Caption): void {
    text(this.sub, [unit, range, error].filter(Boolean).join(", "));
    set(this.json, { href: json });
    if (this.tabled && performance.now() - this.listed_ms > 900) this.list();
  }

  // --- the menu -------------------------------------------------------------------------------------

  private open(): void {
    this.menu.hidden = false;
    set(this.button, { "aria-expanded": "true" });
    (this.menu.firstElementChild as HTMLElement | null)?.focus();
  }

  private close(): void {
    this.menu.hidden = true;
    set(this.button, { "aria-expanded": "false" });
    this.button.focus();
  }

  private toggleTable(): void {
    this.tabled = !this.tabled;
    this.table.hidden = !this.tabled;
    set(this.table_item, { "aria-pressed": String(this.tabled) });
    if (this.tabled) {
      this.list();
      this.table.focus();
    }
  }

  private list(): void {
    const sheet = this.parts.sheet();
    this.listed_ms = performance.now();
    const top = this.table.scrollTop;
    this.table.replaceChildren(
      sheet ? sheetTable(sheet) : el("p", { class: "quiet" }, "Nothing to list."),
      sheet && sheet.rows.length > TABLE_ROWS_MAX
        ? el(
            "p",
            { class: "quiet" },
            `The first ${TABLE_ROWS_MAX} of ${sheet.rows.length} rows; the CSV has all.`,
          )
        : "",
    );
    this.table.scrollTop = top;
  }

  private saveCsv(): void {
    const sheet = this.parts.sheet();
    if (!sheet) return this.shell.say("There is nothing to save yet.");
    save(new Blob([csv(sheet)], { type: "text/csv" }), `${this.fileName()}.csv`);
  }

  private async savePng(): Promise<void> {
    const blob = await picturePanel({
      title: this.parts.title,
      sub: this.sub.textContent ?? "",
      width: Math.max(640, this.element.clientWidth),
      painting: this.parts.painting,
      sheet: this.parts.sheet,
    });
    if (blob) save(blob, `${this.fileName()}.png`);
    else this.shell.say("There is nothing to picture yet.");
  }

  private async copyLink(): Promise<void> {
    const url = new URL(location.href);
    url.hash = this.parts.id;
    try {
      await navigator.clipboard.writeText(url.href);
      this.shell.say("The link to this view is in the clipboard.");
    } catch {
      // without https a page may not write there: then the address bar has it, to be copied by hand
      history.replaceState(null, "", url);
      this.shell.say("The address bar now holds the link to this panel.");
    }
  }

  private fileName(): string {
    return `scitag-${this.parts.id}-${isoSecond(Date.now() / 1000).replace(/[-:]/g, "")}`;
  }
}

export function cellWords(column: SheetColumn, value: string | number | null): string {
  if (value === null) return "";
  if (typeof value === "string") return value;
  return column.words ? column.words(value) : String(value);
}

function sheetTable(sheet: Sheet): HTMLTableElement {
  const cell = (c: SheetColumn, value: string | number | null, i: number): HTMLElement =>
    el(
      i === 0 ? "th" : "td",
      { scope: i === 0 ? "row" : null, class: c.number ? "number" : null },
      cellWords(c, value),
    );
  return el(
    "table",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ...sheet.columns.map(c => el("th", { scope: "col", class: c.number ? "number" : null }, c.name)),
      ),
    ),
    el(
      "tbody",
      {},
      ...sheet.rows
        .slice(0, TABLE_ROWS_MAX)
        .map(row => el("tr", {}, ...sheet.columns.map((c, i) => cell(c, row[i] ?? null, i)))),
    ),
  );
}

/** RFC 4180; a cell that a spreadsheet would take for a formula is made text. */
export function csv(sheet: Sheet): string {
  const cell = (key: string, v: string | number | null): string => {
    if (v === null) return "";
    if (typeof v === "number") return key.endsWith("_utc") ? isoSecond(v) : String(v);
    const safe = /^[=+\-@\t\r]/.test(v) ? `'${v}` : v;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const lines = [
    sheet.columns.map(c => cell("", c.key)),
    ...sheet.rows.map(row => sheet.columns.map((c, i) => cell(c.key, row[i] ?? null))),
  ];
  return lines.map(l => `${l.join(",")}\r\n`).join("");
}

function save(blob: Blob, name: string): void {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
