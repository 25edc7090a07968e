// The moment that the reader points at, shared by the charts of a page.

export class Cursor {
  private readonly listeners = new Set<(at_s: number | null, by: unknown) => void>();
  at_s: number | null = null;

  /** Returns how to stop listening. */
  follow(listener: (at_s: number | null, by: unknown) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** `by`: who points; it is told, too, and knows itself. null: nobody points any more. */
  point(at_s: number | null, by: unknown): void {
    if (at_s === this.at_s) return;
    this.at_s = at_s;
    for (const listener of this.listeners) listener(at_s, by);
  }
}
