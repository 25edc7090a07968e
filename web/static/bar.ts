// The bar above every page: the filter with its completion, and the range.

import { get, Problem, reason } from "./api.js";
import { el, on, set, text } from "./dom.js";
import { complete, DIMENSIONS, quoted, type Completion } from "./filter.js";
import { dateMinute, fromInput, toInput, zone } from "./format.js";
import type { Obeys, Shell } from "./page.js";
import { fixedRange, parseRange, rangeWords } from "./view.js";

const SHOWN_MAX = 12;
const OPERATORS: readonly [string, string][] = [
  ["=", "equals"],
  ["!=", "is not"],
  [" in (", "one of a list"],
];
const CONNECTORS: readonly [string, string][] = [
  ["and", "both"],
  ["or", "one of them"],
];
const FIXED = "fixed";

interface Option {
  words: string;
  hint: string;
  insert: string;
}

export class Bar {
  readonly element: HTMLElement;
  private applied = "";
  private offered: { at: Completion; options: Option[] } | null = null;
  private active = -1;
  private checking = new AbortController();
  private obeys: Obeys = { filter: false, ranges: [], any_range: false };

  private readonly input = el("input", {
    id: "filter",
    type: "text",
    role: "combobox",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    maxlength: 2000,
    placeholder: "everything",
    "aria-expanded": "false",
    "aria-controls": "filter-options",
    "aria-autocomplete": "list",
    "aria-describedby": "filter-problem filter-hint",
  });
  private readonly options = el("ul", {
    id: "filter-options",
    role: "listbox",
    "aria-label": "Completions",
    hidden: true,
  });
  private readonly problem = el("p", {
    id: "filter-problem",
    class: "filter-problem",
    role: "alert",
    hidden: true,
  });
  private readonly place = el("span", { class: "filter-place", hidden: true });
  private readonly hint = el("p", { id: "filter-hint", class: "filter-hint", hidden: true });
  private readonly clear = el(
    "button",
    { type: "button", class: "bare", "aria-label": "Clear the filter", hidden: true },
    "✕",
  );
  private readonly slash = el("kbd", { "aria-hidden": "true" }, "/");
  private readonly range = el("select", { id: "range" });
  private readonly ranges = el("span", { class: "pick" }, el("label", { for: "range" }, "Range"), this.range);
  private readonly from = el("input", { type: "datetime-local", id: "range-from", step: 1 });
  private readonly to = el("input", { type: "datetime-local", id: "range-to", step: 1 });
  private readonly zone = el("span", { class: "quiet" });
  private readonly fixed = el(
    "form",
    { class: "fixed-range", hidden: true, "aria-label": "Fixed range" },
    el("label", { for: "range-from" }, "From"),
    this.from,
    el("label", { for: "range-to" }, "to"),
    this.to,
    this.zone,
    el("button", { type: "submit" }, "Show"),
  );

  constructor(private readonly shell: Shell) {
    const filter = el(
      "form",
      { class: "filter" },
      el("label", { for: "filter" }, "Filter"),
      el(
        "div",
        { class: "filter-box" },
        this.input,
        this.place,
        this.clear,
        this.slash,
        this.options,
        this.problem,
        this.hint,
      ),
    );
    this.element = el(
      "div",
      { class: "bar", role: "search", "aria-label": "Filter and range" },
      filter,
      this.ranges,
      this.fixed,
    );
    on(filter, "submit", e => {
      e.preventDefault();
      void this.apply();
    });
    on(this.fixed, "submit", e => {
      e.preventDefault();
      this.applyFixed();
    });
    for (const input of [this.from, this.to]) on(input, "input", () => this.to.setCustomValidity(""));
    on(this.input, "input", () => {
      this.complain("");
      this.showClear();
      this.offer();
    });
    on(this.input, "focus", () => void this.shell.names.load().then(() => this.offer()));
    on(this.input, "click", () => this.offer());
    on(this.input, "blur", () => this.close());
    on(this.input, "keydown", e => this.key(e));
    on(this.options, "mousedown", e => e.preventDefault()); // the input keeps the focus
    on(this.options, "click", e => {
      const at = [...this.options.children].indexOf((e.target as Element).closest("li") as Element);
      if (at >= 0) this.accept(at);
    });
    on(this.clear, "click", () => {
      this.input.value = "";
      this.input.focus();
      void this.apply();
    });
    on(this.range, "change", () => this.chooseRange());
  }

