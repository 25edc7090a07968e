// Numbers and times as people read them: SI prefixes, three significant digits, the zone of the view.

import type { Unit } from "./view.js";

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
/** A rate in the unit of the view: bit/s of bytes, packets per second. */
export const rateParts = (unit: Unit, per_s: number): [string, string] =>
  unit === "packets" ? si(per_s, "pkt/s") : si(per_s * 8, "bit/s");
export const rateWords = (unit: Unit, per_s: number): string => joined(rateParts(unit, per_s));
export const amountWords = (unit: Unit, n: number): string =>
  unit === "packets" ? joined(si(n, "pkt")) : byteCount(n);
/** What a rate is measured in: frames on the wire, or IP packets without their frames. */
export const RATE_UNITS: Record<Unit, string> = { bytes: "bit/s", ip_bytes: "bit/s of IP", packets: "pkt/s" };
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
  if (samples === 0) return ""; // nothing was sampled: nothing there, or only claimed
  if (half_width === 0) return "exact";
  if (samples < FEW_SAMPLES || half_width >= value) return "too few";
  const p = (half_width / value) * 100;
  if (p < 0.005) return "± < 0.01 %";
  return `± ${p >= 9.95 ? p.toFixed(0) : p >= 0.995 ? p.toFixed(1) : p.toFixed(2)} %`;
}

// --- times, in the zone of the view -------------------------------------------------------------------

export type Zone = "utc" | "local";
let shown: Zone = "utc";

export function setZone(z: Zone): void {
  shown = z;
}

/** What stands beside every time: "UTC", "CET", "GMT+5:30". */
export function zone(utc_s = Date.now() / 1000): string {
  if (shown === "utc") return "UTC";
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(utc_s * 1000);
  return parts.find(p => p.type === "timeZoneName")?.value ?? "local";
}

/** A date whose UTC fields are those of the zone shown. */
function fields(utc_s: number): Date {
  const d = new Date(utc_s * 1000);
  return shown === "utc" ? d : new Date(utc_s * 1000 - d.getTimezoneOffset() * 60_000);
}

/** "2026-01-10T08:00:00" in the zone shown; "" when there is no such time. */
function wall(utc_s: number): string {
  const d = fields(utc_s);
  return Number.isNaN(d.getTime()) ? "" : d.toISOString().slice(0, 19);
}

export const clock = (utc_s: number): string => wall(utc_s).slice(11);
export const hourMinute = (utc_s: number): string => wall(utc_s).slice(11, 16);
export const date = (utc_s: number): string => wall(utc_s).slice(0, 10);
export const dateMinute = (utc_s: number): string => wall(utc_s).slice(0, 16).replace("T", " ");

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export function dayMonth(utc_s: number): string {
  const d = fields(utc_s);
  return `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()] ?? ""}`;
}

export function yearMonth(utc_s: number): string {
  const d = fields(utc_s);
  return `${MONTHS[d.getUTCMonth()] ?? ""} ${d.getUTCFullYear()}`;
}

/** For whoever rounds to days and months: local getters give the fields of the zone shown. */
export function zoneDate(utc_s: number): Date {
  const d = new Date(utc_s * 1000);
  return shown === "local"
    ? d
    : new Date(
        d.getUTCFullYear(),
        d.getUTCMonth(),
        d.getUTCDate(),
        d.getUTCHours(),
        d.getUTCMinutes(),
        d.getUTCSeconds(),
        d.getUTCMilliseconds(),
      );
}

export function dateTime(utc_s: number): string {
  return `${wall(utc_s).replace("T", " ")} ${zone(utc_s)}`;
}

/** "15:39 to 16:19 UTC", with the days when it is more than one. */
export function spanOf(from_s: number, to_s: number): string {
  const now_s = Date.now() / 1000;
  const days = date(from_s) !== date(to_s) || now_s - to_s > 86400;
  const this_year = [from_s, to_s].every(s => fields(s).getUTCFullYear() === fields(now_s).getUTCFullYear());
  const words = days
    ? (s: number): string =>
        `${dayMonth(s)}${this_year ? "" : ` ${fields(s).getUTCFullYear()}`} ${hourMinute(s)}`
    : to_s - from_s < 600
      ? clock
      : hourMinute;
  return `${words(from_s)} to ${words(to_s)} ${zone(to_s)}`;
}

/** As inputs for date and time want it, and back. */
export const toInput = (utc_s: number): string => wall(Math.floor(utc_s));
export function fromInput(value: string): number {
  return Date.parse(shown === "utc" ? `${value}Z` : value) / 1000;
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

/** The width of a bucket: "10 s", "2 min", "1 h". */
export function stepWords(s: number): string {
  if (s % 86400 === 0) return plural(s / 86400, "day");
  return s % 3600 === 0 ? `${s / 3600} h` : s % 60 === 0 ? `${s / 60} min` : `${s} s`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
