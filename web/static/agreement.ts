// Agreement: do the packets and the fireflies say the same? Tag against tag; who sends, how well his words fit, and
// what is odd about them, with what to do about it.

import {
  hasTag,
  isRegistered,
  tagNumbers,
  type AgreementAnswer,
  type FlowsAnswer,
  type Grade,
  type SharesAnswer,
  type Tag,
} from "./answers.js";
import { address, get, reason } from "./api.js";
import { Bars } from "./bars.js";
import { plainPaint, type Theme } from "./colour.js";
import { el, text } from "./dom.js";
import { keepFocus } from "./focus.js";
import { quoted } from "./filter.js";
import { byteCount, clock, count, percent, plural, seconds, zone } from "./format.js";
import { GRADE_RANK } from "./grades.js";
import { Matrix, type MatrixCell, type Side } from "./matrix.js";
import { Page, type Shell } from "./page.js";
import { Panel } from "./panel.js";
import { recipes } from "./recipes.js";
import { Oddities, Senders } from "./senders.js";
import type { View } from "./view.js";
import { rangeOf } from "./words.js";
import { tagName } from "./layers.js";
import { swatch } from "./texture.js";
import "./joined.css";

const ASK_MS = 5000;
const UNANNOUNCED_MAX = 2000; // live flows without a firefly that are looked at
const SITES_MAX = 16;
const SENDERS_MAX = 1000;

const NOT_MARKED: Side = {
  id: "none",
  name: "not marked",
  rank: 1e7,
  tag: null,
  hint: "No usable tag in the packets.",
};
const UNREGISTERED: Side = {
  id: "unregistered",
  name: "unregistered",
  rank: 1e7 + 1,
  tag: null,
  hint: "The packets' tag is in no registry: an ordinary host's random label, most likely.",
};
const NOT_ANNOUNCED: Side = {
  id: "silent",
  name: "not announced",
  rank: 1e7,
  tag: null,
  hint: "No firefly: flows of this moment.",
};
const DEAD: Side = {
  id: "dead",
  name: "not in the registry",
  rank: 1e7 + 1,
  tag: null,
  hint: "The fireflies' tag is in no registry.",
};
const REST: Side = {
  id: "rest",
  name: "others",
  rank: 1e7 + 2,
  tag: null,
  hint: "Pairs of tags beyond the observer's table.",
};

export class AgreementPage extends Page {
  readonly element = el("div", { class: "full agreement-page" });
  override readonly obeys = { filter: false, ranges: ["1h", "6h", "24h", "7d", "30d"], any_range: true };
  private readonly problem = el("p", { class: "problem", role: "alert", hidden: true });
  private readonly tiles = el("section", { class: "tiles stales", "aria-label": "Agreement in figures" });
  private readonly choices = el("div", { class: "choices" });
  private readonly sentence = el("p", { class: "sentence" });
  private readonly matrix: Matrix;
  private readonly panel: Panel;
  private readonly senders: Senders;
  private readonly oddities: Oddities;
  private readonly sites: Bars;
  private readonly sitesPanel: Panel;
  private readonly sitesSentence = el("p", { class: "sentence" });
  private readonly empty = el("div", { hidden: true });
  private readonly drawn: HTMLElement;
  private answer: AgreementAnswer | null = null;
  private silent: FlowsAnswer | null = null;
  private shares: SharesAnswer | null = null;
  private paused = false;
  private timer = 0;
  private asking = new AbortController();
  private scrolled = false;

