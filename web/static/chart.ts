// Layers over time: stacked, as lines, or as shares. uPlot keeps scales, axes, cursor and size; the layers are
// painted in its draw hook, because hatched areas, gaps and a stepped edge per bucket want an opaque order of
// their own.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { GROUND, INK, QUIET, type Paint, type Theme } from "./colour.js";
import type { Cursor } from "./cursor.js";
import { el, text } from "./dom.js";
import {
  clock,
  dateMinute,
  dayMonth,
  error,
  hourMinute,
  percent,
  rateWords,
  si,
  yearMonth,
  zone,
  zoneDate,
} from "./format.js";
import { halfWidth, nothing, plus, Points, type Amount, type Gap, type Layer } from "./layers.js";
import type { Painting } from "./panel.js";
import { StackRaster } from "./raster.js";
import { pattern, swatch } from "./texture.js";
import type { Note, Shape, Unit } from "./view.js";

export interface ChartData {
  from_s: number;
  to_s: number;
  newest_s: number; // from here on nothing is known yet
  starts: readonly number[];
  covered_s: readonly number[]; // seconds of each bucket that were observed
  step_s: number;
  layers: readonly Layer[]; // from below
  gaps: readonly Gap[];
  unit: Unit;
  shape: Shape;
  /** The sum of another period, bucket by bucket, to be held against this one. */
  before?: { words: string; points: Points; covered_s: readonly number[] };
  notes?: readonly Note[];
}

const TIP_ROWS = 14;
const BANDS_MAX = 8; // more lines than that have no error band: it would hide them
const FONT = "Inter, system-ui, sans-serif";
const HATCH: Record<Theme, string> = { light: "#C9CED6", dark: "#3A424E", contrast: "#8A93A0" };
const STEPS_S = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800,
  1209600, 2592000, 7776000, 31536000,
];

/** Buckets put together so that none is narrower than a pixel. */
interface Drawn {
  starts: number[]; // one more than there are columns: the last one's end
  edges: Float64Array[]; // upper edge of each layer: per second, or share
  error: Float64Array; // half width of the sum, per second
  sum: Float64Array; // per second
  before: Float64Array | null;
  top: number;
}

export class LayerChart {
  readonly element: HTMLElement;
  private readonly plot: uPlot;
  private readonly tip: HTMLElement;
  private readonly bar: HTMLElement;
  private readonly said: HTMLElement;
  private data: ChartData | null = null;
  private drawn: Drawn | null = null;
  private readonly raster = new StackRaster();
  private patterns = new Map<string, CanvasPattern | string>();
  private readonly resize: ResizeObserver;
  private readonly unfollow: () => void;
  private pointed = false; // by this chart's own mouse or keys

