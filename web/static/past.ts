// The traffic of any stretch of time as layers: one question to the API, or two where random flow labels would
// come as thousands of series.

import { get, type HealthAnswer, type Series, type SeriesAnswer } from "./api.js";
import { both, dimensionsOf } from "./filter.js";
import { seconds } from "./format.js";
import {
  byRank,
  familyLayer,
  Points,
  tagLayer,
  valueLayer,
  varianceOf,
  type Amount,
  type Gap,
  type Layer,
} from "./layers.js";
import { isoSecond, type Range, type Unit } from "./view.js";

export interface Past {
  from_s: number;
  to_s: number; // end of what was asked for
  newest_s: number; // end of what is known
  step_s: number;
  starts: number[];
  covered_s: number[];
  gaps: Gap[];
  layers: Layer[];
  /** Of each layer, by its id: exact, where the sum over the points is rounded per point. */
  totals: Map<string, Amount>;
}

export interface Question {
  from: string;
  to: string;
  step: string;
  filter: string;
  group: string;
  unit: Unit;
}

/** Applications are known from fireflies only; what they claim has neither grades nor samples. */
export function asksClaims(q: Pick<Question, "filter" | "group">): boolean {
  return q.group === "application" || dimensionsOf(q.filter).has("application");
}

const BY_TAG = new Set(["experiment", "experiment,activity", "experiment,family"]);

export async function askPast(q: Question, signal: AbortSignal): Promise<Past> {
  const { group, ...rest } = q;
  const ask = (by: string, filter: string): Promise<SeriesAnswer> =>
    get<SeriesAnswer>("series", { ...rest, group: by, filter: both(q.filter, filter) }, signal);
  const { store } = await get<HealthAnswer>("health", {}, signal);
  const claimed = asksClaims(q);
  const by_tag = BY_TAG.has(group) && !claimed;
  const [first, random] = await Promise.all([
    ask(group, by_tag ? "not grade=unregistered" : ""),
    by_tag ? ask(group === "experiment,family" ? "family" : "grade", "grade=unregistered") : null,
  ]);
  if (claimed) for (const s of first.series) delete s.samples; // nothing was sampled
  const answers = random ? [first, random] : [first];
  const from_s = seconds(first.from);
  const to_s = seconds(first.to);
  const committed_s = seconds(store.committed);
  const newest_s = Number.isFinite(committed_s) ? Math.max(from_s, Math.min(to_s, committed_s + 1)) : to_s;
  const { step_s } = first;
  const gaps = first.gaps.map(g => ({ from_s: seconds(g.from), to_s: seconds(g.to), reason: g.reason }));
  const starts: number[] = [];
  const covered_s: number[] = [];
  for (let s = from_s; s < newest_s; s += step_s) {
    const end_s = Math.min(s + step_s, newest_s);
    const missed_s = gaps.reduce(
      (sum, g) => sum + Math.max(0, Math.min(end_s, g.to_s) - Math.max(s, g.from_s)),
      0,
    );
    starts.push(s);
    covered_s.push(Math.max(0, end_s - s - missed_s));
  }
  const layers = answers.flatMap((answer, which) =>
    answer.series.map((series, place) =>
      makeLayer(group, series, place, which === 1, readPoints(series, q.unit, starts.length)),
    ),
  );
  const totals = new Map<string, Amount>();
  answers
    .flatMap(a => a.series)
    .forEach((series, i) => {
      const layer = layers[i];
      if (!layer) return;
      const sum = layer.points.total();
      const variance = series.total_error === undefined ? sum.variance : varianceOf(series.total_error);
      totals.set(layer.id, { value: series.total, variance, samples: sum.samples });
    });
  return {
    from_s,
    to_s,
    newest_s,
    step_s,
    starts,
    covered_s,
    gaps,
    layers: byRank(layers.filter(l => (totals.get(l.id)?.value ?? 0) > 0)),
    totals,
  };
}

function readPoints(series: Series, unit: Unit, length: number): Points {
  const points = new Points(length);
  const values = series[unit] ?? [];
  for (let i = 0; i < length; i++) {
    const value = values[i] ?? 0;
    const samples = series.samples?.[i] ?? 0;
    const error = series.error_bytes?.[i];
    const variance =
      error !== undefined ? varianceOf(error) : samples && samples < value ? value ** 2 / samples : 0;
    points.add(i, value, variance, samples);
  }
  return points;
}

function makeLayer(
  group: string,
  { key, rest }: Series,
  place: number,
  random: boolean,
  points: Points,
): Layer {
  if (rest) return valueLayer("", "the rest", 1e6, points);
  switch (group) {
    case "experiment":
      return tagLayer(random ? { experiment_id: -1 } : key, points);
    case "experiment,activity":
      return tagLayer(random ? { experiment_id: -1, activity_id: -1 } : key, points);
    case "experiment,family":
      return familyLayer(random ? { ...key, experiment_id: -1 } : key, points);
    default: {
      const value = key[group as keyof typeof key];
      return valueLayer(group, value === undefined ? "" : String(value), place, points);
    }
  }
}

/** The same span right before. */
export function rangeBefore(past: Past): { from: string; to: string } {
  const span_s = past.to_s - past.from_s;
  return { from: isoSecond(past.from_s - span_s), to: isoSecond(past.from_s) };
}

/** As far from now as the range says; never beyond now. */
export function moved(range: Range, now_s: number, by: number, stretch = 1): [number, number] {
  const to_s = range.live ? now_s : Date.parse(range.to) / 1000;
  const from_s = to_s - range.span_s;
  const span_s = Math.max(60, range.span_s * stretch);
  const end_s = Math.min(now_s, (from_s + to_s) / 2 + span_s / 2 + by * span_s);
  return [Math.floor(end_s - span_s), Math.ceil(end_s)];
}
