// The map: sites where they are, and between them arcs along great circles, as wide as their rate, in the colour of
// their experiment. No tiles and nothing from elsewhere: the outlines come from this server, once.

import { geoGraticule10, geoInterpolate, geoNaturalEarth1, geoPath, type GeoProjection } from "d3-geo";
import { feature, mesh } from "topojson-client";
import { paint, type Theme } from "./colour.js";
import { el, on, set, svg } from "./dom.js";
import { drawing } from "./drawing.js";
import { bitRate, byteCount, error } from "./format.js";
import { experimentName } from "./layers.js";
import { experimentOf, rankOf, sumOf, type Lane } from "./pairs.js";
import type { Painting } from "./panel.js";
import { Roving, type Spot } from "./roving.js";

export interface Place {
  name: string;
  country: string | null;
  tier: number | null;
  latitude: number | null;
  longitude: number | null;
}

const ARCS_MAX = 150;
const WIDEST = 11; // pixels of the arc with the highest rate
const STEPS = 40;
const APART = 7; // pixels between arcs of the same two sites, at the least
const NARROWEST_DEGREES = 8; // a map of one site shows this much around it
const ZOOM_MAX = 32;
const USUAL_MIDDLE = 11; // of maps of the whole world: Bering's strait is where the least is cut

type Point = [number, number];
type Atlas = Parameters<typeof feature>[0];
let atlas: Promise<Atlas> | null = null;

/** Asked for when the first map is shown. */
function loadAtlas(): Promise<Atlas> {
  return (atlas ??= fetch("/map.json")
    .then(async r => {
      if (!r.ok) throw new Error(String(r.status));
      return (await r.json()) as Atlas;
    })
    .catch((e: unknown) => {
      atlas = null; // next time again
      throw e;
    }));
}

export interface WorldOptions {
  href: (filter: { src?: string; dst?: string; experiment?: string }) => string;
  go: (href: string) => void;
  /** The whole world, or only as much as has sites in it. */
  whole: () => boolean;
}

export class World {
  readonly element: HTMLElement;
  private readonly plot = svg("svg", { "aria-hidden": "true" });
  private readonly roving: Roving;
  private readonly resize: ResizeObserver;
  private outlines: { land: unknown; borders: unknown } | null = null;
  private places: readonly Place[] = [];
  private lanes: readonly Lane[] = [];
  private seconds = 1;
  private width = 0;
  private zoom = 1; // beyond what shows all
  private middle: Point | null = null; // longitude and latitude in the middle of the picture; null: as it fits
  private now: GeoProjection | null = null;
  private frame = 0;

  constructor(
    private theme: Theme,
    private readonly options: WorldOptions,
  ) {
    this.element = el("div", {
      class: "world",
      tabindex: 0,
      role: "group",
      "aria-label":
        "Map of sites. Arrow keys read out one arc, Enter shows its flows, plus and minus zoom, 0 shows all.",
    });
    this.roving = new Roving(this.element, options.go);
    this.element.append(this.plot, this.roving.tip, this.roving.said);
    this.resize = new ResizeObserver(() => {
      if (this.element.clientWidth !== this.width) this.draw();
    });
    this.resize.observe(this.element);
    on(this.element, "keydown", e => {
      if (e.ctrlKey || e.metaKey || e.altKey || !["+", "-", "0"].includes(e.key)) return;
      e.preventDefault();
      if (e.key === "0") this.fit();
      else this.zoomBy(e.key === "+" ? 2 : 0.5);
    });
    on(this.element, "dblclick", e => {
      const box = this.element.getBoundingClientRect();
      this.middle = this.now?.invert?.([e.clientX - box.left, e.clientY - box.top]) ?? this.middle;
      this.zoomBy(2);
    });
    on(this.element, "pointerdown", e => this.drag(e));
  }

