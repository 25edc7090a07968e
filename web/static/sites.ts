// Sites: whose bytes go from where to where, as ribbons, on a map, and as a matrix.

import { address, get, reason } from "./api.js";
import type { LanesAnswer, SitesAnswer } from "./answers.js";
import { paint, type Theme } from "./colour.js";
import { el, on, set, svg, text } from "./dom.js";
import { both, quoted } from "./filter.js";
import { keepFocus } from "./focus.js";
import { Fills } from "./fills.js";
import { bitRate, byteCount, count, percent, plural, seconds, spanOf } from "./format.js";
import { narrowed, PAIR_DIMS } from "./knows.js";
import { experimentName } from "./layers.js";
import { Page, type Shell } from "./page.js";
import { fold, largest, merged, OTHERS, rankOf, siteName, sumOf, type Lane } from "./pairs.js";
import { Panel, type Sheet } from "./panel.js";
import { Sankey } from "./sankey.js";
import { swatch } from "./texture.js";
import { rangeWords, type View } from "./view.js";
import { World, type Place } from "./world.js";
import "./joined.css";

const ASK_MS = 30_000;
const MATRIX_MAX = 12;

export class SitesPage extends Page {
  readonly element = el("div", { class: "full sites-page" });
  override readonly obeys = {
    filter: true,
    ranges: ["1h", "15m", "6h", "24h", "7d", "30d"],
    any_range: true,
  };
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly empty = el("div", { hidden: true });
  private readonly drawn = el("div", { class: "full" });
  private readonly sankey: Sankey;
  private readonly world: World;
  private readonly flows: Panel;
  private readonly map: Panel;
  private readonly matrix: Panel;
  private readonly key = el("div", { class: "key" });
  private readonly flowsSentence = el("p", { class: "sentence" });
  private readonly mapSentence = el("p", { class: "sentence" });
  private readonly matrixSentence = el("p", { class: "sentence" });
  private readonly table = el("div", {
    class: "scroll",
    tabindex: 0,
    role: "region",
    "aria-label": "Bytes from site to site",
  });
  private readonly whole = el("button", { type: "button", class: "chip" }, "Whole world");
  private readonly mapKeys = el("div", { class: "map-keys", role: "group", "aria-label": "Map" });
  private answer: SitesAnswer | null = null;
  private lanes: Lane[] = [];
  private paused = false;
  private timer = 0;
  private asking = new AbortController();

  constructor(private readonly shell: Shell) {
    super();
    const options = {
      href: (f: { src?: string; dst?: string; experiment?: string }) => this.flowsAddress(f),
      go: (href: string) => this.shell.go(href),
    };
    this.sankey = new Sankey(shell.theme, options);
    this.world = new World(shell.theme, { ...options, whole: () => this.shell.view.world });
    this.flows = new Panel(shell, {
      id: "ribbons",
      title: "From site to site",
      kind: "stales",
      body: [this.sankey.element, this.flowsSentence],
      sheet: () => this.sheet(this.lanes),
      painting: width => this.sankey.painting(width),
    });
    this.map = new Panel(shell, {
      id: "map",
      title: "On the map",
      kind: "stales",
      body: [el("div", { class: "map-head" }, this.key, this.mapKeys), this.world.element, this.mapSentence],
      sheet: () => this.placesSheet(),
      painting: width => this.world.painting(width),
    });
    this.matrix = new Panel(shell, {
      id: "matrix",
      title: "Every pair",
      kind: "stales",
      is_table: true,
      body: [this.table, this.matrixSentence],
      sheet: () => this.sheet(this.lanes),
    });
    const button = (words: string, title: string, does: () => void): HTMLElement => {
      const b = el("button", { type: "button", class: "chip", title, "aria-label": title }, words);
      on(b, "click", does);
      return b;
    };
    this.mapKeys.append(
      button("+", "Nearer (key +)", () => this.world.zoomBy(2)),
      button("−", "Farther (key −)", () => this.world.zoomBy(0.5)),
      button("All sites", "Show all sites (key 0)", () => this.world.fit()),
      this.whole,
    );
    on(this.whole, "click", () => this.shell.choose({ world: !this.shell.view.world }));
    this.drawn.append(this.flows.element, this.map.element, this.matrix.element);
    this.element.append(el("h1", { class: "unseen" }, "Sites"), this.problem, this.empty, this.drawn);
  }

