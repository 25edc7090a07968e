// The part of Markdown that our own documents use, as elements: headings, paragraphs, lists, tables, code,
// and inside of them `code`, **strong**, *emphasis* and [links](address).

import { el } from "./dom.js";

/** "In five seconds" -> "in-five-seconds" */
export const anchor = (words: string): string =>
  words
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, "")
    .trim()
    .replace(/ +/g, "-");

/** `address` turns a link of the document into one of the page; null leaves its words only. */
export function markdown(source: string, address: (href: string) => string | null): HTMLElement[] {
  const inline = (words: string): (Node | string)[] => {
    const out: (Node | string)[] = [];
    const pattern = /`([^`]+)`|\*\*(.+?)\*\*|\*(.+?)\*|\[([^\]]+)\]\(([^)]+)\)/g;
    let at = 0;
    for (let m = pattern.exec(words); m; m = pattern.exec(words)) {
      const [all, code, strong, emphasis, link, href] = m;
      out.push(words.slice(at, m.index));
      at = m.index + all.length;
      if (code !== undefined) out.push(el("code", {}, code));
      else if (strong !== undefined) out.push(el("strong", {}, ...inline(strong)));
      else if (emphasis !== undefined) out.push(el("em", {}, ...inline(emphasis)));
      else {
        const to = address(href ?? "");
        out.push(to === null ? (link ?? "") : el("a", { href: to }, ...inline(link ?? "")));
      }
    }
    out.push(words.slice(at));
    return out;
  };
  const cells = (line: string): string[] =>
    line
      .replace(/^\||\|\s*$/g, "")
      .split("|")
      .map(c => c.trim());
  const table = (lines: string[]): HTMLElement => {
    const [head = "", , ...rows] = lines;
    return el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": cells(head).join(", ") },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...cells(head).map(c => el("th", { scope: "col" }, ...inline(c))))),
        el("tbody", {}, ...rows.map(r => el("tr", {}, ...cells(r).map(c => el("td", {}, ...inline(c)))))),
      ),
    );
  };
  const list = (lines: string[], tag: "ul" | "ol"): HTMLElement => {
    const items: string[] = [];
    for (const line of lines) {
      const begins = /^(?:- |\d+\. )(.*)$/.exec(line);
      if (begins) items.push(begins[1] ?? "");
      else items.push(`${items.pop() ?? ""} ${line.trim()}`);
    }
    return el(tag, {}, ...items.map(i => el("li", {}, ...inline(i))));
  };

  const out: HTMLElement[] = [];
  const lines = source.split("\n");
  const block = (more: (line: string) => boolean): string[] => {
    const taken: string[] = [];
    while (lines.length && more(lines[0] ?? "")) taken.push(lines.shift() ?? "");
    return taken;
  };
  const full = (line: string): boolean => line.trim() !== "";
  while (lines.length) {
    const line = lines[0] ?? "";
    const heading = /^(#{1,4}) (.*)$/.exec(line);
    if (!full(line)) lines.shift();
    else if (heading) {
      lines.shift();
      const words = heading[2] ?? "";
      const tag = (["h1", "h2", "h3", "h4"] as const)[(heading[1] ?? "#").length - 1] ?? "h4";
      out.push(el(tag, { id: anchor(words) }, ...inline(words)));
    } else if (line.startsWith("```")) {
      lines.shift();
      const code = block(l => !l.startsWith("```"));
      lines.shift();
      out.push(el("pre", { tabindex: 0 }, code.join("\n")));
    } else if (line.startsWith("|")) out.push(table(block(l => l.startsWith("|"))));
    else if (/^(- |\d+\. )/.test(line)) out.push(list(block(full), line.startsWith("-") ? "ul" : "ol"));
    else out.push(el("p", {}, ...inline(block(l => full(l) && !/^(#|\||```|- |\d+\. )/.test(l)).join(" "))));
  }
  return out;
}
