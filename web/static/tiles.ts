// How much now: a tile for each direction that has traffic, the tagged share, the fireflies.

import type { CoverageAnswer, Source } from "./api.js";
import { withoutNoise } from "./coverage.js";
import { el } from "./dom.js";
import { count, error, percent, plural, rateParts, si } from "./format.js";
import { halfWidth, nothing, plus, type Amount } from "./layers.js";
import type { Recent } from "./recent.js";
import { rangeWords } from "./view.js";

const TAGGED = new Set(["confirmed", "registered"]);
const DIRECTIONS: readonly [string, string][] = [
  ["in", "In now"],
  ["out", "Out now"],
  ["internal", "Internal now"],
  ["transit", "Transit now"],
  ["unknown", ""],
];

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
  const by = new Map<string, { all: Amount; tagged: Amount }>();
  for (const { key, total, now } of recent.sums(k => `${k.direction} ${TAGGED.has(k.grade)}`).values()) {
    if (!total.value && !now.value) continue;
    let d = by.get(key.direction);
    if (!d) by.set(key.direction, (d = { all: nothing(), tagged: nothing() }));
    plus(d.all, now);
    if (TAGGED.has(key.grade)) plus(d.tagged, now);
  }
  // a site that only receives still wants to see that nothing goes out
  const both = [...by.keys()].some(d => d !== "unknown");
  return DIRECTIONS.filter(([id]) => by.has(id) || (both && (id === "in" || id === "out"))).map(
    ([id, name]) => {
      const { all, tagged } = by.get(id) ?? { all: nothing(), tagged: nothing() };
      const per_s = all.value / observed_s;
      const small = [
        error(all.value, halfWidth(all.variance), all.samples),
        all.value > 0 && `${percent(tagged.value / all.value)} tagged`,
        source?.if_speed_bps &&
          id !== "unknown" &&
          recent.unit !== "packets" &&
          `${percent((per_s * 8) / source.if_speed_bps)} of capacity`,
        id === "unknown" && (both ? "no IP addresses" : "site.prefixes would tell them apart"),
      ];
      return tile(
        id,
        name || (both ? "No direction" : "In and out now"),
        rateParts(recent.unit, per_s),
        small.filter(Boolean).join("; "),
        per_s,
      );
    },
  );
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
