// The filter language, as far as the page itself needs it: the observer's parser decides what is right
// (store/filter.c), this one reads the same grammar to complete words, to change one condition in a longer
// filter, and to join two of them. It never decides what a filter matches.
//
//     any        = all { "or" all }
//     all        = one { "and" one }
//     one        = "not" one | "(" any ")" | comparison
//     comparison = dimension ( "=" | "!=" ) value | dimension "in" "(" value { "," value } ")"

export const DIMENSIONS: readonly { name: string; words: string }[] = [
  { name: "experiment", words: "by name or number" },
  { name: "activity", words: "by name or number" },
  { name: "grade", words: "how sure the tag is" },
  { name: "carrier", words: "where the tag was" },
  { name: "family", words: "4 or 6" },
  { name: "direction", words: "seen from the site" },
  { name: "source", words: "an input or switch" },
  { name: "site", words: "at either end" },
  { name: "src_site", words: "where it comes from" },
  { name: "dst_site", words: "where it goes" },
  { name: "application", words: "as fireflies name it" },
];

export const FIXED_VALUES: Readonly<Record<string, readonly string[]>> = {
  grade: ["confirmed", "registered", "unregistered", "disagree", "claimed", "untagged"],
  carrier: ["none", "label", "destination", "hop-by-hop", "hop-by-hop+destination"],
  family: ["6", "4", "other"],
  direction: ["in", "out", "internal", "transit", "unknown"],
};

type Kind = "word" | "quoted" | "sign" | "torn"; // torn: a quotation that does not end
interface Token {
  kind: Kind;
  text: string;
  from: number;
  to: number;
}

export type Node =
  | { op: "and" | "or"; parts: Node[]; from: number; to: number }
  | { op: "not"; part: Node; from: number; to: number }
  | { op: "is"; dim: string; negated: boolean; values: string[]; from: number; to: number };

function tokens(text: string): Token[] {
  const out: Token[] = [];
  const pattern = /\s*(?:"((?:[^"\\]|\\.)*)"|"((?:[^"\\]|\\.?)*)$|(!=|[(),=])|([^\s(),=!"]+)|(.))/gsu;
  for (let m = pattern.exec(text); m; m = pattern.exec(text)) {
    const to = pattern.lastIndex;
    const raw = m[0].trimStart();
    const [, quoted, torn, sign, word] = m;
    if (!raw) break;
    out.push({
      kind:
        quoted !== undefined ? "quoted" : torn !== undefined ? "torn" : word !== undefined ? "word" : "sign",
      text: (quoted ?? torn)?.replace(/\\(.)/gs, "$1") ?? sign ?? word ?? raw,
      from: to - raw.length,
      to,
    });
  }
  return out;
}

class Parser {
  private at = 0;
  constructor(private readonly all: Token[]) {}

  private peek(): Token | undefined {
    return this.all[this.at];
  }
  private isWord(word: string): boolean {
    const t = this.peek();
    return t?.kind === "word" && t.text.toLowerCase() === word;
  }
  private isSign(sign: string): boolean {
    const t = this.peek();
    return t?.kind === "sign" && t.text === sign;
  }
  private take(sign: string): void {
    if (!this.isSign(sign)) throw new SyntaxError(sign);
    this.at++;
  }

  whole(): Node {
    const node = this.any();
    if (this.peek()) throw new SyntaxError("more");
    return node;
  }
  private any(): Node {
    return this.joined("or", () => this.joined("and", () => this.one()));
  }
  private joined(op: "and" | "or", part: () => Node): Node {
    const first = part();
    const parts = [first];
    while (this.isWord(op)) {
      this.at++;
      parts.push(part());
    }
    return parts.length === 1 ? first : { op, parts, from: first.from, to: this.end() };
  }
  private end(): number {
    return this.all[this.at - 1]?.to ?? 0;
  }
  private one(): Node {
    const from = this.peek()?.from ?? 0;
    if (this.isWord("not")) {
      this.at++;
      return { op: "not", part: this.one(), from, to: this.end() };
    }
    if (!this.isSign("(")) return this.comparison();
    this.at++;
    const inner = this.any();
    this.take(")");
    return { ...inner, from, to: this.end() };
  }
  private comparison(): Node {
    const name = this.peek();
    const dim = name?.text.toLowerCase() ?? "";
    if (name?.kind !== "word" || !DIMENSIONS.some(d => d.name === dim)) throw new SyntaxError("dimension");
    this.at++;
    const negated = this.isSign("!=");
    const values: string[] = [];
    if (this.isWord("in")) {
      this.at++;
      this.take("(");
      values.push(this.value());
      while (this.isSign(",")) {
        this.at++;
        values.push(this.value());
      }
      this.take(")");
    } else {
      this.take(negated ? "!=" : "=");
      values.push(this.value());
    }
    return { op: "is", dim, negated, values, from: name.from, to: this.end() };
  }
  private value(): string {
    const t = this.peek();
    if (t?.kind !== "word" && t?.kind !== "quoted") throw new SyntaxError("value");
    this.at++;
    return t.text;
  }
}

