// The stacked area. uPlot keeps scales, axes, cursor and size; the layers are painted in its draw hook,
// because hatched areas, gaps and a stepped edge per bucket want an opaque order of their own.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { GROUND, paint, type Paint, type Theme } from "./colour.js";
import { el, text } from "./dom.js";
import { bitRate, clock, error, hourMinute, si } from "./format.js";
import { halfWidth, nothing, plus, tagName, type Amount, type Gap, type Stack } from "./history.js";
import { pattern, swatch } from "./texture.js";

export interface ChartData {
  from_s: number;
  to_s: number;
  newest_s: number;
  starts: number[];
  covered_s: number[];
  step_s: number;
  stacks: Stack[];
  gaps: Gap[];
}

const TIP_ROWS = 14;
const FONT = "Inter, system-ui, sans-serif";

export class StackChart {
  readonly element: HTMLElement;
  private readonly plot: uPlot;
  private readonly tip: HTMLElement;
  private readonly bar: HTMLElement;
  private readonly said: HTMLElement;
  private data: ChartData | null = null;
  private edges: Float64Array[] = []; // upper edge of each layer, in bytes per second
  private patterns = new Map<string, CanvasPattern | string>();
  private readonly resize: ResizeObserver;

  constructor(private theme: Theme) {
    this.tip = el("div", { class: "tip", hidden: true });
    this.bar = el("div", { class: "error-bar", hidden: true });
    this.said = el("p", { class: "unseen", "aria-live": "polite" });
    this.element = el("div", {
      class: "chart",
      tabindex: 0,
      role: "group",
      "aria-label": "Stacked traffic. Left and right arrow keys read out one bucket.",
    });
    const ink = (name: string) => (): string =>
      getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
      stroke: ink("--quiet"),
      font: `12px ${FONT}`,
      grid: { stroke: ink("--grid"), width: 1 },
      ticks: { show: false },
      border: { show: false },
    };
    this.plot = new uPlot(
      {
        width: 600,
        height: 300,
        legend: { show: false },
        padding: [8, 20, 0, 0],
        series: [{}, { stroke: "transparent", points: { show: false } }],
        scales: {
          x: { time: true, range: () => [this.data?.from_s ?? 0, this.data?.to_s ?? 1] },
          y: { range: (_, __, max) => [0, Math.max(max * 1.06, 1)] },
        },
        axes: [
          {
            ...axis,
            space: 80,
            size: 24,
            incrs: [10, 30, 60, 120, 300, 600, 900, 1800],
            values: (_, splits, __, ___, incr) => splits.map(s => (incr < 60 ? clock(s) : hourMinute(s))),
          },
          {
            ...axis,
            space: 36,
            size: 78,
            splits: (_, __, min, max) => ticks(min, max),
            values: (_, splits) => splits.map(v => (v === 0 ? "0" : tickWords(v))),
          },
        ],
        cursor: {
          y: false,
          drag: { x: false, y: false },
          points: { show: false },
          dataIdx: (u, _, closest, x) =>
            (u.data[0]?.[closest] ?? 0) > x ? Math.max(0, closest - 1) : closest,
        },
        hooks: { draw: [() => this.draw()], setCursor: [() => this.point()] },
      },
      [
        [0, 1],
        [0, 0],
      ],
      this.element,
    );
    this.plot.over.append(this.bar);
    this.element.append(this.tip, this.said);
    this.element.addEventListener("keydown", e => this.key(e));
    this.element.addEventListener("blur", () => this.leave());
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.element);
  }

  destroy(): void {
    this.resize.disconnect();
    this.plot.destroy();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.patterns.clear();
    this.plot.redraw(false, true);
  }

  setData(data: ChartData): void {
    this.data = data;
    const n = data.starts.length;
    let below = new Float64Array(n + 1);
    this.edges = data.stacks.map(stack => {
      const edge = new Float64Array(n + 1);
      for (let i = 0; i < n; i++) edge[i] = (below[i] ?? 0) + rate(stack.points[i], data.covered_s[i]);
      edge[n] = edge[n - 1] ?? 0;
      return (below = edge);
    });
    this.plot.setData([[...data.starts, data.newest_s], below]);
    this.point();
  }

  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width > 0 && height > 0 && (width !== this.plot.width || height !== this.plot.height))
      this.plot.setSize({ width, height });
  }

  private draw(): void {
    const { data, plot } = this;
    if (!data || !data.starts.length) return;
    const { ctx, bbox } = plot;
    const x = [...data.starts, data.newest_s].map(s => Math.round(plot.valToPos(s, "x", true)));
    const y = (v: number): number => plot.valToPos(v, "y", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    // from the top layer down, each to the ground: what lies below paints over it
    for (let k = this.edges.length - 1; k >= 0; k--) {
      const edge = this.edges[k];
      const key = data.stacks[k]?.key;
      if (!edge || !key) continue;
      const path = new Path2D();
      path.moveTo(x[0] ?? 0, y(0));
      for (let i = 0; i + 1 < x.length; i++) {
        const top = y(edge[i] ?? 0);
        path.lineTo(x[i] ?? 0, top);
        path.lineTo(x[i + 1] ?? 0, top);
      }
      path.lineTo(x[x.length - 1] ?? 0, y(0));
      path.closePath();
      ctx.fillStyle = GROUND[this.theme];
      ctx.fill(path); // textures are see-through
      ctx.fillStyle = this.fill(paint(this.theme, key.experiment_id, key.activity_id));
      ctx.fill(path);
      ctx.strokeStyle = GROUND[this.theme];
      ctx.lineWidth = uPlot.pxRatio * 0.75;
      ctx.stroke(path);
    }
    for (const gap of this.gaps(data)) this.drawGap(gap);
    ctx.restore();
  }

  /** Known gaps, and the time since the newest second when nothing comes any more. */
  private gaps(data: ChartData): Gap[] {
    const silent =
      data.to_s - data.newest_s > 1
        ? [{ from_s: data.newest_s, to_s: data.to_s, reason: `no data since ${clock(data.newest_s)}` }]
        : [];
    return [...data.gaps, ...silent].filter(g => g.to_s > data.from_s && g.from_s < data.to_s);
  }

  private drawGap(gap: Gap): void {
    const { ctx, bbox } = this.plot;
    const left = Math.max(bbox.left, this.plot.valToPos(gap.from_s, "x", true));
    const right = Math.min(bbox.left + bbox.width, this.plot.valToPos(gap.to_s, "x", true));
    if (right - left < 1) return;
    ctx.fillStyle = GROUND[this.theme];
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.fillStyle = this.fill({ colour: this.theme === "light" ? "#C9CED6" : "#3A424E", texture: "hatch" });
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    const size = 12 * uPlot.pxRatio;
    ctx.font = `${size}px ${FONT}`;
    const width = ctx.measureText(gap.reason).width + size;
    const upright = width > right - left;
    if (right - left < size * 1.8) return;
    ctx.save();
    ctx.translate((left + right) / 2, bbox.top + size + (upright ? width / 2 : size));
    if (upright) ctx.rotate(-Math.PI / 2);
    ctx.fillStyle = GROUND[this.theme];
    ctx.fillRect(-width / 2, -size * 0.8, width, size * 1.6);
    ctx.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--quiet").trim();
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText(gap.reason, 0, 0);
    ctx.restore();
  }

  private fill(p: Paint): CanvasPattern | string {
    if (p.texture === "plain") return p.colour;
    const id = `${p.texture} ${p.colour}`;
    let fill = this.patterns.get(id);
    if (!fill) this.patterns.set(id, (fill = pattern(this.plot.ctx, p, uPlot.pxRatio) ?? p.colour));
    return fill;
  }

  // --- the bucket under the cursor --------------------------------------------------------------

  private key(e: KeyboardEvent): void {
    const step = e.key === "ArrowLeft" ? -1 : e.key === "ArrowRight" ? 1 : 0;
    if (e.key === "Escape") this.leave();
    if (!step || !this.data) return;
    e.preventDefault();
    const last = this.data.starts.length - 1;
    const at =
      this.plot.cursor.left !== undefined && this.plot.cursor.left >= 0
        ? (this.plot.cursor.idx ?? last)
        : last + 1;
    const idx = Math.min(last, Math.max(0, at + step));
    const start = this.data.starts[idx] ?? 0;
    const middle =
      (Math.max(start, this.data.from_s) + Math.min(start + this.data.step_s, this.data.newest_s)) / 2;
    this.plot.setCursor({ left: this.plot.valToPos(middle, "x"), top: 0 });
    text(this.said, this.tip.textContent ?? "");
  }

  private leave(): void {
    this.plot.setCursor({ left: -10, top: -10 });
  }

  private point(): void {
    const { data, plot } = this;
    const { left, idx } = plot.cursor;
    const hide =
      !data ||
      left === undefined ||
      left < 0 ||
      idx === null ||
      idx === undefined ||
      idx >= data.starts.length;
    this.tip.hidden = this.bar.hidden = hide;
    if (hide) return;
    const start = data.starts[idx] ?? 0;
    const covered = data.covered_s[idx] ?? 0;
    const end = Math.min(start + data.step_s, data.newest_s);
    const gap = this.gaps(data).find(g => g.from_s <= start && g.to_s >= end);
    const total = nothing();
    const rows = data.stacks
      .map(stack => {
        const point = stack.points[idx] ?? nothing();
        plus(total, point);
        return { stack, point };
      })
      .filter(r => r.point.bytes > 0)
      .reverse();
    // the smallest are summed up when the list is too long for the screen
    const small =
      rows.length > TIP_ROWS
        ? new Set(
            [...rows].sort((a, b) => a.point.bytes - b.point.bytes).slice(0, rows.length - TIP_ROWS + 1),
          )
        : new Set();
    const rest = nothing();
    const list = el("table", {});
    for (const row of rows)
      if (small.has(row)) plus(rest, row.point);
      else list.append(tipRow(this.theme, row.stack, row.point, covered));
    if (small.size)
      list.append(
        el("tr", {}, el("td"), el("td", {}, `${small.size} smaller ones`), ...amount(rest, covered)),
      );
    list.append(
      el(
        "tr",
        { class: "sum", "data-bytes": total.bytes },
        el("td"),
        el("td", {}, "all"),
        ...amount(total, covered),
      ),
    );
    this.tip.replaceChildren(
      el("strong", {}, `${clock(start)} to ${clock(end)} UTC`),
      gap ? el("p", {}, gap.reason) : list,
    );
    const over = plot.over;
    const right = left > over.clientWidth / 2;
    this.tip.style.left = right ? "" : `${over.offsetLeft + left + 16}px`;
    this.tip.style.right = right ? `${this.element.clientWidth - over.offsetLeft - left + 16}px` : "";
    const error_s = covered > 0 ? halfWidth(total.variance) / covered : 0;
    const mean_s = rate(total, covered);
    const top = plot.valToPos(mean_s + error_s, "y");
    this.bar.hidden = !!gap || error_s === 0;
    this.bar.style.left = `${left}px`;
    this.bar.style.top = `${top}px`;
    this.bar.style.height = `${plot.valToPos(mean_s - error_s, "y") - top}px`;
  }
}

