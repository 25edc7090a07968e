// An SVG of this page painted on a canvas, for the panels' PNG: the few shapes that the pictures are made of, as they
// look at the moment.

import type { Paint } from "./colour.js";
import type { Painting } from "./panel.js";
import { pattern } from "./texture.js";

const LINE = 18;
const CHARACTER = 6.7; // of a key's words, about

/** What a colour means. */
export interface KeyEntry {
  paint: Paint;
  name: string;
}

/** In its own proportions, `width` wide, the key under it; `before` paints at the left of it what is not in the
 * SVG. */
export function drawing(
  picture: SVGSVGElement,
  width: number,
  key: readonly KeyEntry[] = [],
  before?: { width: number; draw: (ctx: CanvasRenderingContext2D) => void },
): Painting {
  const box = picture.getBoundingClientRect();
  const left = before?.width ?? 0;
  const scale = width / Math.max(1, box.width + left);
  let [x, line] = [0, 0];
  const entries = key.map(entry => {
    const wide = 18 + entry.name.length * CHARACTER + 14;
    if (x + wide > box.width + left) [x, line] = [0, line + 1];
    const at = { entry, x, y: box.height + LINE * (line + 1) };
    x += wide;
    return at;
  });
  return {
    height: (box.height + (key.length ? LINE * (line + 1) + 8 : 0)) * scale,
    draw(ctx) {
      ctx.save();
      ctx.scale(scale, scale);
      before?.draw(ctx);
      for (const { entry, x: at, y } of entries) {
        ctx.fillStyle =
          entry.paint.texture === "plain"
            ? entry.paint.colour
            : (pattern(ctx, entry.paint, 1) ?? entry.paint.colour);
        ctx.fillRect(at, y - 10, 12, 12);
        ctx.font = "12px Inter, system-ui, sans-serif";
        ctx.textAlign = "left";
        ctx.fillStyle = getComputedStyle(picture).color;
        ctx.fillText(entry.name, at + 18, y);
      }
      ctx.beginPath();
      ctx.rect(left - 24, 0, box.width + 48, box.height);
      ctx.clip();
      ctx.translate(left, 0);
      for (const child of picture.children) shape(ctx, child, 1);
      ctx.restore();
    },
  };
}

function shape(ctx: CanvasRenderingContext2D, e: Element, opacity: number): void {
  if (!(e instanceof SVGElement) || e.tagName === "defs" || e.tagName === "title") return;
  const style = getComputedStyle(e);
  if (style.display === "none") return;
  const own = opacity * Number(style.opacity);
  if (e instanceof SVGGElement) {
    for (const child of e.children) shape(ctx, child, own);
  } else if (e instanceof SVGTextContentElement) words(ctx, e, own);
  else {
    const path = pathOf(e);
    if (!path) return;
    const fill = inkOf(ctx, style.fill);
    const stroke = inkOf(ctx, style.stroke);
    if (fill) {
      ctx.globalAlpha = own * Number(style.fillOpacity);
      ctx.fillStyle = fill;
      ctx.fill(path);
    }
    if (stroke) {
      ctx.globalAlpha = own * Number(style.strokeOpacity);
      ctx.strokeStyle = stroke;
      ctx.lineWidth = parseFloat(style.strokeWidth);
      ctx.lineCap = style.strokeLinecap as CanvasLineCap;
      ctx.setLineDash((style.strokeDasharray.match(/[\d.]+/g) ?? []).map(Number));
      ctx.stroke(path);
      ctx.setLineDash([]);
    }
    ctx.globalAlpha = 1;
  }
}

function pathOf(e: SVGElement): Path2D | null {
  const path = new Path2D();
  if (e instanceof SVGPathElement) return new Path2D(e.getAttribute("d") ?? "");
  if (e instanceof SVGRectElement)
    path.rect(e.x.baseVal.value, e.y.baseVal.value, e.width.baseVal.value, e.height.baseVal.value);
  else if (e instanceof SVGCircleElement)
    path.arc(e.cx.baseVal.value, e.cy.baseVal.value, e.r.baseVal.value, 0, 2 * Math.PI);
  else if (e instanceof SVGLineElement) {
    path.moveTo(e.x1.baseVal.value, e.y1.baseVal.value);
    path.lineTo(e.x2.baseVal.value, e.y2.baseVal.value);
  } else return null;
  return path;
}

function words(ctx: CanvasRenderingContext2D, e: SVGTextContentElement, opacity: number): void {
  const parts = e.children.length ? [...e.children] : [e];
  for (const part of parts) {
    if (!(part instanceof SVGTextContentElement) || !part.getNumberOfChars()) continue;
    const style = getComputedStyle(part);
    const { x, y } = part.getStartPositionOfChar(0);
    const text = part.textContent ?? "";
    ctx.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    ctx.textAlign = "left";
    ctx.globalAlpha = opacity;
    const stroke = inkOf(ctx, style.stroke);
    if (stroke) {
      ctx.strokeStyle = stroke;
      ctx.lineWidth = parseFloat(style.strokeWidth);
      ctx.lineJoin = "round";
      ctx.strokeText(text, x, y);
    }
    ctx.fillStyle = style.fill;
    ctx.fillText(text, x, y);
    ctx.globalAlpha = 1;
  }
}

/** A colour, or the texture that fills.ts has put into the definitions. */
function inkOf(ctx: CanvasRenderingContext2D, value: string): string | CanvasPattern | null {
  if (value === "none" || /^rgba\(.*, 0\)$/.test(value)) return null;
  const id = /^url\("?#([^")]+)/.exec(value)?.[1];
  if (!id) return value;
  const { texture, colour } = document.getElementById(id)?.dataset ?? {};
  return texture && colour ? pattern(ctx, { texture, colour } as Paint, 1) : null;
}
