// The page for the wall: is what I see true, how much, whose, and how well tagged.

import {
  get,
  reason,
  type CoverageAnswer,
  type HealthAnswer,
  type Source,
  type Tick,
  type TopAnswer,
} from "./api.js";
import type { Theme } from "./colour.js";
import { Coverage } from "./coverage.js";
import { el, on, text } from "./dom.js";
import { bitRate, seconds } from "./format.js";
import { History, RANGES } from "./history.js";
import { measureNoise, type Noise } from "./noise.js";
import type { Page, Shell } from "./page.js";
import { recipes } from "./recipes.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { Tags } from "./tags.js";
import { Tiles } from "./tiles.js";
import { Traffic } from "./traffic.js";
import { readView, writeView, type View } from "./view.js";

const POLL_MS = 10_000;
const RELOAD_MS = 3000; // after a gap: so long does the observer take to know its reason
const SILENCE_MS = 3000; // from then on the picture grows a hatched edge
const DIRECTIONS = [
  ["", "In and out"],
  ["in", "In"],
  ["out", "Out"],
] as const;

export class NowPage implements Page {
  readonly title = "Now";
  readonly element = el("div", { class: "now" });
  private view: View = readView();
  private history: History | null = null;
  private stream: Stream | null = null;
  private loading = new AbortController();
  private coverage: CoverageAnswer | null = null;
  private noise: Noise | null = null;
  private health: HealthAnswer | null = null;
  private arrived_ms = 0;
  private connected = false;
  private paused = false;
  private failures = 0;
  private reload = 0; // timer; 0 none
  private frame = 0;
  private readonly timers: number[];

  private readonly source = el("select", { id: "source" });
  private readonly direction = el("select", { id: "direction" });
  private readonly range = el("select", { id: "range" });
  private readonly hint = el("p", { class: "hint", hidden: true });
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly reasons = el("p", { class: "reasons", hidden: true });
  private readonly strip = new Strip();
  private readonly tiles = new Tiles();
  private readonly traffic: Traffic;
  private readonly coveragePanel = new Coverage();
  private readonly tags: Tags;
  private readonly empty = el("div", { hidden: true });
  private readonly full: HTMLElement;

