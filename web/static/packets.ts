// Packets: not drawn yet.

import { el } from "./dom.js";
import { Page } from "./page.js";

export class PacketsPage extends Page {
  readonly element = el(
    "section",
    { class: "panel" },
    el("h1", {}, "Packets"),
    el("p", {}, "This page has yet to come."),
  );
}
