// Flows: how many and whose, how long and how large, what reads and writes them; and each of them with the tag
// on the wire, the tag that was announced, and what is made of the two.

import { address, get, reason } from "./api.js";
import { tagNumbers, type FlowsAnswer } from "./answers.js";
import { plainPaint, type Theme } from "./colour.js";
import { el, text } from "./dom.js";
import { condition, withCondition } from "./filter.js";
import { keepFocus } from "./focus.js";
import { Applications, Begun, Families, Lengths, Sizes } from "./flow-panels.js";
import { FlowTable, ORDERS, ROWS_MAX, sorting } from "./flow-table.js";
import { count, hourMinute, plural, seconds } from "./format.js";
import { GRADES } from "./grades.js";
import { Page, type Shell } from "./page.js";
import { Panel } from "./panel.js";
import { recipes } from "./recipes.js";
import { swatch } from "./texture.js";
import type { View } from "./view.js";
import { bareWords, rangeOf } from "./words.js";
import "./joined.css";

const LIVE_MS = 5000;
const CHARTS_MS = 30_000;
const SEARCHED_MAX = 2000; // flows among which an announced tag is looked for

export class FlowsPage extends Page {
  readonly element = el("div", { class: "full flows-page" });
  override readonly obeys = {
    filter: true,
    ranges: ["1h", "15m", "6h", "24h", "7d", "30d"],
    any_range: true,
  };
  private readonly begun: Begun;
  private readonly lengths: Lengths;
  private readonly sizes: Sizes;
  private readonly applications: Applications;
  private readonly families: Families;
  private readonly table: FlowTable;
  private readonly panel: Panel;
  private readonly choices = el("div", { class: "choices" });
  private readonly sentence = el("p", { class: "sentence" });
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly empty = el("div", { hidden: true });
  private readonly drawn: HTMLElement;
  private answer: FlowsAnswer | null = null;
  private paused = false;
  private asking = new AbortController();
  private charting = new AbortController();
  private timers: number[] = [];

  constructor(private readonly shell: Shell) {
    super();
    this.begun = new Begun(shell);
    this.lengths = new Lengths(shell);
    this.sizes = new Sizes(shell);
    this.applications = new Applications(shell);
    this.families = new Families(shell);
    this.table = new FlowTable(shell, shell.theme);
    this.panel = new Panel(shell, {
      id: "flows",
      title: "Flows",
      is_table: true,
      kind: "stales",
      body: [this.choices, this.sentence, this.table.element],
      sheet: () => (this.answer ? this.table.sheet() : null),
    });
    this.drawn = el(
      "div",
      { class: "full" },
      el("div", { class: "pair" }, this.begun.panel.element, this.lengths.panel.element),
      el(
        "div",
        { class: "three" },
        this.sizes.panel.element,
        this.applications.panel.element,
        this.families.panel.element,
      ),
      this.panel.element,
    );
    this.element.append(el("h1", { class: "unseen" }, "Flows"), this.problem, this.empty, this.drawn);
  }

  override show(view: View, before: View | null): void {
    const other = !before || before.filter !== view.filter || before.range !== view.range;
    if (other || before.zone !== view.zone) void this.askCharts();
    const table = other || TABLE_MEMBERS.some(m => before[m] !== view[m]);
    if (table) {
      this.showChoices();
      void this.askFlows(true);
    } else if (before.pick !== view.pick) this.table.pick();
    else if (before.zone !== view.zone && this.answer) this.table.show(this.answer.flows, false);
  }

  override setTheme(theme: Theme): void {
    for (const part of [this.begun, this.lengths, this.sizes, this.applications, this.families])
      part.setTheme(theme);
    this.table.setTheme(theme);
    this.showChoices();
  }

  override setPaused(paused: boolean): void {
    this.paused = paused;
    if (!paused && this.answer) void this.askFlows(false);
  }

  override health(): void {
    if (!this.empty.hidden && !this.empty.contains(document.activeElement)) this.showRecipes();
  }

  override close(): void {
    this.timers.forEach(clearTimeout);
    this.asking.abort();
    this.charting.abort();
  }

  // --- the table --------------------------------------------------------------------------------------

  private params(): Record<string, string> {
    const { filter, claim, oddity, state, sort, claimed } = this.shell.view;
    const { from, to } = this.shell.range();
    const { key } = sorting(sort);
    return {
      filter,
      claim,
      oddity,
      ...(state === "ended" ? { state, from, to } : { state: "recent" }),
      order: ORDERS.includes(key) ? key : "bytes",
      limit: String(claimed ? SEARCHED_MAX : ROWS_MAX),
    };
  }

  private async askFlows(anew: boolean): Promise<void> {
    clearTimeout(this.timers[0]);
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    try {
      const answer = await get<FlowsAnswer>("flows", this.params(), signal);
      const { claimed } = this.shell.view;
      if (claimed) {
        // the filter language knows the tag on the wire only
        const found = answer.flows.filter(f => f.claim && tagNumbers(f.claim) === claimed);
        if (answer.flows.length === answer.matching || found.length > ROWS_MAX)
          answer.matching = found.length;
        answer.flows = found.slice(0, ROWS_MAX);
      }
      this.answer = answer;
      this.say("");
      this.table.show(answer.flows, anew);
      this.showSentence();
      this.showEmpty();
    } catch (e) {
      if (signal.aborted) return;
      this.say(
        this.shell.refused(e)
          ? "The filter is not understood; nothing new is shown."
          : `The flows cannot be listed: ${reason(e)}.`,
      );
    }
    if (!this.paused) this.timers[0] = setTimeout(() => void this.askFlows(false), LIVE_MS);
  }

