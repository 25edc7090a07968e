// Agreement: not drawn yet.

import { el } from "./dom.js";
import { Page } from "./page.js";

export class AgreementPage extends Page {
  readonly element = el(
    "section",
    { class: "panel" },
    el("h1", {}, "Agreement"),
    el("p", {}, "This page has yet to come."),
  );
}
