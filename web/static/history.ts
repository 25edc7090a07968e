// The traffic of one source over one range: buckets loaded from the API once, then grown tick by tick.
// One copy of the numbers feeds every panel, so that they always agree with each other.

import { get, type HealthAnswer, type SeriesAnswer, type Tick, type TickRow } from "./api.js";
import { seconds } from "./format.js";

export interface Range {
  name: string;
  words: string;
  span_s: number;
  step_s: number;
}

export const RANGES: readonly Range[] = [
  { name: "1h", words: "last hour", span_s: 3600, step_s: 10 },
  { name: "15m", words: "last 15 minutes", span_s: 900, step_s: 10 },
  { name: "5m", words: "last 5 minutes", span_s: 300, step_s: 1 },
];

/** "Now" is the mean of so many seconds: one second of a sampled flow says little. */
export const NOW_S = 10;

export interface TagKey {
  experiment_id: number; // 0 untagged, -1 unregistered
  activity_id: number;
  experiment: string;
  activity: string;
  carrier: string;
  grade: string;
  direction: string;
}

export function experimentName(k: TagKey): string {
  return k.experiment_id > 0 ? k.experiment : k.experiment_id === 0 ? "untagged" : "unregistered";
}

export function tagName(k: TagKey): string {
  return k.experiment_id > 0 ? `${k.experiment} · ${k.activity}` : experimentName(k);
}

/** Bytes with what their error needs: the sum of variances, and how many samples were really seen. */
export interface Amount {
  bytes: number;
  variance: number;
  samples: number;
}

export const nothing = (): Amount => ({ bytes: 0, variance: 0, samples: 0 });
export const halfWidth = (variance: number): number => Z95 * Math.sqrt(variance);
export function plus(sum: Amount, a: Amount): Amount {
  sum.bytes += a.bytes;
  sum.variance += a.variance;
  sum.samples += a.samples;
  return sum;
}

export interface Gap {
  from_s: number;
  to_s: number;
  reason: string;
}

const SHORTEST_S = 120;
const Z95 = 1.96;
const variance = (half_width: number): number => (half_width / Z95) ** 2;

class Layer {
  readonly bytes: Float64Array;
  readonly variance: Float64Array;
  readonly samples: Float64Array;

  constructor(
    readonly key: TagKey,
    slots: number,
  ) {
    this.bytes = new Float64Array(slots);
    this.variance = new Float64Array(slots);
    this.samples = new Float64Array(slots);
  }
}

/** One experiment and activity over the buckets of the view, oldest first. */
export interface Stack {
  id: string;
  key: TagKey;
  points: Amount[];
}

export class History {
  /** End of the newest second that is in here. */
  newest_s = 0;
  readonly gaps: Gap[] = [];
  private readonly slots: number;
  private readonly layers = new Map<string, Layer>();
  private readonly covered_s: Float64Array;
  private recent: { second: number; rows: TickRow[]; claims: Tick["claims"] }[] = [];

  constructor(
    readonly range: Range,
    readonly source: string,
  ) {
    this.slots = range.span_s / range.step_s + 2;
    this.covered_s = new Float64Array(this.slots);
  }

