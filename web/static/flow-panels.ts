// The panels above the table of flows. Each asks its own question: what one of them cannot say does not keep the
// others from answering.

import { address, get, reason, type Key, type TopAnswer } from "./api.js";
import type { ClaimsAnswer, DurationsAnswer, Spread } from "./answers.js";
import { Bars } from "./bars.js";
import { paint, type Theme } from "./colour.js";
import { Columns, type Pile } from "./columns.js";
import { el, set, text } from "./dom.js";
import { withCondition } from "./filter.js";
import {
  byteCount,
  count,
  dateMinute,
  duration,
  FEW_SAMPLES,
  hourMinute,
  percent,
  plural,
  seconds,
  spanOf,
} from "./format.js";
import { CLAIM_DIMS, narrowed, TAG_DIMS, WIRE_DIMS } from "./knows.js";
import { experimentName, tagLayer, tagName, Points } from "./layers.js";
import type { Shell } from "./page.js";
import { Panel, type Sheet } from "./panel.js";
import { linearScale, logScale, ROUND_BYTES, ROUND_S } from "./scale.js";
import { Spreads } from "./spread.js";
import { swatch } from "./texture.js";

const COLUMNS_MOST = 60;
const PILES_MAX = 12;
const SPREADS_MAX = 14;
const APPLICATIONS_MAX = 10;

/** Asks its question and shows the answer; what went wrong is said in the panel itself. */
abstract class Part<A> {
  abstract readonly panel: Panel;
  protected readonly sentence = el("p", { class: "sentence" });
  protected answer: A | null = null;
  protected words = "";
  protected params: Record<string, string> = {};

  constructor(
    protected readonly shell: Shell,
    private readonly path: string,
    private readonly dims: readonly string[],
  ) {}

  async ask(params: Record<string, string>, words: string, signal: AbortSignal): Promise<void> {
    const { filter, without } = narrowed(params["filter"] ?? "", this.dims);
    this.params = this.question({ ...params, filter });
    try {
      this.answer = await get<A>(this.path, this.params, signal);
      this.words = [words, without].filter(Boolean).join(", ");
      this.draw(this.answer);
    } catch (e) {
      if (!signal.aborted) text(this.sentence, `Not to be had: ${reason(e)}.`);
    }
  }

  /** It was asked, and there is nothing. */
  get isEmpty(): boolean {
    return this.answer !== null && this.isNothing(this.answer);
  }

  setTheme(theme: Theme): void {
    this.theme(theme);
    if (this.answer) this.draw(this.answer);
  }

  protected get json(): string {
    return address(this.path, this.params);
  }

  protected abstract question(params: Record<string, string>): Record<string, string>;
  protected abstract draw(answer: A): void;
  protected abstract theme(theme: Theme): void;
  protected isNothing(_answer: A): boolean {
    return false;
  }
}

const byTag = (a: Key, b: Key): number =>
  (a.experiment_id ?? 0) - (b.experiment_id ?? 0) || (a.activity_id ?? 0) - (b.activity_id ?? 0);

/** Flows begun, as their senders say. */
export class Begun extends Part<ClaimsAnswer> {
  readonly panel: Panel;
  private readonly columns: Columns;
  private readonly key = el("div", { class: "key" });

  constructor(shell: Shell) {
    super(shell, "claims", CLAIM_DIMS);
    this.columns = new Columns(shell.theme, "begun", "Flows begun", 250);
    this.panel = new Panel(shell, {
      id: "begun",
      title: "Flows begun",
      kind: "stales",
      body: [this.columns.element, this.key, this.sentence],
      sheet: () => this.sheet(),
      painting: width => this.columns.painting(width),
    });
  }

  protected override theme(theme: Theme): void {
    this.columns.setTheme(theme);
  }

  protected override question(params: Record<string, string>): Record<string, string> {
    return { ...params, group: "experiment,activity", step: stepFor(this.shell.range().span_s) };
  }

