// Colour is identity: an experiment has its slot for ever, whatever else is on the page; an activity is
// a step of lightness in it. Seven slots per theme, chosen for four kinds of colour vision, each with a
// contrast of at least 3:1 to its ground. Experiments beyond the seventh share a slot and get a texture.

export type Theme = "light" | "dark";

export const GROUND: Record<Theme, string> = { light: "#FFFFFF", dark: "#14171C" };
export const PALETTE: Record<Theme, readonly string[]> = {
  light: ["#7E96BA", "#D37E11", "#33766F", "#870200", "#520245", "#001D9C", "#964CD1"],
  dark: ["#A6ECFE", "#F4DE38", "#097506", "#D49C4B", "#D94387", "#6FB5EC", "#9068F3"],
};

/** How an area is filled. "hatch" and "dots" are for what is no registered tag. */
export interface Paint {
  colour: string;
  texture: "plain" | "lines" | "hatch" | "dots";
}

const SLOTS = 7;
const STEPS = 3; // activities per experiment before lightness repeats: a fourth would come near other slots
const STEP_SIZE = 0.038; // in OKLab lightness

const cache = new Map<string, Paint>();

/** Numbers as in the registry: 0 is untagged, -1 the folded rest of the unregistered. */
export function paint(theme: Theme, experiment_id: number, activity_id: number): Paint {
  if (experiment_id === 0) return { colour: theme === "light" ? "#868E99" : "#79828F", texture: "hatch" };
  if (experiment_id < 0) return { colour: theme === "light" ? "#6C7480" : "#98A1AE", texture: "dots" };
  const id = `${theme} ${experiment_id} ${activity_id}`;
  let p = cache.get(id);
  if (!p) {
    // 2 (atlas) to 8 (dune) fill the slots once; 1 (default) and the later ones come round again
    const slot = (experiment_id + SLOTS - 2) % SLOTS;
    const first_lap = experiment_id >= 2 && experiment_id < 2 + SLOTS;
    p = {
      colour: activityColour(theme, PALETTE[theme][slot] ?? "#808080", activity_id),
      texture: first_lap ? "plain" : "lines",
    };
    cache.set(id, p);
  }
  return p;
}

/** Steps lead towards the middle of the lightness scale and stop where 3:1 to the ground would be lost. */
function activityColour(theme: Theme, base: string, activity_id: number): string {
  const step = activity_id % STEPS;
  const [l, a, b] = toOklab(base);
  const towards = l > 0.55 ? -1 : 1;
  for (let n = step; n > 0; n--) {
    const c = fromOklab([l + towards * n * STEP_SIZE, a, b]);
    if (contrast(c, GROUND[theme]) >= 3) return c;
  }
  return base;
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
