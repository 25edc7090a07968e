// The traffic of one filter over the newest stretch of time: buckets loaded from the API once, then grown
// second by second. One copy of the numbers feeds every panel, so that they always agree with each other.

import { get, type HealthAnswer, type Key, type SeriesAnswer, type Tick, type TickRow } from "./api.js";
import { both } from "./filter.js";
import { seconds } from "./format.js";
import {
  byRank,
  nothing,
  plus,
  Points,
  tagLayer,
  varianceOf,
  type Amount,
  type Gap,
  type Layer,
} from "./layers.js";
import { isoSecond, type Range, type Unit } from "./view.js";

/** "Now" is the mean of so many seconds: one second of a sampled flow says little. */
export const NOW_S = 10;
const STEP_1_MAX_S = 300; // longer ranges have buckets of 10 s
const SHORTEST_S = 120;

export interface TagKey {
  experiment_id: number; // 0 untagged, -1 unregistered
  activity_id: number;
  experiment: string;
  activity: string;
  carrier: string;
  grade: string;
  direction: string;
}

export interface Sum {
  key: TagKey;
  total: Amount;
  now: Amount;
}

/** One row of what a second or a bucket holds. */
interface Piece {
  key: Key;
  value: number;
  variance: number;
  samples: number;
}

interface Second {
  second: number;
  pieces: Piece[];
  claims: Tick["claims"];
  sources: string[];
}

interface Kept {
  key: TagKey;
  points: Points;
}

const KNOWN = "not grade=unregistered";
const RANDOM = "grade=unregistered";

export class Recent {
  readonly step_s: number;
  /** End of the newest second that is in here. */
  newest_s = 0;
  readonly gaps: Gap[] = [];
  private readonly slots: number;
  private readonly kept = new Map<string, Kept>();
  private readonly covered_s: Float64Array;
  private recent: Second[] = [];
  private readonly drawn = new Map<string, Layer>(); // what layers() handed out
  private drawn_from_s = 0;
  private drawn_length = 0;
  private drawn_newest_s = 0;

  constructor(
    readonly range: Range,
    readonly filter: string,
    readonly unit: Unit = "bytes",
  ) {
    this.step_s = range.span_s <= STEP_1_MAX_S ? 1 : 10;
    this.slots = range.span_s / this.step_s + 2;
    this.covered_s = new Float64Array(this.slots);
  }

  /** Everything that is surely in the database; the newest seconds come by the stream. */
  async load(signal: AbortSignal): Promise<void> {
    const { store } = await get<HealthAnswer>("health", {}, signal);
    const times = { from: this.range.from, to: this.range.to, step: `${this.step_s}s` };
    const [known, random] = await this.ask(times, signal);
    const { step_s } = this;
    const from_s = seconds(known.from);
    const committed_s = seconds(store.committed);
    const to_s = Number.isNaN(committed_s) ? seconds(known.to) - 2 * step_s : committed_s + 1;
    this.newest_s = Math.floor(to_s / step_s) * step_s;
    for (const gap of known.gaps)
      this.addGap(seconds(gap.from), Math.min(seconds(gap.to), this.newest_s), gap.reason);
    for (let s = from_s; s < this.newest_s; s += step_s)
      this.covered_s[this.slot(s)] = step_s - this.gapSeconds(s, s + step_s);
    for (const answer of [known, random])
      this.pieces(answer, (s, piece) => {
        if (s < this.newest_s)
          this.of(piece.key).points.add(this.slot(s), piece.value, piece.variance, piece.samples);
      });
  }

  /** Thousands of random code points may be in an hour: they come as one series per carrier. */
  private ask(times: Record<string, string>, signal?: AbortSignal): Promise<[SeriesAnswer, SeriesAnswer]> {
    const common = { ...times, unit: this.unit };
    const series = (group: string, filter: string): Promise<SeriesAnswer> =>
      get<SeriesAnswer>("series", { ...common, group, filter: both(this.filter, filter) }, signal);
    return Promise.all([
      series("experiment,activity,carrier,grade,direction", KNOWN),
      series("carrier,grade,direction", RANDOM),
    ]);
  }

