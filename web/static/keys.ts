// The keys, over whatever page is shown.

import { el, on } from "./dom.js";

export class KeysDialog {
  readonly element: HTMLDialogElement;

  constructor(pages: readonly string[]) {
    const close = el("button", { type: "button", class: "bare", "aria-label": "Close" }, "✕");
    const group = (title: string, rows: readonly (readonly [string, string])[]): HTMLElement =>
      el(
        "section",
        {},
        el("h3", {}, title),
        el(
          "dl",
          {},
          ...rows.flatMap(([keys, words]) => [
            el("dt", {}, ...keys.split(" ").map(k => el("kbd", {}, k))),
            el("dd", {}, words),
          ]),
        ),
      );
    this.element = el(
      "dialog",
      { class: "keys", "aria-labelledby": "keys-title" },
      el("div", { class: "head" }, el("h2", { id: "keys-title" }, "Keys"), close),
      el(
        "div",
        { class: "columns" },
        group(
          "Pages",
          pages.map((name, i) => [String(i + 1), name]),
        ),
        group("Everywhere", [
          ["/", "Filter"],
          ["p", "Pause, go on"],
          ["l", "Live: go on, up to now"],
          ["t", "Light, dark, high contrast"],
          ["z", "UTC, local time"],
          ["?", "These keys"],
        ]),
        group("In a chart", [
          ["← →", "Read out one bucket"],
          ["Home End", "The first, the newest"],
          ["+ -", "Zoom in, out"],
          ["Esc", "Leave it"],
        ]),
        group("In a legend", [
          ["Enter", "Filter by it, and back"],
          ["Shift Enter", "Only this in the picture"],
          ["h", "Hide it in the picture"],
        ]),
        group("In the filter", [
          ["↓ ↑", "Choose a completion"],
          ["Enter", "Take it; apply the filter"],
          ["Esc", "Close, undo, leave"],
        ]),
      ),
      el(
        "p",
        { class: "sentence" },
        "With the mouse: click, shift-click, alt-click in a legend; drag in a chart to zoom. ",
        el("a", { href: "/help" }, "The manual"),
        ".",
      ),
    );
    on(close, "click", () => this.element.close());
    on(this.element, "click", e => {
      // outside, or on the way to the manual
      if (e.target === this.element || (e.target as Element).closest("a")) this.element.close();
    });
    on(this.element, "keydown", e => {
      if (e.key === "?") {
        e.preventDefault();
        this.element.close();
      }
    });
  }

  open(): void {
    if (!this.element.open) this.element.showModal();
  }
}
