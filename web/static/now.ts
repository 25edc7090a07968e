// The page for the wall: is what I see true, how much, whose, and how well tagged.

import { address, get, reason, type CoverageAnswer, type HealthAnswer, type Source, type Tick } from "./api.js";
import { StackChart, swatch } from "./chart.js";
import { Coverage, withoutNoise } from "./coverage.js";
import { el, on, set, text } from "./dom.js";
import { bitRate, byteCount, clock, count, error, FEW_SAMPLES, hourMinute, percent, plural, seconds, si } from "./format.js";
import { experimentName, halfWidth, History, nothing, NOW_S, plus, RANGES, tagName, type Amount, type Stack, type TagKey } from "./history.js";
import type { Page, Shell } from "./page.js";
import { recipes } from "./recipes.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { LiveTable, type Row } from "./table.js";
import { readView, writeView, type View } from "./view.js";
import type { Theme } from "./colour.js";

const POLL_MS = 10_000;
const TAG_ROWS = 60;
const SIGMAS = 5; // above the noise floor, before a labelled tag counts as seen

const DIRECTIONS = [["", "In and out"], ["in", "In"], ["out", "Out"]] as const;
const TAGGED = new Set(["confirmed", "registered"]);

export class NowPage implements Page {
  readonly title = "Now";
  readonly element = el("div", { class: "now" });
  private view: View = readView();
  private history: History | null = null;
  private stream: Stream | null = null;
  private loading = new AbortController();
  private coverage: CoverageAnswer | null = null;
  private health: HealthAnswer | null = null;
  private arrived_ms = 0;
  private connected = false;
  private paused = false;
  private failures = 0;
  private reload = 0; // timer; 0 none
  private frame = 0;
  private readonly timers: number[];

  private readonly strip = new Strip();
  private readonly chart: StackChart;
  private readonly coveragePanel = new Coverage();
  private readonly sourceSelect = el("select", { id: "source" });
  private readonly directionSelect = el("select", { id: "direction" });
  private readonly rangeSelect = el("select", { id: "range" });
  private readonly hint = el("p", { class: "hint", hidden: true });
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly reasons = el("p", { class: "reasons", hidden: true });
  private readonly tiles = el("section", { class: "tiles", "aria-label": "Rates now" });
  private readonly empty = el("div", { hidden: true });
  private readonly full = el("div", { class: "full" });
  private readonly legend = el("div", { class: "legend", role: "group", "aria-label": "Show or hide" });
  private readonly chartSub = el("span", { class: "sub" });
  private readonly chartLink = el("a", { class: "raw" }, "JSON");
  private readonly chartSentence = el("p", { class: "sentence" });
  private readonly minutes = el("details", { class: "as-table" }, el("summary", {}, "As a table"));
  private readonly tagsSub = el("span", { class: "sub" });
  private readonly tagsLink = el("a", { class: "raw" }, "JSON");
  private readonly tagsNote = el("p", { class: "sentence" });
  private readonly tags = new LiveTable("Tags", [
    { name: "Experiment" }, { name: "Activity" }, { name: "Carrier" }, { name: "Grade" },
    { name: "Rate now", number: true, title: `mean of the last ${NOW_S} s` }, { name: "± 95 %", number: true },
    { name: "Share", number: true, title: "of all bytes in the range" },
    { name: "Bytes", number: true, title: "in the range" }, { name: "± 95 %", number: true },
  ]);

