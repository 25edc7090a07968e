// Whose bytes go from where to where: source sites, experiments, destination sites, joined by ribbons as wide as
// what flows.

import { sankey, sankeyLinkHorizontal, type SankeyLink, type SankeyNode } from "d3-sankey";
import { paint, type Theme } from "./colour.js";
import { el, set, svg } from "./dom.js";
import { drawing } from "./drawing.js";
import { Fills } from "./fills.js";
import { byteCount, error, percent } from "./format.js";
import { experimentName } from "./layers.js";
import { experimentOf, fold, largest, OTHERS, rankOf, siteName, sumOf, type Lane } from "./pairs.js";
import type { Painting } from "./panel.js";
import { Roving, type Spot } from "./roving.js";

const SITES_MAX = 12;
const WIDE = 760; // from here on names stand beside the picture, below in it
const GUTTER = 204;
const NODE = 12;

interface Place {
  id: string;
  column: 0 | 1 | 2;
  name: string;
  order: number;
  experiment_id: number;
  lanes: Lane[];
}
interface Ribbon {
  lanes: Lane[];
  experiment_id: number;
}
type Node = SankeyNode<Place, Ribbon>;
type Link = SankeyLink<Place, Ribbon>;

export interface SankeyOptions {
  /** Where a ribbon or a site leads to; "" nowhere. */
  href: (filter: { src?: string; dst?: string; experiment?: string }) => string;
  go: (href: string) => void;
}

export class Sankey {
  readonly element: HTMLElement;
  private readonly plot = svg("svg", { "aria-hidden": "true" });
  private readonly roving: Roving;
  private readonly resize: ResizeObserver;
  private lanes: readonly Lane[] = [];
  private width = 0;

  constructor(
    private theme: Theme,
    private readonly options: SankeyOptions,
  ) {
    this.element = el("div", {
      class: "sankey",
      tabindex: 0,
      role: "group",
      "aria-label":
        "Source sites, experiments, destination sites. Arrow keys read out one ribbon, Enter shows its flows.",
    });
    this.roving = new Roving(this.element, options.go);
    this.element.append(this.plot, this.roving.tip, this.roving.said);
    this.resize = new ResizeObserver(() => {
      if (this.element.clientWidth !== this.width) this.draw();
    });
    this.resize.observe(this.element);
  }

  close(): void {
    this.resize.disconnect();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.draw();
  }

  show(lanes: readonly Lane[]): void {
    this.lanes = lanes.filter(l => l.bytes > 0);
    this.draw();
  }

  painting(width: number): Painting {
    return drawing(this.plot as SVGSVGElement, width);
  }

  private draw(): void {
    const width = (this.width = this.element.clientWidth);
    if (!width || !this.lanes.length) return this.plot.replaceChildren();
    const wide = width >= WIDE;
    const { nodes, links } = graph(this.lanes);
    const tallest = Math.max(...[0, 1, 2].map(c => nodes.filter(n => n.column === c).length));
    const padding = wide ? 14 : 22;
    const top = wide ? 36 : 44;
    const height = Math.max(wide ? 340 : 320, tallest * (padding + 18));
    const gutter = wide ? GUTTER : 1;
    sankey<Place, Ribbon>()
      .nodeId(n => n.id)
      .nodeWidth(NODE)
      .nodePadding(padding)
      .nodeSort((a, b) => a.order - b.order)
      .linkSort((a, b) => orderOf(a.source) - orderOf(b.source) || orderOf(a.target) - orderOf(b.target))
      .nodeAlign(n => (n as Node).column)
      .iterations(0)
      .extent([
        [gutter, top],
        [width - gutter, top + height],
      ])({ nodes, links });
    const all = sumOf(this.lanes).bytes;
    const fills = new Fills("ribbon");
    const path = sankeyLinkHorizontal<Place, Ribbon>();
    const spots: Spot[] = [];
    const ribbons = [...links]
      .sort((a, b) => b.value - a.value)
      .map(link => {
        const look = paint(this.theme, link.experiment_id, null);
        const ribbon = svg("path", {
          class: "ribbon",
          d: path(link) ?? "",
          stroke: fills.of(look),
          "stroke-width": Math.max(1, link.width ?? 1),
          "data-bytes": link.value,
        });
        spots.push(this.spot(link, ribbon, all));
        return ribbon;
      });
    const marks = nodes.map(n => this.mark(n, fills, wide, all));
    const heads = ["From", "Experiment", "To"].map((words, i) =>
      svg(
        "text",
        {
          class: "head",
          x: [gutter, width / 2, width - gutter][i] ?? 0,
          y: 12,
          "text-anchor": i === 1 ? "middle" : i ? (wide ? "start" : "end") : wide ? "end" : "start",
          dx: wide ? [-8, 0, 8][i] : 0,
        },
        words,
      ),
    );
    const bottom = Math.max(top + height, ...nodes.map(n => n.y1 ?? 0)) + 6;
    set(this.plot, { width, height: bottom, viewBox: `0 0 ${width} ${bottom}`, "data-bytes": all });
    this.plot.replaceChildren(fills.defs, svg("g", {}, ...ribbons), svg("g", {}, ...marks), ...heads);
    this.roving.set(spots);
  }

