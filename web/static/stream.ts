// The live stream. Read with fetch rather than EventSource: the first request can then already say from
// which second on it wants the ring (Last-Event-ID), and a refused one is tried again, too.

import type { Tick } from "./api.js";

export interface StreamEvents {
  tick(tick: Tick): void;
  /** The connection stands, or has gone: in so many seconds it is tried again. */
  state(connected: boolean, retry_in_s: number): void;
}

const SILENCE_MS = 20_000; // the observer writes at least every 15 s
const RETRY_MS = [500, 1000, 2000, 4000, 5000];

export class Stream {
  private last_second: number;
  private controller = new AbortController();
  private attempt = 0;
  private closed = false;
  private timer = 0;

  /** The first tick is the one after `last_second`, as far as the observer still holds it; NaN: the newest. */
  constructor(
    last_second: number,
    private readonly events: StreamEvents,
  ) {
    this.last_second = last_second;
    void this.run();
  }

  close(): void {
    this.closed = true;
    this.controller.abort();
    clearTimeout(this.timer);
  }

  private async run(): Promise<void> {
    while (!this.closed) {
      this.controller = new AbortController();
      try {
        await this.read();
      } catch {
        // said through state() below
      }
      clearTimeout(this.timer);
      if (this.closed) return;
      const wait_ms = RETRY_MS[Math.min(this.attempt++, RETRY_MS.length - 1)] ?? 5000;
      this.events.state(false, wait_ms / 1000);
      await new Promise(done => setTimeout(done, wait_ms));
    }
  }

  private async read(): Promise<void> {
    const response = await fetch("/api/v1/stream", {
      headers: {
        Accept: "text/event-stream",
        ...(Number.isNaN(this.last_second) ? {} : { "Last-Event-ID": String(this.last_second) }),
      },
      cache: "no-store",
      signal: this.controller.signal,
    });
    if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
    this.events.state(true, 0);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let buffer = "";
    for (;;) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.controller.abort(), SILENCE_MS);
      const { done, value } = await reader.read();
      if (done) return;
      buffer = (buffer + value).replaceAll("\r\n", "\n");
      for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
        this.take(buffer.slice(0, end));
        buffer = buffer.slice(end + 2);
      }
    }
  }

  private take(event: string): void {
    let name = "message";
    const data: string[] = [];
    for (const line of event.split("\n")) {
      const colon = line.indexOf(":");
      if (colon <= 0) continue; // a comment, or a field without a value
      const value = line.slice(colon + 1).replace(/^ /, "");
      switch (line.slice(0, colon)) {
        case "event":
          name = value;
          break;
        case "data":
          data.push(value);
          break;
      }
    }
    if (name !== "tick" || !data.length || this.closed) return;
    const tick = JSON.parse(data.join("\n")) as Tick;
    this.attempt = 0;
    this.last_second = tick.second;
    this.events.tick(tick);
  }
}
