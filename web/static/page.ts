// What a page is to the shell, and what the shell offers to a page.
//
// How a page is added
// -------------------
// 1. Write NAME.ts with a class that extends Page. Its constructor takes the Shell, builds `element` once (el()
//    and text nodes of dom.ts, never markup) and calls nothing else; the shell calls show() right after.
// 2. Put a row into PAGES of main.ts: address, name, its class. Its place in the list is its key (1 to 9).
//    The server answers each address of web/assets.c with the shell.
// 3. Say in `obeys` what of the bar above every page it follows: the filter, and which ranges it offers.
//    What is not followed is shown as such; a filter typed there leads to the Now page.
// 4. Whatever the reader chooses goes into the address and nowhere else: a row in MEMBERS of view.ts, then
//    shell.choose({ name: value }). The shell writes the address and calls show(view, before), as it does
//    when the back button is used: there is one way in. Links to other pages are made by shell.address(),
//    which carries filter, range, unit and zone along.
// 5. Ask the API through get() of api.ts with an AbortSignal; hand a refused filter to shell.refused(e), which
//    shows it at its position. shell.range() is the range of the view as the API takes it.
// 6. Show everything in a Panel (panel.ts): it has title, unit, range and sampling error in one line, and the
//    menu with table, CSV, JSON, PNG and link. A chart is a LayerChart (chart.ts), which takes shell.cursor,
//    so that the panels of a page point at the same time. Rows that change in place: LiveTable (table.ts).
// 7. Times are written by format.ts, which follows the zone of the view; write zone() beside them.
//    Names and colours of tags: names.ts, colour.ts, texture.ts.
// 8. A live page implements tick(): each second comes to it, paused or not (setPaused() says so); health() is
//    called with every answer, each health_every_ms.
// 9. A Panel turns grey by itself when nothing new comes; whatever else shows data gets the class "stales".
// 10. Its style goes to the end of style.css under a heading of its own; its tests to tests/browser/NAME.mjs,
//    a part of tests/e2e/60_browser.sh. tests/browser/pages.mjs looks at it with axe without being told.

import type { HealthAnswer, Tick } from "./api.js";
import type { Theme } from "./colour.js";
import type { Cursor } from "./cursor.js";
import type { Feed } from "./feed.js";
import type { Names } from "./names.js";
import type { Range, View } from "./view.js";

export interface Obeys {
  filter: boolean;
  /** Texts as in the address ("1h"), the page's own default first; empty: it has no range. */
  ranges: readonly string[];
  /** Whether any other range may be chosen, too. */
  any_range: boolean;
}

export abstract class Page {
  abstract readonly element: HTMLElement;
  readonly obeys: Obeys = { filter: false, ranges: [], any_range: false };
  /** It starts the live stream itself, from a second in the past. */
  readonly starts_feed: boolean = false;
  readonly health_every_ms: number = 10_000;

  /** The address has changed, or the page is new (then before is null). */
  show(_view: View, _before: View | null): void {}
  tick(_tick: Tick): void {}
  /** The stream stands, or has gone. */
  connection(_connected: boolean): void {}
  /** null: it does not answer. The offset is the observer's clock less this one. */
  health(_health: HealthAnswer, _offset_s: number): void {}
  setTheme(_theme: Theme): void {}
  setPaused(_paused: boolean): void {}
  close(): void {}
}

export interface Shell {
  readonly theme: Theme;
  readonly view: View;
  readonly paused: boolean;
  readonly feed: Feed;
  readonly cursor: Cursor;
  readonly names: Names;
  /** The newest answer; null before the first. */
  readonly health: HealthAnswer | null;
  choose(change: Partial<View>, correction?: boolean): void;
  /** Shows one of our own addresses. */
  go(address: string): void;
  /** The range of the view if the page offers it, else the page's own. */
  range(): Range;
  address(path: string, change?: Partial<View>): string;
  /** An answer went wrong: true when it was the filter, which then says so itself. */
  refused(e: unknown): boolean;
  /** What goes in front of the name in the window's title. */
  headline(words: string): void;
  /** A line at the foot of the window for a few seconds. */
  say(words: string): void;
}