  close(): void {
    this.resize.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** Nearer or farther; the first step leads to where most of the bytes are. */
  zoomBy(factor: number): void {
    this.zoom = Math.min(ZOOM_MAX, Math.max(1, this.zoom * factor));
    if (this.zoom === 1) this.middle = null;
    else this.middle ??= this.busiest();
    this.draw();
  }

  fit(): void {
    this.zoom = 1;
    this.middle = null;
    this.draw();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.draw();
  }

  /** `lanes` are those whose ends both have a place; `seconds`: so long they flowed. */
  async show(places: readonly Place[], lanes: readonly Lane[], seconds: number): Promise<void> {
    this.places = places;
    this.lanes = lanes;
    this.seconds = seconds;
    this.draw();
    if (this.outlines) return;
    const world = await loadAtlas();
    const countries = world.objects["countries"];
    if (!countries) return;
    this.outlines = {
      land: feature(world, countries),
      borders: mesh(world, countries as never, (a, b) => a !== b),
    };
    this.draw();
  }

  painting(width: number): Painting {
    const experiments = new Map(this.lanes.map(l => [experimentOf(l), l.key]));
    const key = [...experiments.values()].sort((a, b) => rankOf(a) - rankOf(b));
    return drawing(
      this.plot as SVGSVGElement,
      width,
      key.map(k => ({ paint: paint(this.theme, k.experiment_id ?? 0, null), name: experimentName(k) })),
    );
  }

  draw(): void {
    const width = (this.width = this.element.clientWidth);
    if (!width || !this.places.length) return this.plot.replaceChildren();
    const height = Math.round(Math.min(620, Math.max(260, width * 0.46)));
    const projection = (this.now = this.projection(width, height));
    const path = geoPath(projection);
    const shape = (kind: string, what: unknown): SVGElement =>
      svg("path", { class: kind, d: path(what as never) ?? "" });
    const at = new Map(
      this.places.map(p => [p.name, projection([p.longitude ?? 0, p.latitude ?? 0]) as Point]),
    );
    const spots: Spot[] = [];
    const arcs = this.arcs(projection, width, spots);
    const sums = new Map<string, number>();
    for (const l of this.lanes) for (const n of [l.src, l.dst]) sums.set(n, (sums.get(n) ?? 0) + l.bytes);
    const largest = Math.max(1, ...sums.values());
    const radius = (n: string): number => 3 + 6 * Math.sqrt((sums.get(n) ?? 0) / largest);
    const bySize = [...this.places].sort((a, b) => (sums.get(b.name) ?? 0) - (sums.get(a.name) ?? 0));
    const dots = bySize.map(p => {
      const [x, y] = at.get(p.name) ?? [0, 0];
      const dot = svg("circle", { class: "site", cx: x, cy: y, r: radius(p.name), "data-site": p.name });
      spots.push(this.siteSpot(p, dot));
      return dot;
    });
    set(this.plot, { width, height, viewBox: `0 0 ${width} ${height}` });
    this.plot.replaceChildren(
      svg("rect", { class: "sea", width, height }),
      shape("graticule", geoGraticule10()),
      ...(this.outlines ? [shape("land", this.outlines.land), shape("borders", this.outlines.borders)] : []),
      svg("g", { class: "arcs" }, ...arcs),
      svg("g", {}, ...dots),
      svg("g", { class: "names" }, ...labels(bySize, at, radius, width, height)),
    );
    this.roving.set(spots);
  }

  private projection(width: number, height: number): GeoProjection {
    const projection = geoNaturalEarth1();
    const edge = this.options.whole() ? 4 : Math.min(44, width * 0.06);
    const frame: [Point, Point] = [
      [edge, edge],
      [width - edge, height - edge],
    ];
    if (this.options.whole())
      projection.rotate([-USUAL_MIDDLE, 0]).fitExtent(frame, { type: "Sphere" } as never);
    else {
      const points = this.places.map((p): Point => [p.longitude ?? 0, p.latitude ?? 0]);
      projection
        .rotate([-middleOf(points.map(p => p[0])), 0])
        .fitExtent(frame, {
          type: "MultiPoint",
          coordinates: [...points.flatMap(around), ...this.ways()],
        } as never);
    }
    if (this.middle) {
      projection.scale(projection.scale() * this.zoom);
      const at = projection(this.middle) ?? [0, 0];
      const [x, y] = projection.translate();
      projection.translate([x + width / 2 - at[0], y + height / 2 - at[1]]);
    }
    return projection;
  }

  /** Points of the great circles: they belong on the map, too. */
  private ways(): Point[] {
    const where = new Map(this.places.map(p => [p.name, [p.longitude ?? 0, p.latitude ?? 0] as Point]));
    const pairs = new Set(this.lanes.map(l => [l.src, l.dst].sort().join("\n")));
    return [...pairs].flatMap(id => {
      const [a, b] = id.split("\n").map(n => where.get(n));
      if (!a || !b) return [];
      const between = geoInterpolate(a, b);
      return [0.25, 0.5, 0.75].map(t => between(t));
    });
  }

  private busiest(): Point | null {
    const sums = new Map<string, number>();
    for (const l of this.lanes) for (const n of [l.src, l.dst]) sums.set(n, (sums.get(n) ?? 0) + l.bytes);
    // the site with the most bytes in its neighbourhood
    const near = (p: Place, q: Place): boolean =>
      Math.hypot((p.longitude ?? 0) - (q.longitude ?? 0), (p.latitude ?? 0) - (q.latitude ?? 0)) < 15;
    const around_it = (p: Place): number =>
      this.places.reduce((sum, q) => sum + (near(p, q) ? (sums.get(q.name) ?? 0) : 0), 0);
    const [best] = [...this.places].sort((a, b) => around_it(b) - around_it(a));
    if (!best) return null;
    const group = this.places.filter(q => near(best, q));
    const mean = (of: (p: Place) => number | null): number =>
      group.reduce((sum, p) => sum + (of(p) ?? 0), 0) / group.length;
    return [mean(p => p.longitude), mean(p => p.latitude)];
  }

  private drag(down: PointerEvent): void {
    if (this.zoom === 1 || down.button !== 0) return;
    const { width } = this;
    const height = this.element.clientHeight;
    let [x, y] = [down.clientX, down.clientY];
    const move = (e: PointerEvent): void => {
      const to = this.now?.invert?.([width / 2 - (e.clientX - x), height / 2 - (e.clientY - y)]);
      [x, y] = [e.clientX, e.clientY];
      if (!to) return;
      this.middle = to;
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => this.draw());
    };
    const up = (): void => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", up);
      removeEventListener("pointercancel", up);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up);
    addEventListener("pointercancel", up);
  }

  // --- arcs --------------------------------------------------------------------------------------------

  private arcs(projection: GeoProjection, width: number, spots: Spot[]): SVGElement[] {
    const where = new Map(this.places.map(p => [p.name, [p.longitude ?? 0, p.latitude ?? 0] as Point]));
    const lanes = this.lanes
      .filter(l => l.src !== l.dst)
      .sort((a, b) => b.bytes - a.bytes)
      .slice(0, ARCS_MAX);
    const most = Math.max(1, ...lanes.map(l => l.bytes));
    const thick = (l: Lane): number => Math.max(1, (WIDEST * l.bytes) / most);
    const taken = new Map<string, number>(); // pixels from the great circle, for each direction of two sites
    const ordered = [...lanes].sort((a, b) => rankOf(a.key) - rankOf(b.key));
    const drawn = ordered.map(lane => {
      const id = `${lane.src}\n${lane.dst}`;
      const from = taken.get(id) ?? APART / 2;
      taken.set(id, from + Math.max(APART, thick(lane) + 2));
      const line = arc(
        projection,
        where.get(lane.src) ?? [0, 0],
        where.get(lane.dst) ?? [0, 0],
        from + thick(lane) / 2,
        width,
      );
      const look = paint(this.theme, experimentOf(lane), null);
      const dashed = look.texture === "plain" ? null : look.texture === "dots" ? "1 4" : "9 4";
      const group = svg(
        "g",
        {
          class: "arc",
          "data-src": lane.src,
          "data-dst": lane.dst,
          "data-experiment": experimentOf(lane),
          "data-bytes": lane.bytes,
        },
        svg("path", { class: "reach", d: line.d }),
        svg("path", {
          class: "line",
          d: line.d,
          stroke: look.colour,
          "stroke-width": thick(lane),
          "stroke-dasharray": dashed,
        }),
        line.tip &&
          svg("path", { class: "tip-of", d: arrow(line.tip, 4 + thick(lane) * 0.9), fill: look.colour }),
      );
      return { lane, group };
    });
    for (const { lane, group } of [...drawn].sort((a, b) => b.lane.bytes - a.lane.bytes))
      spots.push(this.arcSpot(lane, group));
    // the thin ones on top: they could not be pointed at otherwise
    return drawn.sort((a, b) => b.lane.bytes - a.lane.bytes).map(d => d.group);
  }

  private arcSpot(lane: Lane, group: SVGElement): Spot {
    const name = experimentName(lane.key);
    return {
      elements: [group],
      title: `${name}: ${lane.src} to ${lane.dst}`,
      lines: [
        `${bitRate(lane.bytes / this.seconds)} on the average, ${byteCount(lane.bytes)}; ${error(lane.bytes, lane.error_bytes, lane.samples)}`,
      ],
      href: this.options.href({
        src: lane.src,
        dst: lane.dst,
        ...(experimentOf(lane) > 0 ? { experiment: name } : {}),
      }),
    };
  }

  private siteSpot(p: Place, dot: SVGElement): Spot {
    const [out, into] = [this.lanes.filter(l => l.src === p.name), this.lanes.filter(l => l.dst === p.name)];
    return {
      elements: [dot],
      title: p.name,
      lines: [
        [p.country, p.tier !== null && `tier ${p.tier}`].filter(Boolean).join(", "),
        `${byteCount(sumOf(out).bytes)} sent, ${byteCount(sumOf(into).bytes)} received`,
      ].filter(Boolean),
    };
  }
}

