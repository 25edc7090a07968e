// Every tag of the range, largest first, and which of them chance could explain.

import { address } from "./api.js";
import { paint, type Theme } from "./colour.js";
import { el, on, set, text } from "./dom.js";
import {
  amountWords,
  byteCount,
  clock,
  count,
  error,
  FEW_SAMPLES,
  percent,
  plural,
  rateWords,
  zone,
} from "./format.js";
import { experimentName, halfWidth, nothing, plus } from "./layers.js";
import type { Noise } from "./noise.js";
import type { Shell } from "./page.js";
import { Panel, type Sheet } from "./panel.js";
import { NOW_S, type Recent, type Sum, type TagKey } from "./recent.js";
import { LiveTable, type Row } from "./table.js";
import { swatch } from "./texture.js";

const ROWS_FOLDED = 20;
const ROWS_MAX = 400;
const SIGMAS = 5; // above the noise floor, before a labelled tag counts as seen

export class Tags {
  readonly element: HTMLElement;
  private readonly panel: Panel;
  private readonly fold = el("button", { type: "button", class: "fold", hidden: true });
  private unfolded = false;
  private last: {
    recent: Recent;
    noise: Noise | null;
    words: string;
    params: Record<string, string>;
  } | null = null;
  private readonly note = el("p", { class: "sentence" });
  private readonly table = new LiveTable("Tags", [
    { name: "Experiment" },
    { name: "Activity" },
    { name: "Carrier" },
    { name: "Grade" },
    { name: "Rate now", number: true, title: `mean of the last ${NOW_S} s` },
    { name: "± 95 %", number: true },
    { name: "Share", number: true, title: "of all bytes in the range" },
    { name: "Amount", number: true, title: "in the range" },
    { name: "± 95 %", number: true },
  ]);

  constructor(
    shell: Shell,
    private theme: Theme,
  ) {
    this.panel = new Panel(shell, {
      id: "tags",
      title: "Tags",
      kind: "tags",
      is_table: true,
      body: [this.table.element, this.fold, this.note],
      sheet: () => this.sheet(),
    });
    this.element = this.panel.element;
    on(this.fold, "click", () => {
      this.unfolded = !this.unfolded;
      if (this.last) this.show(this.last.recent, this.last.noise, this.last.words, this.last.params);
    });
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.table.clear();
  }

  show(recent: Recent, noise: Noise | null, words: string, params: Record<string, string>): void {
    this.last = { recent, noise, words, params };
    const { whole, tags, untagged } = listed(recent);
    const chance = chanceOf(noise, recent);
    const most = this.unfolded ? ROWS_MAX : ROWS_FOLDED;
    const rows = [...tags.slice(0, most), ...(untagged ? [untagged] : [])];
    this.table.show(rows.map(s => this.row(s, whole.total.value, recent, chance)));
    this.panel.show({
      unit: plural(tags.filter(t => t.key.experiment_id > 0).length, "tag"),
      range: `${words}; now is the mean of ${NOW_S} s to ${clock(recent.newest_s)} ${zone()}`,
      json: address("top", { ...params, unit: recent.unit, group: "experiment,activity,carrier,grade" }),
    });
    const more = tags.length - ROWS_FOLDED;
    this.fold.hidden = more <= 0;
    set(this.fold, { "aria-expanded": String(this.unfolded) });
    text(this.fold, this.unfolded ? `Only the largest ${ROWS_FOLDED}` : `${count(more)} smaller ones`);
    text(
      this.note,
      `“Too few”: under ${FEW_SAMPLES} samples, or an error as large as the value.` +
        (chance
          ? ` “Could be chance”: a registered flow label with less than ${byteCount(chance)}, which is ${SIGMAS} standard ` +
            "deviations above what random labels put on a code point, measured on the unregistered ones."
          : ""),
    );
  }

