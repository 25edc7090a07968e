// Nothing has come in yet: what to type, and where.

import type { Source } from "./api.js";
import { el, on } from "./dom.js";
import { plural } from "./format.js";

export function recipes(sources: Source[]): HTMLElement {
  const host =
    location.hostname === "127.0.0.1" || location.hostname === "localhost" || location.hostname === "[::1]"
      ? "192.0.2.10"
      : location.hostname;
  const port = (kind: string, usual: string): string =>
    sources
      .map(s => s.name)
      .find(n => n.startsWith(`${kind}:`))
      ?.match(/:(\d+)$/)?.[1] ?? usual;
  const listening = sources.map(s => s.name).join(", ");
  const arrived = sources
    .filter(s => s.received > 0)
    .map(s => `${plural(s.received, s.unit.replace(/s$/, ""))} at ${s.name}`);
  return el(
    "section",
    { class: "panel recipes" },
    el("h2", {}, "Nothing seen yet"),
    el(
      "p",
      {},
      listening
        ? `The observer is up and listens on ${listening}. As soon as the first packet arrives it is drawn here; no reload is needed. Three ways to feed it:`
        : "The observer runs without an input. Three ways to feed it:",
    ),
    arrived.length > 0 &&
      el(
        "p",
        {},
        `Something did arrive: ${arrived.join(", ")}; but no packet or sample that could be drawn. `,
        el("a", { href: "/health#rejects" }, "Why"),
        ".",
      ),
    el(
      "div",
      { class: "columns" },
      recipe(
        "sFlow from a switch",
        "On the switch (here Arista EOS; others are in the operator's guide). Replace the address by this host's.",
        `sflow sample dangerous 1024\nsflow polling-interval 20\nsflow destination ${host} ${port("sflow", "6343")}\nsflow source-interface Management1\nsflow run\ninterface Ethernet1\n   sflow enable`,
      ),
      recipe(
        "A mirror port",
        "On this host, with the port that receives the mirrored traffic.",
        "ip link set eth1 up promisc on\nscitag-observer -i eth1 \\\n   --sflow :6343 --firefly :10514 \\\n   --db sqlite:observer.db",
      ),
      recipe(
        "Fireflies from XRootD",
        "In the configuration of the storage server. It then reports each transfer with its experiment and activity; the bytes are counted by one of the other two.",
        `xrootd.pmark use firefly scitag\nxrootd.pmark domain any\nxrootd.pmark ffdest ${host}:${port("firefly", "10514")}\nxrootd.pmark defsfile curl https://www.scitags.org/api.json`,
      ),
    ),
  );
}

function recipe(title: string, words: string, commands: string): HTMLElement {
  const copy = el("button", { type: "button", class: "copy" }, "Copy");
  on(copy, "click", () => {
    navigator.clipboard?.writeText(commands).then(
      () => {
        copy.textContent = "Copied";
      },
      () => {
        copy.textContent = "Select and copy";
      },
    );
  });
  return el(
    "div",
    { class: "recipe" },
    el("h3", {}, title),
    el("p", {}, words),
    el("pre", { tabindex: 0, "aria-label": title }, commands),
    copy,
  );
}
