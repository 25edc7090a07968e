// One tag in every form: a label, option bytes, a scitag number, or a pair of numbers or names.

import { get, reason, type Reading } from "./api.js";
import { el, on, text } from "./dom.js";
import { Page, type Shell } from "./page.js";
import type { View } from "./view.js";

export class DecodePage extends Page {
  readonly element: HTMLElement;
  private readonly input = el("input", {
    id: "value",
    name: "value",
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: '0x2a5f0, 206, 3.14, cms:"Analysis Input"',
  });
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly answer = el("div");

  constructor(shell: Shell) {
    super();
    const form = el(
      "form",
      { class: "decode-form" },
      el("label", { for: "value" }, "A tag in any form"),
      this.input,
      el("button", { type: "submit" }, "Decode"),
    );
    this.element = el(
      "div",
      { class: "decode" },
      el(
        "section",
        { class: "panel" },
        el("h1", {}, "Decode"),
        el(
          "p",
          {},
          "An IPv6 flow label (0x…), the bytes of an extension-header option (hex), the number of scitag.flow or of the SciTag header, " +
            "or experiment and activity by number or name.",
        ),
        form,
        this.problem,
        this.answer,
      ),
    );
    on(form, "submit", e => {
      e.preventDefault();
      shell.choose({ value: this.input.value.trim() });
    });
  }

  override show(view: View, before: View | null): void {
    if (before?.value === view.value) return;
    this.input.value = view.value;
    void this.ask();
  }

  private async ask(): Promise<void> {
    const value = this.input.value.trim();
    this.problem.hidden = true;
    this.answer.replaceChildren();
    if (!value) return;
    try {
      const { readings } = await get<{ readings: Reading[] }>("decode", { value });
      const shown = readings.map(r =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, r.as),
          ...[
            r.experiment,
            r.experiment_id,
            r.activity,
            r.activity_id,
            r.registered ? "yes" : "no",
            r.label,
            r.option,
            r.scitag,
            r.entropy,
            r.note,
          ].map(v => el("td", {}, v === null || v === undefined ? "" : String(v))),
        ),
      );
      this.answer.replaceChildren(
        readings.length
          ? el(
              "div",
              { class: "scroll", tabindex: 0, role: "region", "aria-label": "Readings" },
              el(
                "table",
                {},
                el(
                  "thead",
                  {},
                  el(
                    "tr",
                    {},
                    ...[
                      "Read as",
                      "Experiment",
                      "Number",
                      "Activity",
                      "Number",
                      "Registered",
                      "Flow label",
                      "Option",
                      "scitag.flow",
                      "Entropy",
                      "Note",
                    ].map(h => el("th", { scope: "col" }, h)),
                  ),
                ),
                el("tbody", {}, ...shown),
              ),
            )
          : el("p", {}, "No reading of this value makes a tag."),
      );
    } catch (e) {
      text(this.problem, reason(e));
      this.problem.hidden = false;
    }
  }
}
