// The HTTP API as this page uses it; docs/api.md is the contract.

export interface Key {
  experiment_id?: number;
  experiment?: string;
  activity_id?: number;
  activity?: string;
  carrier?: string;
  grade?: string;
  direction?: string;
  family?: number;
  source?: string;
  src_site?: string;
  dst_site?: string;
  application?: string;
}

export interface Series {
  key: Key;
  rest: boolean;
  bytes?: number[];
  ip_bytes?: number[];
  packets?: number[];
  error_bytes?: number[]; // not of packets, nor of what is claimed
  samples?: number[]; // likewise
  total: number;
  total_error?: number;
}

export interface SeriesAnswer {
  from: string;
  to: string;
  step_s: number;
  series: Series[];
  gaps: { from: string; to: string; reason: string }[];
}

export interface Share {
  bytes: number;
  packets: number;
  share: number;
}

export interface CoverageAnswer {
  from: string;
  to: string;
  bytes: number;
  packets: number;
  grades: (Share & { grade: string; error_bytes: number })[];
  carriers: (Share & { carrier: string })[];
  families: { family: number; bytes: number; packets: number }[];
  noise: {
    unregistered_label_bytes: number;
    unregistered_label_packets: number;
    unregistered_code_points: number;
    floor_bytes_per_code_point: number;
    floor_packets_per_code_point: number;
    registered_label_pairs: number;
    expected_registered_bytes: number;
    share: number;
  };
  tagged_share: number;
  tagged_share_corrected: number;
}

export interface TopAnswer {
  rows: { key: Key; bytes: number; samples: number; rest: boolean }[];
}

export interface Source {
  name: string;
  kind: string;
  unit: string;
  up: boolean;
  detail?: string;
  parent?: string | null;
  received: number;
  accepted: number;
  rejected: Record<string, number>;
  dropped: Record<string, number>;
  bytes: number;
  last_seen: string | null;
  lost?: number;
  agent_drops?: number;
  sampling_rate?: number;
  effective_rate?: number;
  if_speed_bps?: number;
  if_bytes_per_s?: number;
  flow_bytes_per_s?: number;
}

export interface HealthAnswer {
  now: string;
  status: "ok" | "degraded" | "down";
  reasons: string[];
  sources: Source[];
  store: {
    url: string;
    committed: string | null; // the newest second that is safe on disk
    oldest: string | null;
    file_bytes: number;
    max_size_bytes: number;
    queued_s: number;
    lost_s: number;
    trimmed_rows: number;
    paused: boolean;
    last_error: string;
  };
  registry: {
    origin: string;
    modified: string;
    pairs: number;
    loaded: string | null;
    checked: string | null;
  };
  /** Of flows and claims; null when they are not followed. */
  join: Record<string, number> | null;
  process: { version: string; uptime_s: number; resident_bytes: number };
  events: { time: string; kind: string; text: string }[];
}

export interface RegistryAnswer {
  origin: string;
  modified: string;
  pairs: number;
  experiments: {
    experiment_id: number;
    experiment: string;
    activities: { activity_id: number; activity: string }[];
  }[];
}

export interface TickRow extends Required<Omit<Key, "src_site" | "dst_site" | "application">> {
  packets: number;
  bytes: number;
  ip_bytes: number;
  samples: number;
  error_bytes: number;
}

export interface TickHealth {
  status: string;
  sources_up: number;
  sources: number;
  received: number;
  accepted: number;
  rejected: number;
  dropped: number;
  lost: number;
}

export interface Tick {
  time: string;
  second: number;
  rows: TickRow[];
  claims: { starts: number; ongoings: number; ends: number };
  health: TickHealth;
}

export interface Reading {
  as: string;
  experiment_id: number;
  activity_id: number;
  experiment: string;
  activity: string;
  registered: boolean;
  entropy?: number | string | null;
  label?: string | null;
  option?: string | null;
  scitag?: number | string | null;
  note?: string | null;
}

/** Address of a question; empty values are left out. */
export function address(path: string, params: Record<string, string> = {}): string {
  const query = new URLSearchParams(Object.entries(params).filter(([, v]) => v !== "")).toString();
  return `/api/v1/${path}${query ? `?${query}` : ""}`;
}

/** What the observer says of a question that it does not answer. */
export class Problem extends Error {
  constructor(
    words: string,
    readonly status: number,
    /** The parameter at fault and the position in it, in bytes of UTF-8; "" and -1 when it is none. */
    readonly parameter: string,
    readonly at_bytes: number,
  ) {
    super(words);
  }
}

/** Throws a Problem whose message is the problem document's own sentence. */
export async function get<T>(
  path: string,
  params: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<T> {
  const response = await fetch(address(path, params), signal ? { signal } : {});
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const p = body as { title?: string; detail?: string; parameter?: string; at?: number } | null;
    throw new Problem(
      p?.detail ?? p?.title ?? `the observer answered ${response.status}`,
      response.status,
      p?.parameter ?? "",
      p?.at ?? -1,
    );
  }
  if (body === null) throw new Error("the observer's answer is not JSON");
  return body as T;
}

/** The error is shown as text, never thrown away: what went wrong, in one sentence. */
export function reason(e: unknown): string {
  return e instanceof TypeError ? "the observer does not answer" : e instanceof Error ? e.message : String(e);
}
