// One tag in every form: a label, option bytes, a scitag number, or a pair of numbers or names.

import { address, get, reason, type Reading } from "./api.js";
import { el, on, text } from "./dom.js";
import { plural } from "./format.js";
import { Page, type Shell } from "./page.js";
import { Panel, type Sheet } from "./panel.js";
import { LiveTable } from "./table.js";
import type { View } from "./view.js";

const EXAMPLES = ["0x30038", "206", "3.14", 'cms:"Analysis Input"', "1e0300030e"];
const COLUMNS: readonly [string, string, (r: Reading) => string | number | null | undefined][] = [
  ["Read as", "as", r => r.as],
  ["Experiment", "experiment", r => r.experiment],
  ["Number", "experiment_id", r => r.experiment_id],
  ["Activity", "activity", r => r.activity],
  ["Number", "activity_id", r => r.activity_id],
  ["Registered", "registered", r => (r.registered ? "yes" : "no")],
  ["Flow label", "label", r => r.label],
  ["Option", "option", r => r.option],
  ["scitag.flow", "scitag", r => r.scitag],
  ["Entropy", "entropy", r => r.entropy],
  ["Note", "note", r => r.note],
];

export class DecodePage extends Page {
  readonly element: HTMLElement;
  private readings: Reading[] = [];
  private asking = new AbortController();
  private readonly input = el("input", {
    id: "value",
    name: "value",
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: EXAMPLES.join("  "),
  });
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly none = el("p", { hidden: true }, "No reading of this value makes a tag.");
  private readonly bits = el("div", { class: "bits" });
  private readonly key = el(
    "p",
    { class: "sentence bits-key" },
    "The 20 bits of the flow label: ",
    el("b", { "data-part": "experiment" }, "experiment"),
    ", lowest bit first; ",
    el("b", { "data-part": "activity" }, "activity"),
    "; and five bits of entropy, which mean nothing and keep the paths of a network evenly loaded.",
  );
  private readonly table = new LiveTable(
    "Readings",
    COLUMNS.map(([name]) => ({ name })),
  );
  private readonly panel: Panel;

  constructor(private readonly shell: Shell) {
    super();
    const form = el(
      "form",
      { class: "decode-form" },
      el("label", { for: "value" }, "A tag in any form"),
      this.input,
      el("button", { type: "submit" }, "Decode"),
    );
    this.panel = new Panel(shell, {
      id: "readings",
      title: "Readings",
      is_table: true,
      body: [this.table.element, this.bits, this.key],
      sheet: () => this.sheet(),
    });
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
        el(
          "p",
          { class: "examples" },
          el("span", { class: "quiet" }, "For example"),
          ...EXAMPLES.map(value => el("a", { href: shell.address("/decode", { value }) }, value)),
        ),
        this.problem,
        this.none,
      ),
      this.panel.element,
    );
    on(form, "submit", e => {
      e.preventDefault();
      shell.choose({ value: this.input.value.trim() });
    });
  }

  override show(view: View, before: View | null): void {
    if (before?.value === view.value) return;
    this.input.value = view.value;
    void this.ask(view.value);
  }

  override close(): void {
    this.asking.abort();
  }

  private async ask(value: string): Promise<void> {
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    this.readings = [];
    let problem = "";
    if (value)
      try {
        this.readings = (await get<{ readings: Reading[] }>("decode", { value }, signal)).readings;
      } catch (e) {
        if (signal.aborted) return;
        problem = reason(e);
      }
    text(this.problem, problem);
    this.problem.hidden = !problem;
    this.none.hidden = !value || !!problem || this.readings.length > 0;
    this.panel.element.hidden = !this.readings.length;
    this.panel.show({
      unit: value,
      range: plural(this.readings.length, "reading"),
      json: address("decode", { value }),
    });
    this.table.show(
      this.readings.map((r, i) => ({ id: String(i), cells: COLUMNS.map(([, , of]) => String(of(r) ?? "")) })),
    );
    this.drawBits(this.readings.find(r => r.label));
    this.shell.headline(value);
  }

  /** As the flow label lies in the header: bit 19 first. */
  private drawBits(r: Reading | undefined): void {
    this.bits.hidden = this.key.hidden = !r;
    const label = Number(r?.label ?? 0);
    this.bits.replaceChildren(
      ...Array.from({ length: 20 }, (_, i) => {
        const bit = 19 - i;
        const part = bit <= 17 && bit >= 9 ? "experiment" : bit <= 7 && bit >= 2 ? "activity" : "entropy";
        return el("span", { "data-part": part }, String((label >> bit) & 1), el("small", {}, bit));
      }),
    );
  }

  private sheet(): Sheet | null {
    return this.readings.length
      ? {
          columns: COLUMNS.map(([name, key]) => ({ name, key })),
          rows: this.readings.map(r => COLUMNS.map(([, , of]) => of(r) ?? null)),
        }
      : null;
  }
}
