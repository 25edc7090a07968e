// What the reader chose: it lives in the address, so that a view can be sent, bookmarked and left by the
// back button. This file is the address's only reader and writer; everything a page keeps there is a row here.

interface Member<T> {
  readonly initial: T;
  /** undefined: not understood, the initial value stands. */
  readonly parse: (text: string) => T | undefined;
  readonly print: (value: T) => string;
  /** Goes along to another page. */
  readonly carried: boolean;
}

export interface Note {
  at_s: number;
  words: string;
}

const words = (carried = false): Member<string> => ({ initial: "", parse: t => t, print: v => v, carried });
const flag = (carried = false): Member<boolean> => ({
  initial: false,
  parse: t => (t === "1" ? true : t === "0" ? false : undefined),
  print: v => (v ? "1" : "0"),
  carried,
});
const oneOf = <T extends string>(choices: readonly [T, ...T[]], carried = false): Member<T> => ({
  initial: choices[0],
  parse: t => choices.find(c => c === t),
  print: v => v,
  carried,
});
const list: Member<readonly string[]> = {
  initial: [],
  parse: t => t.split(",").filter(Boolean),
  print: v => [...v].sort().join(","),
  carried: false,
};
const range: Member<string> = { ...words(true), parse: t => (parseRange(t) ? t : undefined) };
const notes: Member<readonly Note[]> = {
  initial: [],
  parse: t =>
    t
      .split("|")
      .map(one => ({ at_s: Date.parse(one.split(" ", 1)[0] ?? "") / 1000, words: one.replace(/^\S+ */, "") }))
      .filter(n => Number.isFinite(n.at_s) && n.words),
  print: v => v.map(n => `${isoSecond(n.at_s)} ${n.words.replaceAll("|", "/")}`).join("|"),
  carried: false,
};

export const UNITS = ["bytes", "ip_bytes", "packets"] as const;
export type Unit = (typeof UNITS)[number];
export const SHAPES = ["stack", "lines", "share"] as const;
export type Shape = (typeof SHAPES)[number];
export const KINDS = ["both", "packets", "fireflies"] as const;

const MEMBERS = {
  filter: words(true), // in the filter language; "" everything
  range, // "15m", or "2026-01-10T08:00:00Z/2026-01-10T09:00:00Z"; "" the page's own
  zone: oneOf(["utc", "local"], true),
  unit: oneOf(UNITS, true),
  group: words(), // dimensions of the API; "" the page's own
  shape: oneOf(SHAPES),
  hide: list, // layers not drawn, by their id
  compare: flag(), // with the previous period
  notes, // annotations, "2026-01-10T08:00:00Z data challenge|..."
  kind: oneOf(KINDS), // Packets: what is listed
  value: words(), // Decode: what is read
  sort: words(), // tables: a column, with a minus in front for descending
  pick: words(), // tables and matrices: the row whose details are open
  state: words(), // Flows: "ended" instead of the live ones; Agreement: "start" instead of the running hour
  claim: words(), // Flows: "yes" only announced ones, "no" only others
  oddity: words(), // Flows: only with this oddity
  claimed: words(), // Flows: only with this announced tag, "3.14"
  world: flag(), // Sites: the map shows all of it
};

export type View = { readonly [K in keyof typeof MEMBERS]: (typeof MEMBERS)[K]["initial"] };

const VERSION = "1";
const names = Object.keys(MEMBERS) as (keyof View)[];
const memberOf = (name: keyof View): Member<unknown> => MEMBERS[name] as Member<unknown>;

export function parseView(search: string): View {
  const q = new URLSearchParams(search);
  const view: Record<string, unknown> = {};
  for (const name of names) {
    const text = q.get(name);
    const m = memberOf(name);
    view[name] = (text === null ? undefined : m.parse(text)) ?? m.initial;
  }
  return view as View;
}

/** "?v=1&…", or "" when everything is as it is at first. */
export function printView(view: View, which: (m: Member<unknown>) => boolean = () => true): string {
  const q = new URLSearchParams();
  for (const name of names) {
    const m = memberOf(name);
    const text = m.print(view[name]);
    if (text !== m.print(m.initial) && which(m)) q.set(name, text);
  }
  if (![...q.keys()].length) return "";
  return `?v=${VERSION}&${q.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%2F", "/")}`;
}

export const readView = (): View => parseView(location.search);

/** A later version's address may hold what this one does not know. */
export function fromLaterVersion(): boolean {
  const v = new URLSearchParams(location.search).get("v");
  return v !== null && v !== VERSION;
}

/** A step back leads to what was before, unless it is only a correction. */
export function writeView(view: View, correction = false): void {
  const address = location.pathname + printView(view);
  if (address === location.pathname + location.search) return;
  if (correction) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
}

/** The address of a page with what is carried along, and whatever is changed on the way. */
export function pageAddress(path: string, view: View, change: Partial<View> = {}): string {
  const carried = parseView(printView(view, m => m.carried));
  return path + printView({ ...carried, ...change });
}

// --- ranges -----------------------------------------------------------------------------------------

/** A stretch of time as the reader names it. */
export interface Range {
  text: string; // as in the address
  from: string; // as the API takes it
  to: string;
  span_s: number;
  live: boolean; // ends now
}

const UNIT_S: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };

/** "15m" or "FROM/TO"; null when it is neither. */
export function parseRange(t: string): Range | null {
  const back = /^(\d{1,5})([smhdwy])$/.exec(t);
  if (back) {
    const span_s = Number(back[1]) * (UNIT_S[back[2] ?? ""] ?? 0);
    return span_s > 0 ? { text: t, from: `-${t}`, to: "now", span_s, live: true } : null;
  }
  const [, from, to] = /^(\d{4}-\d\d-\d\dT[\d:.]+Z)\/(\d{4}-\d\d-\d\dT[\d:.]+Z)$/.exec(t) ?? [];
  const span_s = (Date.parse(to ?? "") - Date.parse(from ?? "")) / 1000;
  if (!from || !to || !(span_s > 0)) return null;
  return { text: t, from, to, span_s, live: false };
}

export const isoSecond = (utc_s: number): string =>
  `${new Date(Math.round(utc_s) * 1000).toISOString().slice(0, 19)}Z`;

export function fixedRange(from_s: number, to_s: number): string {
  return `${isoSecond(from_s)}/${isoSecond(to_s)}`;
}

const SPANS: Record<string, [string, string]> = {
  s: ["second", "seconds"],
  m: ["minute", "minutes"],
  h: ["hour", "hours"],
  d: ["day", "days"],
  w: ["week", "weeks"],
  y: ["year", "years"],
};

/** "last 15 minutes"; a fixed range has its times said where it is shown, in the zone of the view. */
export function rangeWords(r: Range): string {
  const [, n, unit] = /^(\d+)(.)$/.exec(r.text) ?? [];
  const [one, many] = SPANS[unit ?? ""] ?? ["", ""];
  return !n ? "fixed range" : n === "1" ? `last ${one}` : `last ${n} ${many}`;
}
