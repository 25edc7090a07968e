// What more than one page lets choose: the unit, and how layers are drawn.

import { el, on, set } from "./dom.js";
import type { Shell } from "./page.js";
import { SHAPES, UNITS, type Shape, type Unit, type View } from "./view.js";

export const UNIT_WORDS: Record<Unit, string> = {
  bytes: "bit/s on the wire",
  ip_bytes: "bit/s of IP",
  packets: "packets/s",
};
const SHAPE_WORDS: Record<Shape, string> = { stack: "Stack", lines: "Lines", share: "Share" };

export function pick(name: string, select: HTMLSelectElement): HTMLElement {
  return el("span", { class: "pick" }, el("label", { for: select.id }, name), select);
}

export class Drawing {
  readonly shapes = el("div", { class: "segments", role: "group", "aria-label": "Drawn as" });
  private readonly unit = el("select", { id: "unit" });
  readonly units = pick("In", this.unit);

  constructor(shell: Shell) {
    for (const value of UNITS) this.unit.append(el("option", { value }, UNIT_WORDS[value]));
    on(this.unit, "change", () => shell.choose({ unit: UNITS.find(u => u === this.unit.value) ?? UNITS[0] }));
    for (const shape of SHAPES) {
      const button = el("button", { type: "button", "data-shape": shape }, SHAPE_WORDS[shape]);
      on(button, "click", () => shell.choose({ shape }));
      this.shapes.append(button);
    }
  }

  show({ unit, shape }: View): void {
    this.unit.value = unit;
    for (const b of this.shapes.children)
      set(b, { "aria-pressed": String(b.getAttribute("data-shape") === shape) });
  }
}
