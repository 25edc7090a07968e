// What the reader chose: it lives in the address, so that a view can be sent, bookmarked and left.

import { RANGES, type Range } from "./history.js";

export interface View {
  source: string; // "" all
  direction: string; // "" both
  range: Range;
  hidden: ReadonlySet<number>; // experiments, 0 untagged, -1 unregistered
}

export function readView(): View {
  const q = new URLSearchParams(location.search);
  return {
    source: q.get("source") ?? "",
    direction: q.get("direction") ?? "",
    range: RANGES.find(r => r.name === q.get("range")) ?? (RANGES[0] as Range),
    hidden: new Set(
      (q.get("hide") ?? "")
        .split(",")
        .filter(s => /^-?\d+$/.test(s))
        .map(Number),
    ),
  };
}

export function writeView(view: View): void {
  const q = new URLSearchParams();
  if (view.source) q.set("source", view.source);
  if (view.direction) q.set("direction", view.direction);
  if (view.range !== RANGES[0]) q.set("range", view.range.name);
  if (view.hidden.size) q.set("hide", [...view.hidden].sort((a, b) => a - b).join(","));
  const search = q.toString();
  history.pushState(null, "", location.pathname + (search ? `?${search}` : ""));
}
