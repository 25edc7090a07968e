// Places on an axis in percent of its length: pictures in percent need no measuring and no redrawing.

export interface Scale {
  at(value: number): number;
  ticks: readonly { at: number; words: string }[];
}

/** Between two positive values; of the round ones inside those are marked that stand so many percent apart. */
export function logScale(
  least: number,
  greatest: number,
  round: readonly number[],
  apart: number,
  words: (value: number) => string,
): Scale {
  const [low, high] = [Math.log(least), Math.log(Math.max(greatest, least * 1.01))];
  const at = (v: number): number => Math.min(100, Math.max(0, ((Math.log(v) - low) / (high - low)) * 100));
  const ticks: { at: number; words: string }[] = [];
  for (const v of round)
    if (v >= least && v <= greatest && at(v) - (ticks[ticks.length - 1]?.at ?? -100) >= apart)
      ticks.push({ at: at(v), words: words(v) });
  return { at, ticks };
}

/** From 0 up, in steps of 1, 2 or 5 times a power of ten; the last one is at or above the greatest value. */
export function linearScale(greatest: number, most: number, words: (value: number) => string): Scale {
  const raw = Math.max(greatest, 1) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(1, ([1, 2, 5, 10].find(m => m * power >= raw) ?? 10) * power);
  const top = Math.ceil(Math.max(greatest, 1) / step) * step;
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => ({
    at: ((i * step) / top) * 100,
    words: words(i * step),
  }));
  return { at: v => (v / top) * 100, ticks };
}

/** Where a word stands under its tick without leaving the picture. */
export const anchor = (at: number): string => (at < 4 ? "start" : at > 96 ? "end" : "middle");

/** Lengths of time that one would mark on a ruler. */
export const ROUND_S: readonly number[] = [
  0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 21600, 86400, 604800, 2592000,
];
export const ROUND_BYTES: readonly number[] = Array.from({ length: 19 }, (_, i) => 10 ** i);