  focus(): void {
    this.input.focus();
    this.input.select();
  }

  show(obeys: Obeys): void {
    const { view } = this.shell;
    this.obeys = obeys;
    if (view.filter !== this.applied) {
      this.applied = this.input.value = view.filter;
      this.complain("");
      if (view.filter) void this.check(view.filter);
    }
    this.hint.hidden = obeys.filter;
    text(
      this.hint,
      obeys.filter ? "" : "This page is not filtered. Enter shows the traffic of the filter now.",
    );
    this.showClear();
    this.showRanges();
  }

  /** The filter of the address was refused by an answer. */
  refused(problem: Problem): void {
    this.complain(problem.message, problem.at_bytes);
  }

  // --- the filter -----------------------------------------------------------------------------------

  private async apply(): Promise<void> {
    const wanted = this.input.value.trim();
    this.close();
    if (wanted && !(await this.check(wanted))) return;
    this.applied = wanted;
    if (this.obeys.filter) this.shell.choose({ filter: wanted });
    else if (wanted) this.shell.go(this.shell.address("/", { filter: wanted }));
    else this.shell.choose({ filter: "" });
    this.showClear();
  }

  /** The observer's own parser decides. */
  private async check(filter: string): Promise<boolean> {
    this.checking.abort();
    const { signal } = (this.checking = new AbortController());
    try {
      await get("top", { from: "-10s", group: "", filter }, signal);
      this.complain("");
      return true;
    } catch (e) {
      if (signal.aborted) return false;
      if (e instanceof Problem && e.parameter === "filter") this.complain(e.message, e.at_bytes);
      else this.complain(reason(e));
      return false;
    }
  }

