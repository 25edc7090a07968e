// How well is the traffic tagged: bytes by grade, with the noise floor of random flow labels drawn in it.

import { address, type CoverageAnswer } from "./api.js";
import { el, svg, text } from "./dom.js";
import { byteCount, count, error, percent } from "./format.js";
import { GRADES } from "./grades.js";
import type { Shell } from "./page.js";
import { Panel, type Sheet } from "./panel.js";
import { LiveTable } from "./table.js";

export class Coverage {
  readonly element: HTMLElement;
  private readonly panel: Panel;
  private answer: CoverageAnswer | null = null;
  private readonly sentence = el("p", { class: "sentence" });
  private readonly families = el("p", { class: "sentence" });
  private readonly bar = svg("svg", { class: "coverage-bar", role: "img", preserveAspectRatio: "none" });
  private readonly floor = el("p", { class: "floor-note" });
  private readonly table = new LiveTable("Bytes by grade", [
    { name: "Grade" },
    { name: "Bytes", number: true },
    { name: "± 95 %", number: true },
    { name: "Share", number: true },
  ]);

  constructor(shell: Pick<Shell, "say">) {
    this.panel = new Panel(shell, {
      id: "coverage",
      title: "Coverage",
      kind: "coverage",
      is_table: true,
      body: [this.bar, this.floor, this.sentence, this.table.element, this.families],
      sheet: () => this.sheet(),
    });
    this.element = this.panel.element;
  }

  show(c: CoverageAnswer, words: string, params: Record<string, string>): void {
    this.answer = c;
    this.panel.show({ unit: "share of bytes", range: words, json: address("coverage", params) });
    const by = new Map(c.grades.map(g => [g.grade, g]));
    const rows = GRADES.filter(g => (by.get(g.grade)?.bytes ?? 0) > 0);
    const chance_bytes = Math.min(c.noise.expected_registered_bytes, by.get("registered")?.bytes ?? 0);
    this.drawBar(
      rows.map(g => ({ grade: g.grade, bytes: by.get(g.grade)?.bytes ?? 0 })),
      c.bytes,
      chance_bytes,
    );
    this.table.show(
      rows.map(({ grade, words: meaning }) => {
        const g = by.get(grade);
        return {
          id: grade,
          mark: () => gradeMark(grade),
          data: { grade, bytes: g?.bytes ?? 0 },
          cells: [
            { words: grade, title: meaning },
            byteCount(g?.bytes ?? 0),
            error(g?.bytes ?? 0, g?.error_bytes ?? 0, Infinity),
            percent((g?.bytes ?? 0) / c.bytes),
          ],
        };
      }),
    );
    const n = c.noise;
    text(
      this.sentence,
      !c.bytes
        ? "Nothing was seen in this time."
        : `${percent(c.tagged_share)} of the bytes carry a registered tag, ${withoutNoise(c)}.`,
    );
    text(
      this.floor,
      n.unregistered_label_bytes > 0
        ? `Noise floor: ${byteCount(n.floor_bytes_per_code_point)} per tag, measured on ${count(n.unregistered_code_points)} ` +
            `code points that nobody registered. By chance, all ${n.registered_label_pairs} registered pairs together would show ` +
            `${byteCount(n.expected_registered_bytes)}, ${percent(n.share)} of the registered part, beyond the line in the bar.`
        : "Noise floor: 0. No flow label outside the registry was seen, so chance adds nothing to these numbers.",
    );
    const six = c.families.find(f => f.family === 6);
    text(
      this.families,
      c.packets > 0
        ? `IPv6: ${percent((six?.bytes ?? 0) / c.bytes)} of the bytes, ${count(six?.packets ?? 0)} of ${count(c.packets)} packets.` +
            (six?.packets
              ? ""
              : " Flow labels and extension headers exist in IPv6 only; IPv4 flows are named by fireflies.")
        : "",
    );
  }

  private sheet(): Sheet | null {
    const c = this.answer;
    return (
      c && {
        columns: [
          { name: "Grade", key: "grade" },
          { name: "Bytes", key: "bytes", words: byteCount, number: true },
          { name: "± 95 %", key: "error_bytes", words: byteCount, number: true },
          { name: "Share", key: "share", words: percent, number: true },
        ],
        rows: c.grades.map(g => [g.grade, g.bytes, g.error_bytes, g.share]),
      }
    );
  }

  private drawBar(parts: { grade: string; bytes: number }[], all: number, chance_bytes: number): void {
    const width = 1000;
    const nodes: Node[] = [patterns()];
    let x = 0;
    const said: string[] = [];
    for (const part of parts) {
      const w = all > 0 ? (part.bytes / all) * width : 0;
      nodes.push(svg("rect", { class: `grade-${part.grade}`, x, y: 0, width: Math.max(w, 0.5), height: 28 }));
      if (part.grade === "unregistered" || part.grade === "untagged")
        nodes.push(
          svg("rect", { fill: `url(#over-${part.grade})`, x, y: 0, width: Math.max(w, 0.5), height: 28 }),
        );
      x += w;
      if (part.grade === "registered" && chance_bytes > 0) {
        // the part that chance explains lies at the end of the segment, and its edge is drawn whatever its width
        const chance = (chance_bytes / all) * width;
        nodes.push(
          svg("rect", { class: "chance", x: x - chance, y: 0, width: chance, height: 28 }),
          svg("line", { class: "chance-edge", x1: x - chance, x2: x - chance, y1: -4, y2: 32 }),
        );
      }
      said.push(`${part.grade} ${percent(part.bytes / all)}`);
    }
    this.bar.setAttribute("viewBox", `0 -4 ${width} 36`);
    this.bar.setAttribute("aria-label", `Share of bytes: ${said.join(", ") || "nothing seen"}`);
    this.bar.replaceChildren(...nodes);
  }
}

/** Whether subtracting the noise changes what is shown. */
export function withoutNoise(c: CoverageAnswer): string {
  const [plain, corrected] = [percent(c.tagged_share), percent(c.tagged_share_corrected)];
  return plain === corrected ? "with or without noise" : `${corrected} without noise`;
}

function patterns(): SVGElement {
  return svg(
    "defs",
    {},
    svg(
      "pattern",
      { id: "over-untagged", width: 8, height: 8, patternUnits: "userSpaceOnUse" },
      svg("path", { class: "texture", d: "M-2 6L6 -2M0 8L8 0M2 10L10 2" }),
    ),
    svg(
      "pattern",
      { id: "over-unregistered", width: 6, height: 6, patternUnits: "userSpaceOnUse" },
      svg("circle", { class: "texture-dot", cx: 3, cy: 3, r: 1.2 }),
    ),
  );
}

function gradeMark(grade: string): SVGElement {
  return svg(
    "svg",
    { class: "swatch", viewBox: "0 0 12 12", "aria-hidden": "true" },
    svg("rect", { class: `grade-${grade}`, width: 12, height: 12, rx: 2 }),
    grade === "untagged" ? svg("path", { class: "texture", d: "M-3 9L9 -3M0 12L12 0M3 15L15 3" }) : svg("g"),
    grade === "unregistered" ? svg("path", { class: "texture", d: "M2 3h2M8 3h2M2 9h2M8 9h2" }) : svg("g"),
  );
}