  protected override draw(a: ClaimsAnswer): void {
    const piles = this.piles(a);
    const from_s = seconds(a.from);
    const n = Math.round((seconds(a.to) - from_s) / a.step_s);
    const sums = Array.from({ length: n }, (_, i) => piles.reduce((sum, p) => sum + (p.values[i] ?? 0), 0));
    const all = sums.reduce((x, y) => x + y, 0);
    const long = n * a.step_s > 86400;
    const name = (s: number): string => (long ? dateMinute(s) : hourMinute(s));
    const every = Math.ceil(n / 4);
    this.columns.show({
      names: sums.map((_, i) => `${name(from_s + i * a.step_s)}, ${duration(a.step_s)}`),
      ticks: sums
        .map((_, i) => ({ at: (i / n) * 100, words: name(from_s + i * a.step_s) }))
        .filter((_, i) => i % every === 0 && i <= n - every / 2),
      piles,
      scale: linearScale(Math.max(0, ...sums), 5, count),
      words: count,
    });
    this.key.replaceChildren(
      ...piles.map(p =>
        el(
          "span",
          {},
          swatch(p.paint(this.shell.theme)),
          p.name,
          " ",
          el("span", { class: "quiet" }, count(total(p))),
        ),
      ),
    );
    const [largest] = [...piles].sort((x, y) => total(y) - total(x));
    text(
      this.sentence,
      all
        ? `${plural(all, "flow")} announced as begun` +
            (largest ? `; most of them ${largest.name}, ${percent(total(largest) / all)}.` : ".")
        : "No firefly announced a flow in this time.",
    );
    this.panel.show({
      unit: `flows in each ${duration(a.step_s)}`,
      range: this.shell.range().live ? `${this.words}, ${spanOf(from_s, seconds(a.to))}` : this.words,
      error: "as fireflies say",
      json: this.json,
    });
    set(this.columns.element, { "data-total": all });
  }

  protected override isNothing(a: ClaimsAnswer): boolean {
    return !a.series.some(s => s.starts.some(n => n > 0));
  }

  /** The largest tags in their fixed order; the rest as one. */
  private piles(a: ClaimsAnswer): Pile[] {
    const begun = a.series
      .filter(s => s.starts.some(v => v > 0))
      .sort((x, y) => sum(y.starts) - sum(x.starts));
    const shown = begun.filter(s => !s.rest).slice(0, PILES_MAX);
    const others = begun.filter(s => !shown.includes(s));
    const piles: Pile[] = shown
      .sort((x, y) => byTag(x.key, y.key))
      .map(s => ({ name: tagName(s.key), paint: tagLayer(s.key, NO_POINTS).paint, values: s.starts }));
    if (others.length)
      piles.push({
        name: plural(others.length, "smaller tag"),
        paint: theme => paint(theme, -1, null),
        values: others.reduce<number[]>((v, s) => s.starts.map((x, i) => x + (v[i] ?? 0)), []),
      });
    return piles;
  }

  private sheet(): Sheet | null {
    const a = this.answer;
    if (!a) return null;
    const piles = this.piles(a);
    const from_s = seconds(a.from);
    const n = Math.round((seconds(a.to) - from_s) / a.step_s);
    return {
      columns: [
        { name: "Begun", key: "start_utc", words: dateMinute },
        ...piles.map(p => ({ name: p.name, key: `${p.name} flows`, words: count, number: true })),
      ],
      rows: Array.from({ length: n }, (_, i) => [
        from_s + i * a.step_s,
        ...piles.map(p => p.values[i] ?? 0),
      ]).reverse(),
    };
  }
}

/** How long flows last, by tag. */
export class Lengths extends Part<DurationsAnswer> {
  readonly panel: Panel;
  private readonly spreads: Spreads;

  constructor(shell: Shell) {
    super(shell, "durations", TAG_DIMS);
    this.spreads = new Spreads(shell.theme, "How long flows last, by tag", s => fine(s));
    this.panel = new Panel(shell, {
      id: "lengths",
      title: "How long flows last",
      kind: "stales",
      is_table: true,
      body: [this.spreads.element, this.sentence],
      sheet: () => spreadSheet(this.answer, "s", fine),
    });
  }

  protected override theme(theme: Theme): void {
    this.spreads.setTheme(theme);
  }

  protected override question(params: Record<string, string>): Record<string, string> {
    return { ...params, kind: "duration", group: "experiment,activity" };
  }

