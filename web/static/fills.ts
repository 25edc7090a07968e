// Paints as fills of an SVG: a colour, or a pattern that is put into the picture's definitions once.

import type { Paint } from "./colour.js";
import { svg } from "./dom.js";

export class Fills {
  readonly defs = svg("defs");
  private readonly made = new Map<string, string>();

  /** `prefix`: ids are the document's, so each picture has its own. */
  constructor(private readonly prefix: string) {}

  of({ colour, texture }: Paint): string {
    if (texture === "plain") return colour;
    const name = `${texture} ${colour}`;
    let fill = this.made.get(name);
    if (!fill) {
      const id = `${this.prefix}-${this.made.size}`;
      this.defs.append(
        svg(
          "pattern",
          {
            id,
            width: 8,
            height: 8,
            patternUnits: "userSpaceOnUse",
            "data-texture": texture,
            "data-colour": colour,
          },
          ...strokes(colour, texture),
        ),
      );
      this.made.set(name, (fill = `url(#${id})`));
    }
    return fill;
  }
}

function strokes(colour: string, texture: Paint["texture"]): SVGElement[] {
  const ground = svg("rect", {
    width: 8,
    height: 8,
    fill: colour,
    "fill-opacity": texture === "lines" ? 0.55 : 0.2,
  });
  if (texture === "dots")
    return [
      ground,
      svg("circle", { cx: 2, cy: 2, r: 1.2, fill: colour }),
      svg("circle", { cx: 6, cy: 6, r: 1.2, fill: colour }),
    ];
  const d = texture === "lines" ? "M-2 -2L10 10M-6 2L6 14M2 -6L14 6" : "M-2 2L2 -2M0 8L8 0M6 10L10 6";
  return [
    ground,
    svg("path", { d, stroke: colour, "stroke-width": texture === "lines" ? 2 : 1.2, fill: "none" }),
  ];
}
