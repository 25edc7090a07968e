// Who sends fireflies, how well his words fit what is seen, whose clock is off; and what is odd, with what to do.

import { endWords, type AgreementAnswer, type Ends, type Oddity, type Sender } from "./answers.js";
import { address } from "./api.js";
import { el, set, svg, text } from "./dom.js";
import { keepFocus } from "./focus.js";
import { flowName } from "./flow-table.js";
import { byteCount, clock, count, percent, plural, seconds, zone } from "./format.js";
import type { Shell } from "./page.js";
import { Panel, type Sheet } from "./panel.js";
import { bareWords, provenanceWords } from "./words.js";

const ROWS_MAX = 100;
const CLOCK_S = 5; // more is odd, as the observer has it
const JSON_ADDRESS = address("agreement", { limit: "1000" });

export class Senders {
  readonly panel: Panel;
  private readonly body = el("tbody");
  private readonly sentence = el("p", { class: "sentence" });
  private answer: AgreementAnswer | null = null;

  constructor(shell: Shell) {
    const head = (name: string, number = true, title = ""): HTMLElement =>
      el("th", { scope: "col", class: number ? "number" : null, title: title || null }, name);
    this.panel = new Panel(shell, {
      id: "senders",
      title: "Senders",
      kind: "stales",
      is_table: true,
      body: [
        outcomeKey(),
        el(
          "div",
          { class: "scroll", tabindex: 0, role: "region", "aria-label": "Senders of fireflies" },
          el(
            "table",
            { class: "drawn senders" },
            el("caption", { class: "unseen" }, "Senders of fireflies"),
            el(
              "thead",
              {},
              el(
                "tr",
                {},
                head("Sender", false),
                head("Speaks as", false, "an end of its flows, a known relay, or a stranger"),
                head("Fireflies"),
                head("Flows", true, "that it announced"),
                head(
                  "What came of them",
                  false,
                  "confirmed, disagreeing, not marked, otherwise seen, never seen",
                ),
                head("Seen"),
                head("Bytes said"),
                head("Bytes seen", true, "of its ended flows that were seen"),
                head("Clock", true, "median of the newest nine: heard less said"),
                head("Last heard"),
                head("Odd"),
              ),
            ),
            this.body,
          ),
        ),
        this.sentence,
      ],
      sheet: () => this.sheet(),
    });
  }

  setTheme(): void {
    // its colours are in the style sheet
  }

  show(answer: AgreementAnswer): void {
    this.answer = answer;
    const senders = [...answer.senders].sort((a, b) => b.claims - a.claims);
    keepFocus(this.body, () =>
      this.body.replaceChildren(...senders.slice(0, ROWS_MAX).map(s => this.row(s))),
    );
    const by = new Map<string, number>();
    for (const s of senders) by.set(s.provenance, (by.get(s.provenance) ?? 0) + s.fireflies);
    const all = senders.reduce((sum, s) => sum + s.fireflies, 0);
    text(
      this.sentence,
      !senders.length
        ? "No firefly was heard. Storage servers send them to port 10514; Help says how."
        : `Fireflies by who speaks: ${[...by].map(([p, n]) => `${provenanceWords(p)} ${percent(n / all)}`).join(", ")}. ` +
            "Clock: how late its messages are by its own clock, a way of some milliseconds included." +
            (senders.length > ROWS_MAX
              ? ` ${plural(senders.length - ROWS_MAX, "smaller sender")} not listed; the CSV has them.`
              : "") +
            (answer.senders_known > senders.length
              ? ` The observer knows ${count(answer.senders_known)} in all.`
              : ""),
    );
    this.panel.show({
      unit: plural(answer.senders_known, "sender"),
      range: `since the observer started, at ${clock(seconds(answer.now))} ${zone()}`,
      json: JSON_ADDRESS,
    });
  }

