// What a page is to the shell, and what the shell offers to a page.

import type { Theme } from "./colour.js";

export interface Page {
  readonly title: string;
  readonly element: HTMLElement;
  setTheme(theme: Theme): void;
  setPaused(paused: boolean): void;
  /** The address changed under the page: back, forward. */
  readAddress(): void;
  close(): void;
}

export interface Shell {
  readonly theme: Theme;
  /** End of the newest second, and whether the stream stands. NaN: nothing yet. */
  live(newest_s: number, connected: boolean, retry_in_s: number): void;
  /** What goes in front of the name in the window's title. */
  headline(words: string): void;
}
