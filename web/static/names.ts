// The names that the observer knows: experiments and activities from its registry, sources from its health,
// sites and applications from what was seen.

import { get, type HealthAnswer, type Key, type RegistryAnswer, type TopAnswer } from "./api.js";
import { FIXED_VALUES } from "./filter.js";

export class Names {
  private registry: RegistryAnswer | null = null;
  private sites: string[] = [];
  private applications: string[] = [];
  private asked: Promise<void> | null = null;
  sources: string[] = [];

  /** Asked for once, when first wanted; sites and applications as they were seen within a day. */
  load(): Promise<void> {
    const seen = { from: "-1d", limit: "200" };
    return (this.asked ??= Promise.all([
      get<RegistryAnswer>("registry"),
      get<TopAnswer>("top", { ...seen, group: "src_site,dst_site" }).catch(() => null),
      get<TopAnswer>("top", { ...seen, group: "application" }).catch(() => null),
    ]).then(
      ([registry, pairs, claims]) => {
        const names = (of: (k: Key) => (string | undefined)[], answer: TopAnswer | null): string[] =>
          [...new Set((answer?.rows ?? []).flatMap(r => of(r.key)))].filter((n): n is string => !!n).sort();
        this.registry = registry;
        this.sites = names(k => [k.src_site, k.dst_site], pairs);
        this.applications = names(k => [k.application], claims);
      },
      () => {
        this.asked = null; // next time again
      },
    ));
  }

  takeHealth(health: HealthAnswer): void {
    this.sources = trafficSources(health).map(s => s.name);
  }

  /** What a dimension may be equal to; of activities those of the experiment, if one is named. */
  values(dim: string, experiment: string): readonly string[] {
    const all = this.registry?.experiments ?? [];
    switch (dim) {
      case "experiment":
        return all.map(e => e.experiment);
      case "activity": {
        const one = all.filter(e => e.experiment === experiment || String(e.experiment_id) === experiment);
        return [...new Set((one.length ? one : all).flatMap(e => e.activities.map(a => a.activity)))];
      }
      case "source":
        return this.sources;
      case "site":
      case "src_site":
      case "dst_site":
        return this.sites;
      case "application":
        return this.applications;
      default:
        return FIXED_VALUES[dim] ?? [];
    }
  }
}

/** Only what carries traffic: captures and sFlow agents, not the sockets they arrive on. */
export function trafficSources(health: HealthAnswer | null): HealthAnswer["sources"] {
  return (health?.sources ?? []).filter(s => !s.kind.endsWith("_input"));
}
