// Colour is identity: an experiment has its slot for ever, whatever else is on the page; an activity is
// a step of lightness in it. Seven slots per theme, chosen for four kinds of colour vision, each with a
// contrast of at least 3:1 to its ground. Experiments beyond the seventh share a slot and get a texture.

export const THEMES = ["light", "dark", "contrast"] as const;
export type Theme = (typeof THEMES)[number];

const DARK = ["#A6ECFE", "#F4DE38", "#097506", "#D49C4B", "#D94387", "#6FB5EC", "#9068F3"];
export const GROUND: Record<Theme, string> = { light: "#FFFFFF", dark: "#14171C", contrast: "#000000" };
export const INK: Record<Theme, string> = { light: "#14171C", dark: "#E9ECF1", contrast: "#FFFFFF" };
export const QUIET: Record<Theme, string> = { light: "#57606D", dark: "#A1AAB7", contrast: "#FFFFFF" };
export const PALETTE: Record<Theme, readonly string[]> = {
  light: ["#7E96BA", "#D37E11", "#33766F", "#870200", "#520245", "#001D9C", "#964CD1"],
  dark: DARK,
  contrast: DARK, // the same identities; on black each gains contrast
};

/** How an area is filled. "hatch" and "dots" are for what is no registered tag. */
export interface Paint {
  colour: string;
  texture: "plain" | "lines" | "hatch" | "dots";
}

const SLOTS = 7;
const STEP = 0.02; // in OKLab lightness: the least that can be told apart side by side
const STEPS_MAX = 27; // activity numbers of the registry end at 26
const STEPS_FEW = 12;
const OWN = 0.85; // a step is at most this part as far from its own slot as from the nearest other one
const HUE_KEPT = 0.85; // of the chroma, where the screen cannot show it so dark or light

const cache = new Map<string, Paint>();

/** Numbers as in the registry: 0 is untagged, -1 the folded rest of the unregistered; activity null is the
 * experiment as a whole. */
export function paint(theme: Theme, experiment_id: number, activity_id: number | null): Paint {
  if (experiment_id === 0) return { colour: UNTAGGED[theme], texture: "hatch" };
  if (experiment_id < 0) return { colour: UNREGISTERED[theme], texture: "dots" };
  const id = `${theme} ${experiment_id} ${activity_id}`;
  let p = cache.get(id);
  if (!p) {
    // 2 (atlas) to 8 (dune) fill the slots once; 1 (default) and the later ones come round again
    const slot = (experiment_id + SLOTS - 2) % SLOTS;
    const first_lap = experiment_id >= 2 && experiment_id < 2 + SLOTS;
    const base = PALETTE[theme][slot] ?? "#808080";
    const steps = stepsOf(theme, slot);
    p = {
      colour:
        activity_id === null ? base : (steps[(activity_id * strideOf(steps.length)) % steps.length] ?? base),
      texture: first_lap ? "plain" : "lines",
    };
    cache.set(id, p);
  }
  return p;
}

const UNTAGGED: Record<Theme, string> = { light: "#868E99", dark: "#79828F", contrast: "#C4CAD3" };
const UNREGISTERED: Record<Theme, string> = { light: "#6C7480", dark: "#98A1AE", contrast: "#FFFFFF" };

const ladders = new Map<string, readonly string[]>();

/** The steps of a slot, darkest first: as many in lightness as keep 3:1 to the ground, stay nearest to their own
 * slot, and can be told apart; where that makes few, the same again a little to either side in hue. */
