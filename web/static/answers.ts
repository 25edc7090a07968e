// What the API says of flows, sites and agreement; docs/api.md is the contract.

import type { Key } from "./api.js";
import { count } from "./format.js";

export interface Tag {
  experiment_id: number; // 0 none
  activity_id: number;
  experiment: string;
  activity: string;
}

export interface Claim extends Tag {
  sender: string;
  producer: string;
  provenance: string;
  state: string;
  start: string | null;
  end: string | null;
  bytes_src_to_dst: number | null;
  bytes_dst_to_src: number | null;
  turned: boolean; // it names the two ends the other way around
  rtt_s: number | null;
  application: string;
  oddities: string[];
}

/** One way of a flow; the other one is in `back`. */
export interface Way extends Tag {
  carrier: string;
  label: string | null;
  bytes: number;
  error_bytes: number;
  packets: number;
  samples: number;
}

export interface Flow extends Way {
  src: string;
  src_port: number;
  dst: string;
  dst_port: number;
  protocol: string;
  family: number;
  state: string;
  seen: boolean;
  grade: string;
  why: string;
  evidence: string[];
  back: Way;
  claim: Claim | null;
  bytes_per_s: number | null;
  first: string | null;
  last: string | null;
  duration_s: number | null;
  src_site: string;
  dst_site: string;
  point: string;
  points: number;
}

export interface FlowsAnswer {
  now: string;
  matching: number;
  flows: Flow[];
}

/** How the lengths or sizes of many flows are spread. */
export interface Spread {
  key: Key;
  flows: number;
  median: number;
  p95: number;
  max: number;
  bins?: { from: number; to: number; flows: number }[];
}

export const hasTag = (t: Tag): boolean => t.experiment_id !== 0 || t.activity_id !== 0;

/** A number in the place of a name: nobody has registered it. */
export const isRegistered = (t: Tag): boolean =>
  hasTag(t) && t.activity !== String(t.activity_id) && t.activity_id >= 0;

/** As in the address: "3.14". */
export const tagNumbers = (t: Tag): string => `${t.experiment_id}.${t.activity_id}`;

/** An address and a port as one writes them: "192.0.2.1:443", "[2001:db8::1]:443". */
export const endWords = (address: string, port: number): string =>
  port ? (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`) : address;

export const tooFew = (n: number): string => `too few (${count(n)})`;

/** What fireflies say, bucket by bucket. */
export interface ClaimsAnswer {
  from: string;
  to: string;
  step_s: number;
  series: { key: Key; rest: boolean; starts: number[]; ends: number[]; bytes: number[] }[];
}

export interface DurationsAnswer {
  from: string;
  to: string;
  kind: string;
  rows: Spread[];
}

export interface SitesAnswer {
  from: string;
  to: string;
  bytes: number;
  matching: number;
  pairs: { src_site: string; dst_site: string; bytes: number; error_bytes: number; samples: number }[];
  sites: {
    name: string;
    country: string | null;
    tier: number | null;
    latitude: number | null;
    longitude: number | null;
    sent_bytes: number;
    received_bytes: number;
  }[];
}

/** Totals by source site, destination site and experiment. */
export interface LanesAnswer {
  from: string;
  to: string;
  rows: { key: Key; bytes: number; error_bytes: number; samples: number; rest: boolean }[];
}

export interface Cell {
  wire: Tag;
  claim: Tag;
  verdict: "same" | "other" | "unmarked" | "dead";
  flows: number;
  bytes: number;
  flows_1h: number;
  bytes_1h: number;
}

export interface Ends {
  src: string;
  src_port: number;
  dst: string;
  dst_port: number;
  protocol: string;
}

export interface Oddity {
  oddity: string;
  hint: string;
  claims: number;
  flows: Ends[];
}

export interface Sender {
  sender: string;
  producer: string;
  provenance: string;
  first_heard: string | null;
  last_heard: string | null;
  fireflies: number;
  duplicates: number;
  claims: number;
  joined: number;
  confirmed: number;
  disagree: number;
  claimed: number;
  claimed_bytes: number;
  seen_bytes: number;
  clock_offset_s: number | null;
  oddities: Oddity[];
}

/** The part of the coverage's answer that is about who and where. */
export interface SharesAnswer {
  from: string;
  to: string;
  sites: ({ site: string; bytes: number; tagged_share: number } & Record<Grade, number>)[];
}
export type Grade = "confirmed" | "registered" | "disagree" | "unregistered" | "claimed" | "untagged";

export interface AgreementAnswer {
  now: string;
  cells: Cell[];
  senders_known: number;
  senders: Sender[];
}