  override show(view: View, before: View | null): void {
    if (!before || before.filter !== view.filter || before.range !== view.range) void this.ask();
    else if (before.zone !== view.zone && this.answer) this.draw(this.answer);
    else if (before.world !== view.world) this.world.fit();
    set(this.whole, { "aria-pressed": String(view.world) });
  }

  override setTheme(theme: Theme): void {
    this.sankey.setTheme(theme);
    this.world.setTheme(theme);
    if (this.answer) this.draw(this.answer);
  }

  override setPaused(paused: boolean): void {
    this.paused = paused;
    if (!paused && this.answer) void this.ask();
  }

  override close(): void {
    clearTimeout(this.timer);
    this.asking.abort();
    this.sankey.close();
    this.world.close();
  }

  // --- data -------------------------------------------------------------------------------------------

  private params(): Record<string, string> {
    const { from, to } = this.shell.range();
    return { from, to, filter: narrowed(this.shell.view.filter, PAIR_DIMS).filter };
  }

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    try {
      const params = this.params();
      const [sites, lanes] = await Promise.all([
        get<SitesAnswer>("sites", params, signal),
        get<LanesAnswer>("top", { ...params, group: "src_site,dst_site,experiment", limit: "2000" }, signal),
      ]);
      this.answer = sites;
      this.lanes = lanesOf(lanes);
      this.say("");
      if (!this.paused) this.draw(this.answer);
    } catch (e) {
      if (signal.aborted) return;
      this.say(
        this.shell.refused(e)
          ? "The filter is not understood; nothing new is shown."
          : `What flows between sites is not to be had: ${reason(e)}.`,
      );
    }
    if (this.shell.range().live) this.timer = setTimeout(() => void this.ask(), ASK_MS);
  }

  private say(words: string): void {
    text(this.problem, words);
    this.problem.hidden = !words;
  }

  private flowsAddress({
    src,
    dst,
    experiment,
  }: {
    src?: string;
    dst?: string;
    experiment?: string;
  }): string {
    const term = (dim: string, value?: string): string => (value ? `${dim}=${quoted(value)}` : "");
    return this.shell.address("/flows", {
      filter: both(
        this.shell.view.filter,
        term("src_site", src === "" ? UNKNOWN : src),
        term("dst_site", dst === "" ? UNKNOWN : dst),
        term("experiment", experiment),
      ),
    });
  }

  // --- pictures ----------------------------------------------------------------------------------------

  private draw(a: SitesAnswer): void {
    const all = sumOf(this.lanes);
    const some = this.lanes.some(l => l.src || l.dst);
    this.empty.hidden = some;
    this.drawn.hidden = !some;
    if (!some) {
      if (!this.empty.firstChild || this.empty.getAttribute("data-bytes") !== String(all.bytes))
        this.empty.replaceChildren(nothingKnown(all.bytes, this.shell.view.filter !== ""));
      return set(this.empty, { "data-bytes": all.bytes });
    }
    const span_s = Math.max(1, seconds(a.to) - seconds(a.from));
    const { without } = narrowed(this.shell.view.filter, PAIR_DIMS);
    const asked = this.shell.range();
    const times = spanOf(seconds(a.from), seconds(a.to));
    const range = [asked.live && rangeWords(asked), times, without].filter(Boolean).join(", ");
    const json = address("sites", this.params());
    const error = all.error_bytes > 0 ? `± ${percent(all.error_bytes / all.bytes)}` : "";
    this.sankey.show(this.lanes);
    const unknown = sumOf(this.lanes.filter(l => !l.src || !l.dst)).bytes;
    const [first] = [...pairSums(this.lanes)].sort((x, y) => y.bytes - x.bytes).filter(p => p.src && p.dst);
    text(
      this.flowsSentence,
      `${byteCount(all.bytes)} between ${plural(new Set(this.lanes.flatMap(l => [l.src, l.dst]).filter(Boolean)).size, "site")}` +
        (first
          ? `; most from ${first.src} to ${first.dst}: ${byteCount(first.bytes)}, ${percent(first.bytes / all.bytes)}. `
          : ". ") +
        (unknown
          ? `Of ${percent(unknown / all.bytes)} the site of one end is not known.`
          : "The sites of all of it are known."),
    );
    this.flows.show({ unit: "bytes", range, error, json });
    this.drawMap(a, span_s, range, json);
    keepFocus(this.table, () => this.drawMatrix(range, error, json));
  }

  private placed(a: SitesAnswer): { places: Place[]; lanes: Lane[] } {
    const used = new Set(this.lanes.flatMap(l => [l.src, l.dst]));
    const places = a.sites.filter(s => s.latitude !== null && s.longitude !== null && used.has(s.name));
    const names = new Set(places.map(p => p.name));
    return { places, lanes: this.lanes.filter(l => l.bytes > 0 && names.has(l.src) && names.has(l.dst)) };
  }

  private drawMap(a: SitesAnswer, span_s: number, range: string, json: string): void {
    const { places, lanes } = this.placed(a);
    const between = lanes.filter(l => l.src !== l.dst);
    const left_out = sumOf(this.lanes).bytes - sumOf(between).bytes;
    const widest = Math.max(0, ...between.map(l => l.bytes));
    const experiments = [...new Map(between.map(l => [l.key.experiment_id, l.key])).values()].sort(
      (x, y) => rankOf(x) - rankOf(y),
    );
    this.key.replaceChildren(
      ...experiments.map(k =>
        el("span", {}, swatch(paint(this.shell.theme, k.experiment_id ?? 0, null)), experimentName(k)),
      ),
    );
    this.world.element.hidden = !places.length;
    this.mapKeys.hidden = !places.length;
    void this.world
      .show(places, lanes, span_s)
      .catch(() =>
        text(this.mapSentence, "The outlines of the map cannot be loaded; sites and arcs are right."),
      );
    text(
      this.mapSentence,
      places.length
        ? `${plural(places.length, "site")}. The widest arc is ${bitRate(widest / span_s)} on the average; an arc bends to the right of its way.` +
            (left_out > 0
              ? ` Not on the map: ${byteCount(left_out)} within a site, or to and from where no place is known.`
              : "")
        : "No place is known of any of these sites. CRIC's file has them: key sites.cric of the configuration.",
    );
    this.map.show({ unit: "mean rate", range, json });
  }

  private drawMatrix(range: string, error: string, json: string): void {
    const lanes = fold(this.lanes, MATRIX_MAX);
    const order = (end: "src" | "dst"): string[] => {
      const names = largest(lanes, end);
      return [
        ...names.filter(n => n && n !== OTHERS),
        ...names.filter(n => n === OTHERS),
        ...names.filter(n => !n),
      ];
    };
    const [rows, columns] = [order("src"), order("dst")];
    const cells = new Map<string, Lane[]>();
    for (const l of lanes) {
      const id = `${l.src}\n${l.dst}`;
      cells.set(id, [...(cells.get(id) ?? []), l]);
    }
    const most = Math.max(1, ...[...cells.values()].map(c => sumOf(c).bytes));
    const hidden = (end: "src" | "dst", shown: string[]): number =>
      largest(this.lanes, end).length - shown.filter(n => n !== OTHERS).length;
    const [more_src, more_dst] = [hidden("src", rows), hidden("dst", columns)];
    const total = (name: string, end: "src" | "dst"): string =>
      byteCount(sumOf(lanes.filter(l => l[end] === name)).bytes);
    const cell = (src: string, dst: string): HTMLElement => {
      const own = cells.get(`${src}\n${dst}`);
      if (!own) return el("td", { class: "number none" }, el("span", { class: "unseen" }, "nothing"));
      const { bytes } = sumOf(own);
      const linked = src !== OTHERS && dst !== OTHERS;
      const td = el(
        "td",
        { class: "number", "data-src": src, "data-dst": dst, "data-bytes": bytes },
        linked
          ? el(
              "a",
              {
                href: this.flowsAddress({ src, dst }),
                "aria-label": `${byteCount(bytes)} from ${siteName(src, 0)} to ${siteName(dst, 0)}`,
              },
              byteCount(bytes),
            )
          : byteCount(bytes),
        this.mix(own, `${rows.indexOf(src)}-${columns.indexOf(dst)}`),
      );
      td.style.setProperty("--share", String(Math.sqrt(bytes / most)));
      return td;
    };
    this.table.replaceChildren(
      el(
        "table",
        { class: "matrix" },
        el("caption", { class: "unseen" }, "Bytes from site to site"),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "From ↓  to →"),
            ...columns.map(c =>
              el("th", { scope: "col", class: "turned" }, el("span", {}, siteName(c, more_dst))),
            ),
            el("th", { scope: "col", class: "number" }, "Sum"),
          ),
        ),
        el(
          "tbody",
          {},
          ...rows.map(r =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, siteName(r, more_src)),
              ...columns.map(c => cell(r, c)),
              el("td", { class: "number sum" }, total(r, "src")),
            ),
          ),
          el(
            "tr",
            { class: "sum" },
            el("th", { scope: "row" }, "Sum"),
            ...columns.map(c => el("td", { class: "number" }, total(c, "dst"))),
            el("td", { class: "number" }, byteCount(sumOf(lanes).bytes)),
          ),
        ),
      ),
    );
    const pairs = pairSums(this.lanes).length;
    text(
      this.matrixSentence,
      `${plural(pairs, "pair")} with traffic. The line under a number is its mix of experiments; a number leads to the flows behind it.` +
        (more_src + more_dst > 0
          ? ` Sites beyond the ${MATRIX_MAX - 1} largest are summed up; the CSV has each.`
          : ""),
    );
    this.matrix.show({ unit: "bytes", range, error, json });
  }

  private mix(lanes: readonly Lane[], id: string): SVGElement {
    const fills = new Fills(`mix-${id}`);
    const picture = svg("svg", { class: "mix", "aria-hidden": "true" }, fills.defs);
    const { bytes } = sumOf(lanes);
    let at = 0;
    for (const l of [...lanes].sort((a, b) => rankOf(a.key) - rankOf(b.key))) {
      const width = bytes > 0 ? (l.bytes / bytes) * 100 : 0;
      picture.append(
        svg("rect", {
          x: `${at}%`,
          y: 0,
          width: `${width}%`,
          height: 4,
          fill: fills.of(paint(this.shell.theme, l.key.experiment_id ?? 0, null)),
        }),
      );
      at += width;
    }
    return picture;
  }

  // --- as sheets ----------------------------------------------------------------------------------------

  private sheet(lanes: readonly Lane[]): Sheet | null {
    if (!this.answer) return null;
    return {
      columns: [
        { name: "From", key: "src_site" },
        { name: "To", key: "dst_site" },
        { name: "Experiment", key: "experiment" },
        { name: "Bytes", key: "bytes", words: byteCount, number: true },
        { name: "± 95 %", key: "error_bytes", words: byteCount, number: true },
        { name: "Samples", key: "samples", words: count, number: true },
      ],
      rows: [...lanes]
        .sort((a, b) => b.bytes - a.bytes)
        .map(l => [
          l.src || "not known",
          l.dst || "not known",
          experimentName(l.key),
          l.bytes,
          Math.round(l.error_bytes),
          l.samples,
        ]),
    };
  }

  private placesSheet(): Sheet | null {
    const a = this.answer;
    if (!a) return null;
    const { places } = this.placed(a);
    return {
      columns: [
        { name: "Site", key: "site" },
        { name: "Country", key: "country" },
        { name: "Tier", key: "tier", number: true },
        { name: "Latitude", key: "latitude", number: true },
        { name: "Longitude", key: "longitude", number: true },
        { name: "Sent", key: "sent_bytes", words: byteCount, number: true },
        { name: "Received", key: "received_bytes", words: byteCount, number: true },
      ],
      rows: places.map(p => [
        p.name,
        p.country ?? "",
        p.tier,
        p.latitude,
        p.longitude,
        sumOf(this.lanes.filter(l => l.src === p.name)).bytes,
        sumOf(this.lanes.filter(l => l.dst === p.name)).bytes,
      ]),
    };
  }
}

