// What the API's short names mean, for people. A name that is not listed is shown as it is.

import { seconds, spanOf } from "./format.js";
import { rangeWords, type Range } from "./view.js";

const EVIDENCE: Readonly<Record<string, string>> = {
  option: "A registered tag stands in an extension header.",
  claim_same: "A firefly for this flow names the same tag.",
  claim_other: "A firefly for this flow names another registered tag.",
  transition: "Its label changed between registered and unregistered: one of the two is chance.",
  host_excess: "Its sender has more registered labels than chance allows.",
  both_ways: "Both directions carry the same registered pair.",
  bit19: "Its host sets the top label bit in every flow but this one: this label was written on purpose.",
  headers_differ: "The hop-by-hop and the destination option disagree.",
  nat: "The firefly was matched by the sender's public address.",
  one_port: "The firefly was matched by the addresses and one port: its sender does not know the other.",
  same_hosts: "A firefly names a flow between the same hosts, but no port fits; it was not matched.",
  reversed: "The firefly names the two ends the other way around.",
  claim_stranger: "The firefly came from an address that is no end of the flow and no known relay.",
  several_points: "More than one observation point saw it; one is counted.",
  claim_dead: "The firefly's tag is not in the registry.",
};

const PROVENANCE: Readonly<Record<string, string>> = {
  end: "one end of the flow",
  relay: "a known relay",
  stranger: "a stranger",
};

/** "last hour", or from when to when. */
export function rangeOf(r: Range): string {
  return r.live ? rangeWords(r) : spanOf(seconds(r.from), seconds(r.to));
}

const bare = (name: string): string => name.replaceAll("_", " ");

export const evidenceWords = (name: string): string => EVIDENCE[name] ?? bare(name);
export const provenanceWords = (name: string): string => PROVENANCE[name] ?? bare(name);
export const bareWords = bare;