  private complain(words: string, at_bytes = -1): void {
    const value = this.input.value;
    let at = -1;
    if (at_bytes >= 0) {
      const before = new TextEncoder().encode(value).slice(0, at_bytes);
      at = new TextDecoder().decode(before).length;
    }
    this.problem.hidden = !words;
    text(
      this.problem,
      words.replace(/^filter: /, "").replace(/^./, c => c.toUpperCase()) +
        (at >= 0 ? ` (character ${at + 1})` : ""),
    );
    if (!words) text(this.problem, "");
    set(this.input, { "aria-invalid": words ? "true" : null });
    this.place.hidden = at < 0;
    if (at >= 0) {
      const length = Math.max(
        1,
        /^"(?:[^"\\]|\\.)*"?|^[^\s(),=!"]+|^./su.exec(value.slice(at))?.[0].length ?? 1,
      );
      this.place.style.left = `calc(9px + ${at}ch - ${this.input.scrollLeft}px)`;
      this.place.style.width = `${length}ch`;
    }
  }

  private showClear(): void {
    this.clear.hidden = !this.input.value;
    this.slash.hidden = !!this.input.value;
  }

  // --- completion -------------------------------------------------------------------------------------

  private offer(): void {
    if (document.activeElement !== this.input) return;
    const cursor = this.input.selectionEnd ?? this.input.value.length;
    const at = complete(this.input.value, cursor);
    const typed = at.typed.toLowerCase();
    const all = this.choices(at);
    const begins = all.filter(o => o.words.toLowerCase().startsWith(typed));
    const inside = all.filter(o => !begins.includes(o) && o.words.toLowerCase().includes(typed));
    const options = [...begins, ...inside];
    const only = options[0];
    const complete_already = options.length === 1 && only?.words.toLowerCase() === typed;
    this.offered = options.length && !complete_already ? { at, options } : null;
    this.active = -1;
    this.draw();
  }

  private choices(at: Completion): Option[] {
    switch (at.kind) {
      case "dimension":
        return [
          ...DIMENSIONS.map(d => ({ words: d.name, hint: d.words, insert: `${d.name}=` })),
          { words: "not", hint: "everything but", insert: "not " },
        ];
      case "operator":
        return OPERATORS.map(([sign, hint]) => ({ words: sign.trim(), hint, insert: sign }));
      case "connector":
        return CONNECTORS.map(([word, hint]) => ({ words: word, hint, insert: `${word} ` }));
      case "value":
        return this.shell.names
          .values(at.dim, at.experiment)
          .map(v => ({ words: v, hint: "", insert: `${quoted(v)} ` }));
    }
  }

  private draw(): void {
    const { offered } = this;
    set(this.input, {
      "aria-expanded": offered ? "true" : "false",
      "aria-activedescendant": offered && this.active >= 0 ? `filter-option-${this.active}` : null,
    });
    this.options.hidden = !offered;
    if (!offered) return;
    const first = Math.max(0, Math.min(this.active - SHOWN_MAX + 2, offered.options.length - SHOWN_MAX));
    this.options.replaceChildren(
      ...offered.options.map((o, i) =>
        el(
          "li",
          {
            id: `filter-option-${i}`,
            role: "option",
            "aria-selected": i === this.active ? "true" : "false",
            hidden: i < first || i >= first + SHOWN_MAX,
          },
          el("span", {}, o.words),
          o.hint && el("span", { class: "quiet" }, o.hint),
        ),
      ),
    );
    this.options.style.left = `calc(9px + ${offered.at.from}ch - ${this.input.scrollLeft}px)`;
  }

  private close(): void {
    this.offered = null;
    this.draw();
  }

  private accept(index: number): void {
    const { offered } = this;
    const option = offered?.options[index];
    if (!offered || !option) return;
    const { from, to } = offered.at;
    const value = this.input.value;
    const before = value.slice(0, from);
    const after = value.slice(to).replace(/^ (?=.)/, option.insert.endsWith(" ") ? "" : " ");
    const gap = offered.at.kind === "connector" && before && !before.endsWith(" ") ? " " : "";
    this.input.value = before + gap + option.insert + after;
    const cursor = (before + gap + option.insert).length;
    this.input.setSelectionRange(cursor, cursor);
    this.complain("");
    this.showClear();
    this.offer();
  }

  private key(e: KeyboardEvent): void {
    const n = this.offered?.options.length ?? 0;
    if ((e.key === "ArrowDown" || e.key === "ArrowUp") && !n) {
      e.preventDefault();
      this.offer();
    } else if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      const step = e.key === "ArrowDown" ? 1 : -1;
      this.active = this.active < 0 ? (step > 0 ? 0 : n - 1) : (this.active + step + n) % n;
      this.draw();
    } else if ((e.key === "Enter" || e.key === "Tab") && this.active >= 0) {
      e.preventDefault();
      this.accept(this.active);
    } else if (e.key === "Escape") {
      e.preventDefault();
      if (this.offered) this.close();
      else if (this.input.value !== this.applied) {
        this.input.value = this.applied;
        this.complain("");
        this.showClear();
      } else this.input.blur();
    }
  }

  // --- the range ------------------------------------------------------------------------------------------

  private showRanges(): void {
    const { ranges, any_range } = this.obeys;
    this.ranges.hidden = !ranges.length;
    this.fixed.hidden = true;
    if (!ranges.length) return;
    const now = this.shell.range();
    const listed = ranges.includes(now.text) ? ranges : [...ranges, now.text];
    this.range.replaceChildren(
      ...listed.map(value => {
        const r = parseRange(value);
        const name = !r
          ? value
          : r.live
            ? rangeWords(r).replace(/^l/, "L")
            : `${dateMinute(Date.parse(r.from) / 1000)} to ${dateMinute(Date.parse(r.to) / 1000)}`;
        return el("option", { value }, name);
      }),
      ...(any_range ? [el("option", { value: FIXED }, now.live ? "From … to …" : "Other times …")] : []),
    );
    this.range.value = now.text;
  }

  private chooseRange(): void {
    if (this.range.value !== FIXED) {
      this.shell.choose({ range: this.range.value === this.obeys.ranges[0] ? "" : this.range.value });
      return;
    }
    const now = this.shell.range();
    const to_s = now.live ? Date.now() / 1000 : Date.parse(now.to) / 1000;
    this.from.value = toInput(to_s - now.span_s);
    this.to.value = toInput(to_s);
    text(this.zone, zone());
    this.fixed.hidden = false;
    this.from.focus();
  }

  private applyFixed(): void {
    const from_s = fromInput(this.from.value);
    const to_s = fromInput(this.to.value);
    this.to.setCustomValidity(to_s > from_s ? "" : "The end must be after the start.");
    if (this.to.reportValidity() && from_s < to_s) {
      this.shell.choose({ range: fixedRange(from_s, to_s) });
      this.range.focus();
    }
  }
}