  protected override draw({ rows }: DurationsAnswer): void {
    const shown = [...rows]
      .sort((a, b) => b.flows - a.flows)
      .slice(0, SPREADS_MAX)
      .sort((a, b) => byTag(a.key, b.key));
    const [least, greatest] = ends(shown);
    this.spreads.show(shown, logScale(least, greatest, ROUND_S, 24, fine));
    const many = rows.filter(r => r.flows >= FEW_SAMPLES);
    const longest = many.reduce<Spread | null>((a, b) => ((a?.median ?? 0) >= b.median ? a : b), null);
    text(
      this.sentence,
      !rows.length
        ? "No flow ended in this time."
        : (longest
            ? `Half of the ${tagName(longest.key)} flows last longer than ${fine(longest.median)}, more than of any other. `
            : "") +
            `The dot is the median, the bar ends where 95 % are over, the line at the longest; right to 5 %.` +
            (rows.length > shown.length
              ? ` ${plural(rows.length - shown.length, "smaller tag")} not drawn.`
              : ""),
    );
    this.panel.show({
      unit: plural(
        rows.reduce((sum, r) => sum + r.flows, 0),
        "ended flow",
      ),
      range: this.words,
      json: this.json,
    });
  }
}

/** How large flows are. */
export class Sizes extends Part<DurationsAnswer> {
  readonly panel: Panel;
  private readonly columns: Columns;

  constructor(shell: Shell) {
    super(shell, "durations", TAG_DIMS);
    this.columns = new Columns(shell.theme, "sizes", "How large flows are");
    this.panel = new Panel(shell, {
      id: "sizes",
      title: "How large flows are",
      kind: "stales",
      body: [this.columns.element, this.sentence],
      sheet: () => this.sheet(),
      painting: width => this.columns.painting(width),
    });
  }

  protected override theme(theme: Theme): void {
    this.columns.setTheme(theme);
  }

  protected override question(params: Record<string, string>): Record<string, string> {
    return { ...params, kind: "bytes", group: "experiment", bins: "yes" };
  }

  /** The bins of the API are an eighth of an octave wide: two to four of them make a column. */
  private steps(rows: readonly Spread[]): { from: number[]; values: (r: Spread) => number[] } {
    const bins = rows.flatMap(r => r.bins ?? []);
    if (!bins.length) return { from: [], values: () => [] };
    const low = Math.floor(Math.log2(Math.min(...bins.map(b => Math.max(1, b.from)))));
    const high = Math.ceil(Math.log2(Math.max(...bins.map(b => b.to))) - 1e-9);
    const n = Math.max(1, high - low);
    const from = Array.from({ length: n }, (_, i) => 2 ** (low + i));
    const values = (r: Spread): number[] => {
      const out = new Array<number>(n).fill(0);
      for (const b of r.bins ?? []) {
        const i = Math.min(n - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, b.from)) + 1e-9) - low));
        out[i] = (out[i] ?? 0) + b.flows;
      }
      return out;
    };
    return { from, values };
  }

  protected override draw({ rows }: DurationsAnswer): void {
    const { from, values } = this.steps(rows);
    const n = from.length;
    const piles: Pile[] = [...rows]
      .sort((a, b) => byTag(a.key, b.key))
      .map(r => ({
        name: experimentName(r.key),
        paint: tagLayer({ ...r.key }, NO_POINTS).paint,
        values: values(r),
      }));
    const sums = from.map((_, i) => piles.reduce((a, p) => a + (p.values[i] ?? 0), 0));
    const scale = n ? logScale(from[0] ?? 1, (from[n - 1] ?? 1) * 2, ROUND_BYTES, 18, byteCount) : null;
    this.columns.show({
      names: from.map(b => `${byteCount(b)} to ${byteCount(b * 2)}`),
      ticks: scale?.ticks ?? [],
      piles,
      scale: linearScale(Math.max(0, ...sums), 5, count),
      words: count,
    });
    const all = rows.reduce((a, r) => a + r.flows, 0);
    const largest = Math.max(0, ...rows.map(r => r.max));
    text(
      this.sentence,
      all
        ? `${plural(all, "flow")} of which the size is known; the largest ${byteCount(largest)}.`
        : "No flow of known size ended in this time.",
    );
    this.panel.show({ unit: "flows by bytes", range: this.words, json: this.json });
    set(this.columns.element, { "data-total": all });
  }

  private sheet(): Sheet | null {
    if (!this.answer) return null;
    const rows = [...this.answer.rows].sort((a, b) => byTag(a.key, b.key));
    const { from, values } = this.steps(rows);
    const counts = rows.map(values);
    return {
      columns: [
        { name: "From", key: "from_bytes", words: byteCount, number: true },
        { name: "To", key: "to_bytes", words: byteCount, number: true },
        ...rows.map(r => ({
          name: experimentName(r.key),
          key: `${experimentName(r.key)} flows`,
          words: count,
          number: true,
        })),
      ],
      rows: from.map((b, i) => [b, b * 2, ...counts.map(c => c[i] ?? 0)]),
    };
  }
}