function around([x, y]: Point): Point[] {
  const wide = NARROWEST_DEGREES / 2;
  return [
    [x, Math.min(89, y + wide)],
    [x, Math.max(-89, y - wide)],
    [x - wide, y],
    [x + wide, y],
  ];
}

/** The longitude in the middle of the narrowest stretch that holds all of these; if it is half the world or more,
 * the usual one. */
function middleOf(longitudes: readonly number[]): number {
  const sorted = [...longitudes].sort((a, b) => a - b);
  let [widest, start] = [-1, 0];
  sorted.forEach((x, i) => {
    const next = i + 1 < sorted.length ? (sorted[i + 1] ?? 0) : (sorted[0] ?? 0) + 360;
    if (next - x > widest) [widest, start] = [next - x, next];
  });
  return widest < 180 ? USUAL_MIDDLE : ((start + (360 - widest) / 2 + 540) % 360) - 180;
}

/** Along the great circle, bent away to the right by so many pixels and a part of its length. */
function arc(
  projection: GeoProjection,
  from: Point,
  to: Point,
  aside: number,
  width: number,
): { d: string; tip: [Point, Point] | null } {
  const between = geoInterpolate(from, to);
  const points = Array.from({ length: STEPS + 1 }, (_, i) => projection(between(i / STEPS)) as Point);
  const a: Point = points[0] ?? [0, 0];
  const b: Point = points[STEPS] ?? [0, 0];
  const bend = aside + 0.06 * Math.min(200, Math.hypot(b[0] - a[0], b[1] - a[1]));
  const bent = points.map((p, i): Point => {
    const before = points[Math.max(0, i - 1)] ?? p;
    const after = points[Math.min(STEPS, i + 1)] ?? p;
    const [dx, dy] = [after[0] - before[0], after[1] - before[1]];
    const length = Math.hypot(dx, dy) || 1;
    const by = length > width / 3 ? 0 : bend * Math.sin((Math.PI * i) / STEPS);
    return [p[0] - (dy / length) * by, p[1] + (dx / length) * by];
  });
  let d = "";
  bent.forEach((p, i) => {
    const before = points[i - 1];
    const here = points[i] ?? p;
    const torn = before && Math.hypot(here[0] - before[0], here[1] - before[1]) > width / 3; // around the back of the map
    d += `${!i || torn ? "M" : "L"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`;
  });
  const middle = Math.round(STEPS * 0.56);
  const [back, front] = [bent[middle - 1], bent[middle + 1]];
  return {
    d,
    tip:
      back && front && Math.hypot(front[0] - back[0], front[1] - back[1]) < width / 3 ? [back, front] : null,
  };
}

