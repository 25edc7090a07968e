// Days of a past that never was, put into the database of a stopped observer, for pictures of long ranges.
// Three weeks of eight experiments with days, nights and a data challenge; one night without an observer.

import { execFileSync } from "node:child_process";

const TAGS = [
  [2, 17, 5],
  [2, 16, 3],
  [2, 26, 1.5],
  [3, 14, 6],
  [3, 13, 4],
  [3, 17, 2],
  [4, 3, 1.6],
  [5, 9, 2.4],
  [6, 19, 0.8],
  [7, 4, 1.2],
  [8, 3, 0.9],
  [9, 2, 0.2],
];
const DAY_S = 86400;
export const CHALLENGE_DAYS_AGO = 8.5; // it begins, and lasts 3.5 days
const LEVELS = [
  ["traffic_1m", 60, 2],
  ["traffic_10m", 600, 14],
  ["traffic_1h", 3600, 21],
];

/** Rows of one bucket: [direction, family, carrier, grade, experiment, activity, bytes]. */
function rows(at_s, width_s) {
  const day = at_s / DAY_S;
  const hour = (at_s % DAY_S) / 3600;
  const breath = 0.7 + 0.3 * Math.sin(((hour - 9) / 24) * 2 * Math.PI);
  const wobble = n => 1 + 0.35 * Math.sin(day * (2.1 + n) + n * 5) + 0.2 * Math.sin(day * (17 + 3 * n) + n);
  const days_ago = Date.now() / 1000 / DAY_S - day;
  const challenge = days_ago > CHALLENGE_DAYS_AGO - 3.5 && days_ago < CHALLENGE_DAYS_AGO;
  const out = TAGS.map(([experiment, activity, share], n) => {
    const gbits = share * breath * wobble(n) * (challenge && activity % 2 === 0 ? 2.2 : 1);
    return [n % 3 ? 1 : 2, 6, n === 2 ? 2 : 1, n === 2 ? 3 : 2, experiment, activity, gbits];
  });
  if (challenge) out.push([1, 6, 1, 2, 3, 4, 7 * wobble(3)], [1, 6, 1, 2, 2, 4, 9 * wobble(4)]);
  const tagged = out.reduce((a, r) => a + r[6], 0);
  out.push(
    [1, 6, 1, 1, -1, -1, 0.05 * tagged],
    [1, 4, 0, 0, 0, 0, 4 * breath],
    [2, 6, 0, 0, 0, 0, 2.5 * breath * wobble(9)],
  );
  return out.map(r => [...r.slice(0, 6), Math.round((r[6] * 1e9 * width_s) / 8)]);
}

export function fillDays(file) {
  const now_s = Math.floor(Date.now() / 1000);
  const sql = ["BEGIN;", "INSERT INTO sources VALUES (90, 'sflow:192.0.2.1', 3, NULL, NULL);"];
  for (const [table, width_s, days] of LEVELS) {
    const values = [];
    for (
      let at = Math.floor((now_s - days * DAY_S) / width_s) * width_s;
      at + width_s <= now_s - 3600;
      at += width_s
    ) {
      const ago = (now_s - at) / DAY_S;
      if (ago > 11.3 && ago < 11.8) continue; // nobody was there
      for (const [direction, family, carrier, grade, experiment, activity, bytes] of rows(at, width_s)) {
        const samples = Math.max(1, Math.round(bytes / 1500 / 2000));
        values.push(
          `(${at},90,${direction},${family},${carrier},${grade},${experiment},${activity},${samples * 2000},${bytes},${bytes},${samples},${samples * 3e6 ** 2},${experiment < 0 ? 900 : 1})`,
        );
      }
    }
    while (values.length) sql.push(`INSERT INTO ${table} VALUES ${values.splice(0, 500).join(",")};`);
  }
  const first_s = now_s - 21 * DAY_S;
  const ago = days => now_s - Math.round(days * DAY_S);
  sql.push(
    `INSERT INTO gaps VALUES (${ago(11.8)}, ${ago(11.3)}, 'not running'), (${now_s - 3600}, ${now_s + 10}, 'not running');`,
    `UPDATE meta SET value=${first_s} WHERE key IN ('first_utc_s', 'created_utc_s');`,
    "COMMIT;",
  );
  execFileSync("sqlite3", [file], { input: sql.join("\n"), maxBuffer: 1 << 28 });
}