  constructor(
    private theme: Theme,
    private readonly cursor: Cursor,
    label: string,
    /** A stretch was marked by dragging, or zoomed by keys. */
    private readonly zoom?: (from_s: number, to_s: number) => void,
  ) {
    this.tip = el("div", { class: "tip", hidden: true });
    this.bar = el("div", { class: "error-bar", hidden: true });
    this.said = el("p", { class: "unseen", "aria-live": "polite" });
    this.element = el("div", {
      class: "chart",
      tabindex: 0,
      role: "group",
      "aria-label": `${label}. Left and right arrow keys read out one bucket${zoom ? ", plus and minus zoom" : ""}.`,
    });
    const axis: uPlot.Axis = {
      stroke: () => QUIET[this.theme],
      font: `12px ${FONT}`,
      grid: {
        stroke: () => (this.theme === "light" ? "#E6E9EE" : this.theme === "dark" ? "#242A32" : "#4A4A4A"),
        width: 1,
      },
      ticks: { show: false },
      border: { show: false },
    };
    this.plot = new uPlot(
      {
        width: 600,
        height: 300,
        legend: { show: false },
        padding: [8, 28, 0, 0],
        tzDate: zoneDate,
        series: [{}, { points: { show: false }, paths: () => null }],
        scales: {
          x: { time: true, range: () => [this.data?.from_s ?? 0, this.data?.to_s ?? 1] },
          y: {
            range: () => [
              0,
              this.data?.shape === "share" ? 1 : Math.max((this.drawn?.top ?? 0) * 1.06, 1e-9),
            ],
          },
        },
        axes: [
          {
            ...axis,
            space: 84,
            size: 24,
            incrs: STEPS_S,
            values: (_, splits, __, ___, incr) => splits.map((s, i) => timeWords(s, incr, splits[i - 1])),
          },
          {
            ...axis,
            space: 36,
            size: 78,
            splits: (_, __, min, max) => this.splits(min, max),
            values: (_, splits) => splits.map(v => this.tickWords(v)),
          },
        ],
        cursor: {
          y: false,
          drag: { x: !!zoom, y: false, setScale: false },
          points: { show: false },
          dataIdx: (u, _, closest, x) =>
            (u.data[0]?.[closest] ?? 0) > x ? Math.max(0, closest - 1) : closest,
        },
        hooks: {
          draw: [() => this.draw(this.plot.ctx, this.plot.bbox, uPlot.pxRatio)],
          setCursor: [() => this.moved()],
          setSelect: [() => this.selected()],
        },
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
    this.plot.over.addEventListener("mouseenter", () => (this.pointed = true));
    this.plot.over.addEventListener("mouseleave", () => this.leave());
    this.unfollow = cursor.follow((at_s, by) => by !== this && this.pointElsewhere(at_s));
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.element);
  }

  destroy(): void {
    this.unfollow();
    this.resize.disconnect();
    this.plot.destroy();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.patterns.clear();
    this.raster.clear();
    this.plot.redraw(false, true);
  }

  setData(data: ChartData): void {
    this.data = data;
    this.drawn = this.columns(data);
    const times = [...data.starts, data.newest_s];
    this.plot.setData([times, times]); // only the times matter: the layers are painted in draw()
    this.showTip();
  }

  /** The same picture on another canvas. */
  painting(width: number): Painting {
    const { canvas } = this.plot.ctx;
    const height = (width * canvas.height) / Math.max(1, canvas.width);
    return { height, draw: ctx => ctx.drawImage(canvas, 0, 0, width, height) };
  }

  // --- what is drawn ----------------------------------------------------------------------------------

  private columns(data: ChartData): Drawn {
    const { starts, covered_s, layers, step_s } = data;
    const n = starts.length;
    const most = Math.max(100, Math.floor(this.plot.bbox.width || 1000));
    const each = Math.ceil(n / most);
    // on a fixed raster of time, so that a picture which moves on does not shimmer
    const columns: number[] = [];
    for (let i = 0; i < n; i++) {
      const at = Math.floor((starts[i] ?? 0) / (step_s * each));
      if (!i || at !== Math.floor((starts[i - 1] ?? 0) / (step_s * each))) columns.push(i);
    }
    columns.push(n);
    const count = columns.length - 1;
    const observed = sums(columns, Float64Array.from(covered_s));
    const error = new Float64Array(count);
    const whole = new Float64Array(count);
    const edges: Float64Array[] = [];
    let top = 0;
    const old = this.drawn?.edges ?? []; // their memory is used again
    const variance = new Float64Array(count);
    for (const { points } of layers) {
      const value = sums(columns, points.value, old.pop());
      sums(columns, points.variance, variance);
      for (let c = 0; c < count; c++) {
        const s = observed[c] || Infinity;
        whole[c] = (whole[c] ?? 0) + (value[c] ?? 0) / s;
        error[c] = (error[c] ?? 0) + (variance[c] ?? 0) / s ** 2;
        if (data.shape === "stack") value[c] = whole[c] ?? 0;
        else value[c] = (value[c] ?? 0) / s;
        top = Math.max(top, value[c] ?? 0);
      }
      edges.push(value);
    }
    if (data.shape === "share") {
      const below = new Float64Array(count);
      for (const edge of edges)
        for (let c = 0; c < count; c++)
          edge[c] = below[c] = (below[c] ?? 0) + (edge[c] ?? 0) / (whole[c] || Infinity);
    }
    for (let c = 0; c < count; c++) error[c] = halfWidth(error[c] ?? 0);
    let before: Float64Array | null = null;
    if (data.before && data.shape !== "share") {
      const seen = sums(columns, Float64Array.from(data.before.covered_s));
      before = sums(columns, data.before.points.value).map((v, c) => (seen[c] ? v / (seen[c] ?? 1) : NaN));
      for (const v of [...before, ...whole]) if (v > top) top = v;
    }
    return { starts: columns.map(i => starts[i] ?? data.newest_s), edges, error, sum: whole, before, top };
  }

  private draw(ctx: CanvasRenderingContext2D, box: uPlot.BBox, ratio: number): void {
    const { data, drawn, plot } = this;
    if (!data || !drawn || drawn.starts.length < 2) return;
    const x = drawn.starts.map(s => Math.round(plot.valToPos(s, "x", true)));
    const y0 = plot.valToPos(0, "y", true);
    const per = plot.valToPos(1, "y", true) - y0; // linear
    const y = (v: number): number => y0 + v * per;
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.left, box.top, box.width, box.height);
    ctx.clip();
    if (data.shape === "lines") this.drawLines(ctx, x, y, ratio);
    else this.drawStack(ctx, box, x, y, ratio);
    if (drawn.before) {
      ctx.setLineDash([5 * ratio, 4 * ratio]);
      ctx.strokeStyle = GROUND[this.theme];
      ctx.lineWidth = 3.5 * ratio;
      const path = stepped(x, drawn.before, y);
      ctx.stroke(path);
      ctx.strokeStyle = INK[this.theme];
      ctx.lineWidth = 1.5 * ratio;
      ctx.stroke(path);
      ctx.setLineDash([]);
      if (data.shape === "lines") ctx.stroke(stepped(x, drawn.sum, y)); // what it is held against
    }
    for (const gap of this.gaps(data)) this.drawGap(ctx, box, ratio, gap);
    for (const note of data.notes ?? []) this.drawNote(ctx, box, ratio, note);
    ctx.restore();
  }