function pairSums(lanes: readonly Lane[]): { src: string; dst: string; bytes: number }[] {
  const by = new Map<string, { src: string; dst: string; bytes: number }>();
  for (const { src, dst, bytes } of lanes) {
    const have = by.get(`${src}\n${dst}`);
    if (have) have.bytes += bytes;
    else by.set(`${src}\n${dst}`, { src, dst, bytes });
  }
  return [...by.values()].filter(p => p.bytes > 0);
}

/** How the observer gets to know sites. */
function nothingKnown(bytes: number, filtered: boolean): HTMLElement {
  return el(
    "section",
    { class: "panel recipes" },
    el("h2", {}, bytes ? "No site is known yet" : "Nothing seen between sites"),
    el(
      "p",
      {},
      bytes
        ? `${byteCount(bytes)} were seen in this time, but no address of them belongs to a site that the observer knows. Two keys of its configuration tell it:`
        : filtered
          ? "Nothing was seen in this time that the filter lets through. If sites are not configured yet, two keys tell the observer about them:"
          : "Nothing was seen in this time. If sites are not configured yet, two keys tell the observer about them:",
    ),
    el(
      "div",
      { class: "columns" },
      recipe(
        "Your own",
        "Names for prefixes, as you call them. They win over every file.",
        "sites:\n  own:\n    - SITE-A=2001:db8:1::/48\n    - SITE-B=192.0.2.0/24",
      ),
      recipe(
        "Those of WLCG",
        "CRIC lists sites, their prefixes and places. Fetch the file on a host that may, and name it.",
        "curl -o /var/lib/scitag/cric.json \\\n  'https://wlcg-cric.cern.ch/api/core/rcsite/query/?json'",
      ),
      recipe(
        "And in the configuration",
        "A reload (SIGHUP) is enough. Every flow from then on has its sites.",
        "sites:\n  cric: /var/lib/scitag/cric.json",
      ),
    ),
  );
}

function recipe(title: string, words: string, commands: string): HTMLElement {
  return el(
    "div",
    { class: "recipe" },
    el("h3", {}, title),
    el("p", {}, words),
    el("pre", { tabindex: 0, "aria-label": title }, commands),
  );
}

const UNKNOWN = "(unknown)"; // as the API calls a site that it does not know
const known = (name: string | undefined): string => (!name || name === UNKNOWN ? "" : name);

function lanesOf(a: LanesAnswer): Lane[] {
  return merged(
    a.rows.map(({ key, bytes, error_bytes, samples }) => ({
      src: known(key.src_site),
      dst: known(key.dst_site),
      key: key.experiment_id === undefined ? { experiment_id: -1 } : key,
      bytes,
      error_bytes,
      samples,
    })),
  );
}
