// Is what I see true? Six answers, each in words, each a link to where the details are.

import type { HealthAnswer, TickHealth } from "./api.js";
import { el, set, text } from "./dom.js";
import { byteCount, count, duration, percent, plural, seconds } from "./format.js";

type Level = "good" | "warn" | "bad" | "unknown";
interface Answer {
  level: Level;
  words: string;
  detail?: string;
}

const MARK: Record<Level, string> = { good: "✓", warn: "!", bad: "✕", unknown: "?" };
const WORD: Record<Level, string> = { good: "good", warn: "attention", bad: "bad", unknown: "not known" };
const WINDOW_S = 60;
const OLD_REGISTRY_S = 7 * 86400;
const SLOW_DATABASE_S = 15;

const ITEMS = ["Inputs", "Loss", "Rejects", "Registry", "Database", "Clock"] as const;
type Item = (typeof ITEMS)[number];

export class Strip {
  readonly element = el("ul", { class: "strip stales", "aria-label": "Health" });
  private readonly items = new Map<
    Item,
    { link: HTMLAnchorElement; mark: HTMLElement; words: HTMLElement; word: HTMLElement }
  >();
  private health: HealthAnswer | null = null;
  private past: { second: number; health: TickHealth }[] = [];
  private offset_s = NaN;

  constructor() {
    for (const name of ITEMS) {
      const mark = el("span", { class: "mark", "aria-hidden": "true" }, "?");
      const word = el("span", { class: "unseen" });
      const words = el("span", { class: "words" }, "…");
      const link = el(
        "a",
        { href: `/health#${name.toLowerCase()}`, "data-level": "unknown" },
        mark,
        el("span", { class: "name" }, name),
        words,
        word,
      );
      this.items.set(name, { link, mark, words, word });
      this.element.append(el("li", {}, link));
    }
  }

  takeHealth(health: HealthAnswer, offset_s: number): void {
    this.health = health;
    this.offset_s = offset_s;
    this.show();
  }

  takeTick(second: number, health: TickHealth): void {
    this.past.push({ second, health });
    this.past = this.past.filter(p => p.second >= second - WINDOW_S);
    this.show();
  }

  private show(): void {
    this.put("Inputs", this.inputs());
    this.put("Loss", this.loss());
    this.put("Rejects", this.rejects());
    this.put("Registry", this.registry());
    this.put("Database", this.database());
    this.put("Clock", this.clock());
  }

  private put(name: Item, answer: Answer): void {
    const item = this.items.get(name);
    if (!item) return;
    set(item.link, { "data-level": answer.level, title: answer.detail ?? null });
    text(item.mark, MARK[answer.level]);
    text(item.words, answer.words);
    text(item.word, `, ${WORD[answer.level]}`);
  }

  private inputs(): Answer {
    const now = this.past[this.past.length - 1]?.health;
    if (!now) return { level: "unknown", words: "waiting" };
    const down = this.health?.sources.filter(s => !s.up).map(s => s.name) ?? [];
    if (now.sources === 0) return { level: "bad", words: "none" };
    const all = now.sources_up === now.sources;
    return {
      level: all ? "good" : now.sources_up ? "warn" : "bad",
      words: `${now.sources_up} of ${now.sources} up`,
      ...(down.length ? { detail: `down: ${down.join(", ")}` } : {}),
    };
  }

  /** How much the counter grew in the last minute, and over how many seconds that was. */
  private grown(of: (h: TickHealth) => number): { by: number; words: string } {
    const first = this.past[0];
    const last = this.past[this.past.length - 1];
    if (!first || !last || last.second === first.second) return { by: 0, words: "" };
    return {
      by: Math.max(0, of(last.health) - of(first.health)),
      words: `last ${duration(last.second - first.second)}`,
    };
  }

  private loss(): Answer {
    if (!this.past.length) return { level: "unknown", words: "waiting" };
    const lost = this.grown(h => h.lost + h.dropped);
    const whole = this.grown(h => h.received + h.lost);
    const now = this.past[this.past.length - 1]?.health;
    const detail = `since start: ${count(now?.lost ?? 0)} lost on the way, ${count(now?.dropped ?? 0)} dropped here`;
    if (!lost.by) return { level: "good", words: "none", detail };
    const share = whole.by ? lost.by / whole.by : 1;
    return { level: share > 0.01 ? "bad" : "warn", words: percent(share), detail };
  }

  private rejects(): Answer {
    if (!this.past.length) return { level: "unknown", words: "waiting" };
    const rejected = this.grown(h => h.rejected);
    const whole = this.grown(h => h.received);
    const since_start = this.past[this.past.length - 1]?.health.rejected ?? 0;
    const detail = `since start: ${count(since_start)}`;
    if (!rejected.by) return { level: "good", words: since_start ? "none now" : "none", detail };
    const share = whole.by ? rejected.by / whole.by : 1;
    return { level: share > 0.01 ? "bad" : "warn", words: percent(share), detail };
  }

  private registry(): Answer {
    if (!this.health) return { level: "unknown", words: "waiting" };
    const r = this.health.registry;
    const age_s = seconds(this.health.now) - seconds(r.checked ?? r.loaded);
    const detail = [
      plural(r.pairs, "pair"),
      `from ${r.origin}`,
      r.modified && `modified ${r.modified.slice(0, 10)}`,
      r.checked ? `checked ${duration(age_s)} ago` : "never checked since start",
    ]
      .filter(Boolean)
      .join(", ");
    if (!r.pairs) return { level: "bad", words: "empty", detail };
    return {
      level: age_s > OLD_REGISTRY_S ? "warn" : "good",
      words: r.checked ? `${duration(age_s)} old` : plural(r.pairs, "pair"),
      detail,
    };
  }

  private database(): Answer {
    if (!this.health) return { level: "unknown", words: "waiting" };
    const s = this.health.store;
    const behind_s = seconds(this.health.now) - seconds(s.committed);
    const detail = [
      `${byteCount(s.file_bytes)}${s.max_size_bytes ? ` of ${byteCount(s.max_size_bytes)}` : ""}`,
      Number.isFinite(behind_s) && `${duration(behind_s)} behind`,
      s.last_error,
    ]
      .filter(Boolean)
      .join(", ");
    if (s.paused) return { level: "bad", words: "paused", detail };
    if (behind_s > SLOW_DATABASE_S) return { level: "warn", words: `${duration(behind_s)} behind`, detail };
    return { level: "good", words: byteCount(s.file_bytes), detail };
  }

  private clock(): Answer {
    if (!Number.isFinite(this.offset_s)) return { level: "unknown", words: "waiting" };
    const off_s = Math.abs(this.offset_s);
    const detail = "the observer's clock against this browser's";
    if (off_s < 2) return { level: "good", words: "agrees", detail };
    return {
      level: off_s > 10 ? "bad" : "warn",
      words: `${duration(off_s)} ${this.offset_s > 0 ? "ahead" : "behind"}`,
      detail,
    };
  }
}