  /** Everything that is surely in the database; the newest seconds come by the stream. */
  async load(signal: AbortSignal): Promise<void> {
    const { store } = await get<HealthAnswer>("health", {}, signal);
    const common = { from: `-${this.range.name}`, to: "now", step: `${this.range.step_s}s` };
    const tags = { ...common, group: "experiment,activity,carrier,grade,direction" };
    // thousands of random code points may be in an hour: they come as one series per carrier
    const [known, unregistered] = await Promise.all([
      get<SeriesAnswer>("series", { ...tags, filter: this.filter("not grade=unregistered") }, signal),
      get<SeriesAnswer>(
        "series",
        { ...common, group: "carrier,grade,direction", filter: this.filter("grade=unregistered") },
        signal,
      ),
    ]);
    const step_s = this.range.step_s;
    const from_s = seconds(known.from);
    const committed_s = seconds(store.committed);
    const to_s = Number.isNaN(committed_s) ? seconds(known.to) - 2 * step_s : committed_s + 1;
    this.newest_s = Math.floor(to_s / step_s) * step_s;
    for (const gap of known.gaps)
      this.addGap(seconds(gap.from), Math.min(seconds(gap.to), this.newest_s), gap.reason);
    for (let s = from_s; s < this.newest_s; s += step_s)
      this.covered_s[this.slot(s)] = step_s - this.gapSeconds(s, s + step_s);
    for (const answer of [known, unregistered]) {
      const first_s = seconds(answer.from);
      for (const series of answer.series) {
        const layer = this.layer({
          experiment_id: series.key.experiment_id ?? -1,
          activity_id: series.key.activity_id ?? -1,
          experiment: series.key.experiment ?? "(other unregistered)",
          activity: series.key.activity ?? "(other unregistered)",
          carrier: series.key.carrier ?? "",
          grade: series.key.grade ?? "",
          direction: series.key.direction ?? "unknown",
        });
        series.bytes.forEach((bytes, i) => {
          const s = first_s + i * step_s;
          if (bytes === 0 || s >= this.newest_s) return;
          const slot = this.slot(s);
          layer.bytes[slot] = (layer.bytes[slot] ?? 0) + bytes;
          layer.variance[slot] = (layer.variance[slot] ?? 0) + variance(series.error_bytes[i] ?? 0);
          layer.samples[slot] = (layer.samples[slot] ?? 0) + (series.samples[i] ?? 0);
        });
      }
    }
  }

  /** False when seconds are missing in between: then what is here should be loaded anew. */
  take(tick: Tick): boolean {
    if (tick.second < this.newest_s) return true;
    const missing = tick.second > this.newest_s;
    if (missing) this.addGap(this.newest_s, tick.second, "no data received");
    const step_s = this.range.step_s;
    const end_s = tick.second + 1;
    for (let s = Math.ceil(this.newest_s / step_s) * step_s; s < end_s; s += step_s) this.clear(this.slot(s));
    this.newest_s = end_s;
    const slot = this.slot(tick.second);
    this.covered_s[slot] = (this.covered_s[slot] ?? 0) + 1;
    const rows = this.source ? tick.rows.filter(r => r.source === this.source) : tick.rows;
    for (const row of rows) {
      const layer = this.layer(row);
      layer.bytes[slot] = (layer.bytes[slot] ?? 0) + row.bytes;
      layer.variance[slot] = (layer.variance[slot] ?? 0) + variance(row.error_bytes);
      layer.samples[slot] = (layer.samples[slot] ?? 0) + row.samples;
    }
    this.recent.push({ second: tick.second, rows, claims: tick.claims });
    this.recent = this.recent.filter(r => r.second >= end_s - NOW_S);
    const oldest_s = end_s - this.range.span_s - step_s;
    while (this.gaps[0] && this.gaps[0].to_s <= oldest_s) this.gaps.shift();
    return !missing;
  }

  /** A filter of the API for this source and whatever else is asked for. */
  filter(...terms: string[]): string {
    return [...(this.source ? [`source="${this.source}"`] : []), ...terms].join(" and ");
  }

  /** Starts of the buckets in view, oldest first, and the seconds of each that were observed. */
  buckets(): { starts: number[]; covered_s: number[] } {
    const step_s = this.range.step_s;
    const starts: number[] = [];
    const covered: number[] = [];
    for (
      let s = Math.floor((this.newest_s - this.range.span_s) / step_s) * step_s;
      s < this.newest_s;
      s += step_s
    ) {
      starts.push(s);
      covered.push(this.covered_s[this.slot(s)] ?? 0);
    }
    return { starts, covered_s: covered };
  }

  /** Layers in their fixed order: experiments and activities by number, unregistered, untagged. */
  stacks(direction: string, starts: number[]): Stack[] {
    const stacks = new Map<string, Stack>();
    for (const layer of this.layers.values()) {
      if (direction && layer.key.direction !== direction) continue;
      const id = `${layer.key.experiment_id} ${layer.key.activity_id}`;
      let stack = stacks.get(id);
      if (!stack) stacks.set(id, (stack = { id, key: layer.key, points: starts.map(nothing) }));
      const points = stack.points;
      starts.forEach((s, i) => {
        const slot = this.slot(s);
        const bytes = layer.bytes[slot];
        const point = points[i];
        if (!bytes || !point) return;
        point.bytes += bytes;
        point.variance += layer.variance[slot] ?? 0;
        point.samples += layer.samples[slot] ?? 0;
      });
    }
    const rank = (k: TagKey): number =>
      k.experiment_id > 0 ? k.experiment_id : k.experiment_id < 0 ? 1e6 : 1e6 + 1;
    return [...stacks.values()]
      .filter(s => s.points.some(p => p.bytes > 0))
      .sort((a, b) => rank(a.key) - rank(b.key) || a.key.activity_id - b.key.activity_id);
  }