export function stepsOf(theme: Theme, slot: number): readonly string[] {
  const id = `${theme} ${slot}`;
  let steps = ladders.get(id);
  if (steps) return steps;
  const base = PALETTE[theme][slot] ?? "#808080";
  const others = PALETTE[theme].filter(c => c !== base).map(toOklab);
  const own = toOklab(base);
  const [l, a, b] = own;
  const chroma = Math.hypot(a, b);
  const found = [{ hex: base, seen: own }];
  const take = (lightness: number, strength: number): boolean => {
    const hex = fromOklab([lightness, a * strength, b * strength]);
    const seen = toOklab(hex); // out of gamut is clipped: what is really shown
    const good =
      contrast(hex, GROUND[theme]) >= 3 &&
      Math.hypot(seen[1], seen[2]) >= HUE_KEPT * strength * chroma &&
      found.every(f => apart(f.seen, seen) > 0.9 * STEP) &&
      others.every(o => apart(seen, own) < OWN * apart(seen, o));
    if (good) found.push({ hex, seen });
    return good;
  };
  const ladder = (strength: number): void => {
    if (strength !== 1) take(l, strength);
    for (const way of [-1, 1])
      for (let n = 1; found.length < STEPS_MAX && take(l + way * n * STEP, strength); n++);
  };
  ladder(1);
  if (found.length < STEPS_FEW) for (const way of [1, -1]) ladder(1 + (way * 1.3 * STEP) / chroma);
  steps = found.sort((x, y) => x.seen[0] - y.seen[0]).map(f => f.hex);
  ladders.set(id, steps);
  return steps;
}

/** So many steps on from one activity number to the next: near half of them, so that neighbours differ
 * clearly, and without a common divisor, so that every step is used. */
function strideOf(n: number): number {
  const divisor = (x: number, y: number): number => (y ? divisor(y, x % y) : x);
  let stride = Math.max(1, Math.round(n * 0.382));
  while (divisor(stride, n) !== 1) stride++;
  return stride;
}

const GRADE_COLOURS: Record<Theme, Record<string, string>> = {
  light: { confirmed: "#14171C", registered: "#4A5361", disagree: "#C2410C", claimed: "#8A93A0" },
  dark: { confirmed: "#F2F4F8", registered: "#AEB7C4", disagree: "#F08A4B", claimed: "#7A8492" },
  contrast: { confirmed: "#FFFFFF", registered: "#B9C0CA", disagree: "#FF9A57", claimed: "#8E98A6" },
};

/** Values of other dimensions: grades in greys of their own, the rest through the slots. */
export function plainPaint(theme: Theme, dim: string, value: string, rank: number): Paint {
  if (dim === "grade") {
    if (value === "untagged") return { colour: UNTAGGED[theme], texture: "hatch" };
    if (value === "unregistered") return { colour: UNREGISTERED[theme], texture: "dots" };
    return { colour: GRADE_COLOURS[theme][value] ?? UNTAGGED[theme], texture: "plain" };
  }
  if (value === "" || value === "none" || value === "unknown" || (dim === "family" && value === "0"))
    return { colour: UNTAGGED[theme], texture: "hatch" };
  const slot = NEUTRAL_SLOTS[rank % NEUTRAL_SLOTS.length] ?? 0;
  return {
    colour: PALETTE[theme][slot] ?? "#808080",
    texture: rank < NEUTRAL_SLOTS.length ? "plain" : "lines",
  };
}

/** The slots in an order in which neighbours differ most; also for who must not look like an experiment. */
const NEUTRAL_SLOTS = [5, 0, 6, 2, 1, 4, 3];

function apart(x: Triple, y: Triple): number {
  return Math.hypot(x[0] - y[0], x[1] - y[1], x[2] - y[2]);
}

type Triple = [number, number, number];

function toLinear(hex: string): Triple {
  const channel = (at: number): number => {
    const c = parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return [channel(1), channel(3), channel(5)];
}

function fromLinear(rgb: Triple): string {
  return (
    "#" +
    rgb
      .map(c => {
        const v = c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055;
        return Math.round(Math.min(1, Math.max(0, v)) * 255)
          .toString(16)
          .padStart(2, "0");
      })
      .join("")
      .toUpperCase()
  );
}

// B. Ottosson's OKLab
export function toOklab(hex: string): Triple {
  const [r, g, b] = toLinear(hex);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromOklab([lightness, a, b]: Triple): string {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return fromLinear([
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ]);
}

/** WCAG 2 contrast ratio, 1 to 21. */
export function contrast(a: string, b: string): number {
  const luminance = (hex: string): number => {
    const [r, g, bl] = toLinear(hex);
    return 0.2126 * r + 0.7152 * g + 0.0722 * bl;
  };
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}