/** What reads and writes, as fireflies name it. */
export class Applications extends Part<ClaimsAnswer> {
  readonly panel: Panel;
  private readonly bars: Bars;

  constructor(shell: Shell) {
    super(shell, "claims", CLAIM_DIMS);
    this.bars = new Bars(
      shell.theme,
      "applications",
      "By application",
      ["Application", "Bytes said", "Flows"],
      "sizes",
    );
    this.panel = new Panel(shell, {
      id: "applications",
      title: "By application",
      kind: "stales",
      is_table: true,
      body: [this.bars.element, this.sentence],
      sheet: () => this.sheet(),
    });
  }

  protected override theme(theme: Theme): void {
    this.bars.setTheme(theme);
  }

  protected override question(params: Record<string, string>): Record<string, string> {
    return { ...params, group: "application,experiment", step: stepFor(this.shell.range().span_s) };
  }

  private listed(): { name: string; bytes: number; starts: number; parts: { key: Key; bytes: number }[] }[] {
    const by = new Map<
      string,
      { name: string; bytes: number; starts: number; parts: { key: Key; bytes: number }[] }
    >();
    for (const { key, bytes, starts } of this.answer?.series ?? []) {
      const name = key.application ?? "";
      const row = by.get(name) ?? { name, bytes: 0, starts: 0, parts: [] };
      const b = sum(bytes);
      row.bytes += b;
      row.starts += sum(starts);
      row.parts.push({ key, bytes: b });
      by.set(name, row);
    }
    return [...by.values()].filter(r => r.bytes || r.starts).sort((a, b) => b.bytes - a.bytes);
  }

  protected override draw(): void {
    const all = this.listed();
    const shown = all.slice(0, APPLICATIONS_MAX);
    this.bars.show(
      shown.map(r => ({
        name: APPLICATION_WORDS[r.name] ?? r.name,
        href:
          r.name !== "(other)"
            ? this.shell.address("/flows", {
                filter: withCondition(this.shell.view.filter, "application", r.name),
              })
            : undefined,
        parts: r.parts
          .sort((a, b) => byTag(a.key, b.key))
          .map(p => ({ value: p.bytes, paint: tagLayer({ ...p.key }, NO_POINTS).paint })),
        cells: [byteCount(r.bytes), count(r.starts)],
        data: { application: r.name, bytes: r.bytes },
      })),
    );
    const bytes = all.reduce((a, r) => a + r.bytes, 0);
    const [first] = all;
    text(
      this.sentence,
      first && bytes
        ? `${APPLICATION_WORDS[first.name] ?? first.name} moved most: ${percent(first.bytes / bytes)} of ${byteCount(bytes)}.` +
            (all.length > shown.length
              ? ` ${plural(all.length - shown.length, "smaller one")} not drawn.`
              : "")
        : "No firefly named an application in this time.",
    );
    this.panel.show({ unit: "bytes", range: this.words, error: "as fireflies say", json: this.json });
  }

  private sheet(): Sheet | null {
    return {
      columns: [
        { name: "Application", key: "application" },
        { name: "Bytes said", key: "claimed_bytes", words: byteCount, number: true },
        { name: "Flows", key: "flows", words: count, number: true },
      ],
      rows: this.listed().map(r => [r.name, r.bytes, r.starts]),
    };
  }
}

/** IPv6 and IPv4 of each experiment, on the wire. */
export class Families extends Part<TopAnswer> {
  readonly panel: Panel;
  private readonly bars: Bars;

  constructor(shell: Shell) {
    super(shell, "top", WIRE_DIMS);
    this.bars = new Bars(
      shell.theme,
      "families",
      "IPv6 and IPv4 by experiment",
      ["Experiment", "IPv6", "Bytes"],
      "shares",
    );
    this.panel = new Panel(shell, {
      id: "families",
      title: "IPv6 and IPv4",
      kind: "stales",
      is_table: true,
      body: [this.bars.element, this.sentence],
      sheet: () => this.sheet(),
    });
  }

  protected override theme(theme: Theme): void {
    this.bars.setTheme(theme);
  }

  protected override question(params: Record<string, string>): Record<string, string> {
    return { ...params, group: "experiment,family,grade" };
  }

  protected override isNothing(a: TopAnswer): boolean {
    return !a.rows.some(r => r.bytes > 0);
  }

