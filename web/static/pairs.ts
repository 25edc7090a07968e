// What flowed between sites, and the few sites and lines that a picture can hold.

import type { Key } from "./api.js";
import { halfWidth, varianceOf } from "./layers.js";

/** Bytes of one experiment from one site to another; "" is a site that is not known. */
export interface Lane {
  src: string;
  dst: string;
  key: Key; // experiment: 0 untagged, -1 unregistered
  bytes: number;
  error_bytes: number;
  samples: number;
}

/** The name under which sites beyond the largest are summed up. */
export const OTHERS = "\u0000others";

export function experimentOf(l: Lane): number {
  return l.key.experiment_id ?? 0;
}

export const rankOf = (k: Key): number =>
  (k.experiment_id ?? 0) > 0 ? (k.experiment_id ?? 0) : 1e6 - (k.experiment_id ?? 0);

/** Names at one end, largest first; the unknown is last, whatever its size. */
export function largest(lanes: readonly Lane[], end: "src" | "dst"): string[] {
  const sums = new Map<string, number>();
  for (const l of lanes) sums.set(l[end], (sums.get(l[end]) ?? 0) + l.bytes);
  return [...sums].sort((a, b) => Number(!a[0]) - Number(!b[0]) || b[1] - a[1]).map(([name]) => name);
}

/** At most so many names at each end: what is beyond goes into OTHERS. Lanes that fall together are added. */
export function fold(lanes: readonly Lane[], most: number): Lane[] {
  const keep = (end: "src" | "dst"): ((name: string) => string) => {
    const names = largest(lanes, end);
    const known = names.filter(Boolean);
    const kept = new Set(known.length > most ? known.slice(0, most - 1) : known);
    return name => (!name || kept.has(name) ? name : OTHERS);
  };
  const [src, dst] = [keep("src"), keep("dst")];
  return merged(lanes.map(l => ({ ...l, src: src(l.src), dst: dst(l.dst) })));
}

export function merged(lanes: readonly Lane[]): Lane[] {
  const by = new Map<string, Lane>();
  for (const l of lanes) {
    const id = `${l.src}\n${l.dst}\n${experimentOf(l)}`;
    const have = by.get(id);
    by.set(
      id,
      !have
        ? l
        : {
            ...have,
            bytes: have.bytes + l.bytes,
            error_bytes: halfWidth(varianceOf(have.error_bytes) + varianceOf(l.error_bytes)),
            samples: have.samples + l.samples,
          },
    );
  }
  return [...by.values()];
}

export function sumOf(lanes: readonly Lane[]): { bytes: number; error_bytes: number; samples: number } {
  let [bytes, variance, samples] = [0, 0, 0];
  for (const l of lanes) {
    bytes += l.bytes;
    variance += varianceOf(l.error_bytes);
    samples += l.samples;
  }
  return { bytes, error_bytes: halfWidth(variance), samples };
}

export function siteName(name: string, others: number): string {
  return name === OTHERS ? `${others} other sites` : name || "not known";
}
