// The legend above a chart: what is which colour and how much it is; and the way to see only that.

import { INK, QUIET, type Theme } from "./colour.js";
import { el, on, set, text } from "./dom.js";
import { condition, withCondition } from "./filter.js";
import type { Head } from "./layers.js";
import type { Shell } from "./page.js";
import type { Painting } from "./panel.js";
import { swatch, tile } from "./texture.js";

const ROW = 22;
const FONT = "12px Inter, system-ui, sans-serif";

export class Legend {
  readonly element = el("div", {
    class: "legend",
    role: "group",
    "aria-label": "Legend: filter, isolate, hide",
  });
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

  /** The legend over the picture that it explains, for an image. */
  painting(width: number, picture: Painting): Painting {
    const { heads, theme } = this;
    const shown = heads.filter(h => !this.shell.view.hide.includes(h.id));
    const measure = document.createElement("canvas").getContext("2d");
    const amounts = new Map(
      heads.map((h, i) => [h.id, this.element.children[i]?.lastElementChild?.textContent ?? ""]),
    );
    if (measure) measure.font = FONT;
    const wide = (words: string): number => measure?.measureText(words).width ?? 0;
    let [x, y] = [0, 0];
    const places = shown.map(head => {
      const amount = amounts.get(head.id) ?? "";
      const needed = 18 + wide(head.name) + 8 + wide(amount) + 18;
      if (x > 0 && x + needed > width) [x, y] = [0, y + ROW];
      const place = { head, amount, x, y };
      x += needed;
      return place;
    });
    const height = y + ROW + 6;
    return {
      height: height + picture.height,
      draw(ctx) {
        ctx.font = FONT;
        for (const { head, amount, x, y } of places) {
          const look = head.paint(theme);
          ctx.fillStyle =
            look.texture === "plain"
              ? look.colour
              : (ctx.createPattern(tile(look, 1, null), "repeat") ?? look.colour);
          ctx.fillRect(x, y + 3, 12, 12);
          ctx.fillStyle = INK[theme];
          ctx.fillText(head.name, x + 18, y + 13);
          ctx.fillStyle = QUIET[theme];
          ctx.fillText(amount, x + 18 + wide(head.name) + 8, y + 13);
        }
        ctx.save();
        ctx.translate(0, height);
        picture.draw(ctx);
        ctx.restore();
      },
    };
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
