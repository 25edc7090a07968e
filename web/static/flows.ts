// Flows: not drawn yet.

import { el } from "./dom.js";
import { Page } from "./page.js";

export class FlowsPage extends Page {
  readonly element = el(
    "section",
    { class: "panel" },
    el("h1", {}, "Flows"),
    el("p", {}, "This page has yet to come."),
  );
}
