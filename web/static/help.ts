// The manual.

import { el } from "./dom.js";
import { Page } from "./page.js";

export class HelpPage extends Page {
  readonly element = el("section", { class: "panel" }, el("h1", {}, "Help"));
}
