// The page for the wall: is what I see true, how much, whose, and how well tagged.

import { get, reason, type CoverageAnswer, type HealthAnswer, type Tick, type TopAnswer } from "./api.js";
import type { Theme } from "./colour.js";
import { Drawing, pick } from "./controls.js";
import { Coverage } from "./coverage.js";
import { el, on, text } from "./dom.js";
import { both, condition, dimensionsOf, withCondition } from "./filter.js";
import { rateWords } from "./format.js";
import { trafficSources } from "./names.js";
import { measureNoise, type Noise } from "./noise.js";
import { Odd } from "./odd.js";
import { Page, type Shell } from "./page.js";
import { Recent } from "./recent.js";
import { recipes } from "./recipes.js";
import { Strip } from "./strip.js";
import { Tags } from "./tags.js";
import { Tiles } from "./tiles.js";
import { Traffic } from "./traffic.js";
import { rangeWords, type View } from "./view.js";

const POLL_MS = 10_000;
const RELOAD_MS = 3000; // after a gap: so long does the observer take to know its reason
const SILENCE_MS = 3000; // from then on the picture grows a hatched edge
const DIRECTIONS = [
  ["", "In and out"],
  ["in", "In"],
  ["out", "Out"],
] as const;

export class NowPage extends Page {
  readonly element = el("div", { class: "now" });
  override readonly obeys = { filter: true, ranges: ["1h", "15m", "5m"], any_range: false };
  override readonly starts_feed = true;
  private recent: Recent | null = null;
  private loading = new AbortController();
  private coverage: CoverageAnswer | null = null;
  private noise: Noise | null = null;
  private random: TopAnswer | null = null; // the largest unregistered tags
  private arrived_ms = 0;
  private paused = false;
  private twice = false; // the observer knows of sources that see the same flows, and says so
  private failures = 0;
  private reload = 0; // timer; 0 none
  private showing_empty: Recent | null = null; // whose emptiness is explained
  private frame = 0;
  private waiting: Tick[] = []; // seconds of the stream that the observer is asked to filter
  private asking = false;
  private readonly timers: number[];

  private readonly source = el("select", { id: "source" });
  private readonly direction = el("select", { id: "direction" });
  private readonly hint = el("p", { class: "hint", hidden: true });
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly reasons = el("p", { class: "reasons", hidden: true });
  private readonly strip = new Strip();
  private readonly tiles = new Tiles();
  private readonly odd: Odd;
  private readonly drawing: Drawing;
  private readonly traffic: Traffic;
  private readonly coveragePanel: Coverage;
  private readonly tags: Tags;
  private readonly empty = el("div", { hidden: true });
  private readonly full: HTMLElement;

