// Every tag of the range, largest first, and which of them chance could explain.

import { address } from "./api.js";
import type { Theme } from "./colour.js";
import { el, text } from "./dom.js";
import { bitRate, byteCount, clock, count, error, FEW_SAMPLES, percent, plural } from "./format.js";
import {
  experimentName,
  halfWidth,
  nothing,
  NOW_S,
  plus,
  type Amount,
  type History,
  type TagKey,
} from "./history.js";
import type { Noise } from "./noise.js";
import { LiveTable, type Row } from "./table.js";
import { swatch } from "./texture.js";
import type { View } from "./view.js";

const ROWS_MAX = 60;
const SIGMAS = 5; // above the noise floor, before a labelled tag counts as seen

interface Sum {
  key: TagKey;
  total: Amount;
  now: Amount;
}

export class Tags {
  readonly element: HTMLElement;
  private readonly sub = el("span", { class: "sub" });
  private readonly link = el("a", { class: "raw" }, "JSON");
  private readonly note = el("p", { class: "sentence" });
  private readonly table = new LiveTable("Tags", [
    { name: "Experiment" },
    { name: "Activity" },
    { name: "Carrier" },
    { name: "Grade" },
    { name: "Rate now", number: true, title: `mean of the last ${NOW_S} s` },
    { name: "± 95 %", number: true },
    { name: "Share", number: true, title: "of all bytes in the range" },
    { name: "Bytes", number: true, title: "in the range" },
    { name: "± 95 %", number: true },
  ]);

  constructor(private theme: Theme) {
    this.element = el(
      "section",
      { class: "panel tags", "aria-labelledby": "tags-title" },
      el("div", { class: "head" }, el("h2", { id: "tags-title" }, "Tags"), this.sub, this.link),
      this.table.element,
      this.note,
    );
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.table.clear();
  }

  show(
    history: History,
    view: View,
    noise: Noise | null,
    words: string,
    params: Record<string, string>,
  ): void {
    const all = [
      ...history
        .sums(view.direction, k => `${k.experiment_id} ${k.activity_id} ${k.carrier} ${k.grade}`)
        .values(),
    ].filter(s => s.total.bytes > 0);
    const whole = add(all);
    const tags = all.filter(s => s.key.experiment_id !== 0).sort((a, b) => b.total.bytes - a.total.bytes);
    const untagged = all.filter(s => s.key.experiment_id === 0);
    const chance_bytes = noise ? noise.mean_bytes + SIGMAS * noise.deviation_bytes : 0;
    const rows = [...tags.slice(0, ROWS_MAX), ...(untagged.length ? [add(untagged)] : [])];
    this.table.show(rows.map(s => this.row(s, whole.total.bytes, history.recentSeconds(), chance_bytes)));
    text(
      this.sub,
      `${plural(tags.filter(t => t.key.experiment_id > 0).length, "tag")}, ${words}; ` +
        `now is the mean of ${NOW_S} s to ${clock(history.newest_s)} UTC`,
    );
    this.link.setAttribute("href", address("top", { ...params, group: "experiment,activity,carrier,grade" }));
    text(
      this.note,
      `“Too few”: under ${FEW_SAMPLES} samples, or an error as large as the value. ` +
        `“Could be chance”: a registered flow label with less than ${byteCount(chance_bytes)}, which is ${SIGMAS} standard deviations above ` +
        "what random labels put on a code point, measured on the unregistered ones." +
        (tags.length > ROWS_MAX ? ` ${count(tags.length - ROWS_MAX)} smaller tags are not listed.` : ""),
    );
  }

  private row({ key, total, now }: Sum, whole_bytes: number, observed_s: number, chance_bytes: number): Row {
    const chance = key.carrier === "label" && key.grade === "registered" && total.bytes < chance_bytes;
    const error_words = error(total.bytes, halfWidth(total.variance), total.samples);
    const tagged = key.experiment_id !== 0;
    return {
      id: `${key.experiment_id} ${key.activity_id} ${key.carrier} ${key.grade}`,
      mark: () => swatch(this.theme, key.experiment_id, key.activity_id),
      kind: !tagged ? "untagged" : error_words === "too few" ? "few" : "",
      data: { experiment: key.experiment_id, activity: key.activity_id, bytes: total.bytes },
      cells: [
        experimentName(key),
        key.experiment_id > 0 ? key.activity : tagged ? "many numbers" : "",
        tagged ? key.carrier.replaceAll("-", "\u2011").replace("+", " + ") : "",
        {
          words: !tagged ? "" : chance ? "could be chance" : key.grade,
          title: plural(total.samples, "sample"),
          kind: chance ? "warn" : "",
        },
        now.bytes > 0 ? bitRate(now.bytes / observed_s) : "0",
        error(now.bytes, halfWidth(now.variance), now.samples),
        percent(total.bytes / whole_bytes),
        byteCount(total.bytes),
        error_words,
      ],
    };
  }
}

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