  private showSentence(): void {
    const { answer } = this;
    if (!answer) return;
    const { flows, matching } = answer;
    const { state, sort } = this.shell.view;
    const { key } = sorting(sort);
    const joined = flows.filter(f => f.claim).length;
    const order = ORDERS.includes(key) ? ORDER_WORDS[key] : ORDER_WORDS["bytes"];
    text(
      this.sentence,
      !matching
        ? state === "ended"
          ? "No flow ended in this time, as far as the filter goes."
          : "No flow is followed at the moment, as far as the filter goes. A flow appears with its first packet or firefly."
        : [
            flows.length < matching
              ? `${count(flows.length)} of ${plural(matching, "flow")}, the ones ${order}; narrow the filter to see others.`
              : `${plural(matching, "flow")}.`,
            `${count(joined)} of those listed ${joined === 1 ? "is" : "are"} announced by a firefly.`,
            flows.length < matching && !ORDERS.includes(key) ? "Sorted among those listed." : "",
            this.table.waiting && `The order is held while you read: ${this.table.waiting}.`,
          ]
            .filter(Boolean)
            .join(" "),
    );
    this.panel.show({
      unit: plural(matching, "flow"),
      range:
        state === "ended"
          ? `ended: ${rangeOf(this.shell.range())}`
          : `followed now, or over for less than a minute; at ${hourMinute(seconds(answer.now))}`,
      error: "± sampling error at 95 %",
      json: address("flows", this.params()),
    });
  }

  /** Filters as links: each is an address that can be kept. */
  private showChoices(): void {
    const { view } = this.shell;
    const grade = condition(view.filter, "grade");
    const link = (words: string, change: Partial<View>, on: boolean, mark?: Node): HTMLElement =>
      el(
        "a",
        {
          class: "chip",
          href: this.shell.address("/flows", {
            sort: view.sort,
            state: view.state,
            claim: view.claim,
            oddity: view.oddity,
            claimed: view.claimed,
            ...change,
          }),
          "aria-current": on ? "true" : null,
        },
        mark,
        words,
      );
    const group = (name: string, ...links: HTMLElement[]): HTMLElement =>
      el(
        "div",
        { class: "choice", role: "group", "aria-label": name },
        el("span", { class: "quiet" }, name),
        ...links,
      );
    const groups = [
      group(
        "Flows",
        link("live", { state: "" }, view.state !== "ended"),
        link("ended", { state: "ended" }, view.state === "ended"),
      ),
      group(
        "Grade",
        link("any", { filter: withCondition(view.filter, "grade", "") }, !grade),
        ...GRADES.map(g =>
          link(
            g.grade,
            { filter: withCondition(view.filter, "grade", g.grade) },
            grade === g.grade,
            swatch(plainPaint(this.shell.theme, "grade", g.grade, 0)),
          ),
        ),
      ),
      group(
        "Fireflies",
        link("any", { claim: "" }, !view.claim),
        link("announced", { claim: "yes" }, view.claim === "yes"),
        link("not announced", { claim: "no" }, view.claim === "no"),
      ),
      ...(view.claimed ? [group("Announced tag", link(`${view.claimed} ✕`, { claimed: "" }, true))] : []),
      ...(view.oddity ? [group("Oddity", link(`${bareWords(view.oddity)} ✕`, { oddity: "" }, true))] : []),
    ];
    keepFocus(this.choices, () => this.choices.replaceChildren(...groups));
  }

  // --- the charts ---------------------------------------------------------------------------------------

  private async askCharts(): Promise<void> {
    clearTimeout(this.timers[1]);
    this.charting.abort();
    const { signal } = (this.charting = new AbortController());
    const { filter } = this.shell.view;
    const range = this.shell.range();
    const params = { from: range.from, to: range.to, filter };
    const parts = [this.begun, this.lengths, this.sizes, this.applications, this.families];
    await Promise.all(parts.map(p => p.ask(params, rangeOf(range), signal)));
    if (signal.aborted) return;
    this.showEmpty();
    if (range.live) this.timers[1] = setTimeout(() => void this.askAgain(), CHARTS_MS);
  }

  private async askAgain(): Promise<void> {
    if (!this.paused) return this.askCharts();
    this.timers[1] = setTimeout(() => void this.askAgain(), CHARTS_MS);
  }

  /** Nothing at all, and no filter that could be why: then say how to begin. */
  private showEmpty(): void {
    const { filter, claim, oddity, claimed } = this.shell.view;
    const chosen = filter || claim || oddity || claimed;
    const nothing = !chosen && this.answer?.matching === 0 && this.families.isEmpty && this.begun.isEmpty;
    if (nothing && this.empty.hidden) this.showRecipes();
    this.empty.hidden = !nothing;
    this.drawn.hidden = nothing;
  }

  private showRecipes(): void {
    this.empty.replaceChildren(recipes((this.shell.health?.sources ?? []).filter(s => !s.parent)));
  }

  private say(words: string): void {
    text(this.problem, words);
    this.problem.hidden = !words;
  }
}

const TABLE_MEMBERS = ["claim", "oddity", "state", "sort", "claimed"] as const;
const ORDER_WORDS: Record<string, string> = {
  bytes: "with the most bytes",
  rate: "with the highest rates",
  newest: "begun last",
  duration: "that lasted longest",
};