  constructor(private readonly shell: Shell) {
    super();
    this.odd = new Odd(shell);
    this.drawing = new Drawing(shell);
    this.traffic = new Traffic(shell);
    this.coveragePanel = new Coverage(shell);
    this.tags = new Tags(shell, shell.theme);
    for (const [value, words] of DIRECTIONS) this.direction.append(el("option", { value }, words));
    this.full = el(
      "div",
      { class: "full", hidden: true },
      this.tiles.element,
      this.odd.element,
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
        this.drawing.units,
        this.drawing.shapes,
        this.hint,
      ),
      this.problem,
      this.empty,
      this.full,
    );
    on(this.source, "change", () => this.demand("source", this.source.value));
    on(this.direction, "change", () => this.demand("direction", this.direction.value));
    this.timers = [
      setInterval(() => void this.poll(), POLL_MS),
      setInterval(() => {
        if (performance.now() - this.arrived_ms > SILENCE_MS) this.draw();
      }, 1000),
    ];
  }

  override close(): void {
    this.timers.forEach(clearInterval);
    clearTimeout(this.reload);
    cancelAnimationFrame(this.frame);
    this.loading.abort();
    this.traffic.close();
  }

  override setTheme(theme: Theme): void {
    this.traffic.setTheme(theme);
    this.tags.setTheme(theme);
    this.draw(true);
  }

  override setPaused(paused: boolean): void {
    this.paused = paused;
    this.draw();
  }

  override show(view: View, before: View | null): void {
    this.showControls();
    this.drawing.show(view);
    const other = !before || before.filter !== view.filter || before.range !== view.range;
    if (other || before.unit !== view.unit) void this.start();
    if (other) void this.poll();
    this.draw(true);
  }

  override health(health: HealthAnswer, offset_s: number): void {
    this.strip.takeHealth(health, offset_s);
    this.reasons.hidden = !health.reasons.length;
    const [first = "", ...more] = health.reasons;
    this.reasons.replaceChildren(
      first,
      more.length ? el("a", { href: this.shell.address("/health") }, `${more.length} more`) : "",
    );
    this.twice = health.reasons.some(r => r.includes("see the same flows"));
    this.showControls();
  }

  override connection(connected: boolean): void {
    if (connected && this.arrived_ms) void this.poll();
  }

  // --- what the reader chooses ----------------------------------------------------------------------

  private demand(dim: string, value: string): void {
    this.shell.choose({ filter: withCondition(this.shell.view.filter, dim, value) });
  }

  /** The view as the API's parameters, and in words. */
  private params(): { from: string; to: string; filter: string } {
    const { from, to } = this.shell.range();
    return { from, to, filter: this.shell.view.filter };
  }

  private words(): string {
    const { filter } = this.shell.view;
    return [rangeWords(this.shell.range()), filter.length > 60 ? "filtered" : filter]
      .filter(Boolean)
      .join(", ");
  }

  // --- data --------------------------------------------------------------------------------------------

  /** Loads the range, then goes on with the stream from the second where the database ends. */
  private async start(): Promise<void> {
    this.loading.abort();
    clearTimeout(this.reload);
    this.reload = 0;
    const loading = (this.loading = new AbortController());
    const unseen = this.unseen();
    if (unseen.length) {
      this.recent = null;
      this.full.hidden = true;
      this.shell.feed.start();
      this.say(`Single seconds do not know ${unseen.join(", ")}; minutes do: `);
      this.problem.append(el("a", { href: this.shell.address("/history") }, "the History of this filter"));
      return;
    }
    const recent = new Recent(this.shell.range(), this.shell.view.filter, this.shell.view.unit);
    try {
      await recent.load(loading.signal);
    } catch (e) {
      if (loading.signal.aborted) return;
      const other =
        this.recent?.filter !== recent.filter ||
        this.recent.range.text !== recent.range.text ||
        this.recent.unit !== recent.unit;
      if (other) {
        this.recent = null; // what it shows is not what was asked for
        this.full.hidden = true;
      }
      this.shell.feed.start();
      if (this.shell.refused(e)) return this.say("The filter is not understood; nothing is shown.");
      const wait_s = Math.min(10, 2 ** this.failures++);
      this.say(`The history cannot be loaded: ${reason(e)}. Trying again in ${wait_s} s.`);
      this.reload = setTimeout(() => void this.start(), wait_s * 1000);
      return;
    }
    if (loading.signal.aborted) return;
    this.failures = 0;
    this.say("");
    this.recent = recent;
    this.waiting = [];
    this.shell.feed.since(recent.newest_s - 1);
  }

  override tick(tick: Tick): void {
    const { recent } = this;
    this.strip.takeTick(tick.second, tick.health);
    if (!recent) return;
    if (!recent.filter) return this.taken(recent.take(tick));
    this.waiting.push(tick);
    void this.askFiltered(recent);
  }

  /** One question at a time; what has come meanwhile is in the next. */
  private async askFiltered(recent: Recent): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    const { signal } = this.loading;
    while (this.waiting.length && recent === this.recent) {
      const ticks = this.waiting;
      this.waiting = [];
      try {
        const whole = await recent.takeFiltered(ticks, signal);
        if (recent === this.recent) this.taken(whole);
      } catch {
        break; // the next second shows the hole, and loads anew
      }
    }
    this.asking = false;
  }

  private taken(whole: boolean): void {
    this.arrived_ms = performance.now();
    // many seconds may come at once after a pause: one picture is enough
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
    if (!whole && !this.reload)
      // the observer may know more than we saw, and why nothing came
      this.reload = setTimeout(() => void this.start(), RELOAD_MS);
  }

  /** What the filter speaks of and single seconds do not know. */
  private unseen(): string[] {
    return [...dimensionsOf(this.shell.view.filter)].filter(d => /site$|^application$/.test(d));
  }

  private async poll(): Promise<void> {
    const params = this.params();
    if (this.unseen().length) return;
    try {
      const [coverage, largest] = await Promise.all([
        get<CoverageAnswer>("coverage", params),
        get<TopAnswer>("top", {
          ...params,
          filter: both(params.filter, "grade=unregistered and carrier=label"),
          group: "experiment,activity",
          limit: "200",
        }),
      ]);
      if (JSON.stringify(params) !== JSON.stringify(this.params()))
        // chosen anew: that asks for itself
        return;
      this.coverage = coverage;
      this.random = largest;
      this.noise = measureNoise(coverage, largest);
      if (!this.paused) this.coveragePanel.show(coverage, this.words(), params);
    } catch {
      // the badge already says that the observer does not answer
    }
  }

  // --- what is shown --------------------------------------------------------------------------------------

  private say(words: string): void {
    if (this.problem.textContent !== words) this.problem.textContent = words;
    this.problem.hidden = !words;
  }

  private showControls(): void {
    const { filter } = this.shell.view;
    const chosen = condition(filter, "source");
    const names = trafficSources(this.shell.health).map(s => s.name);
    if (chosen && !names.includes(chosen)) names.push(chosen);
    const wanted = ["", ...names];
    if (JSON.stringify([...this.source.options].map(o => o.value)) !== JSON.stringify(wanted))
      this.source.replaceChildren(
        ...wanted.map(value =>
          el("option", { value }, value || (names.length > 1 ? `All ${names.length} added` : "All")),
        ),
      );
    this.source.value = chosen;
    this.direction.value = condition(filter, "direction");
    if (this.direction.selectedIndex < 0) this.direction.value = "";
  }

  private showHint(recent: Recent): void {
    const several = condition(recent.filter, "source") ? [] : recent.recentSources();
    this.hint.hidden = several.length < 2 || this.twice;
    text(
      this.hint,
      `The sum of ${several.length} sources. Where two of them see the same link, its bytes count twice: choose one.`,
    );
  }

  private showEmpty(recent: Recent): void {
    const { health } = this.shell;
    this.empty.hidden = false;
    if (this.showing_empty === recent) return;
    if (recent.filter) {
      this.showing_empty = recent;
      this.empty.replaceChildren(
        el(
          "section",
          { class: "panel" },
          el("h2", {}, "No such traffic"),
          el("p", {}, `The filter is understood; nothing in the ${rangeWords(recent.range)} matches it.`),
          el(
            "p",
            { class: "odd" },
            el("a", { href: this.shell.address("/", { filter: "" }) }, "Everything now"),
            el("a", { href: this.shell.address("/history", { range: "30d" }) }, "The filter over 30 days"),
          ),
        ),
      );
    } else if (health) {
      this.showing_empty = recent;
      this.empty.replaceChildren(recipes(health.sources.filter(s => !s.parent)));
    }
  }

  private draw(at_once = false): void {
    const { recent } = this;
    const { view, health } = this.shell;
    if (!recent || (this.paused && !at_once) || !this.arrived_ms) return;
    const nothing_seen = !recent.total().value;
    this.full.hidden = nothing_seen;
    if (nothing_seen) return this.showEmpty(recent);
    this.showing_empty = null;
    this.empty.hidden = true;
    const silent_ms = performance.now() - this.arrived_ms;
    const to_s = recent.newest_s + (silent_ms > SILENCE_MS ? Math.floor(silent_ms / 1000) : 0);
    const [words, params] = [this.words(), this.params()];
    const sources = trafficSources(health);
    const source = condition(recent.filter, "source");
    this.tiles.show(
      recent,
      this.coverage,
      sources.length === 1 ? sources[0] : sources.find(s => s.name === source),
      !recent.filter && (health?.sources.some(s => s.kind === "firefly_input") ?? false),
    );
    const layers = this.traffic.show(recent, view, to_s, words, params);
    this.odd.show(recent, layers, this.coverage, this.random);
    this.tags.show(recent, this.noise, words, params);
    this.showHint(recent);
    this.shell.headline(rateWords(recent.unit, recent.recentValue() / recent.recentSeconds()));
  }
}