/** null: empty, or not (yet) a whole filter. */
export function parseFilter(text: string): Node | null {
  try {
    return text.trim() ? new Parser(tokens(text)).whole() : null;
  } catch {
    return null;
  }
}

/** The dimensions that a filter speaks of. */
export function dimensionsOf(text: string): Set<string> {
  const found = new Set<string>();
  const walk = (n: Node): void => {
    if (n.op === "is") found.add(n.dim);
    else if (n.op === "not") walk(n.part);
    else n.parts.forEach(walk);
  };
  const node = parseFilter(text);
  if (node) walk(node);
  return found;
}

// --- one condition of a longer filter -----------------------------------------------------------------

export function quoted(value: string): string {
  return /^[^\s(),=!"\\]+$/.test(value) ? value : `"${value.replace(/(["\\])/g, "\\$1")}"`;
}

const conjuncts = (node: Node | null): Node[] => (node?.op === "and" ? node.parts : node ? [node] : []);

/** The value that the filter as a whole demands of a dimension; "" none, or no single one. */
export function condition(text: string, dim: string): string {
  const found = conjuncts(parseFilter(text)).filter(n => n.op === "is" && n.dim === dim);
  const [only] = found;
  return found.length === 1 && only?.op === "is" && !only.negated && only.values.length === 1
    ? (only.values[0] ?? "")
    : "";
}

/** The filter with `dim=value` demanded in place of what it demanded of `dim`; value "" takes it away. */
export function withCondition(text: string, dim: string, value: string): string {
  const node = parseFilter(text);
  if (text.trim() && !node) return value ? `${dim}=${quoted(value)}` : ""; // it was no filter anyway
  const kept = conjuncts(node)
    .filter(n => !(n.op === "is" && n.dim === dim && !n.negated))
    .map(n => {
      const part = text.slice(n.from, n.to);
      return n.op === "or" && !part.startsWith("(") ? `(${part})` : part;
    });
  if (kept.length === 1 && !value && node?.op === "or") return text;
  return [...kept, ...(value ? [`${dim}=${quoted(value)}`] : [])].join(" and ");
}

/** Joined by `and`; empty ones are left out, `or` is put in parentheses. */
export function both(...filters: string[]): string {
  const parts = filters.filter(f => f.trim());
  if (parts.length < 2) return parts[0] ?? "";
  return parts.map(f => (parseFilter(f)?.op === "or" && !f.startsWith("(") ? `(${f})` : f)).join(" and ");
}

// --- completion ------------------------------------------------------------------------------------------

export interface Completion {
  from: number; // what is replaced: from here ...
  to: number; // ... to here
  typed: string; // what is there now
  kind: "dimension" | "operator" | "value" | "connector";
  dim: string; // of a value
  experiment: string; // that the filter demands beside it; "" none
}

/** What may stand where the cursor is. */
export function complete(text: string, cursor: number): Completion {
  const before = tokens(text.slice(0, cursor));
  const last = before[before.length - 1];
  const touching =
    last && last.to === cursor && last.kind !== "sign" && last.kind !== "quoted" ? last : undefined;
  const from = touching?.from ?? cursor;
  const whole = touching && tokens(text).find(t => t.from === touching.from);
  const done = touching ? before.slice(0, -1) : before;
  const base = {
    from,
    to: Math.max(cursor, touching ? (whole?.to ?? cursor) : cursor),
    typed: touching?.text ?? "",
    dim: "",
    experiment: experimentBeside(text),
  };
  let state: Completion["kind"] = "dimension";
  let dim = "";
  let list = false;
  for (const t of done) {
    const word = t.kind === "word" ? t.text.toLowerCase() : "";
    switch (state) {
      case "dimension":
        if (word && word !== "not" && word !== "and" && word !== "or") {
          dim = word;
          state = "operator";
        }
        break;
      case "operator":
        if (t.text === "(" && list) state = "value";
        else if (word === "in") list = true;
        else if (t.kind === "sign") {
          list = false;
          state = "value";
        }
        break;
      case "value":
        if (t.kind !== "sign") state = "connector";
        break;
      case "connector":
        if (list && t.text === ",") state = "value";
        else if (t.text === ")") list = false;
        else if (word === "and" || word === "or") state = "dimension";
        break;
    }
  }
  return { ...base, kind: state, dim: state === "value" ? dim : "" };
}

function experimentBeside(text: string): string {
  const [, value, bare] = /\bexperiment\s*=\s*(?:"([^"]*)"|([^\s(),=!"]+))/i.exec(text) ?? [];
  return value ?? bare ?? "";
}
