// How a paint looks: as a pattern on the canvas, and as a small mark in tables and legends.

import type { Paint } from "./colour.js";
import { svg } from "./dom.js";

export function pattern(ctx: CanvasRenderingContext2D, p: Paint, pixel_ratio: number): CanvasPattern | null {
  return ctx.createPattern(tile(p, pixel_ratio, null), "repeat");
}

/** One repetition of a texture; see-through without a ground. */
export function tile(p: Paint, pixel_ratio: number, ground: string | null): HTMLCanvasElement {
  const unit = Math.round(pixel_ratio * (p.texture === "lines" ? 6 : 8));
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = unit;
  const c = canvas.getContext("2d");
  if (!c) return canvas;
  if (ground) {
    c.fillStyle = ground;
    c.fillRect(0, 0, unit, unit);
  }
  c.strokeStyle = c.fillStyle = p.colour;
  if (p.texture === "dots") {
    c.globalAlpha = 0.25;
    c.fillRect(0, 0, unit, unit);
    c.globalAlpha = 1;
    for (const at of [unit / 4, (unit * 3) / 4]) {
      c.beginPath();
      c.arc(at, at, unit / 7, 0, 7);
      c.fill();
    }
    return canvas;
  }
  const rising = p.texture === "hatch";
  c.globalAlpha = rising ? 0.18 : 0.55;
  c.fillRect(0, 0, unit, unit);
  c.globalAlpha = 1;
  c.lineWidth = unit / (rising ? 7 : 3);
  for (const shift of [-unit, 0, unit]) {
    c.beginPath();
    c.moveTo(shift, rising ? unit : 0);
    c.lineTo(shift + unit, rising ? 0 : unit);
    c.stroke();
  }
  return canvas;
}

export function swatch(p: Paint): SVGElement {
  const mark = svg("svg", { class: "swatch", viewBox: "0 0 12 12", "aria-hidden": "true" });
  const box = (opacity: number): SVGElement =>
    svg("rect", { width: 12, height: 12, rx: 2, fill: p.colour, "fill-opacity": opacity });
  switch (p.texture) {
    case "plain":
      mark.append(box(1));
      break;
    case "dots":
      mark.append(
        box(0.25),
        ...[
          [3, 3],
          [9, 9],
          [9, 3],
          [3, 9],
        ].map(([cx, cy]) => svg("circle", { cx: cx ?? 0, cy: cy ?? 0, r: 1.5, fill: p.colour })),
      );
      break;
    case "lines":
      mark.append(
        box(0.55),
        svg("path", { d: "M0 0L12 12M-6 0L6 12M6 0L18 12", stroke: p.colour, "stroke-width": 2 }),
      );
      break;
    case "hatch":
      mark.append(
        box(0.18),
        svg("path", { d: "M-3 9L9 -3M0 12L12 0M3 15L15 3", stroke: p.colour, "stroke-width": 1.4 }),
      );
      break;
  }
  return mark;
}