  private mark(n: Node, fills: Fills, wide: boolean, all: number): SVGElement {
    const [x0, x1, y0, y1] = [n.x0 ?? 0, n.x1 ?? 0, n.y0 ?? 0, n.y1 ?? 0];
    const site = n.column !== 1;
    const look = paint(this.theme, n.experiment_id, null);
    const amount = `${byteCount(n.value ?? 0)}, ${percent((n.value ?? 0) / all)}`;
    const beside = wide && site;
    const x = beside ? (n.column ? x1 + 8 : x0 - 8) : n.column === 1 ? (x0 + x1) / 2 : n.column ? x1 : x0;
    const anchor = n.column === 1 ? "middle" : beside === (n.column === 0) ? "end" : "start";
    return svg(
      "g",
      { class: site ? "place" : "place middle", "data-place": n.id, "data-bytes": n.value },
      svg("rect", {
        x: x0,
        y: y0,
        width: x1 - x0,
        height: Math.max(1, y1 - y0),
        fill: site ? "currentColor" : fills.of(look),
      }),
      svg(
        "text",
        { x, y: beside ? (y0 + y1) / 2 + 4 : y0 - 5, "text-anchor": anchor },
        svg("tspan", { class: "name" }, wide && !site ? n.name : short(n.name)),
        wide ? svg("tspan", { class: "amount", dx: 6 }, site ? byteCount(n.value ?? 0) : amount) : "",
      ),
    );
  }

  private spot(link: Link, ribbon: SVGElement, all: number): Spot {
    const [from, to] = [link.source as Node, link.target as Node];
    const sum = sumOf(link.lanes);
    const towards = to.column === 2;
    const site = towards ? to : from;
    const experiment = towards ? from : to;
    const name = site.id.slice(1);
    const others = largest(link.lanes, towards ? "src" : "dst")
      .slice(0, 3)
      .map(n => (n === OTHERS ? "others" : siteName(n, 0)))
      .join(", ");
    return {
      elements: [ribbon],
      title: towards ? `${experiment.name} to ${site.name}` : `${experiment.name} from ${site.name}`,
      lines: [
        `${byteCount(sum.bytes)}, ${percent(sum.bytes / all)} of all; ${error(sum.bytes, sum.error_bytes, sum.samples)}`,
        `${towards ? "from" : "to"} ${others}`,
      ],
      href: this.options.href({
        ...(name !== OTHERS ? (towards ? { dst: name } : { src: name }) : {}),
        ...(experiment.experiment_id > 0 ? { experiment: experiment.name } : {}),
      }),
    };
  }
}

function graph(all: readonly Lane[]): { nodes: Node[]; links: Link[] } {
  const lanes = fold(all, SITES_MAX);
  const counts = { src: largest(all, "src").length, dst: largest(all, "dst").length };
  const nodes = new Map<string, Node>();
  const links = new Map<string, Link>();
  const place = (
    id: string,
    column: 0 | 1 | 2,
    name: string,
    order: number,
    experiment_id: number,
    lane: Lane,
  ): string => {
    const have = nodes.get(id);
    if (have) have.lanes.push(lane);
    else nodes.set(id, { id, column, name, order, experiment_id, lanes: [lane] });
    return id;
  };
  const link = (source: string, target: string, lane: Lane): void => {
    const id = `${source}\n${target}`;
    const have = links.get(id);
    if (have) {
      have.value += lane.bytes;
      have.lanes.push(lane);
    } else
      links.set(id, { source, target, value: lane.bytes, lanes: [lane], experiment_id: experimentOf(lane) });
  };
  for (const end of ["src", "dst"] as const) {
    const names = largest(lanes, end);
    const orderOf = (n: string): number => (n === OTHERS ? 1e6 : n ? names.indexOf(n) : 2e6);
    for (const l of lanes) {
      const site = l[end];
      const hidden = counts[end] - names.filter(n => n !== OTHERS).length;
      const id = place(
        `${end === "src" ? "<" : ">"}${site}`,
        end === "src" ? 0 : 2,
        siteName(site, hidden),
        orderOf(site),
        0,
        l,
      );
      const e = place(`=${experimentOf(l)}`, 1, experimentName(l.key), rankOf(l.key), experimentOf(l), l);
      if (end === "src") link(id, e, l);
      else link(e, id, l);
    }
  }
  return { nodes: [...nodes.values()], links: [...links.values()] };
}

const orderOf = (end: Link["source"]): number => (end as Node).order;
const short = (name: string): string => (name.length > 20 ? `${name.slice(0, 19)}…` : name);