  private pieces(answer: SeriesAnswer, take: (s: number, piece: Piece) => void): void {
    const first_s = seconds(answer.from);
    for (const series of answer.series) {
      const values = series[this.unit] ?? [];
      values.forEach((value, i) => {
        if (!value) return;
        const samples = series.samples?.[i] ?? 0;
        const error = series.error_bytes?.[i];
        const variance = error === undefined ? countVariance(value, samples) : varianceOf(error);
        take(first_s + i * answer.step_s, { key: series.key, value, variance, samples });
      });
    }
  }

  /** A second of the stream. False when seconds are missing before it: then all should be loaded anew. */
  take(tick: Tick): boolean {
    return this.put([
      {
        second: tick.second,
        pieces: tick.rows.map(row => this.piece(row)),
        claims: tick.claims,
        sources: sourcesOf(tick),
      },
    ]);
  }

  /** The same with a filter, which the observer applies: the seconds of the ticks are asked for. */
  async takeFiltered(ticks: readonly Tick[], signal: AbortSignal): Promise<boolean> {
    const [first, last] = [ticks[0], ticks[ticks.length - 1]];
    if (!first || !last) return true;
    const times = { from: isoSecond(first.second), to: isoSecond(last.second + 1), step: "1s" };
    const seconds_of = new Map<number, Piece[]>();
    for (const answer of await this.ask(times, signal))
      this.pieces(answer, (s, piece) => {
        const have = seconds_of.get(s);
        if (have) have.push(piece);
        else seconds_of.set(s, [piece]);
      });
    return this.put(
      ticks.map(t => ({
        second: t.second,
        pieces: seconds_of.get(t.second) ?? [],
        claims: t.claims,
        sources: sourcesOf(t),
      })),
    );
  }

  private piece(row: TickRow): Piece {
    const value = row[this.unit];
    const variance =
      this.unit === "packets"
        ? countVariance(value, row.samples)
        : varianceOf(row.bytes ? (row.error_bytes * value) / row.bytes : 0);
    return { key: row, value, variance, samples: row.samples };
  }

  private put(seconds_new: readonly Second[]): boolean {
    let whole = true;
    const { step_s } = this;
    for (const one of seconds_new) {
      if (one.second < this.newest_s) continue;
      if (one.second > this.newest_s) {
        whole = false;
        this.addGap(this.newest_s, one.second, "no data received");
      }
      const end_s = one.second + 1;
      for (let s = Math.ceil(this.newest_s / step_s) * step_s; s < end_s; s += step_s)
        this.clear(this.slot(s));
      this.newest_s = end_s;
      const slot = this.slot(one.second);
      this.covered_s[slot] = (this.covered_s[slot] ?? 0) + 1;
      for (const { key, value, variance, samples } of one.pieces)
        this.of(key).points.add(slot, value, variance, samples);
      this.recent.push(one);
    }
    this.recent = this.recent.filter(r => r.second >= this.newest_s - NOW_S);
    const oldest_s = this.newest_s - this.range.span_s - step_s;
    while (this.gaps[0] && this.gaps[0].to_s <= oldest_s) this.gaps.shift();
    return whole;
  }

  /** Starts of the buckets in view, oldest first, and the seconds of each that were observed. */
  buckets(): { starts: number[]; covered_s: number[] } {
    const { step_s } = this;
    const starts: number[] = [];
    const covered_s: number[] = [];
    for (
      let s = Math.floor((this.newest_s - this.range.span_s) / step_s) * step_s;
      s < this.newest_s;
      s += step_s
    ) {
      starts.push(s);
      covered_s.push(this.covered_s[this.slot(s)] ?? 0);
    }
    return { starts, covered_s };
  }