  private listed(): { key: Key; six: number; four: number; none: number; all: number }[] {
    const by = new Map<number, { key: Key; six: number; four: number; none: number; all: number }>();
    for (const { key, bytes } of this.answer?.rows ?? []) {
      const id = key.grade === "unregistered" ? -1 : (key.experiment_id ?? 0);
      const row = by.get(id) ?? { key: { ...key, experiment_id: id }, six: 0, four: 0, none: 0, all: 0 };
      row[key.family === 6 ? "six" : key.family === 4 ? "four" : "none"] += bytes;
      row.all += bytes;
      by.set(id, row);
    }
    const rank = (k: Key): number =>
      (k.experiment_id ?? 0) > 0 ? (k.experiment_id ?? 0) : 1e6 - (k.experiment_id ?? 0);
    return [...by.values()].filter(r => r.all > 0).sort((a, b) => rank(a.key) - rank(b.key));
  }

  protected override draw(): void {
    const rows = this.listed();
    const { theme } = this.shell;
    this.bars.show(
      rows.map(r => ({
        name: experimentName(r.key),
        mark: swatch(paint(theme, r.key.experiment_id ?? 0, null)),
        parts: [
          { value: r.six, paint: t => ({ colour: SIX[t], texture: "plain" }) },
          { value: r.four, paint: t => ({ colour: FOUR[t], texture: "hatch" }) },
          { value: r.none, paint: t => paint(t, -1, null) },
        ],
        cells: [percent(r.six / r.all), byteCount(r.all)],
        data: { experiment: r.key.experiment_id ?? 0, six: r.six, four: r.four, bytes: r.all },
      })),
    );
    const [six, all] = rows.reduce(([s, a], r) => [s + r.six, a + r.all], [0, 0]);
    text(
      this.sentence,
      all
        ? `${percent(six / all)} of the bytes are IPv6 (the dark part). Packets of IPv4 have no place for a tag: there only a firefly tells whose they are.`
        : "Nothing was seen in this time.",
    );
    this.panel.show({ unit: "share of bytes seen", range: this.words, json: this.json });
  }

  private sheet(): Sheet | null {
    return {
      columns: [
        { name: "Experiment", key: "experiment" },
        { name: "IPv6", key: "ipv6_bytes", words: byteCount, number: true },
        { name: "IPv4", key: "ipv4_bytes", words: byteCount, number: true },
        { name: "No IP", key: "other_bytes", words: byteCount, number: true },
      ],
      rows: this.listed().map(r => [experimentName(r.key), r.six, r.four, r.none]),
    };
  }
}

// --- small things -------------------------------------------------------------------------------------------

const SIX: Record<Theme, string> = { light: "#4A5361", dark: "#AEB7C4", contrast: "#FFFFFF" };
const FOUR: Record<Theme, string> = { light: "#868E99", dark: "#79828F", contrast: "#C4CAD3" };
const APPLICATION_WORDS: Record<string, string> = { "(unsaid)": "not said", "(other)": "others" };
const NO_POINTS = new Points(0);
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const total = (p: Pile): number => sum(p.values);

/** Columns as wide as one reads a clock. */
function stepFor(span_s: number): string {
  const step_s =
    [60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400].find(s => span_s / s <= COLUMNS_MOST) ??
    604800;
  return `${step_s}s`;
}

/** "45 ms", "1.5 s", "12 min": with the digits that a comparison wants. */
function fine(s: number): string {
  if (s < 0.9995) return `${(s * 1000).toPrecision(s < 0.01 ? 1 : 3).replace(/\.0+$/, "")} ms`;
  if (s < 99.5) return `${s < 9.95 ? s.toFixed(1).replace(/\.0$/, "") : s.toFixed(0)} s`;
  return duration(s);
}

/** Where a picture of these begins and ends. */
function ends(rows: readonly Spread[]): [number, number] {
  const values = rows.flatMap(r => [r.median, r.p95, r.max]).filter(v => v > 0);
  if (!values.length) return [1, 10];
  return [Math.min(...values) / 1.5, Math.max(...values) * 1.1];
}

function spreadSheet(a: DurationsAnswer | null, unit: string, words: (v: number) => string): Sheet | null {
  return (
    a && {
      columns: [
        { name: "Tag", key: "tag" },
        { name: "Flows", key: "flows", words: count, number: true },
        { name: "Median", key: `median_${unit}`, words, number: true },
        { name: "95 %", key: `p95_${unit}`, words, number: true },
        { name: "Longest", key: `max_${unit}`, words, number: true },
      ],
      rows: a.rows.map(r => [tagName(r.key), r.flows, r.median, r.p95, r.max]),
    }
  );
}