  constructor(private readonly shell: Shell) {
    this.chart = new StackChart(shell.theme);
    for (const [value, words] of DIRECTIONS)
      this.directionSelect.append(el("option", { value }, words));
    for (const r of RANGES)
      this.rangeSelect.append(el("option", { value: r.name }, r.words[0]?.toUpperCase() + r.words.slice(1)));
    this.full.append(
      this.tiles,
      el("section", { class: "panel traffic", "aria-labelledby": "traffic-title" },
        el("div", { class: "head" }, el("h2", { id: "traffic-title" }, "Traffic by experiment and activity"),
          this.chartSub, this.chartLink),
        this.legend, this.chart.element, this.chartSentence, this.minutes),
      el("div", { class: "lower" }, this.coveragePanel.element,
        el("section", { class: "panel tags", "aria-labelledby": "tags-title" },
          el("div", { class: "head" }, el("h2", { id: "tags-title" }, "Tags"), this.tagsSub, this.tagsLink),
          this.tags.element, this.tagsNote)));
    this.element.append(
      el("h1", { class: "unseen" }, "Traffic now"),
      this.strip.element, this.reasons,
      el("div", { class: "controls" },
        el("label", { for: "source" }, "Source"), this.sourceSelect,
        el("label", { for: "direction" }, "Direction"), this.directionSelect,
        el("label", { for: "range" }, "Range"), this.rangeSelect, this.hint),
      this.problem, this.empty, this.full);
    on(this.sourceSelect, "change", () => this.choose({ source: this.sourceSelect.value }));
    on(this.directionSelect, "change", () => this.choose({ direction: this.directionSelect.value }));
    on(this.rangeSelect, "change", () =>
      this.choose({ range: RANGES.find(r => r.name === this.rangeSelect.value) ?? this.view.range }));
    on(this.minutes, "toggle", () => this.showMinutes());
    this.timers = [
      setInterval(() => this.poll(), POLL_MS),
      // without ticks the picture still has to say how old it is
      setInterval(() => { if (performance.now() - this.arrived_ms > 1500) this.draw(); }, 1000),
    ];
    this.showControls();
    void this.start();
    void this.poll();
  }

  close(): void {
    this.timers.forEach(clearInterval);
    clearTimeout(this.reload);
    cancelAnimationFrame(this.frame);
    this.loading.abort();
    this.stream?.close();
    this.chart.destroy();
  }

  setTheme(theme: Theme): void {
    this.chart.setTheme(theme);
    this.tags.clear();
    this.legend.replaceChildren();
    this.draw(true);
  }

  setPaused(paused: boolean): void {
    this.paused = paused;
    this.draw();
  }

  readAddress(): void {
    const before = this.view;
    this.view = readView();
    this.apply(before);
  }

  // --- data -------------------------------------------------------------------------------------

  private choose(change: Partial<View>): void {
    const before = this.view;
    this.view = { ...before, ...change };
    writeView(this.view);
    this.apply(before);
  }

  private apply(before: View): void {
    this.showControls();
    if (before.source !== this.view.source || before.range !== this.view.range)
      void this.start();
    if (before.source !== this.view.source || before.range !== this.view.range || before.direction !== this.view.direction)
      void this.poll();
    this.draw(true);
  }

  /** Loads the range, then goes on with the stream from the second where the database ends. */
  private async start(): Promise<void> {
    this.loading.abort();
    this.stream?.close();
    clearTimeout(this.reload);
    this.reload = 0;
    const loading = this.loading = new AbortController();
    const history = new History(this.view.range, this.view.source);
    try {
      await history.load(loading.signal);
    } catch (e) {
      if (loading.signal.aborted)
        return;
      const wait_s = Math.min(10, 2 ** this.failures++);
      this.say(`The history cannot be loaded: ${reason(e)}. Trying again in ${wait_s} s.`);
      this.shell.live(this.history?.newest_s ?? NaN, false, wait_s);
      this.reload = setTimeout(() => void this.start(), wait_s * 1000);
      return;
    }
    if (loading.signal.aborted)
      return;
    this.failures = 0;
    this.say("");
    this.history = history;
    this.stream = new Stream(history.newest_s - 1, {
      tick: tick => this.take(history, tick),
      state: (connected, retry_in_s) => {
        if (connected && !this.connected)
          void this.poll();
        this.connected = connected;
        this.shell.live(this.arrived_ms ? history.newest_s : NaN, connected, retry_in_s);
      },
    });
  }

