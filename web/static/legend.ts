// The legend above a chart: what is which colour and how much it is; and the way to see only that.

import type { Theme } from "./colour.js";
import { el, on, set, text } from "./dom.js";
import { condition, withCondition } from "./filter.js";
import type { Head } from "./layers.js";
import type { Shell } from "./page.js";
import { swatch } from "./texture.js";

export class Legend {
  readonly element = el("div", { class: "legend stales", role: "group", "aria-label": "Legend: filter, isolate, hide" });
  private heads: readonly Head[] = [];

  constructor(
    private readonly shell: Shell,
    private theme: Theme,
  ) {}

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.heads = [];
  }

  /** `amount`: the words behind a name. */
  show(heads: readonly Head[], amount: (head: Head) => string): void {
    if (heads.map(h => h.id).join("\n") !== this.heads.map(h => h.id).join("\n")) this.make(heads);
    const { filter, hide } = this.shell.view;
    heads.forEach((head, i) => {
      const chip = this.element.children[i];
      if (!chip) return;
      const hidden = hide.includes(head.id);
      const only = !!head.dim && condition(filter, head.dim) === head.value;
      set(chip, {
        "aria-pressed": String(only),
        "data-hidden": hidden,
        title: hidden
          ? "Hidden in the picture: alt-click or h to show"
          : `${only ? "Click to take it out of the filter" : "Click to filter"}, shift-click for only this in the picture, alt-click to hide it`,
      });
      const words = chip.lastElementChild;
      if (words) text(words, amount(head));
    });
  }

  private make(heads: readonly Head[]): void {
    const focused = [...this.element.children].indexOf(document.activeElement as Element);
    const had = this.heads[focused]?.id;
    this.heads = heads;
    this.element.replaceChildren(
      ...heads.map(head => {
        const chip = el(
          "button",
          { type: "button", class: "chip", "data-head": head.id },
          swatch(head.paint(this.theme)),
          el("span", {}, head.name),
          el("span", { class: "quiet number" }),
        );
        on(chip, "click", e => {
          if (e.shiftKey) this.isolate(head);
          else if (e.altKey || e.ctrlKey || e.metaKey) this.hide(head);
          else this.filter(head);
        });
        on(chip, "keydown", e => {
          if (e.key === "h" && !e.ctrlKey && !e.metaKey) {
            e.preventDefault();
            e.stopPropagation();
            this.hide(head);
          }
        });
        return chip;
      }),
    );
    const again = heads.findIndex(h => h.id === had);
    if (focused >= 0) (this.element.children[Math.max(0, again)] as HTMLElement | undefined)?.focus();
  }

  private filter(head: Head): void {
    const { filter } = this.shell.view;
    if (!head.dim) return this.isolate(head);
    const only = condition(filter, head.dim) === head.value;
    this.shell.choose({ filter: withCondition(filter, head.dim, only ? "" : head.value) });
  }

  private hide({ id }: Head): void {
    const { hide } = this.shell.view;
    this.shell.choose({ hide: hide.includes(id) ? hide.filter(h => h !== id) : [...hide, id] });
  }

  private isolate({ id }: Head): void {
    const others = this.heads.map(h => h.id).filter(h => h !== id);
    const { hide } = this.shell.view;
    const isolated = !hide.includes(id) && others.every(o => hide.includes(o));
    this.shell.choose({ hide: isolated ? [] : others });
  }
}