  private sheet(): Sheet | null {
    if (!this.last) return null;
    const { recent, noise } = this.last;
    const { tags, untagged } = listed(recent);
    const chance = chanceOf(noise, recent);
    const { unit } = recent;
    return {
      columns: [
        { name: "Experiment", key: "experiment" },
        { name: "Activity", key: "activity" },
        { name: "Carrier", key: "carrier" },
        { name: "Grade", key: "grade" },
        { name: "Amount", key: unit, words: n => amountWords(unit, n), number: true },
        { name: "± 95 %", key: `error_${unit}`, words: n => amountWords(unit, n), number: true },
        { name: "Samples", key: "samples", words: count, number: true },
        { name: "Now", key: `now_${unit}_per_s`, words: n => rateWords(unit, n), number: true },
        { name: "Could be chance", key: "could_be_chance", number: true },
      ],
      rows: [...tags, ...(untagged ? [untagged] : [])].map(s => [
        experimentName(s.key),
        s.key.experiment_id > 0 ? s.key.activity : "",
        s.key.carrier,
        s.key.grade,
        s.total.value,
        Math.round(halfWidth(s.total.variance)),
        s.total.samples,
        Math.round(s.now.value / recent.recentSeconds()),
        isChance(s, chance) ? 1 : 0,
      ]),
    };
  }

  private row(sum: Sum, whole: number, recent: Recent, chance_bytes: number): Row {
    const { key, total, now } = sum;
    const { unit } = recent;
    const chance = isChance(sum, chance_bytes);
    const error_words = error(total.value, halfWidth(total.variance), total.samples);
    const tagged = key.experiment_id !== 0;
    return {
      id: `${key.experiment_id} ${key.activity_id} ${key.carrier} ${key.grade}`,
      mark: () => swatch(paint(this.theme, key.experiment_id, key.activity_id)),
      kind: !tagged ? "untagged" : error_words === "too few" ? "few" : "",
      data: { experiment: key.experiment_id, activity: key.activity_id, value: total.value },
      cells: [
        experimentName(key),
        key.experiment_id > 0 ? key.activity : tagged ? "many numbers" : "",
        tagged ? key.carrier.replaceAll("-", "\u2011").replace("+", " + ") : "",
        {
          words: !tagged ? "" : chance ? "could be chance" : key.grade,
          title: plural(total.samples, "sample"),
          kind: chance ? "warn" : "",
        },
        now.value > 0 ? rateWords(unit, now.value / recent.recentSeconds()) : "0",
        error(now.value, halfWidth(now.variance), now.samples),
        percent(total.value / whole),
        amountWords(unit, total.value),
        error_words,
      ],
    };
  }
}

function listed(recent: Recent): { whole: Sum; tags: Sum[]; untagged: Sum | null } {
  const all = [
    ...recent.sums(k => `${k.experiment_id} ${k.activity_id} ${k.carrier} ${k.grade}`).values(),
  ].filter(s => s.total.value > 0);
  const untagged = all.filter(s => s.key.experiment_id === 0);
  return {
    whole: add(all),
    tags: all.filter(s => s.key.experiment_id !== 0).sort((a, b) => b.total.value - a.total.value),
    untagged: untagged.length ? add(untagged) : null,
  };
}

/** How much chance could put on one tag, in bytes; 0 when it is not known, or packets are shown. */
function chanceOf(noise: Noise | null, recent: Recent): number {
  return noise && recent.unit !== "packets" ? noise.mean_bytes + SIGMAS * noise.deviation_bytes : 0;
}

const isChance = ({ key, total }: Sum, chance_bytes: number): boolean =>
  key.carrier === "label" && key.grade === "registered" && total.value < chance_bytes;

/** The sum under the first one's name. */
function add(sums: Sum[]): Sum {
  const out: Sum = { key: sums[0]?.key ?? NOBODY, total: nothing(), now: nothing() };
  for (const s of sums) {
    plus(out.total, s.total);
    plus(out.now, s.now);
  }
  return out;
}

const NOBODY: TagKey = {
  experiment_id: 0,
  activity_id: 0,
  experiment: "",
  activity: "",
  carrier: "",
  grade: "",
  direction: "",
};