  private take(history: History, tick: Tick): void {
    if (history !== this.history)
      return;
    const whole = history.take(tick);
    this.strip.takeTick(tick.second, tick.health);
    this.arrived_ms = performance.now();
    this.connected = true;
    this.shell.live(history.newest_s, true, 0);
    // many seconds may come at once after a pause: one picture is enough
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
    if (!whole && !this.reload) // the observer may know more than we saw, and why nothing came
      this.reload = setTimeout(() => void this.start(), 3000);
  }

  private params(): Record<string, string> {
    const direction = this.view.direction ? [`direction=${this.view.direction}`] : [];
    return { from: `-${this.view.range.name}`, to: "now", filter: new History(this.view.range, this.view.source).filter(...direction) };
  }

  private async poll(): Promise<void> {
    try {
      const asked_ms = Date.now();
      const health = await get<HealthAnswer>("health");
      const offset_s = seconds(health.now) - (asked_ms + Date.now()) / 2000;
      this.health = health;
      this.strip.takeHealth(health, offset_s);
      this.reasons.hidden = !health.reasons.length;
      text(this.reasons, health.reasons.join("; "));
      this.showSources();
      const { view } = this;
      const coverage = await get<CoverageAnswer>("coverage", this.params());
      if (view !== this.view) // chosen anew meanwhile: that has asked for itself
        return;
      this.coverage = coverage;
      if (!this.paused)
        this.coveragePanel.show(coverage, view.range.words, this.params());
    } catch {
      // the badge already says that the observer does not answer
    }
  }

  // --- what is shown ------------------------------------------------------------------------------

  private say(words: string): void {
    text(this.problem, words);
    this.problem.hidden = !words;
  }

  private showControls(): void {
    this.showSources();
    this.directionSelect.value = this.view.direction;
    this.rangeSelect.value = this.view.range.name;
  }

  /** Only what carries traffic: captures and sFlow agents, not the sockets they arrive on. */
  private trafficSources(): Source[] {
    return (this.health?.sources ?? []).filter(s => !s.kind.endsWith("_input"));
  }

  private showSources(): void {
    const names = this.trafficSources().map(s => s.name);
    if (this.view.source && !names.includes(this.view.source))
      names.push(this.view.source);
    const wanted = ["", ...names];
    if (JSON.stringify([...this.sourceSelect.options].map(o => o.value)) !== JSON.stringify(wanted))
      this.sourceSelect.replaceChildren(...wanted.map(value =>
        el("option", { value }, value || (names.length > 1 ? `All ${names.length} added` : "All"))));
    this.sourceSelect.value = this.view.source;
  }

  private draw(at_once = false): void {
    const history = this.history;
    if (!history || (this.paused && !at_once) || !this.arrived_ms)
      return;
    const silent_s = (performance.now() - this.arrived_ms) / 1000;
    const to_s = history.newest_s + (silent_s > 3 ? Math.floor(silent_s) : 0);
    const { starts, covered_s } = history.buckets();
    const all = history.stacks(this.view.direction, starts);
    const shown = all.filter(s => !this.view.hidden.has(s.key.experiment_id));
    const nothing_seen = !all.length && !this.view.source && !this.view.direction;
    this.full.hidden = nothing_seen;
    if (this.empty.hidden === nothing_seen || !this.empty.firstChild)
      this.empty.replaceChildren(...(nothing_seen ? [recipes((this.health?.sources ?? []).filter(s => !s.parent))] : []));
    this.empty.hidden = !nothing_seen;
    if (nothing_seen)
      return;
    this.chart.setData({ from_s: history.from(to_s), to_s, newest_s: history.newest_s, starts, covered_s,
      step_s: history.range.step_s, stacks: shown, gaps: history.gaps });
    this.showLegend(history, all);
    this.showTiles(history);
    this.showTraffic(history, all, shown, to_s);
    this.showTags(history);
    this.showHint(history);
    if (this.minutes.open)
      this.showMinutes();
  }

  private showHint(history: History): void {
    const several = this.view.source ? [] : history.recentSources();
    this.hint.hidden = several.length < 2;
    text(this.hint, `The sum of ${several.length} sources. Where two of them see the same link, its bytes count twice: choose one.`);
  }

