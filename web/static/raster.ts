// A stack of layers as pixels. Forty layers of thousands of buckets are painted each second; filled paths would
// take ten times as long, and their edges would not be crisper.

import { GROUND, type Paint, type Theme } from "./colour.js";
import { tile } from "./texture.js";

const STEP_COLUMN_PX = 10; // narrower columns have no upright line at a step: it would hide them
const LINE_LAYER_PX = 4; // nor have thinner layers one along their upper edge

export class StackRaster {
  private readonly canvas = document.createElement("canvas");
  private readonly ctx = this.canvas.getContext("2d");
  private image: ImageData | null = null;
  private pixels = new Uint32Array(0);
  private readonly tiles = new Map<string, { unit: number; pixels: Uint32Array }>();

  /** Forget the textures: the theme, or the screen, has changed. */
  clear(): void {
    this.tiles.clear();
  }

  /** `x`: where each column begins, one more for the end, `tops`: the upper edge of each layer from below in
   * each column; both in pixels from the left and the top of a box of width x height. */
  paint(
    theme: Theme,
    ratio: number,
    width: number,
    height: number,
    x: readonly number[],
    tops: readonly Int32Array[],
    paints: readonly Paint[],
  ): HTMLCanvasElement | null {
    if (!this.ctx || width < 1 || height < 1) return null;
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.image = this.ctx.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    const { pixels } = this;
    pixels.fill(0);
    const ground = packed(GROUND[theme]);
    const tiles = paints.map(p => this.tileOf(theme, p, ratio));
    const columns = x.length - 1;
    const steps = width >= columns * STEP_COLUMN_PX;
    const edges = steps ? paints.map(() => ground) : paints.map(p => between(packed(p.colour), ground));
    for (let c = 0; c < columns; c++) {
      const x0 = Math.max(0, x[c] ?? 0);
      const x1 = Math.min(width, x[c + 1] ?? 0);
      if (x1 <= x0) continue;
      let below = height;
      for (let k = 0; k < tops.length; k++) {
        const top = Math.max(0, tops[k]?.[c] ?? below);
        const { unit, pixels: of } = tiles[k] as { unit: number; pixels: Uint32Array };
        const lined = below - top >= LINE_LAYER_PX;
        const wide = x1 - x0;
        const end = below * width + x0;
        let at = top * width + x0;
        if (lined) {
          const edge = edges[k] ?? ground;
          for (let i = 0; i < wide; i++) pixels[at + i] = edge;
          at += width;
        }
        if (unit === 1) {
          const colour = of[0] ?? 0;
          for (; at < end; at += width) for (let i = 0; i < wide; i++) pixels[at + i] = colour;
        } else
          for (let y = lined ? top + 1 : top; at < end; at += width, y++) {
            const from = (y % unit) * unit;
            for (let i = 0; i < wide; i++) pixels[at + i] = of[from + ((x0 + i) % unit)] ?? 0;
          }
        if (lined && steps && c > 0) {
          // the step from the column before
          const was = Math.max(0, tops[k]?.[c - 1] ?? below);
          for (let y = top; y < Math.min(was, below); y++) pixels[y * width + x0] = ground;
        }
        if (top < below) below = top;
      }
    }
    this.ctx.putImageData(this.image, 0, 0);
    return this.canvas;
  }

  private tileOf(theme: Theme, p: Paint, ratio: number): { unit: number; pixels: Uint32Array } {
    const id = `${theme} ${p.texture} ${p.colour}`;
    let t = this.tiles.get(id);
    if (!t) {
      const made = p.texture === "plain" ? null : tile(p, ratio, GROUND[theme]);
      const c = made?.getContext("2d");
      t =
        made && c
          ? {
              unit: made.width,
              pixels: new Uint32Array(c.getImageData(0, 0, made.width, made.height).data.buffer),
            }
          : { unit: 1, pixels: Uint32Array.of(packed(p.colour)) };
      this.tiles.set(id, t);
    }
    return t;
  }
}

/** Half one, half the other. */
function between(a: number, b: number): number {
  return ((((a ^ b) & 0xfefefefe) >>> 1) + (a & b)) >>> 0;
}

/** "#RRGGBB" as a pixel; all machines that run browsers are little-endian. */
function packed(hex: string): number {
  const rgb = parseInt(hex.slice(1), 16);
  return ((0xff << 24) | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}
