// A panel as a PNG: title, caption, what it shows, and where it comes from.

import { GROUND, INK, QUIET, type Theme } from "./colour.js";
import { dateTime } from "./format.js";
import { cellWords, type Painting, type Sheet } from "./panel.js";

const SCALE = 2;
const MARGIN = 20;
const ROW = 20;
const ROWS_MAX = 60;
const FONT = "Inter, system-ui, sans-serif";

export interface PictureParts {
  title: string;
  sub: string;
  width: number;
  painting: ((width: number) => Painting) | undefined;
  sheet: () => Sheet | null;
}

export function themeNow(): Theme {
  return (document.documentElement.dataset["theme"] as Theme | undefined) ?? "light";
}

export function picturePanel(parts: PictureParts): Promise<Blob | null> {
  const theme = themeNow();
  const inner = parts.width - 2 * MARGIN;
  const sheet = parts.painting ? null : parts.sheet();
  const painting = parts.painting?.(inner) ?? (sheet && paintSheet(sheet, inner, theme));
  const canvas = document.createElement("canvas");
  const ctx = canvas.getContext("2d");
  if (!painting || !ctx) return Promise.resolve(null);
  const head = 56;
  const foot = 32;
  canvas.width = parts.width * SCALE;
  canvas.height = (head + painting.height + foot) * SCALE;
  ctx.scale(SCALE, SCALE);
  ctx.fillStyle = GROUND[theme];
  ctx.fillRect(0, 0, parts.width, canvas.height);
  ctx.fillStyle = INK[theme];
  ctx.font = `650 15px ${FONT}`;
  ctx.fillText(parts.title, MARGIN, 26);
  ctx.fillStyle = QUIET[theme];
  ctx.font = `12px ${FONT}`;
  ctx.fillText(parts.sub, MARGIN, 44, inner);
  ctx.fillText(
    `Scitag Observer at ${location.host}, ${dateTime(Date.now() / 1000)}`,
    MARGIN,
    head + painting.height + 20,
    inner,
  );
  ctx.save();
  ctx.translate(MARGIN, head);
  painting.draw(ctx);
  ctx.restore();
  return new Promise(done => canvas.toBlob(done, "image/png"));
}

function paintSheet(sheet: Sheet, width: number, theme: Theme): Painting | null {
  if (!sheet.rows.length) return null;
  const rows = sheet.rows.slice(0, ROWS_MAX);
  const cells = rows.map(row => sheet.columns.map((c, i) => cellWords(c, row[i] ?? null)));
  return {
    height: (rows.length + 1) * ROW + 8,
    draw(ctx) {
      ctx.font = `12px ${FONT}`;
      const wide = sheet.columns.map((c, i) =>
        Math.max(...[c.name, ...cells.map(r => r[i] ?? "")].map(words => ctx.measureText(words).width)),
      );
      const gap = Math.max(8, (width - wide.reduce((a, b) => a + b, 0)) / Math.max(1, wide.length - 1));
      const line = (words: readonly string[], y: number, ink: string): void => {
        let x = 0;
        ctx.fillStyle = ink;
        words.forEach((w, i) => {
          const right = sheet.columns[i]?.number ?? false;
          ctx.textAlign = right ? "right" : "left";
          ctx.fillText(w, right ? x + (wide[i] ?? 0) : x, y);
          x += (wide[i] ?? 0) + Math.min(gap, 60);
        });
      };
      line(
        sheet.columns.map(c => c.name),
        14,
        QUIET[theme],
      );
      ctx.fillRect(0, ROW, width, 0.5);
      cells.forEach((row, i) => line(row, 14 + (i + 1) * ROW + 4, INK[theme]));
      ctx.textAlign = "left";
    },
  };
}
