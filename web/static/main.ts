// The shell: header, filter, theme, zone, keys, the live badge, and which page is shown at which address.

import "./style.css";
import { AgreementPage } from "./agreement.js";
import { get, Problem, type HealthAnswer, type Tick } from "./api.js";
import { Bar } from "./bar.js";
import { THEMES, type Theme } from "./colour.js";
import { Cursor } from "./cursor.js";
import { DecodePage } from "./decode.js";
import { el, on, set, text } from "./dom.js";
import { Feed } from "./feed.js";
import { FlowsPage } from "./flows.js";
import { clock, dateTime, duration, seconds, setZone, zone } from "./format.js";
import { HealthPage } from "./health.js";
import { HelpPage } from "./help.js";
import { HistoryPage } from "./history.js";
import { KeysDialog } from "./keys.js";
import { Names } from "./names.js";
import { NowPage } from "./now.js";
import { PacketsPage } from "./packets.js";
import type { Obeys, Page, Shell } from "./page.js";
import { SitesPage } from "./sites.js";
import {
  fromLaterVersion,
  pageAddress,
  parseRange,
  readView,
  writeView,
  type Range,
  type View,
} from "./view.js";

const STALE_S = 5;
const SAID_MS = 5000;
const HASH_TRIES = 50;

/** A page is added here (page.ts says how): address, name in the navigation, its class. The digit keys follow. */
const PAGES: readonly { path: string; name: string; Page: new (shell: Shell) => Page }[] = [
  { path: "/", name: "Now", Page: NowPage },
  { path: "/history", name: "History", Page: HistoryPage },
  { path: "/flows", name: "Flows", Page: FlowsPage },
  { path: "/sites", name: "Sites", Page: SitesPage },
  { path: "/agreement", name: "Agreement", Page: AgreementPage },
  { path: "/packets", name: "Packets", Page: PacketsPage },
  { path: "/health", name: "Health", Page: HealthPage },
  { path: "/decode", name: "Decode", Page: DecodePage },
  { path: "/help", name: "Help", Page: HelpPage },
];
const NOTHING: Obeys = { filter: false, ranges: [], any_range: false };
const THEME_WORDS: Record<Theme, string> = { light: "Light", dark: "Dark", contrast: "Contrast" };

class Application implements Shell {
  theme: Theme;
  view: View = readView();
  paused = false;
  health: HealthAnswer | null = null;
  readonly cursor = new Cursor();
  readonly names = new Names();
  readonly feed = new Feed({
    tick: tick => this.tick(tick),
    state: (connected, retry_in_s) => this.connection(connected, retry_in_s),
  });
  private page: Page | null = null;
  private path = "";
  private frozen_s = NaN; // what the picture showed when it was paused
  private newest_s = NaN;
  private arrived_ms = NaN;
  private retry_in_s = 0;
  private offset_s = 0; // the observer's clock less this one
  private polling = 0;
  private saying = 0;

  private readonly main = el("main", { id: "main", tabindex: -1 });
  private readonly links = new Map<string, HTMLAnchorElement>();
  private readonly brand = el(
    "a",
    { class: "brand", href: "/" },
    el("img", { src: "/favicon.svg", alt: "", width: 24, height: 24 }),
    el("span", {}, "Scitag Observer"),
  );
  private readonly badge = el("span", { class: "badge", role: "status" });
  private readonly since = el("span", { class: "since" });
  private readonly status = el("a", { class: "status", href: "/health", hidden: true });
  private readonly zone = el("button", { type: "button", class: "zone" });
  private readonly pause = el(
    "button",
    { type: "button", class: "pause", title: "Freeze the picture (key p)" },
    "Pause",
  );
  private readonly look = el("button", { type: "button", class: "look" });
  private readonly help = el("button", { type: "button", title: "Keys (key ?)", "aria-label": "Keys" }, "?");
  private readonly said = el("p", { class: "said", role: "status", hidden: true });
  private readonly bar = new Bar(this);
  private readonly keys = new KeysDialog(PAGES.map(p => p.name));
  private readonly dark = matchMedia("(prefers-color-scheme: dark)");
  private readonly contrast = matchMedia("(prefers-contrast: more)");