  /** In their fixed order: experiments and activities by number, unregistered, untagged. What is handed out is
   * kept, moved on and changed with the next second. */
  layers(starts: readonly number[]): Layer[] {
    const first_s = starts[0] ?? 0;
    const n = starts.length;
    const moved = (first_s - this.drawn_from_s) / this.step_s;
    const fits = this.drawn_length === n && moved >= 0 && moved < n && this.drawn_newest_s <= this.newest_s;
    const from = fits ? Math.max(0, Math.floor((this.drawn_newest_s - 1 - first_s) / this.step_s)) : 0;
    if (!fits) this.drawn.clear();
    for (const { points } of this.drawn.values()) {
      points.shift(moved);
      for (let i = from; i < n; i++) points.clear(i);
    }
    const slots: number[] = [];
    for (let i = from; i < n; i++) slots.push(this.slot(starts[i] ?? 0));
    for (const { key, points } of this.kept.values()) {
      const id = `${key.experiment_id} ${key.activity_id}`;
      let layer = this.drawn.get(id);
      if (!layer) this.drawn.set(id, (layer = tagLayer(key, new Points(n)))); // new: nothing of it is older
      for (let i = from; i < n; i++) {
        const slot = slots[i - from] ?? 0;
        const value = points.value[slot] ?? 0;
        if (value) layer.points.add(i, value, points.variance[slot] ?? 0, points.samples[slot] ?? 0);
      }
    }
    this.drawn_from_s = first_s;
    this.drawn_length = n;
    this.drawn_newest_s = this.newest_s;
    return byRank([...this.drawn.values()].filter(l => l.points.value.some(v => v > 0)));
  }

  /** Sums over the range and over the last NOW_S seconds, by whatever `name` makes of a key. */
  sums(name: (k: TagKey) => string): Map<string, Sum> {
    const { starts } = this.buckets();
    const slots = starts.map(s => this.slot(s));
    const sums = new Map<string, Sum>();
    const of = (key: TagKey): Sum => {
      const id = name(key);
      let sum = sums.get(id);
      if (!sum) sums.set(id, (sum = { key, total: nothing(), now: nothing() }));
      return sum;
    };
    for (const { key, points } of this.kept.values()) {
      const { total } = of(key);
      for (const slot of slots) {
        total.value += points.value[slot] ?? 0;
        total.variance += points.variance[slot] ?? 0;
        total.samples += points.samples[slot] ?? 0;
      }
    }
    for (const { pieces } of this.recent) for (const p of pieces) plus(of(tagKey(p.key)).now, p);
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
    return this.sums(() => "").get("")?.total ?? nothing();
  }

  /** How many of the last NOW_S seconds were seen; at least 1, to divide by. */
  recentSeconds(): number {
    return Math.max(1, this.recent.length);
  }

  recentValue(): number {
    return this.recent.reduce((sum, { pieces }) => pieces.reduce((v, p) => v + p.value, sum), 0);
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

  /** Sources that had traffic in the last NOW_S seconds, whatever the filter. */
  recentSources(): string[] {
    return [...new Set(this.recent.flatMap(r => r.sources))].sort();
  }

  private slot(s: number): number {
    return Math.floor(s / this.step_s) % this.slots;
  }

  private clear(slot: number): void {
    this.covered_s[slot] = 0;
    for (const { points } of this.kept.values()) points.clear(slot);
  }

  private of(key: Key): Kept {
    const k = tagKey(key);
    const id = `${k.experiment_id} ${k.activity_id} ${k.carrier} ${k.grade} ${k.direction}`;
    let kept = this.kept.get(id);
    if (!kept) this.kept.set(id, (kept = { key: k, points: new Points(this.slots) }));
    return kept;
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

/** Of a number of packets: each sample stood for value / samples of them. */
function countVariance(value: number, samples: number): number {
  return samples > 0 && samples < value ? value ** 2 / samples : 0;
}

function tagKey(k: Key): TagKey {
  return {
    experiment_id: k.experiment_id ?? -1,
    activity_id: k.activity_id ?? -1,
    experiment: k.experiment ?? "(other unregistered)",
    activity: k.activity ?? "(other unregistered)",
    carrier: k.carrier ?? "",
    grade: k.grade ?? "",
    direction: k.direction ?? "unknown",
  };
}

const sourcesOf = (tick: Tick): string[] => [
  ...new Set(tick.rows.filter(r => r.bytes > 0).map(r => r.source)),
];