  private drawStack(
    ctx: CanvasRenderingContext2D,
    box: uPlot.BBox,
    x: number[],
    y: (v: number) => number,
    ratio: number,
  ): void {
    const { data, drawn } = this;
    if (!data || !drawn) return;
    const [left, top] = [Math.round(box.left), Math.round(box.top)];
    const picture = this.raster.paint(
      this.theme,
      ratio,
      Math.round(box.width),
      Math.round(y(0)) - top,
      x.map(at => at - left),
      drawn.edges.map(edge => {
        const tops = new Int32Array(edge.length);
        for (let i = 0; i < tops.length; i++) tops[i] = Math.round(y(edge[i] ?? 0)) - top;
        return tops;
      }),
      data.layers.map(l => l.paint(this.theme)),
    );
    if (picture) ctx.drawImage(picture, left, top);
    const sum = drawn.edges[drawn.edges.length - 1];
    if (sum && data.shape === "stack") this.drawBand(ctx, x, y, sum, drawn.error, INK[this.theme], 0.14);
  }

  private drawLines(
    ctx: CanvasRenderingContext2D,
    x: number[],
    y: (v: number) => number,
    ratio: number,
  ): void {
    const { data, drawn } = this;
    if (!data || !drawn) return;
    const bands = data.layers.length <= BANDS_MAX && drawn.starts.length - 1 === data.starts.length;
    ctx.lineJoin = "bevel";
    data.layers.forEach((layer, k) => {
      const edge = drawn.edges[k];
      if (!edge) return;
      const { colour, texture } = layer.paint(this.theme);
      if (bands) {
        const half = edge.map(
          (_, i) => halfWidth(layer.points.variance[i] ?? 0) / (data.covered_s[i] || Infinity),
        );
        this.drawBand(ctx, x, y, edge, half, colour, 0.18);
      }
      ctx.strokeStyle = colour;
      ctx.lineWidth = ratio * 1.75;
      ctx.setLineDash(
        texture === "plain" ? [] : texture === "dots" ? [1.5 * ratio, 2.5 * ratio] : [7 * ratio, 3 * ratio],
      );
      ctx.stroke(stepped(x, edge, y));
    });
    ctx.setLineDash([]);
  }

  /** Where the true value is with 95 %, as far as sampling goes. */
  private drawBand(
    ctx: CanvasRenderingContext2D,
    x: number[],
    y: (v: number) => number,
    middle: Float64Array,
    half: Float64Array,
    colour: string,
    opacity: number,
  ): void {
    if (!half.some(h => h > 0)) return;
    const path = stepped(x, middle, (v, i) => y(v + (half[i ?? 0] ?? 0)));
    for (let i = middle.length - 1; i >= 0; i--) {
      const low = y(Math.max(0, (middle[i] ?? 0) - (half[i] ?? 0)));
      path.lineTo(x[i + 1] ?? 0, low);
      path.lineTo(x[i] ?? 0, low);
    }
    path.closePath();
    ctx.globalAlpha = opacity;
    ctx.fillStyle = colour;
    ctx.fill(path);
    ctx.globalAlpha = 1;
  }