  private showTiles(history: History): void {
    const observed_s = Math.max(1, history.recentSeconds());
    const sums = history.sums("", k => `${k.direction}\n${TAGGED.has(k.grade)}`);
    const by = new Map<string, { all: Amount; tagged: Amount }>();
    for (const { key, now, total } of sums.values()) {
      if (!total.bytes && !now.bytes)
        continue;
      let d = by.get(key.direction);
      if (!d)
        by.set(key.direction, d = { all: nothing(), tagged: nothing() });
      plus(d.all, now);
      if (TAGGED.has(key.grade))
        plus(d.tagged, now);
    }
    const names: [string, string][] = [["in", "In now"], ["out", "Out now"], ["internal", "Internal now"],
      ["transit", "Transit now"], ["unknown", "Now, in or out"]];
    const shown = names.filter(([id]) => by.has(id) || (by.size > 0 && !by.has("unknown") && (id === "in" || id === "out")));
    const chosen = this.trafficSources().find(s => s.name === this.view.source);
    const tiles = shown.map(([id, name]) => {
      const d = by.get(id) ?? { all: nothing(), tagged: nothing() };
      return tile(id, name, si(d.all.bytes / observed_s * 8, "bit/s"),
        [error(d.all.bytes, halfWidth(d.all.variance), d.all.samples),
          d.all.bytes > 0 && `${percent(d.tagged.bytes / d.all.bytes)} tagged`,
          chosen?.if_speed_bps && id !== "unknown" && `${percent(d.all.bytes / observed_s * 8 / chosen.if_speed_bps)} of capacity`,
          id === "unknown" && "set site.prefixes to tell them apart"].filter(Boolean).join(", "), d.all.bytes / observed_s);
    });
    const c = this.coverage;
    if (c)
      tiles.push(tile("tagged", "Tagged", [percent(c.tagged_share).replace(" %", ""), "%"],
        `of the bytes, ${this.view.range.words}; ${withoutNoise(c)}`, c.tagged_share));
    if (this.health?.sources.some(s => s.kind === "firefly_input")) {
      const { starts, ongoings, ends } = history.recentClaims();
      tiles.push(tile("fireflies", "Fireflies now", si((starts + ongoings + ends) / observed_s, "/s"),
        `${plural(starts, "start")}, ${count(ongoings)} ongoing, ${plural(ends, "end")} in ${observed_s} s`, (starts + ongoings + ends) / observed_s));
    }
    this.tiles.replaceChildren(...tiles);
    const now = [...by.values()].reduce((sum, d) => sum + d.all.bytes, 0) / observed_s;
    this.shell.headline(bitRate(now));
  }

  private showLegend(history: History, all: Stack[]): void {
    const sums = history.sums(this.view.direction, k => String(k.experiment_id));
    const observed_s = Math.max(1, history.recentSeconds());
    const experiments = new Map(all.map(s => [s.key.experiment_id, experimentName(s.key)]));
    const have = [...this.legend.children].map(c => c.getAttribute("data-experiment")).join(" ");
    if (have !== [...experiments.keys()].join(" "))
      this.legend.replaceChildren(...[...experiments].map(([id, name]) => {
        const chip = el("button", { type: "button", class: "chip", "data-experiment": id },
          swatch(this.shell.theme, id, 0), el("span", {}, name), el("span", { class: "quiet number" }));
        on(chip, "click", () => {
          const hidden = new Set(this.view.hidden);
          if (!hidden.delete(id))
            hidden.add(id);
          this.choose({ hidden });
        });
        return chip;
      }));
    for (const chip of this.legend.children) {
      const id = Number(chip.getAttribute("data-experiment"));
      const hidden = this.view.hidden.has(id);
      set(chip, { "aria-pressed": !hidden ? "true" : "false", title: hidden ? "hidden: click to show" : "click to hide" });
      const rate = chip.lastElementChild;
      if (rate)
        text(rate, bitRate((sums.get(String(id))?.now.bytes ?? 0) / observed_s));
    }
  }