  private row(s: Sender): HTMLElement {
    const odd = s.oddities.reduce((sum, o) => sum + o.claims, 0);
    const late = s.clock_offset_s !== null && Math.abs(s.clock_offset_s) > CLOCK_S;
    const tr = el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("span", { class: "mono" }, s.sender),
        el("span", { class: "detail" }, s.producer === "other" ? "" : s.producer),
      ),
      el("td", { "data-kind": s.provenance === "stranger" ? "warn" : null }, provenanceWords(s.provenance)),
      el(
        "td",
        { class: "number" },
        count(s.fireflies),
        s.duplicates > 0 && el("span", { class: "detail" }, `${count(s.duplicates)} twice`),
      ),
      el("td", { class: "number" }, count(s.claims)),
      el("td", { class: "picture" }, outcome(s)),
      el("td", { class: "number" }, s.claims ? percent(s.joined / s.claims) : "–"),
      el("td", { class: "number" }, byteCount(s.claimed_bytes)),
      el("td", { class: "number" }, byteCount(s.seen_bytes)),
      el(
        "td",
        { class: "number", "data-kind": late ? "warn" : null },
        offsetWords(s.clock_offset_s),
        clockMark(s.clock_offset_s),
      ),
      el("td", { class: "number" }, s.last_heard ? clock(seconds(s.last_heard)) : "–"),
      el(
        "td",
        { class: "number" },
        odd
          ? el(
              "a",
              {
                href: `#${s.oddities[0]?.oddity ?? ""}`,
                title: s.oddities.map(o => `${bareWords(o.oddity)} ${count(o.claims)}`).join(", "),
              },
              count(odd),
            )
          : "0",
      ),
    );
    set(tr, {
      "data-sender": s.sender,
      "data-claims": s.claims,
      "data-joined": s.joined,
      "data-confirmed": s.confirmed,
      "data-disagree": s.disagree,
      "data-claimed": s.claimed,
    });
    return tr;
  }

  private sheet(): Sheet | null {
    if (!this.answer) return null;
    const number = true;
    return {
      columns: [
        { name: "Sender", key: "sender" },
        { name: "Producer", key: "producer" },
        { name: "Speaks as", key: "provenance" },
        { name: "Fireflies", key: "fireflies", words: count, number },
        { name: "Twice", key: "duplicates", words: count, number },
        { name: "Flows", key: "claims", words: count, number },
        { name: "Seen", key: "joined", words: count, number },
        { name: "Confirmed", key: "confirmed", words: count, number },
        { name: "Other tag", key: "disagree", words: count, number },
        { name: "Not marked", key: "claimed", words: count, number },
        { name: "Bytes said", key: "claimed_bytes", words: byteCount, number },
        { name: "Bytes seen", key: "seen_bytes", words: byteCount, number },
        { name: "Clock", key: "clock_offset_s", words: offsetWords, number },
        { name: "Odd", key: "oddities" },
      ],
      rows: this.answer.senders.map(s => [
        s.sender,
        s.producer,
        s.provenance,
        s.fireflies,
        s.duplicates,
        s.claims,
        s.joined,
        s.confirmed,
        s.disagree,
        s.claimed,
        s.claimed_bytes,
        s.seen_bytes,
        s.clock_offset_s,
        s.oddities.map(o => `${o.oddity} ${o.claims}`).join(" "),
      ]),
    };
  }
}

const OUTCOMES = {
  confirmed: "confirmed",
  disagree: "other tag",
  claimed: "not marked",
  seen: "seen otherwise",
  "unseen-here": "never seen here",
} as const;

function outcomeKey(): HTMLElement {
  return el(
    "div",
    { class: "key" },
    ...Object.entries(OUTCOMES).map(([kind, words]) =>
      el(
        "span",
        {},
        svg(
          "svg",
          { class: "swatch outcome", viewBox: "0 0 12 12", "aria-hidden": "true" },
          svg("rect", { class: `of-${kind}`, x: 0.5, y: 0.5, width: 11, height: 11, rx: 2 }),
        ),
        words,
      ),
    ),
  );
}

/** What came of the flows that a sender announced, as parts of one bar. */
function outcome(s: Sender): SVGElement {
  const parts: [keyof typeof OUTCOMES, number][] = [
    ["confirmed", s.confirmed],
    ["disagree", s.disagree],
    ["claimed", s.claimed],
    ["seen", Math.max(0, s.joined - s.confirmed - s.disagree - s.claimed)],
    ["unseen-here", Math.max(0, s.claims - s.joined)],
  ];
  const all = parts.reduce((sum, [, n]) => sum + n, 0);
  const said = parts.filter(([, n]) => n > 0).map(([kind, n]) => `${OUTCOMES[kind]} ${count(n)}`);
  const bar = svg(
    "svg",
    { class: "bar-row outcome", role: "img", "aria-label": said.join(", ") || "nothing yet" },
    svg("title", {}, said.join(", ")),
  );
  let at = 0;
  for (const [kind, n] of parts) {
    const width = all > 0 ? (n / all) * 100 : 0;
    if (width > 0)
      bar.append(svg("rect", { class: `of-${kind}`, x: `${at}%`, y: 2, width: `${width}%`, height: 14 }));
    at += width;
  }
  return bar;
}

function offsetWords(s: number | null): string {
  if (s === null) return "not said";
  const sign = s < 0 ? "−" : "+";
  const a = Math.abs(s);
  return (
    sign +
    (a < 0.9995
      ? `${(a * 1000).toFixed(0)} ms`
      : a < 99.5
        ? `${a.toFixed(1)} s`
        : a < 5400
          ? `${(a / 60).toFixed(0)} min`
          : `${(a / 3600).toFixed(1)} h`)
  );
}

