// Numbers and times as people read them. SI prefixes, three significant digits, UTC.

const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

/** Number and unit apart, so that columns can align: ["12.4", "Gbit/s"]. */
export function si(value: number, unit: string): [string, string] {
  if (!Number.isFinite(value)) return ["–", ""];
  let power = 0;
  let v = Math.abs(value);
  while (v >= 999.5 && power < PREFIXES.length - 1) {
    v /= 1000;
    power++;
  }
  const digits = v === 0 || v >= 99.95 || (power === 0 && Number.isInteger(v)) ? 0 : v >= 9.995 ? 1 : 2;
  return [(value < 0 ? "−" : "") + v.toFixed(digits), PREFIXES[power] + unit];
}

const joined = ([number, unit]: [string, string]): string => (unit ? `${number} ${unit}` : number);

export const bitRate = (bytes_per_s: number): string => joined(si(bytes_per_s * 8, "bit/s"));
export const byteCount = (bytes: number): string => joined(si(bytes, "B"));

export function count(n: number): string {
  return Math.round(n).toLocaleString("en-GB");
}

/** 0.0123 -> "1.23 %"; small shares keep one significant digit and are never rounded to nothing. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return "–";
  const p = share * 100;
  if (p === 0) return "0 %";
  if (Math.abs(p) < 0.001) return "< 0.001 %";
  const digits =
    Math.abs(p) >= 99.95 ? (p === 100 ? 0 : 2) : Math.abs(p) >= 9.995 ? 1 : Math.abs(p) >= 0.0995 ? 2 : 3;
  return `${p.toFixed(digits)} %`;
}

/** Fewer say nothing about a size. */
export const FEW_SAMPLES = 10;

/** A value's sampling error at 95 %: in words where a number would mislead. */
export function error(value: number, half_width: number, samples: number): string {
  if (value === 0 && samples === 0) return "";
  if (half_width === 0) return "exact";
  if (samples < FEW_SAMPLES || half_width >= value) return "too few";
  const p = (half_width / value) * 100;
  return `± ${p >= 9.95 ? p.toFixed(0) : p >= 0.995 ? p.toFixed(1) : p.toFixed(2)} %`;
}

const two = (n: number): string => String(n).padStart(2, "0");

export function clock(utc_s: number): string {
  const d = new Date(utc_s * 1000);
  return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
}

export function hourMinute(utc_s: number): string {
  return clock(utc_s).slice(0, 5);
}

export function dateTime(utc_s: number): string {
  return `${new Date(utc_s * 1000).toISOString().slice(0, 10)} ${clock(utc_s)} UTC`;
}

export function seconds(iso: string | null | undefined): number {
  return iso ? Date.parse(iso) / 1000 : NaN;
}

/** A length of time in the largest unit that fits: "45 s", "12 min", "3 h", "5 d". */
export function duration(s: number): string {
  if (!Number.isFinite(s)) return "–";
  if (s < 120) return `${Math.max(0, Math.round(s))} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