  constructor(private readonly shell: Shell) {
    this.traffic = new Traffic(shell.theme, id => this.toggle(id));
    this.tags = new Tags(shell.theme);
    for (const [value, words] of DIRECTIONS) this.direction.append(el("option", { value }, words));
    for (const { name, words } of RANGES)
      this.range.append(el("option", { value: name }, words.charAt(0).toUpperCase() + words.slice(1)));
    this.full = el(
      "div",
      { class: "full", hidden: true },
      this.tiles.element,
      this.traffic.element,
      el("div", { class: "lower" }, this.coveragePanel.element, this.tags.element),
    );
    this.element.append(
      el("h1", { class: "unseen" }, "Traffic now"),
      this.strip.element,
      this.reasons,
      el(
        "div",
        { class: "controls" },
        pick("Source", this.source),
        pick("Direction", this.direction),
        pick("Range", this.range),
        this.hint,
      ),
      this.problem,
      this.empty,
      this.full,
    );
    on(this.source, "change", () => this.choose({ source: this.source.value }));
    on(this.direction, "change", () => this.choose({ direction: this.direction.value }));
    on(this.range, "change", () =>
      this.choose({ range: RANGES.find(r => r.name === this.range.value) ?? this.view.range }),
    );
    this.timers = [
      setInterval(() => void this.poll(), POLL_MS),
      setInterval(() => {
        if (performance.now() - this.arrived_ms > SILENCE_MS) this.draw();
      }, 1000),
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
    this.traffic.close();
  }

  setTheme(theme: Theme): void {
    this.traffic.setTheme(theme);
    this.tags.setTheme(theme);
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

  // --- what the reader chooses ----------------------------------------------------------------------

  private toggle(experiment_id: number): void {
    const hidden = new Set(this.view.hidden);
    if (!hidden.delete(experiment_id)) hidden.add(experiment_id);
    this.choose({ hidden });
  }

  private choose(change: Partial<View>): void {
    const before = this.view;
    this.view = { ...before, ...change };
    writeView(this.view);
    this.apply(before);
  }

  private apply(before: View): void {
    const { source, range, direction } = this.view;
    this.showControls();
    if (before.source !== source || before.range !== range) void this.start();
    if (before.source !== source || before.range !== range || before.direction !== direction)
      void this.poll();
    this.draw(true);
  }

  /** The view as the API's parameters, and in words. */
  private params(): { from: string; to: string; filter: string } {
    const { source, range, direction } = this.view;
    const terms = direction ? [`direction=${direction}`] : [];
    return { from: `-${range.name}`, to: "now", filter: new History(range, source).filter(...terms) };
  }

  private words(): string {
    const { source, range, direction } = this.view;
    return [range.words, source, direction && `${direction} only`].filter(Boolean).join(", ");
  }

  // --- data --------------------------------------------------------------------------------------------

  /** Loads the range, then goes on with the stream from the second where the database ends. */
  private async start(): Promise<void> {
    this.loading.abort();
    this.stream?.close();
    clearTimeout(this.reload);
    this.reload = 0;
    const loading = (this.loading = new AbortController());
    const history = new History(this.view.range, this.view.source);
    try {
      await history.load(loading.signal);
    } catch (e) {
      if (loading.signal.aborted) return;
      const wait_s = Math.min(10, 2 ** this.failures++);
      this.say(`The history cannot be loaded: ${reason(e)}. Trying again in ${wait_s} s.`);
      if (this.history?.source !== history.source || this.history.range !== history.range) {
        this.history = null; // what it shows is not what was asked for
        this.full.hidden = true;
      }
      this.shell.live(this.history?.newest_s ?? NaN, false, wait_s);
      this.reload = setTimeout(() => void this.start(), wait_s * 1000);
      return;
    }
    if (loading.signal.aborted) return;
    this.failures = 0;
    this.say("");
    this.history = history;
    this.stream = new Stream(history.newest_s - 1, {
      tick: tick => this.take(history, tick),
      state: (connected, retry_in_s) => {
        if (connected && !this.connected) void this.poll();
        this.connected = connected;
        this.shell.live(this.arrived_ms ? history.newest_s : NaN, connected, retry_in_s);
      },
    });
  }

  private take(history: History, tick: Tick): void {
    if (history !== this.history) return;
    const whole = history.take(tick);
    this.strip.takeTick(tick.second, tick.health);
    this.arrived_ms = performance.now();
    this.shell.live(history.newest_s, true, 0);
    // many seconds may come at once after a pause: one picture is enough
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
    if (!whole && !this.reload)
      // the observer may know more than we saw, and why nothing came
      this.reload = setTimeout(() => void this.start(), RELOAD_MS);
  }

  private async poll(): Promise<void> {
    const params = this.params();
    try {
      const asked_ms = Date.now();
      const health = (this.health = await get<HealthAnswer>("health"));
      this.strip.takeHealth(health, seconds(health.now) - (asked_ms + Date.now()) / 2000);
      this.reasons.hidden = !health.reasons.length;
      text(this.reasons, health.reasons.join("; "));
      this.showSources();
      const random = [params.filter, "grade=unregistered and carrier=label"].filter(Boolean).join(" and ");
      const [coverage, largest] = await Promise.all([
        get<CoverageAnswer>("coverage", params),
        get<TopAnswer>("top", { ...params, filter: random, group: "experiment,activity", limit: "200" }),
      ]);
      if (JSON.stringify(params) !== JSON.stringify(this.params()))
        // chosen anew: that asks for itself
        return;
      this.coverage = coverage;
      this.noise = measureNoise(coverage, largest);
      if (!this.paused) this.coveragePanel.show(coverage, this.words(), params);
    } catch {
      // the badge already says that the observer does not answer
    }
  }

  // --- what is shown --------------------------------------------------------------------------------------

  private say(words: string): void {
    text(this.problem, words);
    this.problem.hidden = !words;
  }

  private showControls(): void {
    this.showSources();
    this.direction.value = this.view.direction;
    this.range.value = this.view.range.name;
  }

  /** Only what carries traffic: captures and sFlow agents, not the sockets they arrive on. */
  private trafficSources(): Source[] {
    return (this.health?.sources ?? []).filter(s => !s.kind.endsWith("_input"));
  }

  private showSources(): void {
    const names = this.trafficSources().map(s => s.name);
    if (this.view.source && !names.includes(this.view.source)) names.push(this.view.source);
    const wanted = ["", ...names];
    if (JSON.stringify([...this.source.options].map(o => o.value)) !== JSON.stringify(wanted))
      this.source.replaceChildren(
        ...wanted.map(value =>
          el("option", { value }, value || (names.length > 1 ? `All ${names.length} added` : "All")),
        ),
      );
    this.source.value = this.view.source;
  }

  private showHint(history: History): void {
    const several = this.view.source ? [] : history.recentSources();
    this.hint.hidden = several.length < 2;
    text(
      this.hint,
      `The sum of ${several.length} sources. Where two of them see the same link, its bytes count twice: choose one.`,
    );
  }

  private draw(at_once = false): void {
    const { history, view } = this;
    if (!history || (this.paused && !at_once) || !this.arrived_ms) return;
    const nothing_seen = !history.total().bytes && !view.source;
    if (nothing_seen && this.empty.hidden)
      this.empty.replaceChildren(recipes((this.health?.sources ?? []).filter(s => !s.parent)));
    this.empty.hidden = !nothing_seen;
    this.full.hidden = nothing_seen;
    if (nothing_seen) return;
    const silent_ms = performance.now() - this.arrived_ms;
    const to_s = history.newest_s + (silent_ms > SILENCE_MS ? Math.floor(silent_ms / 1000) : 0);
    const [words, params] = [this.words(), this.params()];
    this.tiles.show(
      history,
      this.coverage,
      this.trafficSources().find(s => s.name === view.source),
      this.health?.sources.some(s => s.kind === "firefly_input") ?? false,
    );
    this.traffic.show(history, view, to_s, words, params);
    this.tags.show(history, view, this.noise, words, params);
    this.showHint(history);
    this.shell.headline(bitRate(history.recentBytes() / history.recentSeconds()));
  }
}

function pick(name: string, select: HTMLSelectElement): HTMLElement {
  return el("span", { class: "pick" }, el("label", { for: select.id }, name), select);
}