/** Early to the left, late to the right; a decade of seconds is as wide as the next. */
function clockMark(s: number | null): SVGElement | null {
  if (s === null) return null;
  const reach = Math.log10(1 + 36000);
  const at = (v: number): number =>
    50 + 50 * Math.sign(v) * Math.min(1, Math.log10(1 + Math.abs(v) * 10) / reach);
  return svg(
    "svg",
    { class: "clock-mark", "aria-hidden": "true" },
    svg("rect", {
      class: "fine",
      x: `${at(-CLOCK_S)}%`,
      width: `${at(CLOCK_S) - at(-CLOCK_S)}%`,
      y: 3,
      height: 4,
    }),
    svg("line", { x1: "50%", x2: "50%", y1: 1, y2: 9 }),
    svg("circle", { cx: `${at(s)}%`, cy: 5, r: 3.5 }),
  );
}

// --- what is odd ---------------------------------------------------------------------------------------------

export class Oddities {
  readonly panel: Panel;
  private readonly list = el("div", { class: "oddities" });
  private answer: AgreementAnswer | null = null;
  private shown = "";

  constructor(private readonly shell: Shell) {
    this.panel = new Panel(shell, {
      id: "oddities",
      title: "What is odd, and what to do",
      kind: "stales",
      is_table: true,
      body: [this.list],
      sheet: () => this.sheet(),
    });
  }

  show(answer: AgreementAnswer): void {
    this.answer = answer;
    const kinds = new Map<string, { sender: Sender; oddity: Oddity }[]>();
    for (const sender of answer.senders)
      for (const oddity of sender.oddities)
        kinds.set(oddity.oddity, [...(kinds.get(oddity.oddity) ?? []), { sender, oddity }]);
    const flows = (all: readonly { oddity: Oddity }[]): number =>
      all.reduce((sum, { oddity }) => sum + oddity.claims, 0);
    const sorted = [...kinds].sort((a, b) => flows(b[1]) - flows(a[1]));
    // what is open and focused stays so while nothing has changed
    const state = JSON.stringify(
      sorted.map(([name, all]) => [name, all.map(a => [a.sender.sender, a.oddity])]),
    );
    if (state !== this.shown && !this.list.contains(document.activeElement)) {
      this.shown = state;
      this.list.replaceChildren(
        ...(sorted.length
          ? sorted.map(([name, all]) => this.kind(name, all, flows(all)))
          : [
              el(
                "p",
                { class: "quiet" },
                answer.senders.length ? "Nothing is odd about any sender." : "No firefly was heard yet.",
              ),
            ]),
      );
    }
    this.panel.show({
      unit: plural(sorted.length, "kind"),
      range: "announced flows, since the observer started",
      json: JSON_ADDRESS,
    });
  }

  private kind(name: string, all: readonly { sender: Sender; oddity: Oddity }[], flows: number): HTMLElement {
    const hints = new Map<string, { senders: Sender[]; flows: Ends[] }>();
    for (const { sender, oddity } of all) {
      const have = hints.get(oddity.hint) ?? { senders: [], flows: [] };
      have.senders.push(sender);
      have.flows.push(...oddity.flows);
      hints.set(oddity.hint, have);
    }
    return el(
      "section",
      { id: name, "data-oddity": name, "data-flows": flows },
      el(
        "h3",
        {},
        bareWords(name),
        " ",
        el(
          "a",
          { href: this.shell.address("/flows", { oddity: name, state: "ended", range: "24h" }) },
          plural(flows, "flow"),
        ),
      ),
      ...[...hints].map(([hint, { senders, flows: evidence }]) =>
        el(
          "div",
          { class: "hint-of" },
          el("p", {}, hint),
          el(
            "p",
            { class: "small" },
            `${plural(senders.length, "sender")}: ${senders
              .slice(0, 4)
              .map(s => s.sender)
              .join(", ")}${senders.length > 4 ? ` and ${count(senders.length - 4)} more` : ""}. Newest: `,
            ...evidence
              .slice(0, 3)
              .flatMap((f, i) => [
                i ? "; " : "",
                el(
                  "a",
                  {
                    href: this.shell.address("/flows", { oddity: name, sort: "-newest", pick: flowName(f) }),
                  },
                  `${endWords(f.src, f.src_port)} → ${endWords(f.dst, f.dst_port)}`,
                ),
              ]),
          ),
        ),
      ),
    );
  }

  private sheet(): Sheet | null {
    return (
      this.answer && {
        columns: [
          { name: "Sender", key: "sender" },
          { name: "Oddity", key: "oddity" },
          { name: "Flows", key: "flows", words: count, number: true },
          { name: "What to do", key: "hint" },
        ],
        rows: this.answer.senders.flatMap(s =>
          s.oddities.map(o => [s.sender, bareWords(o.oddity), o.claims, o.hint]),
        ),
      }
    );
  }
}