  constructor() {
    this.theme = this.stored() ?? this.wished();
    const nav = el("nav", { "aria-label": "Pages" });
    PAGES.forEach(({ path, name }, i) => {
      const link = el("a", { href: path, title: `Key ${i + 1}` }, name);
      this.links.set(path, link);
      nav.append(link);
    });
    document.body.append(
      el("a", { class: "skip", href: "#main" }, "Skip to the content"),
      el(
        "header",
        {},
        this.brand,
        nav,
        el(
          "div",
          { class: "live" },
          this.badge,
          this.since,
          this.zone,
          this.status,
          this.pause,
          this.look,
          this.help,
        ),
      ),
      this.bar.element,
      this.main,
      this.said,
      this.keys.element,
    );
    on(this.pause, "click", () => this.setPaused(!this.paused));
    on(this.look, "click", () => this.nextTheme());
    on(this.zone, "click", () => this.choose({ zone: this.view.zone === "utc" ? "local" : "utc" }));
    on(this.help, "click", () => this.keys.open());
    for (const query of [this.dark, this.contrast])
      query.addEventListener("change", () => {
        if (!this.stored()) this.setTheme(this.wished());
      });
    addEventListener("popstate", () => this.route());
    document.addEventListener("click", e => this.follow(e));
    document.addEventListener("keydown", e => this.key(e));
    setInterval(() => this.showBadge(), 500);
    this.setTheme(this.theme);
    this.route();
    if (fromLaterVersion())
      this.say("This address was made by a later version; what this one does not know of it is left out.");
  }

  // --- for pages ----------------------------------------------------------------------------------------

  choose(change: Partial<View>, correction = false): void {
    const before = this.view;
    this.view = { ...before, ...change };
    writeView(this.view, correction);
    this.apply(before);
  }

  go(address: string): void {
    const url = new URL(address, location.href);
    if (url.href !== location.href) history.pushState(null, "", url);
    this.route();
  }

  range(): Range {
    const { ranges, any_range } = this.page?.obeys ?? NOTHING;
    const wanted = this.view.range;
    const range = (any_range || ranges.includes(wanted)) && parseRange(wanted);
    return range || (parseRange(ranges[0] ?? "1h") as Range);
  }

  address(path: string, change: Partial<View> = {}): string {
    return pageAddress(path, this.view, change);
  }

  refused(e: unknown): boolean {
    if (!(e instanceof Problem) || e.parameter !== "filter") return false;
    this.bar.refused(e);
    return true;
  }

  headline(words: string): void {
    document.title = [words, PAGES.find(p => p.path === this.path)?.name, "Scitag Observer"]
      .filter(Boolean)
      .join(" · ");
  }

  say(words: string): void {
    clearTimeout(this.saying);
    text(this.said, words);
    this.said.hidden = false;
    this.saying = setTimeout(() => (this.said.hidden = true), SAID_MS);
  }

  // --- what comes from the observer -----------------------------------------------------------------------

  private tick(tick: Tick): void {
    if (tick.second + 1 > this.newest_s || Number.isNaN(this.newest_s)) {
      this.newest_s = tick.second + 1;
      this.arrived_ms = performance.now();
    }
    this.page?.tick(tick);
    this.showBadge();
  }

  private connection(connected: boolean, retry_in_s: number): void {
    const again = connected && this.retry_in_s > 0;
    this.retry_in_s = retry_in_s;
    this.page?.connection(connected);
    if (again) void this.poll();
    this.showBadge();
  }

  private async poll(): Promise<void> {
    clearTimeout(this.polling);
    try {
      const asked_ms = Date.now();
      const health = await get<HealthAnswer>("health");
      this.offset_s = seconds(health.now) - (asked_ms + Date.now()) / 2000;
      this.health = health;
      this.names.takeHealth(health);
      set(this.status, { title: health.reasons.join("; "), "data-status": health.status });
      text(this.status, health.status === "ok" ? "" : `! ${health.status}`);
      this.status.hidden = health.status === "ok";
      if (!this.paused) this.page?.health(health, this.offset_s);
    } catch {
      // the badge says that nothing comes
    }
    clearTimeout(this.polling);
    this.polling = setTimeout(() => void this.poll(), this.page?.health_every_ms ?? 10_000);
  }

  private showBadge(): void {
    const age_s = (performance.now() - this.arrived_ms) / 1000;
    const state = Number.isNaN(this.newest_s) ? "waiting" : age_s > STALE_S ? "stale" : "live";
    set(document.documentElement, { "data-live": state, "data-paused": this.paused });
    text(
      this.badge,
      this.paused ? "Paused" : state === "live" ? "Live" : state === "stale" ? "Stale" : "Waiting",
    );
    const again = this.retry_in_s ? ", reconnecting" : "";
    text(
      this.since,
      state === "waiting"
        ? `no data yet${again}`
        : state === "stale"
          ? `last data ${dateTime(this.newest_s)}, ${duration(age_s)} ago${again}`
          : clock(this.paused ? this.frozen_s : this.newest_s),
    );
    text(this.zone, zone());
    this.zone.hidden = state === "stale";
  }

  // --- pages ----------------------------------------------------------------------------------------------