function arrow([back, front]: [Point, Point], size: number): string {
  const [dx, dy] = [front[0] - back[0], front[1] - back[1]];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const [x, y] = [(back[0] + front[0]) / 2, (back[1] + front[1]) / 2];
  const at = (along: number, across: number): string =>
    `${(x + ux * along - uy * across).toFixed(1)} ${(y + uy * along + ux * across).toFixed(1)}`;
  return `M${at(size, 0)}L${at(-size * 0.7, size * 0.75)}L${at(-size * 0.7, -size * 0.75)}Z`;
}

/** Names where there is room, the largest sites first. */
function labels(
  places: readonly Place[],
  at: ReadonlyMap<string, Point>,
  radius: (name: string) => number,
  width: number,
  height: number,
): SVGElement[] {
  const taken = places.map(p => {
    const [x, y] = at.get(p.name) ?? [0, 0];
    const r = radius(p.name);
    return { left: x - r, top: y - r, right: x + r, bottom: y + r };
  });
  const out: SVGElement[] = [];
  for (const p of places) {
    const [x, y] = at.get(p.name) ?? [0, 0];
    const r = radius(p.name) + 4;
    const wide = p.name.length * 6.7 + 4;
    const tries: [number, number, string][] = [
      [x + r, y + 4, "start"],
      [x - r, y + 4, "end"],
      [x, y - r - 1, "middle"],
      [x, y + r + 10, "middle"],
    ];
    for (const [tx, ty, anchor] of tries) {
      const left = anchor === "start" ? tx : anchor === "end" ? tx - wide : tx - wide / 2;
      const box = { left, top: ty - 11, right: left + wide, bottom: ty + 3 };
      const inside = box.left > 0 && box.right < width && box.top > 0 && box.bottom < height;
      const over = taken.some(
        t => box.left < t.right && box.right > t.left && box.top < t.bottom && box.bottom > t.top,
      );
      if (!inside || over) continue;
      taken.push(box);
      out.push(svg("text", { x: tx, y: ty, "text-anchor": anchor }, p.name));
      break;
    }
  }
  return out;
}
