// What is odd: one line of links under the tiles. Each is a statement that the numbers carry, at five standard
// deviations, so that a quiet link has a quiet line.

import type { CoverageAnswer, TopAnswer } from "./api.js";
import { el, text } from "./dom.js";
import { quoted } from "./filter.js";
import { amountWords, percent, plural, rateWords } from "./format.js";
import { nothing, plus, type Amount, type Layer } from "./layers.js";
import type { Shell } from "./page.js";
import type { Recent } from "./recent.js";

const LATELY_S = 60;
const SIGMAS = 5;
const RISE_MIN = 0.3; // of what it was before
const SHARE_MIN = 0.005; // of everything: less is no news
const STRANGE_MIN = 0.1; // of what fell on unregistered numbers: chance spreads it over all of them

interface Oddity {
  id: string;
  words: string;
  href: string;
  title: string;
}

export class Odd {
  readonly element = el("p", { class: "odd stales" });
  private drawn = "";

  constructor(private readonly shell: Shell) {}

  show(
    recent: Recent,
    layers: readonly Layer[],
    coverage: CoverageAnswer | null,
    largest: TopAnswer | null,
  ): void {
    const found = [
      ...changes(this.shell, recent, layers),
      ...strangers(this.shell, recent, largest),
      ...disagreements(this.shell, coverage),
    ];
    const drawn = found.map(o => o.id + o.words).join("\n");
    if (drawn === this.drawn && this.element.firstChild) return;
    this.drawn = drawn;
    if (!found.length)
      return text(this.element, "Nothing odd: no tag appeared, rose or fell lately, and none disagrees.");
    this.element.replaceChildren(
      el("span", { class: "name" }, "Odd"),
      ...found.map(o => el("a", { href: o.href, title: o.title, "data-odd": o.id }, o.words)),
    );
  }
}

/** The tag that rose most in the last minute, the one that fell most, and those that were not there before. */
function changes(shell: Shell, recent: Recent, layers: readonly Layer[]): Oddity[] {
  const { starts, covered_s } = recent.buckets();
  const split = starts.findIndex(s => s >= recent.newest_s - LATELY_S);
  if (split < 1) return [];
  const part = (l: Layer, from: number, to: number): Amount => {
    const sum = nothing();
    for (let i = from; i < to; i++) plus(sum, l.points.at(i));
    return sum;
  };
  const observed = (from: number, to: number): number => covered_s.slice(from, to).reduce((a, b) => a + b, 0);
  const [before_s, lately_s] = [observed(0, split), observed(split, starts.length)];
  if (before_s < 2 * LATELY_S || lately_s < LATELY_S / 2) return [];
  const all_s = layers.reduce((sum, l) => sum + part(l, split, starts.length).value, 0) / lately_s;
  const moves = layers
    .filter(l => Number(l.head.id) > 0)
    .map(layer => {
      const before = part(layer, 0, split);
      const lately = part(layer, split, starts.length);
      const change_s = lately.value / lately_s - before.value / before_s;
      const deviation_s = Math.sqrt(lately.variance / lately_s ** 2 + before.variance / before_s ** 2);
      return {
        layer,
        before_s: before.value / before_s,
        change_s,
        sure: Math.abs(change_s) > SIGMAS * deviation_s,
      };
    })
    .filter(m => m.sure && Math.abs(m.change_s) > SHARE_MIN * all_s)
    .sort((a, b) => b.change_s - a.change_s);
  const link = ({ layer }: { layer: Layer }): string =>
    shell.address("/", { filter: tagFilter(layer), range: "15m" });
  const out: Oddity[] = [];
  const fresh = moves.filter(m => m.before_s === 0);
  for (const m of fresh.slice(0, 2))
    out.push({
      id: `new ${m.layer.id}`,
      words: `New: ${m.layer.name}, ${rateWords(recent.unit, m.change_s)}`,
      href: link(m),
      title: "Not seen before in this range",
    });
  const known = moves.filter(m => m.before_s > 0 && Math.abs(m.change_s) > RISE_MIN * m.before_s);
  const [up] = known.filter(m => m.change_s > 0);
  const down = known.filter(m => m.change_s < 0).pop();
  for (const [m, sign, verb] of [
    [up, "+", "rose"],
    [down, "−", "fell"],
  ] as const)
    if (m)
      out.push({
        id: `${verb} ${m.layer.id}`,
        words: `${m.layer.name} ${sign}${rateWords(recent.unit, Math.abs(m.change_s))}`,
        href: link(m),
        title: `${m.layer.name} ${verb} most: the last minute against the rest of the range`,
      });
  return out;
}

function tagFilter({ head, id, name }: Layer): string {
  const activity = id.split(" ")[1];
  const words = name.split(" · ")[1] ?? activity ?? "";
  return `experiment=${quoted(head.value)} and activity=${quoted(words)}`;
}

/** A number that nobody registered, and that is too much for chance. */
function strangers(shell: Shell, recent: Recent, largest: TopAnswer | null): Oddity[] {
  const rows = largest?.rows ?? [];
  const all = rows.reduce((sum, r) => sum + r.bytes, 0);
  const [top] = rows.filter(r => !r.rest && (r.key.experiment_id ?? -1) >= 0);
  if (!top || top.samples < 10 || top.bytes < STRANGE_MIN * all || recent.unit === "packets") return [];
  if (top.bytes < SHARE_MIN * recent.total().value) return [];
  const { experiment_id, activity_id } = top.key;
  return [
    {
      id: `unregistered ${experiment_id}.${activity_id}`,
      words: `Unregistered: ${experiment_id}.${activity_id}, ${amountWords("bytes", top.bytes)}`,
      href: shell.address("/", { filter: `experiment=${experiment_id} and activity=${activity_id}` }),
      title: `${percent(top.bytes / all)} of what fell on unregistered numbers; chance would spread it`,
    },
  ];
}

function disagreements(shell: Shell, coverage: CoverageAnswer | null): Oddity[] {
  const grade = coverage?.grades.find(g => g.grade === "disagree");
  if (!grade?.bytes) return [];
  return [
    {
      id: "disagree",
      words: `Disagree: ${amountWords("bytes", grade.bytes)}`,
      href: shell.address("/agreement"),
      title: `${plural(grade.packets, "packet")} whose firefly or second header names another tag`,
    },
  ];
}
