// Not everything is recorded by every dimension. A panel asks with the part of the filter that its answer knows
// and says which part it left out.

import { parseFilter, type Node } from "./filter.js";

export const CLAIM_DIMS = ["experiment", "activity", "family", "application"] as const;
export const TAG_DIMS = ["experiment", "activity"] as const;
export const PAIR_DIMS = [
  "src_site",
  "dst_site",
  "site",
  "family",
  "grade",
  "experiment",
  "activity",
] as const;
export const WIRE_DIMS = [
  "experiment",
  "activity",
  "grade",
  "carrier",
  "family",
  "direction",
  "source",
] as const;

/** Without the conditions on other dimensions; "regardless of grade and site", or "" when nothing was left out. */
export function narrowed(filter: string, dims: readonly string[]): { filter: string; without: string } {
  const root = parseFilter(filter);
  if (!root) return { filter, without: "" };
  const kept: string[] = [];
  const left = new Set<string>();
  for (const part of root.op === "and" ? root.parts : [root]) {
    const foreign = dimsOf(part).filter(d => !dims.includes(d));
    foreign.forEach(d => left.add(d));
    const text = filter.slice(part.from, part.to);
    if (!foreign.length) kept.push(part.op === "or" && !text.startsWith("(") ? `(${text})` : text);
  }
  return { filter: kept.join(" and "), without: left.size ? `regardless of ${[...left].join(" and ")}` : "" };
}

function dimsOf(node: Node): string[] {
  return node.op === "is" ? [node.dim] : node.op === "not" ? dimsOf(node.part) : node.parts.flatMap(dimsOf);
}
