// How much now: a tile for each direction that has traffic, the tagged share, the fireflies.

import type { CoverageAnswer, Source } from "./api.js";
import { withoutNoise } from "./coverage.js";
import { el } from "./dom.js";
import { count, error, percent, plural, rateParts, rateWords, si } from "./format.js";
import { halfWidth, nothing, plus } from "./layers.js";
import type { Recent } from "./recent.js";
import { rangeWords } from "./view.js";

const TAGGED = new Set(["confirmed", "registered"]);
const NEITHER = "neither"; // internal, transit and what has no direction, when in and out are known

export class Tiles {
  readonly element = el("section", { class: "tiles stales", "aria-label": "Rates now" });

  /** `source`: the chosen one, whose interfaces' speed the rates are held against. */
  show(
    recent: Recent,
    coverage: CoverageAnswer | null,
    source: Source | undefined,
    fireflies: boolean,
  ): void {
    const observed_s = recent.recentSeconds();
    const tiles = directions(recent, observed_s, source);
    if (coverage)
      tiles.push(
        tile(
          "tagged",
          "Tagged",
          [percent(coverage.tagged_share).replace(" %", ""), "%"],
          `of the bytes, ${rangeWords(recent.range)}; ${withoutNoise(coverage)}`,
          coverage.tagged_share,
        ),
      );
    if (fireflies) {
      const { starts, ongoings, ends } = recent.recentClaims();
      const rate = (starts + ongoings + ends) / observed_s;
      tiles.push(
        tile(
          "fireflies",
          "Fireflies now",
          si(rate, "/s"),
          `${plural(starts, "start")}, ${count(ongoings)} ongoing, ${plural(ends, "end")} in ${observed_s} s`,
          rate,
        ),
      );
    }
    this.element.replaceChildren(...tiles);
  }
}

function directions(recent: Recent, observed_s: number, source: Source | undefined): HTMLElement[] {
  const sums = [...recent.sums(k => `${k.direction} ${TAGGED.has(k.grade)}`).values()].filter(
    s => s.total.value || s.now.value,
  );
  // a site that only receives still wants to see that nothing goes out
  const known = sums.some(s => s.key.direction !== "unknown");
  const place = (direction: string): string =>
    !known || direction === "in" || direction === "out" ? direction : NEITHER;
  const shown: [string, string][] = known
    ? [
        ["in", "In now"],
        ["out", "Out now"],
      ]
    : [["unknown", "In and out now"]];
  if (known && sums.some(s => place(s.key.direction) === NEITHER)) shown.push([NEITHER, "Neither now"]);
  return shown.map(([id, name]) => {
    const all = nothing();
    const tagged = nothing();
    const each = new Map<string, number>();
    for (const { key, now } of sums) {
      if (place(key.direction) !== id) continue;
      plus(all, now);
      if (TAGGED.has(key.grade)) plus(tagged, now);
      each.set(key.direction, (each.get(key.direction) ?? 0) + now.value);
    }
    const per_s = all.value / observed_s;
    const share = source?.if_speed_bps && recent.unit !== "packets" ? (per_s * 8) / source.if_speed_bps : NaN;
    const small =
      id === NEITHER
        ? [...each].map(
            ([d, v]) => `${d === "unknown" ? "no direction" : d} ${rateWords(recent.unit, v / observed_s)}`,
          )
        : [
            error(all.value, halfWidth(all.variance), all.samples),
            all.value > 0 && `${percent(tagged.value / all.value)} tagged`,
            id !== "unknown" && Number.isFinite(share) && `${percent(share)} of capacity`,
            id === "unknown" && "site.prefixes would tell them apart",
          ];
    return tile(id, name, rateParts(recent.unit, per_s), small.filter(Boolean).join("; "), per_s);
  });
}

function tile(
  id: string,
  name: string,
  [number, unit]: [string, string],
  small: string,
  value: number,
): HTMLElement {
  return el(
    "div",
    { class: "tile", "data-tile": id, "data-value": value },
    el("h3", {}, name),
    el("p", { class: "big" }, number, el("span", { class: "unit" }, ` ${unit}`)),
    el("p", { class: "small" }, small),
  );
}
