// How much of a labelled tag chance explains: ordinary hosts label their flows at random.

import type { CoverageAnswer, TopAnswer } from "./api.js";

/** What random flow labels put on one code point, measured on the unregistered ones. */
export interface Noise {
  mean_bytes: number;
  deviation_bytes: number;
}

/** From the coverage, and the unregistered code points that were seen: the largest one by one, the rest as
 * a sum, which is taken as Poisson. Counting packets alone would not do: those of one flow share a label. */
export function measureNoise(coverage: CoverageAnswer, unregistered: TopAnswer): Noise {
  const { floor_bytes_per_code_point: mean_bytes, unregistered_code_points: code_points } = coverage.noise;
  let squares = 0,
    rest_bytes = 0,
    rest_samples = 0;
  for (const { key, rest, bytes, samples } of unregistered.rows)
    if (!rest && (key.experiment_id ?? -1) >= 0) {
      squares += bytes ** 2;
    } else {
      rest_bytes += bytes;
      rest_samples += samples;
    }
  if (rest_samples > 0) squares += rest_bytes ** 2 / rest_samples + rest_bytes ** 2 / code_points;
  return { mean_bytes, deviation_bytes: Math.sqrt(Math.max(0, squares / code_points - mean_bytes ** 2)) };
}