  constructor(private readonly shell: Shell) {
    super();
    this.matrix = new Matrix(shell.theme);
    this.panel = new Panel(shell, {
      id: "tags-matrix",
      title: "Packets against fireflies",
      kind: "stales",
      is_table: true,
      body: [this.choices, this.matrix.element, this.sentence],
      sheet: () => this.matrix.sheet(),
    });
    this.senders = new Senders(shell);
    this.oddities = new Oddities(shell);
    this.sites = new Bars(
      shell.theme,
      "site-grades",
      "Grades of the bytes by site",
      ["Site", "Tagged", "Bytes"],
      "shares",
    );
    this.sitesPanel = new Panel(shell, {
      id: "site-coverage",
      title: "Coverage by site",
      kind: "stales",
      is_table: true,
      body: [gradeKey(shell.theme), this.sites.element, this.sitesSentence],
      sheet: () =>
        this.shares && {
          columns: [
            { name: "Site", key: "site" },
            { name: "Bytes", key: "bytes", words: byteCount, number: true },
            ...GRADE_RANK.map(g => ({ name: g, key: `${g}_bytes`, words: byteCount, number: true })),
            { name: "Tagged", key: "tagged_share", words: percent, number: true },
          ],
          rows: this.shares.sites.map(s => [
            siteWords(s.site),
            s.bytes,
            ...GRADE_RANK.map(g => s[g as Grade]),
            s.tagged_share,
          ]),
        },
    });
    this.drawn = el(
      "div",
      { class: "full" },
      this.tiles,
      el("div", { class: "beside" }, this.panel.element, this.sitesPanel.element),
      this.senders.panel.element,
      this.oddities.panel.element,
    );
    this.element.append(el("h1", { class: "unseen" }, "Agreement"), this.problem, this.empty, this.drawn);
  }

  override show(view: View, before: View | null): void {
    if (!before || before.range !== view.range) {
      void this.ask();
      void this.askShares();
    } else this.draw();
  }

  override setTheme(theme: Theme): void {
    this.matrix.setTheme(theme);
    this.senders.setTheme();
    this.sites.setTheme(theme);
    this.sitesPanel.element.querySelector(".key")?.replaceWith(gradeKey(theme));
    this.draw();
    this.drawSites();
  }

  override setPaused(paused: boolean): void {
    this.paused = paused;
    if (!paused && this.answer) void this.ask();
  }

  override health(): void {
    if (!this.empty.hidden && !this.empty.contains(document.activeElement)) this.showRecipes();
  }

  private showRecipes(): void {
    this.empty.replaceChildren(recipes((this.shell.health?.sources ?? []).filter(s => !s.parent)));
  }

