// Any stretch of time, by any dimension.

import { el } from "./dom.js";
import { Page } from "./page.js";

export class HistoryPage extends Page {
  readonly element = el("section", { class: "panel" }, el("h1", {}, "History"));
}
