// The manual: documents of docs/, bundled with the page so that they are there without a network.

import page from "../../docs/page.md";
import reading from "../../docs/reading.md";
import { el } from "./dom.js";
import { anchor, markdown } from "./markdown.js";
import { Page, type Shell } from "./page.js";

const DOCUMENTS: readonly [string, string][] = [
  ["page.md", page],
  ["reading.md", reading],
];

export class HelpPage extends Page {
  readonly element = el("div", { class: "help" });

  constructor(_shell: Shell) {
    super();
    const contents = el("ul");
    const body = el("div", { class: "text" });
    for (const [, source] of DOCUMENTS) {
      const nodes = markdown(source, address);
      for (const heading of nodes.filter(n => /^H[12]$/.test(n.tagName)))
        contents.append(
          el(
            "li",
            { class: heading.tagName.toLowerCase() },
            el("a", { href: `#${heading.id}` }, heading.textContent),
          ),
        );
      body.append(...nodes);
    }
    this.element.append(
      el("nav", { class: "panel contents", "aria-label": "Contents" }, contents),
      el("section", { class: "panel" }, body),
    );
  }
}

/** Links between the documents that are here lead to their headings; others are words. */
function address(href: string): string | null {
  const [file = "", part] = href.split("#");
  const title = DOCUMENTS.find(([name]) => name === file)?.[1].match(/^# (.*)$/m)?.[1];
  if (title) return `#${part ?? anchor(title)}`;
  if (href.startsWith("#") || href.startsWith("/")) return href;
  return null;
}