  override close(): void {
    clearTimeout(this.timer);
    this.asking.abort();
  }

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    try {
      [this.answer, this.silent] = await Promise.all([
        get<AgreementAnswer>("agreement", { limit: String(SENDERS_MAX) }, signal),
        get<FlowsAnswer>("flows", UNANNOUNCED, signal),
      ]);
      this.say("");
      this.draw();
      if (!this.scrolled && location.hash)
        document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
      this.scrolled = true;
    } catch (e) {
      if (signal.aborted) return;
      this.say(`How well they agree is not to be had: ${reason(e)}.`);
    }
    if (!this.paused) this.timer = setTimeout(() => void this.again(), ASK_MS);
  }

  private async again(): Promise<void> {
    await this.ask();
    if (this.shell.range().live) void this.askShares();
  }

  private async askShares(): Promise<void> {
    const { from, to } = this.shell.range();
    try {
      this.shares = await get<SharesAnswer>("coverage", { from, to });
      this.drawSites();
    } catch (e) {
      text(this.sitesSentence, `Not to be had: ${reason(e)}.`);
    }
  }

  private say(words: string): void {
    text(this.problem, words);
    this.problem.hidden = !words;
  }

  // --- tag against tag ------------------------------------------------------------------------------------

  private draw(): void {
    const { answer, silent } = this;
    if (!answer || !silent) return;
    const nothing = !answer.senders_known && !silent.matching;
    if (nothing && this.empty.hidden) this.showRecipes();
    this.empty.hidden = !nothing;
    this.drawn.hidden = nothing;
    const hour = this.shell.view.state !== "start";
    const cells = this.cells(answer, silent, hour);
    const words = hour ? "in the running hour" : "since the observer started";
    this.showChoices(hour);
    this.matrix.show(cells);
    this.showTiles(answer, silent, hour);
    const other = cells.filter(c => c.verdict === "other").sort((a, b) => b.flows - a.flows);
    const [worst] = other;
    text(
      this.sentence,
      cells.length
        ? (worst
            ? `Most of what disagrees: packets of ${worst.wire.name} announced as ${worst.claim.name}, ${plural(worst.flows, "flow")}. `
            : "No packet carries another registered tag than its firefly announces. ") +
            "Each number leads to its flows. " +
            `“Not announced” are ${silent.matching > silent.flows.length ? `the ${count(silent.flows.length)} largest of ${count(silent.matching)}` : count(silent.matching)} live flows with a registered tag and no firefly.`
        : "Nothing to compare yet: a flow appears here when it was seen on the wire and announced by a firefly.",
    );
    this.panel.show({
      unit: "flows",
      range: `${words}, at ${clock(seconds(answer.now))} ${zone()}`,
      json: address("agreement", { limit: String(SENDERS_MAX) }),
    });
    this.senders.show(answer);
    this.oddities.show(answer);
  }

  private cells(answer: AgreementAnswer, silent: FlowsAnswer, hour: boolean): MatrixCell[] {
    const by = new Map<string, MatrixCell>();
    const add = (
      wire: Side,
      claim: Side,
      verdict: MatrixCell["verdict"],
      flows: number,
      bytes: number,
      href: string,
    ): void => {
      if (!flows) return;
      const id = `${wire.id}\n${claim.id}`;
      const have = by.get(id);
      if (!have) by.set(id, { wire, claim, verdict, flows, bytes, href });
      else {
        have.flows += flows;
        have.bytes += bytes;
      }
    };
    for (const c of answer.cells)
      add(
        wireSide(c.wire),
        claimSide(c.claim),
        c.verdict,
        hour ? c.flows_1h : c.flows,
        hour ? c.bytes_1h : c.bytes,
        this.href(c.wire, c.claim, c.verdict, hour),
      );
    for (const f of silent.flows)
      if (isRegistered(f))
        add(wireSide(f), NOT_ANNOUNCED, "silent", 1, f.bytes, this.flowsOf(f, { claim: "no" }));
    return [...by.values()];
  }

  /** Where the flows behind a cell are: most of them are over. */
  private href(wire: Tag, claim: Tag, verdict: string, hour: boolean): string {
    const ended = { state: "ended", range: hour ? "1h" : "24h", claim: "yes" };
    if (verdict === "dead")
      return this.shell.address("/flows", { ...ended, oddity: hasTag(claim) ? "dead_number" : "no_tag" });
    if (verdict === "unmarked") return this.flowsOf(claim, { ...ended }, "claimed");
    return this.flowsOf(
      wire,
      { ...ended, claimed: tagNumbers(claim) },
      verdict === "same" ? "confirmed" : "disagree",
    );
  }

  private flowsOf(tag: Tag, change: Partial<View>, grade = ""): string {
    const filter = [
      isRegistered(tag) ? `experiment=${quoted(tag.experiment)} and activity=${quoted(tag.activity)}` : "",
      grade && `grade=${grade}`,
    ]
      .filter(Boolean)
      .join(" and ");
    return this.shell.address("/flows", { filter, ...change });
  }

  private showChoices(hour: boolean): void {
    const link = (words: string, state: string, on: boolean): HTMLElement =>
      el(
        "a",
        {
          class: "chip",
          href: this.shell.address("/agreement", { state }),
          "aria-current": on ? "true" : null,
        },
        words,
      );
    const group = el(
      "div",
      { class: "choice", role: "group", "aria-label": "Flows of" },
      el("span", { class: "quiet" }, "Flows of"),
      link("the running hour", "", hour),
      link("all time since the start", "start", !hour),
    );
    keepFocus(this.choices, () => this.choices.replaceChildren(group));
  }

  private showTiles(answer: AgreementAnswer, silent: FlowsAnswer, hour: boolean): void {
    const of = (verdict: string): number =>
      answer.cells
        .filter(c => c.verdict === verdict)
        .reduce((sum, c) => sum + (hour ? c.flows_1h : c.flows), 0);
    const [same, other, unmarked] = [of("same"), of("other"), of("unmarked")];
    const both = same + other;
    const claims = answer.senders.reduce((sum, s) => sum + s.claims, 0);
    const joined = answer.senders.reduce((sum, s) => sum + s.joined, 0);
    const offsets = answer.senders.map(s => s.clock_offset_s).filter((s): s is number => s !== null);
    const tile = (
      id: string,
      name: string,
      [big, unit]: [string, string],
      small: string,
      value: number,
    ): HTMLElement =>
      el(
        "div",
        { class: "tile", "data-tile": id, "data-value": value },
        el("h3", {}, name),
        el("p", { class: "big" }, big, unit && el("span", { class: "unit" }, ` ${unit}`)),
        el("p", { class: "small" }, small),
      );
    const share = (n: number, all: number): [string, string] =>
      all ? [percent(n / all).replace(" %", ""), "%"] : ["–", ""];
    this.tiles.replaceChildren(
      tile(
        "agree",
        "Agree",
        share(same, both),
        `${count(same)} of ${plural(both, "flow")} marked and announced`,
        same,
      ),
      tile("disagree", "Disagree", [count(other), ""], "flows with two registered tags", other),
      tile(
        "unmarked",
        "Announced, not marked",
        [count(unmarked), ""],
        "flows without a usable tag in their packets",
        unmarked,
      ),
      tile(
        "silent",
        "Marked, not announced",
        [count(silent.matching), ""],
        "live flows with a registered tag",
        silent.matching,
      ),
      tile(
        "seen",
        "Announced and seen",
        share(joined, claims),
        `${count(joined)} of ${plural(claims, "announced flow")}, since the start`,
        joined,
      ),
      tile(
        "senders",
        "Senders",
        [count(answer.senders_known), ""],
        offsets.length
          ? `${count(offsets.filter(s => Math.abs(s) > 5).length)} with a clock more than 5 s off`
          : "none says the time",
        answer.senders_known,
      ),
    );
  }

  // --- coverage by site -------------------------------------------------------------------------------------

  private drawSites(): void {
    const { shares } = this;
    if (!shares) return;
    const listed = shares.sites.filter(s => s.bytes > 0).sort((a, b) => b.bytes - a.bytes);
    const shown = listed.slice(0, SITES_MAX);
    this.sites.show(
      shown.map(s => ({
        name: siteWords(s.site),
        href: this.shell.address("/flows", { filter: `site=${quoted(s.site)}` }),
        parts: GRADE_RANK.map(g => ({
          value: s[g as Grade],
          paint: theme => plainPaint(theme, "grade", g, 0),
        })),
        cells: [percent(s.tagged_share), byteCount(s.bytes)],
        data: { site: s.site, bytes: s.bytes, share: s.tagged_share },
      })),
    );
    const known = listed.filter(s => siteWords(s.site) === s.site);
    const best = [...known].sort((a, b) => b.tagged_share - a.tagged_share)[0];
    text(
      this.sitesSentence,
      !listed.length
        ? "Nothing was seen in this time."
        : !known.length
          ? "No site is known: keys sites.own and sites.cric of the configuration."
          : `Best tagged is ${best?.site ?? ""}, ${percent(best?.tagged_share ?? 0)} of its bytes. A byte counts for both of its ends.` +
            (listed.length > shown.length
              ? ` ${plural(listed.length - shown.length, "smaller one")} not drawn.`
              : ""),
    );
    this.sitesPanel.show({
      unit: "share of bytes by grade",
      range: rangeOf(this.shell.range()),
      json: address("coverage", { from: this.shell.range().from, to: this.shell.range().to }),
    });
  }
}

const UNANNOUNCED = {
  claim: "no",
  grade: "registered,confirmed",
  state: "active",
  limit: String(UNANNOUNCED_MAX),
};
const siteWords = (name: string): string => (name === "(unknown)" ? "not known" : name);

const tagSide = (t: Tag): Side => ({
  id: tagNumbers(t),
  name: tagName(t),
  rank: t.experiment_id * 1000 + t.activity_id,
  tag: t,
  hint: tagNumbers(t),
});

function wireSide(t: Tag): Side {
  return t.experiment_id < 0 ? REST : !hasTag(t) ? NOT_MARKED : isRegistered(t) ? tagSide(t) : UNREGISTERED;
}

function claimSide(t: Tag): Side {
  return t.experiment_id < 0 ? REST : isRegistered(t) ? tagSide(t) : DEAD;
}

function gradeKey(theme: Theme): HTMLElement {
  return el(
    "div",
    { class: "key" },
    ...GRADE_RANK.map(g => el("span", {}, swatch(plainPaint(theme, "grade", g, 0)), g)),
  );
}
