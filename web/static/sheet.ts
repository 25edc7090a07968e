// A chart as a sheet: a line per bucket, newest first, a column per layer.

import { dateMinute, clock, rateWords, zone } from "./format.js";
import type { Layer } from "./layers.js";
import type { Sheet } from "./panel.js";
import type { Unit } from "./view.js";

/** Numbers are rates, per second of what was observed; empty where nothing was. */
export function layerSheet(
  layers: readonly Layer[],
  { starts, covered_s }: { starts: readonly number[]; covered_s: readonly number[] },
  unit: Unit,
): Sheet | null {
  if (!starts.length) return null;
  const long = (starts[starts.length - 1] ?? 0) - (starts[0] ?? 0) > 86400;
  return {
    columns: [
      { name: zone(starts[0]), key: "start_utc", words: s => (long ? dateMinute(s) : clock(s)) },
      ...layers.map(l => ({
        name: l.name,
        key: `${l.name} ${unit}_per_s`,
        words: (v: number) => rateWords(unit, v),
        number: true,
      })),
    ],
    rows: starts
      .map((s, i): (number | null)[] => {
        const observed_s = covered_s[i] ?? 0;
        return [s, ...layers.map(l => (observed_s ? (l.points.value[i] ?? 0) / observed_s : null))];
      })
      .reverse(),
  };
}
