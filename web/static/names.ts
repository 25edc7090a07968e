// The names that the observer knows: experiments and activities from its registry, sources from its health.

import { get, type HealthAnswer, type RegistryAnswer } from "./api.js";
import { FIXED_VALUES } from "./filter.js";

export class Names {
  private registry: RegistryAnswer | null = null;
  private asked: Promise<void> | null = null;
  sources: string[] = [];

  /** Asked for once, when first wanted. */
  load(): Promise<void> {
    return (this.asked ??= get<RegistryAnswer>("registry").then(
      answer => {
        this.registry = answer;
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
      default:
        return FIXED_VALUES[dim] ?? [];
    }
  }
}

/** Only what carries traffic: captures and sFlow agents, not the sockets they arrive on. */
export function trafficSources(health: HealthAnswer | null): HealthAnswer["sources"] {
  return (health?.sources ?? []).filter(s => !s.kind.endsWith("_input"));
}