  /** Known gaps, and the time since the newest second when nothing comes any more. */
  private gaps(data: ChartData): Gap[] {
    const silent =
      data.to_s - data.newest_s > 1
        ? [{ from_s: data.newest_s, to_s: data.to_s, reason: `no data since ${clock(data.newest_s)}` }]
        : [];
    return [...data.gaps, ...silent].filter(g => g.to_s > data.from_s && g.from_s < data.to_s);
  }

  private drawGap(ctx: CanvasRenderingContext2D, box: uPlot.BBox, ratio: number, gap: Gap): void {
    const left = Math.max(box.left, this.plot.valToPos(gap.from_s, "x", true));
    const right = Math.min(box.left + box.width, this.plot.valToPos(gap.to_s, "x", true));
    if (right - left < 1) return;
    ctx.fillStyle = GROUND[this.theme];
    ctx.fillRect(left, box.top, right - left, box.height);
    ctx.fillStyle = this.fill(ctx, { colour: HATCH[this.theme], texture: "hatch" }, ratio);
    ctx.fillRect(left, box.top, right - left, box.height);
    const size = 12 * ratio;
    ctx.font = `${size}px ${FONT}`;
    const width = ctx.measureText(gap.reason).width + size;
    const upright = width > right - left;
    if (right - left < size * 1.8) return;
    ctx.save();
    ctx.translate((left + right) / 2, box.top + size + (upright ? width / 2 : size));
    if (upright) ctx.rotate(-Math.PI / 2);
    ctx.fillStyle = GROUND[this.theme];
    ctx.fillRect(-width / 2, -size * 0.8, width, size * 1.6);
    ctx.fillStyle = QUIET[this.theme];
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText(gap.reason, 0, 0);
    ctx.restore();
  }