function rate(a: Amount | undefined, covered_s: number | undefined): number {
  return a && covered_s ? a.bytes / covered_s : 0;
}

function amount(a: Amount, covered_s: number): HTMLElement[] {
  return [
    el("td", { class: "number" }, bitRate(rate(a, covered_s))),
    el("td", { class: "number quiet" }, error(a.bytes, halfWidth(a.variance), a.samples)),
  ];
}

function tipRow(theme: Theme, stack: Stack, point: Amount, covered_s: number): HTMLElement {
  return el(
    "tr",
    { "data-tag": stack.id, "data-bytes": point.bytes },
    el("td", {}, swatch(theme, stack.key.experiment_id, stack.key.activity_id)),
    el("td", {}, tagName(stack.key)),
    ...amount(point, covered_s),
  );
}

/** Round steps of the unit shown, which is bits: 1, 2, 2.5 or 5 times a power of ten. */
function ticks(min: number, max: number): number[] {
  const raw = ((max - min) * 8) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = (([1, 2, 2.5, 5, 10].find(m => m * power >= raw) ?? 10) * power) / 8;
  const out: number[] = [];
  for (let v = 0; v <= max; v += step) out.push(v);
  return out;
}

function tickWords(bytes_per_s: number): string {
  const [number, unit] = si(bytes_per_s * 8, "bit/s");
  return `${number.includes(".") ? number.replace(/\.?0+$/, "") : number} ${unit}`;
}