  private words(): string {
    return [this.view.range.words, this.view.source || (this.trafficSources().length > 1 ? "all sources added" : ""),
      this.view.direction && `${this.view.direction} only`].filter(Boolean).join(", ");
  }

  private showTraffic(history: History, all: Stack[], shown: Stack[], to_s: number): void {
    const step = history.range.step_s === 1 ? "each second" : `means of ${history.range.step_s} s`;
    text(this.chartSub, `bit/s, ${step}, ${this.words()}, ${hourMinute(history.from(to_s))} to ${hourMinute(to_s)} UTC`);
    this.chartLink.setAttribute("href", address("series", { ...this.params(), step: `${history.range.step_s}s`, group: "experiment,activity" }));
    const sum = (stacks: Stack[]): Amount => stacks.reduce((a, s) => s.points.reduce(plus, a), nothing());
    const total = sum(all);
    const largest = all.filter(s => s.key.experiment_id > 0)
      .map(s => ({ key: s.key, bytes: sum([s]).bytes })).sort((a, b) => b.bytes - a.bytes)[0];
    const left_out = shown.length < all.length
      ? ` Hidden in the picture: ${byteCount(total.bytes - sum(shown).bytes)}.` : "";
    text(this.chartSentence, `${byteCount(total.bytes)} (${error(total.bytes, halfWidth(total.variance), total.samples)}) in the ${history.range.words}` +
      (largest ? `; the largest tag is ${tagName(largest.key)} with ` +
        `${byteCount(largest.bytes)}, ${percent(largest.bytes / total.bytes)}.` : "; none of it carries a registered tag.") + left_out);
    set(this.chart.element, { "data-newest": history.newest_s, "data-total": total.bytes, "data-layers": shown.length });
  }

  private showTags(history: History): void {
    const sums = history.sums(this.view.direction, k => `${k.experiment_id} ${k.activity_id} ${k.carrier} ${k.grade}`);
    const observed_s = Math.max(1, history.recentSeconds());
    const all = [...sums.values()].filter(s => s.total.bytes > 0);
    const total = all.reduce((a, s) => plus(a, s.total), nothing());
    const noise = this.coverage?.noise;
    // what one registered code point shows by chance, in samples: that is what Poisson counts
    const random = all.filter(s => s.key.grade === "unregistered" && s.key.carrier === "label").reduce((a, s) => plus(a, s.total), nothing());
    const floor = noise ? random.samples / noise.unregistered_code_points : NaN;
    const tags = all.filter(s => s.key.experiment_id !== 0).sort((a, b) => b.total.bytes - a.total.bytes);
    const rows = tags.slice(0, TAG_ROWS).map(s => this.tagRow(s, total.bytes, observed_s, floor));
    const untagged = all.filter(s => s.key.experiment_id === 0);
    if (untagged.length) {
      const sum = { key: { ...(untagged[0] as { key: TagKey }).key, carrier: "none", grade: "untagged" }, total: nothing(), now: nothing() };
      for (const s of untagged) {
        plus(sum.total, s.total);
        plus(sum.now, s.now);
      }
      rows.push(this.tagRow(sum, total.bytes, observed_s, NaN));
    }
    this.tags.show(rows);
    text(this.tagsSub, `${plural(tags.filter(t => t.key.experiment_id > 0).length, "tag")}, ${this.words()}; now is the mean of ${NOW_S} s to ${clock(history.newest_s)} UTC`);
    this.tagsLink.setAttribute("href", address("top", { ...this.params(), group: "experiment,activity,carrier,grade" }));
    const more = tags.length > TAG_ROWS ? ` ${count(tags.length - TAG_ROWS)} smaller tags are not listed.` : "";
    text(this.tagsNote, `“Too few”: under ${FEW_SAMPLES} samples, or an error as large as the value. “Could be chance”: a registered label within ` +
      `${SIGMAS} standard deviations of what random flow labels put on every code point` +
      (floor > 0 ? `, ${samplesWords(floor)} here.` : ".") + more);
  }