  private drawNote(ctx: CanvasRenderingContext2D, box: uPlot.BBox, ratio: number, note: Note): void {
    const at = Math.round(this.plot.valToPos(note.at_s, "x", true));
    if (at < box.left || at > box.left + box.width) return;
    const size = 11.5 * ratio;
    ctx.strokeStyle = INK[this.theme];
    ctx.lineWidth = ratio;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(at + 0.5, box.top);
    ctx.lineTo(at + 0.5, box.top + box.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.font = `600 ${size}px ${FONT}`;
    const width = ctx.measureText(note.words).width + size;
    const left = Math.min(at, box.left + box.width - width);
    ctx.fillStyle = INK[this.theme];
    ctx.fillRect(left, box.top, width, size * 1.6);
    ctx.fillStyle = GROUND[this.theme];
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(note.words, left + size / 2, box.top + size * 0.85);
  }

  private fill(ctx: CanvasRenderingContext2D, p: Paint, ratio: number): CanvasPattern | string {
    if (p.texture === "plain") return p.colour;
    const id = `${p.texture} ${p.colour}`;
    let fill = this.patterns.get(id);
    if (!fill) this.patterns.set(id, (fill = pattern(ctx, p, ratio) ?? p.colour));
    return fill;
  }

  private splits(min: number, max: number): number[] {
    if (this.data?.shape === "share") return [0, 0.25, 0.5, 0.75, 1];
    return ticks(min, max, this.data?.unit === "packets" ? 1 : 8);
  }

  private tickWords(v: number): string {
    if (this.data?.shape === "share") return `${Math.round(v * 100)} %`;
    if (v === 0) return "0";
    const [number, unit] = this.data?.unit === "packets" ? si(v, "pkt/s") : si(v * 8, "bit/s");
    return `${number.includes(".") ? number.replace(/\.?0+$/, "") : number} ${unit}`;
  }

  // --- size -------------------------------------------------------------------------------------------

  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width <= 0 || height <= 0 || (width === this.plot.width && height === this.plot.height)) return;
    this.plot.setSize({ width, height });
    if (this.data) this.setData(this.data);
  }

  // --- the bucket under the cursor --------------------------------------------------------------------

  private key(e: KeyboardEvent): void {
    const { data } = this;
    if (!data?.starts.length || e.altKey || e.ctrlKey || e.metaKey) return;
    const last = data.starts.length - 1;
    const first = Math.max(
      0,
      data.starts.findIndex(s => s + data.step_s > data.from_s),
    );
    const at = this.index() ?? last + 1;
    switch (e.key) {
      case "Escape":
        if (this.index() === null) return;
        this.leave();
        break;
      case "ArrowLeft":
        this.go(Math.max(first, at - 1));
        break;
      case "ArrowRight":
        this.go(Math.min(last, at + 1));
        break;
      case "Home":
        this.go(first);
        break;
      case "End":
        this.go(last);
        break;
      case "+":
      case "-": {
        if (!this.zoom) return;
        const span_s = data.to_s - data.from_s;
        const middle_s = at <= last ? (data.starts[at] ?? 0) : data.from_s + span_s / 2;
        const wanted_s = e.key === "+" ? span_s / 2 : span_s * 2;
        const from_s = e.key === "+" ? middle_s - wanted_s / 2 : data.from_s - span_s / 2;
        this.zoom(from_s, from_s + wanted_s);
        break;
      }
      default:
        return;
    }
    e.preventDefault();
  }

  private go(index: number): void {
    const { data } = this;
    if (!data) return;
    const start = data.starts[index] ?? 0;
    const middle = (Math.max(start, data.from_s) + Math.min(start + data.step_s, data.newest_s)) / 2;
    this.pointed = true;
    this.plot.setCursor({ left: this.plot.valToPos(middle, "x"), top: 0 });
    text(this.said, this.tip.textContent ?? "");
  }

  private leave(): void {
    if (!this.pointed) return;
    this.plot.setCursor({ left: -10, top: -10 });
    this.cursor.point(null, this);
    this.pointed = false;
  }

  private index(): number | null {
    const { left, idx } = this.plot.cursor;
    return left === undefined || left < 0 || idx === null || idx === undefined || !this.data?.starts.length
      ? null
      : Math.min(idx, this.data.starts.length - 1);
  }

  private moved(): void {
    if (!this.plot) return; // while it is made
    if (this.pointed) {
      const left = this.plot.cursor.left ?? -1;
      this.cursor.point(left >= 0 ? this.plot.posToVal(left, "x") : null, this);
    }
    this.showTip();
  }

  private pointElsewhere(at_s: number | null): void {
    this.pointed = false;
    const inside = at_s !== null && this.data && at_s >= this.data.from_s && at_s <= this.data.to_s;
    this.plot.setCursor({ left: inside ? this.plot.valToPos(at_s, "x") : -10, top: inside ? 0 : -10 });
  }

  private selected(): void {
    const { left, width } = this.plot.select;
    if (width > 4 && this.zoom)
      this.zoom(this.plot.posToVal(left, "x"), this.plot.posToVal(left + width, "x"));
    if (width > 0) this.plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  private showTip(): void {
    const { data, plot } = this;
    const i = this.index();
    const left = plot.cursor.left ?? 0;
    this.tip.hidden = this.bar.hidden = !data || i === null || !this.pointed;
    if (!data || i === null || !this.pointed) return;
    const start = data.starts[i] ?? 0;
    const covered = data.covered_s[i] ?? 0;
    const end = Math.min(start + data.step_s, data.newest_s);
    const gap = this.gaps(data).find(g => g.from_s <= start && g.to_s >= end);
    const total = nothing();
    const rows: { layer: Layer; point: Amount }[] = [];
    for (const layer of data.layers) {
      const point = layer.points.at(i);
      plus(total, point);
      if (point.value > 0) rows.unshift({ layer, point });
    }
    if (data.shape === "lines") rows.sort((a, b) => b.point.value - a.point.value);
    // the smallest are summed up when the list is too long for the screen
    const small =
      rows.length > TIP_ROWS
        ? new Set(
            [...rows].sort((a, b) => a.point.value - b.point.value).slice(0, rows.length - TIP_ROWS + 1),
          )
        : new Set();
    const amount = (a: Amount, observed_s = covered): HTMLElement[] => [
      el("td", { class: "number" }, rateWords(data.unit, observed_s ? a.value / observed_s : 0)),
      data.shape === "share"
        ? el("td", { class: "number quiet" }, percent(a.value / total.value))
        : el("td", { class: "number quiet" }, error(a.value, halfWidth(a.variance), a.samples)),
    ];
    const rest = nothing();
    const list = el("table");
    for (const row of rows)
      if (small.has(row)) plus(rest, row.point);
      else
        list.append(
          el(
            "tr",
            { "data-tag": row.layer.id, "data-value": row.point.value },
            el("td", {}, swatch(row.layer.paint(this.theme))),
            el("td", {}, row.layer.name),
            ...amount(row.point),
          ),
        );
    if (small.size)
      list.append(el("tr", {}, el("td"), el("td", {}, `${small.size} smaller ones`), ...amount(rest)));
    list.append(
      el("tr", { class: "sum", "data-value": total.value }, el("td"), el("td", {}, "all"), ...amount(total)),
    );
    const { before } = data;
    if (before && before.covered_s[i])
      list.append(
        el(
          "tr",
          { class: "quiet" },
          el("td"),
          el("td", {}, before.words),
          ...amount(before.points.at(i), before.covered_s[i]),
        ),
      );
    this.tip.replaceChildren(el("strong", {}, spanWords(start, end)), gap ? el("p", {}, gap.reason) : list);
    const over = plot.over;
    const right = left > over.clientWidth / 2;
    this.tip.style.left = right ? "" : `${over.offsetLeft + left + 16}px`;
    this.tip.style.right = right ? `${this.element.clientWidth - over.offsetLeft - left + 16}px` : "";
    const error_s = covered > 0 ? halfWidth(total.variance) / covered : 0;
    const mean_s = covered > 0 ? total.value / covered : 0;
    const top = plot.valToPos(mean_s + error_s, "y");
    this.bar.hidden = !!gap || error_s === 0 || data.shape !== "stack";
    this.bar.style.left = `${left}px`;
    this.bar.style.top = `${top}px`;
    this.bar.style.height = `${plot.valToPos(mean_s - error_s, "y") - top}px`;
  }
}

