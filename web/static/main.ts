// The shell: header, theme, keys, the live badge, and which page is shown at which address.

import "./style.css";
import { el, on, set, text } from "./dom.js";
import type { Theme } from "./colour.js";
import { clock, dateTime, duration } from "./format.js";
import { DecodePage } from "./decode.js";
import { HealthPage } from "./health.js";
import { NowPage } from "./now.js";
import type { Page, Shell } from "./page.js";

const STALE_S = 5;

/** A page is added here: address, name in the navigation, and its class. */
const PAGES: { path: string; name: string; make: (shell: Shell) => Page }[] = [
  { path: "/", name: "Now", make: shell => new NowPage(shell) },
  { path: "/health", name: "Health", make: shell => new HealthPage(shell) },
  { path: "/decode", name: "Decode", make: () => new DecodePage() },
];

class Application implements Shell {
  theme: Theme;
  private page: Page | null = null;
  private path = "";
  private paused = false;
  private frozen_s = NaN; // what the picture showed when it was paused
  private newest_s = NaN;
  private arrived_ms = NaN;
  private connected = false;
  private retry_in_s = 0;

  private readonly main = el("main", { id: "main", tabindex: -1 });
  private readonly links = new Map<string, HTMLAnchorElement>();
  private readonly badge = el("span", { class: "badge", role: "status" });
  private readonly since = el("span", { class: "since" });
  private readonly pause = el("button", { type: "button", title: "Freeze the picture (key p)" }, "Pause");
  private readonly look = el("button", { type: "button", title: "Light or dark (key t)" }, "Theme");
  private readonly system = matchMedia("(prefers-color-scheme: dark)");

  constructor() {
    this.theme = this.stored() ?? (this.system.matches ? "dark" : "light");
    const nav = el("nav", { "aria-label": "Pages" });
    for (const p of PAGES) {
      const link = el("a", { href: p.path }, p.name);
      this.links.set(p.path, link);
      nav.append(link);
    }
    document.body.append(
      el("a", { class: "skip", href: "#main" }, "Skip to the content"),
      el(
        "header",
        {},
        el(
          "a",
          { class: "brand", href: "/" },
          el("img", { src: "/favicon.svg", alt: "", width: 24, height: 24 }),
          "Scitag Observer",
        ),
        nav,
        el("div", { class: "live" }, this.badge, this.since, this.pause, this.look),
      ),
      this.main,
    );
    on(this.pause, "click", () => this.setPaused(!this.paused));
    on(this.look, "click", () => this.setTheme(this.theme === "dark" ? "light" : "dark", true));
    this.system.addEventListener("change", () => {
      if (!this.stored()) this.setTheme(this.system.matches ? "dark" : "light", false);
    });
    addEventListener("popstate", () => this.route());
    document.addEventListener("click", e => this.follow(e));
    document.addEventListener("keydown", e => this.key(e));
    setInterval(() => this.show(), 500);
    this.setTheme(this.theme, false);
    this.route();
  }

  live(newest_s: number, connected: boolean, retry_in_s: number): void {
    if (newest_s !== this.newest_s) this.arrived_ms = performance.now();
    this.newest_s = newest_s;
    this.connected = connected;
    this.retry_in_s = retry_in_s;
    this.show();
  }

  headline(words: string): void {
    document.title = [words, this.page?.title, "Scitag Observer"].filter(Boolean).join(" · ");
  }

  private show(): void {
    const age_s = (performance.now() - this.arrived_ms) / 1000;
    const state = Number.isNaN(this.newest_s) ? "waiting" : age_s > STALE_S ? "stale" : "live";
    set(document.documentElement, { "data-live": state, "data-paused": this.paused });
    text(
      this.badge,
      this.paused ? "Paused" : state === "live" ? "Live" : state === "stale" ? "Stale" : "Waiting",
    );
    const again = this.connected ? "" : this.retry_in_s ? ", reconnecting" : "";
    text(
      this.since,
      state === "waiting"
        ? `no data yet${again}`
        : state === "stale"
          ? `last data ${dateTime(this.newest_s)}, ${duration(age_s)} ago${again}`
          : `${clock(this.paused ? this.frozen_s : this.newest_s)} UTC`,
    );
  }

  private route(): void {
    const path = location.pathname;
    const entry = PAGES.find(p => p.path === path);
    if (entry && this.page && path === this.path) {
      this.page.readAddress();
      return;
    }
    this.page?.close();
    this.path = path;
    this.newest_s = this.arrived_ms = NaN;
    this.page = entry ? entry.make(this) : null;
    this.main.replaceChildren(
      this.page?.element ??
        el(
          "section",
          { class: "panel" },
          el("h1", {}, "No such page"),
          el("p", {}, "Nothing is at this address. ", el("a", { href: "/" }, "Show the traffic now"), "."),
        ),
    );
    this.page?.setPaused(this.paused);
    for (const [at, link] of this.links) set(link, { "aria-current": at === path ? "page" : null });
    set(document.documentElement, { "data-page": entry?.name.toLowerCase() ?? "none" });
    this.headline("");
    this.show();
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
      !PAGES.some(p => p.path === url.pathname) ||
      (url.pathname === location.pathname && url.hash)
    )
      return;
    e.preventDefault();
    if (url.href !== location.href) history.pushState(null, "", url);
    this.route();
  }

  private key(e: KeyboardEvent): void {
    const target = e.target as HTMLElement | null;
    if (e.ctrlKey || e.metaKey || e.altKey || target?.matches("input, select, textarea")) return;
    if (e.key === "p") this.setPaused(!this.paused);
    else if (e.key === "t") this.setTheme(this.theme === "dark" ? "light" : "dark", true);
  }

  private setPaused(paused: boolean): void {
    this.paused = paused;
    this.frozen_s = this.newest_s;
    text(this.pause, paused ? "Resume" : "Pause");
    set(this.pause, { "aria-pressed": paused });
    this.page?.setPaused(paused);
    this.show();
  }

  private setTheme(theme: Theme, chosen: boolean): void {
    this.theme = theme;
    set(document.documentElement, { "data-theme": theme });
    text(this.look, theme === "dark" ? "Light" : "Dark");
    this.page?.setTheme(theme);
    if (chosen)
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // a browser that keeps nothing still shows everything
      }
  }

  private stored(): Theme | null {
    try {
      const theme = localStorage.getItem("theme");
      return theme === "light" || theme === "dark" ? theme : null;
    } catch {
      return null;
    }
  }
}

new Application();