  private tagRow(s: { key: TagKey; total: Amount; now: Amount }, all_bytes: number, observed_s: number, floor: number): Row {
    const { key, total, now } = s;
    const labelled = key.carrier === "label" && key.grade === "registered";
    const clear = total.samples > floor + SIGMAS * Math.sqrt(Math.max(floor, 1));
    const chance = labelled && !Number.isNaN(floor) && !clear;
    const samples = `${plural(total.samples, "sample")}${labelled && floor >= 0 ? `; chance explains ${samplesWords(floor)}` : ""}`;
    const few = error(total.bytes, halfWidth(total.variance), total.samples) === "too few";
    return {
      id: `${key.experiment_id} ${key.activity_id} ${key.carrier} ${key.grade}`,
      mark: () => swatch(this.shell.theme, key.experiment_id, key.activity_id),
      kind: key.experiment_id === 0 ? "untagged" : few ? "few" : "",
      data: { experiment: key.experiment_id, activity: key.activity_id, bytes: total.bytes },
      cells: [
        experimentName(key),
        key.experiment_id > 0 ? key.activity : key.experiment_id < 0 ? "many numbers" : "",
        key.carrier === "none" ? "" : key.carrier,
        { words: key.experiment_id === 0 ? "" : chance ? "could be chance" : key.grade, title: samples, kind: chance ? "warn" : "" },
        now.bytes > 0 ? bitRate(now.bytes / observed_s) : "0", error(now.bytes, halfWidth(now.variance), now.samples),
        percent(total.bytes / all_bytes), byteCount(total.bytes),
        error(total.bytes, halfWidth(total.variance), total.samples),
      ],
    };
  }

  /** The chart as numbers: one line a minute, newest first, a column per experiment. */
  private showMinutes(): void {
    const history = this.history;
    if (!this.minutes.open || !history)
      return;
    const { starts, covered_s } = history.buckets();
    const stacks = history.stacks(this.view.direction, starts);
    const experiments = [...new Map(stacks.map(s => [s.key.experiment_id, s.key])).values()];
    const per = history.range.span_s > 900 ? 60 : 10;
    const head = el("tr", {}, el("th", { scope: "col" }, "UTC"), ...experiments.map(k =>
      el("th", { scope: "col", class: "number" }, experimentName(k))));
    const body = el("tbody");
    const groups = new Map<number, number[]>();
    starts.forEach((s, i) => {
      const at = Math.floor(s / per) * per;
      groups.set(at, [...(groups.get(at) ?? []), i]);
    });
    for (const [at, indices] of [...groups].reverse()) {
      const observed_s = indices.reduce((sum, i) => sum + (covered_s[i] ?? 0), 0);
      body.append(el("tr", {}, el("th", { scope: "row" }, clock(at)), ...experiments.map(k => {
        const bytes = stacks.filter(s => s.key.experiment_id === k.experiment_id)
          .reduce((sum, s) => indices.reduce((b, i) => b + (s.points[i]?.bytes ?? 0), sum), 0);
        return el("td", { class: "number" }, observed_s > 0 ? bitRate(bytes / observed_s) : "no data");
      })));
    }
    const old = this.minutes.querySelector(".scroll");
    const top = old?.scrollTop ?? 0;
    old?.remove();
    const scroll = el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Traffic as a table" },
      el("table", {}, el("thead", {}, head), body));
    this.minutes.append(scroll);
    scroll.scrollTop = top;
  }
}

function samplesWords(n: number): string {
  return n < 0.01 ? "under 0.01 samples" : `${n < 10 ? n.toFixed(2) : count(n)} samples`;
}

function tile(id: string, name: string, [number, unit]: [string, string], small: string, value: number): HTMLElement {
  return el("div", { class: "tile", "data-tile": id, "data-value": value },
    el("h3", {}, name), el("p", { class: "big" }, number, el("span", { class: "unit" }, ` ${unit}`)), el("p", { class: "small" }, small));
}
