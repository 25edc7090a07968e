// What charts draw and tables list: amounts per bucket of time, with what their error needs.

import type { Key } from "./api.js";
import { paint, plainPaint, type Paint, type Theme } from "./colour.js";
import { GRADE_RANK } from "./grades.js";

const Z95 = 1.96;

/** Bytes or packets with the sum of variances, and how many samples were really seen. */
export interface Amount {
  value: number;
  variance: number;
  samples: number;
}

export const nothing = (): Amount => ({ value: 0, variance: 0, samples: 0 });
export const halfWidth = (variance: number): number => Z95 * Math.sqrt(variance);
export const varianceOf = (half_width: number): number => (half_width / Z95) ** 2;
export function plus(sum: Amount, a: Amount): Amount {
  sum.value += a.value;
  sum.variance += a.variance;
  sum.samples += a.samples;
  return sum;
}

/** Amounts of one thing, bucket by bucket. */
export class Points {
  readonly value: Float64Array;
  readonly variance: Float64Array;
  readonly samples: Float64Array;

  constructor(readonly length: number) {
    this.value = new Float64Array(length);
    this.variance = new Float64Array(length);
    this.samples = new Float64Array(length);
  }

  at(i: number): Amount {
    return { value: this.value[i] ?? 0, variance: this.variance[i] ?? 0, samples: this.samples[i] ?? 0 };
  }

  add(i: number, value: number, variance: number, samples: number): void {
    this.value[i] = (this.value[i] ?? 0) + value;
    this.variance[i] = (this.variance[i] ?? 0) + variance;
    this.samples[i] = (this.samples[i] ?? 0) + samples;
  }

  clear(i: number): void {
    this.value[i] = this.variance[i] = this.samples[i] = 0;
  }

  /** So many buckets on: the first ones go, the last ones stay to be cleared. */
  shift(by: number): void {
    if (!by) return;
    for (const values of [this.value, this.variance, this.samples]) values.copyWithin(0, by);
  }

  total(): Amount {
    const sum = nothing();
    for (let i = 0; i < this.length; i++) {
      sum.value += this.value[i] ?? 0;
      sum.variance += this.variance[i] ?? 0;
      sum.samples += this.samples[i] ?? 0;
    }
    return sum;
  }
}

/** One series as it is drawn. */
export interface Layer {
  readonly id: string; // "3 14", "ipv6": of the group's dimensions
  readonly name: string;
  /** The legend entry it belongs to: of activities their experiment. */
  readonly head: Head;
  /** Where it stands in the stack, from below. */
  readonly rank: number;
  readonly paint: (theme: Theme) => Paint;
  readonly points: Points;
}

/** An entry of the legend. */
export interface Head {
  readonly id: string;
  readonly name: string;
  readonly paint: (theme: Theme) => Paint;
  /** What the filter has to demand to see only this: dimension and value; "" when it cannot. */
  readonly dim: string;
  readonly value: string;
}

export interface Gap {
  from_s: number;
  to_s: number;
  reason: string;
}

export function experimentName(k: Key): string {
  const id = k.experiment_id ?? 0;
  return id > 0 ? (k.experiment ?? String(id)) : id === 0 ? "untagged" : "unregistered";
}

export function tagName(k: Key): string {
  return (k.experiment_id ?? 0) > 0 ? `${experimentName(k)} · ${k.activity ?? ""}` : experimentName(k);
}

const experimentRank = (id: number): number => (id > 0 ? id * 1000 : id < 0 ? 1e6 : 1e6 + 1);

function experimentHead(k: Key): Head {
  const id = k.experiment_id ?? 0;
  return {
    id: String(id),
    name: experimentName(k),
    paint: theme => paint(theme, id, null),
    dim: id > 0 ? "experiment" : "grade",
    value: id > 0 ? (k.experiment ?? String(id)) : id === 0 ? "untagged" : "unregistered",
  };
}

/** A layer of the picture by experiment and activity, or by experiment alone. */
export function tagLayer(k: Key, points: Points): Layer {
  const id = k.experiment_id ?? 0;
  const activity = k.activity_id ?? null;
  return {
    id: activity === null ? String(id) : `${id} ${activity}`,
    name: activity === null ? experimentName(k) : tagName(k),
    head: experimentHead(k),
    rank: experimentRank(id) + (activity ?? 0),
    paint: theme => paint(theme, id, activity),
    points,
  };
}

/** IPv4 of an experiment lies on its IPv6, in its colour, striped. */
export function familyLayer(k: Key, points: Points): Layer {
  const id = k.experiment_id ?? 0;
  const family = k.family ?? 0;
  const head = experimentHead(k);
  return {
    id: `${id} ${family}`,
    name: `${head.name} · ${FAMILY_NAMES[String(family)] ?? ""}`,
    head,
    rank: experimentRank(id) + 10 - family,
    paint: theme => {
      const look = head.paint(theme);
      return family === 6 || look.texture !== "plain" ? look : { ...look, texture: "lines" };
    },
    points,
  };
}

const FAMILY_NAMES: Record<string, string> = { "4": "IPv4", "6": "IPv6", "0": "no IP" };
const ORDER: Record<string, readonly string[]> = {
  family: ["6", "4", "0"],
  direction: ["in", "out", "internal", "transit", "unknown"],
  carrier: ["label", "destination", "hop-by-hop", "hop-by-hop+destination", "none"],
  grade: GRADE_RANK,
};

/** A layer of the picture by one other dimension; `place` is its number among the values without an order. */
export function valueLayer(dim: string, value: string, place: number, points: Points): Layer {
  const ordered = ORDER[dim];
  const known = ordered?.indexOf(value) ?? -1;
  const rank = known >= 0 ? known : (ordered?.length ?? 0) + place;
  const name = dim === "family" ? (FAMILY_NAMES[value] ?? value) : value || "(none)";
  const look = (theme: Theme): Paint => plainPaint(theme, dim, value, rank);
  return {
    id: value,
    name,
    head: { id: value, name, paint: look, dim, value: dim === "family" && value === "0" ? "other" : value },
    rank,
    paint: look,
    points,
  };
}

export function byRank(layers: Layer[]): Layer[] {
  return layers.sort((a, b) => a.rank - b.rank || (a.id < b.id ? -1 : 1));
}

/** The legend's entries in the order of their layers. */
export function headsOf(layers: readonly Layer[]): Head[] {
  return [...new Map(layers.map(l => [l.head.id, l.head])).values()];
}
