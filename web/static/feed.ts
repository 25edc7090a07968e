// One live stream for the whole window, whatever page is shown. The newest seconds are kept, so that a page
// can begin where its database answer ends.

import type { Tick } from "./api.js";
import { Stream } from "./stream.js";

const KEPT_S = 60;

export interface FeedEvents {
  tick(tick: Tick): void;
  state(connected: boolean, retry_in_s: number): void;
}

export class Feed {
  private stream: Stream | null = null;
  private kept: Tick[] = [];
  private told = NaN; // newest second told
  connected = false;

  constructor(private readonly events: FeedEvents) {}

  get newest_s(): number {
    const last = this.kept[this.kept.length - 1];
    return last ? last.second + 1 : NaN;
  }

  /** The newest second is enough. */
  start(): void {
    if (!this.stream) this.open(NaN);
  }

  /** Every second after `second` is told (again) from now on, as far as the observer still has it. */
  since(second: number): void {
    this.told = second;
    const first = this.kept[0];
    if (this.stream && first && first.second <= second + 1)
      // later, as it would come from the network
      queueMicrotask(() => this.kept.slice().forEach(tick => this.tell(tick)));
    else this.open(second);
  }

  private open(second: number): void {
    this.stream?.close();
    this.kept = [];
    this.stream = new Stream(second, {
      tick: tick => {
        const last = this.kept[this.kept.length - 1];
        if (last && tick.second !== last.second + 1) this.kept = []; // no holes in what is kept
        this.kept.push(tick);
        if (this.kept.length > KEPT_S) this.kept.shift();
        this.tell(tick);
      },
      state: (connected, retry_in_s) => {
        this.connected = connected;
        this.events.state(connected, retry_in_s);
      },
    });
  }

  private tell(tick: Tick): void {
    if (tick.second <= this.told) return;
    this.told = tick.second;
    this.events.tick(tick);
  }
}