  /** Sums over the range and over the last NOW_S seconds, by whatever `name` makes of a key. */
  sums(
    direction: string,
    name: (k: TagKey) => string,
  ): Map<string, { key: TagKey; total: Amount; now: Amount }> {
    const { starts } = this.buckets();
    const sums = new Map<string, { key: TagKey; total: Amount; now: Amount }>();
    const of = (key: TagKey): { key: TagKey; total: Amount; now: Amount } => {
      const id = name(key);
      let sum = sums.get(id);
      if (!sum) sums.set(id, (sum = { key, total: nothing(), now: nothing() }));
      return sum;
    };
    for (const { key, bytes, variance, samples } of this.layers.values()) {
      if (direction && key.direction !== direction) continue;
      const total = of(key).total;
      for (const s of starts) {
        const slot = this.slot(s);
        total.bytes += bytes[slot] ?? 0;
        total.variance += variance[slot] ?? 0;
        total.samples += samples[slot] ?? 0;
      }
    }
    for (const { rows } of this.recent)
      for (const row of rows)
        if (!direction || row.direction === direction)
          plus(of(row).now, { bytes: row.bytes, variance: variance(row.error_bytes), samples: row.samples });
    return sums;
  }

  /** Where a picture up to `to_s` begins: the range, or less while the observer is younger than it. */
  from(to_s: number): number {
    const from_s = to_s - this.range.span_s;
    const before = this.gaps.find(g => g.from_s <= from_s && g.to_s > from_s);
    return before ? Math.max(from_s, Math.min(before.to_s, to_s - SHORTEST_S)) : from_s;
  }

  /** Everything in the range. */
  total(): Amount {
    return this.sums("", () => "").get("")?.total ?? nothing();
  }

  /** How many of the last NOW_S seconds were seen; at least 1, to divide by. */
  recentSeconds(): number {
    return Math.max(1, this.recent.length);
  }

  recentBytes(): number {
    return this.recent.reduce((sum, { rows }) => rows.reduce((b, r) => b + r.bytes, sum), 0);
  }

  /** Fireflies of the last NOW_S seconds, of all senders. */
  recentClaims(): Tick["claims"] {
    const sum = { starts: 0, ongoings: 0, ends: 0 };
    for (const { claims } of this.recent) {
      sum.starts += claims.starts;
      sum.ongoings += claims.ongoings;
      sum.ends += claims.ends;
    }
    return sum;
  }

  /** Sources that had traffic in the last NOW_S seconds. */
  recentSources(): string[] {
    return [
      ...new Set(this.recent.flatMap(r => r.rows.filter(row => row.bytes > 0).map(row => row.source))),
    ].sort();
  }

  private slot(s: number): number {
    return Math.floor(s / this.range.step_s) % this.slots;
  }

  private clear(slot: number): void {
    this.covered_s[slot] = 0;
    for (const layer of this.layers.values())
      layer.bytes[slot] = layer.variance[slot] = layer.samples[slot] = 0;
  }

  private layer(k: TagKey): Layer {
    const id = `${k.experiment_id} ${k.activity_id} ${k.carrier} ${k.grade} ${k.direction}`;
    let layer = this.layers.get(id);
    if (!layer) {
      const { experiment_id, activity_id, experiment, activity, carrier, grade, direction } = k;
      layer = new Layer(
        { experiment_id, activity_id, experiment, activity, carrier, grade, direction },
        this.slots,
      );
      this.layers.set(id, layer);
    }
    return layer;
  }

  private addGap(from_s: number, to_s: number, reason: string): void {
    if (to_s > from_s) this.gaps.push({ from_s, to_s, reason });
  }

  private gapSeconds(from_s: number, to_s: number): number {
    return Math.min(
      to_s - from_s,
      this.gaps.reduce((sum, g) => sum + Math.max(0, Math.min(to_s, g.to_s) - Math.max(from_s, g.from_s)), 0),
    );
  }
}