/** Sums of the buckets of each column. */
function sums(columns: readonly number[], values: Float64Array, memory?: Float64Array): Float64Array {
  const out = memory?.length === columns.length - 1 ? memory : new Float64Array(columns.length - 1);
  for (let c = 0; c < out.length; c++) {
    let sum = 0;
    for (let i = columns[c] ?? 0; i < (columns[c + 1] ?? 0); i++) sum += values[i] ?? 0;
    out[c] = sum;
  }
  return out;
}

/** A flat piece per column; a column without a value is left out. */
function stepped(x: readonly number[], edge: Float64Array, y: (v: number, i?: number) => number): Path2D {
  const path = new Path2D();
  let pen = false;
  let held = NaN;
  for (let i = 0; i + 1 < x.length; i++) {
    const v = edge[i] ?? 0;
    if (Number.isNaN(v)) {
      pen = false;
      continue;
    }
    const top = Math.round(y(v, i) * 2) / 2;
    if (!pen) path.moveTo(x[i] ?? 0, top);
    else if (top !== held) {
      path.lineTo(x[i] ?? 0, held);
      path.lineTo(x[i] ?? 0, top);
    }
    held = top;
    pen = true;
    if (i + 2 >= x.length || Number.isNaN(edge[i + 1] ?? 0)) path.lineTo(x[i + 1] ?? 0, top);
  }
  return path;
}

/** Round steps of the unit shown, which is bits, or packets: 1, 2, 2.5 or 5 times a power of ten. */
function ticks(min: number, max: number, per_unit: number): number[] {
  const raw = ((max - min) * per_unit) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = (([1, 2, 2.5, 5, 10].find(m => m * power >= raw) ?? 10) * power) / per_unit;
  const out: number[] = [];
  for (let v = 0; v <= max && out.length < 50; v += step) out.push(v);
  return out;
}

/** Under an axis: time of day, or the day where it begins. */
function timeWords(s: number, incr: number, before: number | undefined): string {
  if (incr >= 2592000) return yearMonth(s);
  if (incr >= 86400) return dayMonth(s);
  const midnight = hourMinute(s) === "00:00" && (before === undefined || dayMonth(before) !== dayMonth(s));
  if (midnight) return dayMonth(s);
  return incr < 60 ? clock(s) : hourMinute(s);
}

function spanWords(start: number, end: number): string {
  const today = dayMonth(start) === dayMonth(Date.now() / 1000) && Date.now() / 1000 - start < 86400;
  if (today) return `${clock(start)} to ${clock(end)} ${zone(start)}`;
  const same_day = dayMonth(start) === dayMonth(end - 1);
  return `${dateMinute(start)} to ${same_day ? hourMinute(end) : dateMinute(end)} ${zone(start)}`;
}
