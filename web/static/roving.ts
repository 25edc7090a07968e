// The parts of a picture that can be pointed at: by mouse, or, since a picture is one stop for the Tab key, by the
// arrow keys. What is pointed at is said, and followed by Enter or click.

import { el, set, text } from "./dom.js";

export interface Spot {
  elements: readonly Element[]; // lit together
  title: string;
  lines: readonly string[];
  href?: string | undefined;
}

export class Roving {
  readonly tip = el("div", { class: "tip", hidden: true });
  readonly said = el("p", { class: "unseen", "aria-live": "polite" });
  private spots: readonly Spot[] = [];
  private readonly of = new Map<Element, number>();
  private at = -1;

  /** `field`: focusable, positioned, with tip and said in it. */
  constructor(
    private readonly field: HTMLElement,
    private readonly go: (href: string) => void,
  ) {
    field.addEventListener("pointermove", e => this.point(this.under(e.target), e.clientX, e.clientY));
    field.addEventListener("pointerleave", () => this.point(-1));
    field.addEventListener("blur", () => this.point(-1));
    field.addEventListener("click", e => {
      const href = this.spots[this.under(e.target)]?.href;
      if (href) this.go(href);
    });
    field.addEventListener("keydown", e => this.key(e));
  }

  set(spots: readonly Spot[]): void {
    this.spots = spots;
    this.of.clear();
    spots.forEach((s, i) => s.elements.forEach(e => this.of.has(e) || this.of.set(e, i)));
    this.point(-1);
  }

  private under(target: EventTarget | null): number {
    for (let e = target as Element | null; e && e !== this.field; e = e.parentElement) {
      const i = this.of.get(e);
      if (i !== undefined) return i;
    }
    return -1;
  }

  private key(e: KeyboardEvent): void {
    const n = this.spots.length;
    if (!n || e.altKey || e.ctrlKey || e.metaKey) return;
    const steps: Record<string, number> = {
      ArrowRight: Math.min(n - 1, this.at + 1),
      ArrowDown: Math.min(n - 1, this.at + 1),
      ArrowLeft: this.at < 0 ? n - 1 : Math.max(0, this.at - 1),
      ArrowUp: this.at < 0 ? n - 1 : Math.max(0, this.at - 1),
      Home: 0,
      End: n - 1,
    };
    const to = steps[e.key];
    const href = this.spots[this.at]?.href;
    if (to !== undefined) {
      const box = this.spots[to]?.elements[0]?.getBoundingClientRect();
      this.point(to, box ? box.left + box.width / 2 : undefined, box ? box.top + box.height / 2 : undefined);
      text(this.said, this.tip.textContent ?? "");
    } else if (e.key === "Escape" && this.at >= 0) this.point(-1);
    else if (e.key === "Enter" && href) this.go(href);
    else return;
    e.preventDefault();
  }

  private point(at: number, x?: number, y?: number): void {
    if (at !== this.at) {
      for (const e of this.spots[this.at]?.elements ?? []) e.classList.remove("lit");
      for (const e of this.spots[at]?.elements ?? []) e.classList.add("lit");
      this.at = at;
      const spot = this.spots[at];
      set(this.field, { "data-lit": spot ? "" : null });
      this.field.style.cursor = spot?.href ? "pointer" : "";
      this.tip.hidden = !spot;
      if (spot)
        this.tip.replaceChildren(el("strong", {}, spot.title), ...spot.lines.map(l => el("p", {}, l)));
    }
    if (at < 0 || x === undefined || y === undefined) return;
    const box = this.field.getBoundingClientRect();
    const right = x - box.left > box.width / 2;
    const below = y - box.top > box.height / 2;
    Object.assign(this.tip.style, {
      left: right ? "" : `${x - box.left + 14}px`,
      right: right ? `${box.right - x + 14}px` : "",
      top: below ? "" : `${y - box.top + 14}px`,
      bottom: below ? `${box.bottom - y + 14}px` : "",
    });
  }
}