  private route(): void {
    const path = location.pathname;
    const before = this.view;
    this.view = readView();
    if (this.page && path === this.path) {
      this.apply(before);
      return;
    }
    const first = !this.page;
    this.page?.close();
    this.page = null;
    this.path = path;
    const entry = PAGES.find(p => p.path === path);
    set(document.documentElement, { "data-page": entry?.name.toLowerCase() ?? "none" });
    this.cursor.point(null, this);
    setZone(this.view.zone);
    this.page = entry ? new entry.Page(this) : null;
    this.main.replaceChildren(this.page?.element ?? this.noSuchPage());
    if (!first && document.activeElement === document.body) this.main.focus({ preventScroll: true });
    for (const [at, link] of this.links) set(link, { "aria-current": at === path ? "page" : null });
    scrollTo(0, 0);
    this.headline("");
    if (!this.page?.starts_feed) this.feed.start();
    if (this.paused) this.setPaused(false); // the frozen picture has gone
    this.apply(null);
    if (this.health) this.page?.health(this.health, this.offset_s);
    void this.poll();
    this.scrollToHash(HASH_TRIES);
  }

  /** The address names a panel: as soon as it is there and shown, once. */
  private scrollToHash(tries: number): void {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.getClientRects().length) target.scrollIntoView();
    else if (location.hash && tries) setTimeout(() => this.scrollToHash(tries - 1), 100);
  }

  private noSuchPage(): HTMLElement {
    return el(
      "section",
      { class: "panel" },
      el("h1", {}, "No such page"),
      el("p", {}, "Nothing is at this address. ", el("a", { href: "/" }, "Show the traffic now"), "."),
    );
  }

  /** The view has changed: chosen, gone back to, or a new page. */
  private apply(before: View | null): void {
    setZone(this.view.zone);
    const other = this.view.zone === "utc" ? "local time" : "UTC";
    set(this.zone, { title: `Times in ${zone()}; change to ${other} (key z)` });
    for (const [path, link] of this.links) set(link, { href: this.address(path) });
    set(this.brand, { href: this.address("/") });
    set(this.status, { href: this.address("/health") });
    this.bar.show(this.page?.obeys ?? NOTHING);
    this.page?.show(this.view, before);
    this.showBadge();
  }

  /** Links to our own pages change the page in place. */
  private follow(e: MouseEvent): void {
    const link = (e.target as Element | null)?.closest("a");
    if (!link || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey)
      return;
    const url = new URL(link.href);
    if (
      url.origin !== location.origin ||
      link.target ||
      link.download ||
      !PAGES.some(p => p.path === url.pathname) ||
      (url.pathname === location.pathname && url.hash)
    )
      return;
    e.preventDefault();
    this.go(url.href);
  }

  // --- keys, theme ------------------------------------------------------------------------------------------

  private key(e: KeyboardEvent): void {
    const target = e.target as HTMLElement | null;
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || this.keys.element.open) return;
    if (target?.matches("input:not([type=checkbox]), select, textarea")) return;
    const page = /^[1-9]$/.test(e.key) && PAGES[Number(e.key) - 1];
    if (page) this.go(this.address(page.path));
    else if (e.key === "/") this.bar.focus();
    else if (e.key === "?") this.keys.open();
    else if (e.key === "p") this.setPaused(!this.paused);
    else if (e.key === "l") this.goLive();
    else if (e.key === "t") this.nextTheme();
    else if (e.key === "z") this.choose({ zone: this.view.zone === "utc" ? "local" : "utc" });
    else return;
    e.preventDefault();
  }

  private goLive(): void {
    this.setPaused(false);
    if (!this.range().live) this.choose({ range: "" });
  }

  private setPaused(paused: boolean): void {
    this.paused = paused;
    this.frozen_s = this.newest_s;
    text(this.pause, paused ? "Resume" : "Pause");
    set(this.pause, { "aria-pressed": String(paused) });
    this.page?.setPaused(paused);
    this.showBadge();
  }

  private nextTheme(): void {
    const next = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] ?? "light";
    this.setTheme(next);
    try {
      localStorage.setItem("theme", next);
    } catch {
      // a browser that keeps nothing still shows everything
    }
  }

  private setTheme(theme: Theme): void {
    this.theme = theme;
    set(document.documentElement, { "data-theme": theme });
    text(this.look, THEME_WORDS[theme]);
    set(this.look, {
      title: "Light, dark, high contrast in turn (key t)",
      "aria-label": `Theme: ${THEME_WORDS[theme].toLowerCase()}`,
    });
    this.page?.setTheme(theme);
  }

  private wished(): Theme {
    return this.contrast.matches ? "contrast" : this.dark.matches ? "dark" : "light";
  }

  private stored(): Theme | null {
    try {
      return THEMES.find(t => t === localStorage.getItem("theme")) ?? null;
    } catch {
      return null;
    }
  }
}

new Application();
