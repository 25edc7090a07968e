// The page's own arithmetic without a browser: the live stream's reader against a server that cuts,
// splits and refuses; the buckets of a range; numbers in words. Run: node tests/browser/model.mjs

import http from "node:http";
import { check, finish, sleep, until } from "./browser.mjs";
import { bundle } from "./bundle.mjs";

// --- numbers in words: expected values by hand --------------------------------------------------------
const f = await bundle("format.ts");
for (const [what, found, expected] of [
  ["bytes per second are shown as bit/s", f.bitRate(1.25e9), "10.0 Gbit/s"],
  ["zero has no digits to show", f.bitRate(0), "0 bit/s"],
  ["999.6 Mbit/s rounds up into the next prefix", f.bitRate(999.6e6 / 8), "1.00 Gbit/s"],
  ["three significant digits", f.byteCount(123_456), "123 kB"],
  ["single bytes are whole", f.byteCount(7), "7 B"],
  ["a small share is not rounded to nothing", f.percent(0.0000049), "< 0.001 %"],
  ["a share a little under one is not 100 %", f.percent(0.99999), "100.00 %"],
  ["no share", f.percent(0), "0 %"],
  ["nothing to divide by", f.percent(NaN), "–"],
  ["half width over value", f.error(1000, 31, 400), "± 3.1 %"],
  ["under 10 samples: too few", f.error(1000, 31, 9), "too few"],
  ["an error as large as the value: too few", f.error(1000, 1000, 100), "too few"],
  ["everything counted: exact", f.error(1000, 0, 3), "exact"],
  ["time of day in UTC", f.clock(1768032005), "08:00:05"], // date -u -d @1768032005
  ["date and zone", f.dateTime(1768032005), "2026-01-10 08:00:05 UTC"],
])
  check(`${what}: ${expected}`, found === expected, found);

// --- the stream ----------------------------------------------------------------------------------------
const asked = [];
const say = (response, second) =>
  response.write(`id: ${second}\nevent: tick\ndata: {"second":${second},"name":"Ω"}\n\n`);
const server = http
  .createServer(async (request, response) => {
    asked.push(request.headers["last-event-id"]);
    if (asked.length === 2) {
      // refused once: tried again
      response.writeHead(503);
      return response.end();
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const next = Number(request.headers["last-event-id"]) + 1;
    response.write(": hello\n\nretry: 2000\n\n");
    say(response, next);
    if (asked.length === 1) {
      // an event in two pieces, torn inside a character, and lines that end in CR LF
      const bytes = Buffer.from(
        `id: ${next + 1}\r\nevent: tick\r\ndata: {"second":${next + 1},"name":"Ω"}\r\n\r\n`,
      );
      const tear = bytes.indexOf(Buffer.from("Ω")) + 1;
      response.write(bytes.subarray(0, tear));
      await sleep(50);
      response.write(bytes.subarray(tear));
      response.write('event: other\ndata: {"second":999}\n\n');
      await sleep(50);
      response.write(`id: ${next + 2}\nevent: tick\ndata: {"second":`); // and the connection is gone
      await sleep(50);
      response.destroy();
    }
  })
  .listen(0, "127.0.0.1");
await sleep(50);
const real_fetch = globalThis.fetch;
globalThis.fetch = (path, options) => real_fetch(`http://127.0.0.1:${server.address().port}${path}`, options);
const { Stream } = await bundle("stream.ts");
const ticks = [],
  states = [];
const stream = new Stream(100, {
  tick: t => ticks.push(t),
  state: connected => states.push(connected),
});
await until(8, () => ticks.length >= 3);
stream.close();
server.closeAllConnections();
server.close();
globalThis.fetch = real_fetch;
check("the first request already says from which second on", asked[0] === "100", asked);
check(
  "after a cut it goes on after the last whole second, also after a refusal",
  asked[1] === "102" && asked[2] === "102",
  asked,
);
check(
  "no second is missing, none comes twice",
  JSON.stringify(ticks.map(t => t.second)) === "[101,102,103]",
  ticks,
);
check(
  "a character torn between two pieces is whole",
  ticks.every(t => t.name === "Ω"),
  ticks,
);
check(
  "the state is told: connected, gone, refused, connected",
  JSON.stringify(states) === "[true,false,false,true]",
  states,
);

// --- buckets ----------------------------------------------------------------------------------------------
const { Recent } = await bundle("recent.ts");
// longer than 5 minutes are in buckets of 10 s; this one is cut to six of them
const range = { text: "1m", from: "-1m", to: "now", span_s: 60, live: true };
class Short extends Recent {
  constructor(...args) {
    super({ ...range, span_s: 600 }, ...args);
    this.range = range;
  }
}
const key = {
  experiment_id: 3,
  activity_id: 14,
  experiment: "cms",
  activity: "Analysis Input",
  carrier: "label",
  grade: "registered",
  direction: "in",
};
const row = (bytes, extra = {}) => ({
  ...key,
  source: "eth1",
  family: 6,
  packets: 1,
  bytes,
  samples: 1,
  error_bytes: 0,
  ...extra,
});
const tick = (second, ...rows) => ({
  second,
  rows,
  claims: { starts: 1, ongoings: 0, ends: 2 },
  health: {},
});
const iso = s => new Date(s * 1000).toISOString();
globalThis.fetch = async path => ({
  ok: true,
  json: async () =>
    path.startsWith("/api/v1/health")
      ? { store: { committed: iso(1004), oldest: iso(960) } }
      : {
          from: iso(950),
          to: iso(1010),
          step_s: 10,
          gaps: [{ from: iso(975), to: iso(980), reason: "not running" }],
          series: path.includes("not+grade")
            ? [
                {
                  key,
                  rest: false,
                  bytes: [10, 20, 30, 40, 50, 60],
                  error_bytes: [0, 0, 3, 4, 0, 0],
                  samples: [1, 1, 1, 1, 1, 1],
                },
              ]
            : [],
        },
});
const h = new Short("");
await h.load(new AbortController().signal);
globalThis.fetch = real_fetch;
check("loaded up to the last bucket that is wholly in the database", h.newest_s === 1000, h.newest_s);
let view = h.buckets();
check(
  "a bucket with a gap was observed for less",
  JSON.stringify(view) ===
    JSON.stringify({
      starts: [940, 950, 960, 970, 980, 990],
      covered_s: [0, 10, 10, 5, 10, 10],
    }),
  view,
);
let total = h.sums(() => "all").get("all").total;
check("the unfinished bucket is left to the stream", total.value === 10 + 20 + 30 + 40 + 50, total);
// (3/1.96)^2 + (4/1.96)^2, whose half width is 5
check("errors add up as squares", Math.abs(Math.sqrt(total.variance) * 1.96 - 5) < 1e-12, total);
check(
  "no seconds are missing",
  [1000, 1001, 1002].every(s =>
    h.take(tick(s, row(100), row(7, { direction: "out" }), row(1000, { experiment_id: 0, activity_id: 0 }))),
  ),
);
check("a tick that was there already changes nothing", h.take(tick(1001, row(1e9))));
view = h.buckets();
check(
  "the newest bucket has the seconds seen so far",
  view.starts.at(-1) === 1000 && view.covered_s.at(-1) === 3,
  view,
);
const layers = h.layers(view.starts);
check(
  "layers in their fixed order: experiments, then untagged",
  JSON.stringify(layers.map(l => l.id)) === '["3 14","0 0"]',
  layers.map(l => l.id),
);
check(
  "directions are put together in the picture, and apart in the sums",
  layers[0].points.at(view.starts.length - 1).value === 321 &&
    h.sums(k => `${k.experiment_id} ${k.direction}`).get("3 out").total.value === 21,
  layers[0].points.at(view.starts.length - 1),
);
check(
  "fireflies of the last seconds",
  JSON.stringify(h.recentClaims()) === '{"starts":3,"ongoings":0,"ends":6}',
  h.recentClaims(),
);
check("missing seconds are told", h.take(tick(1013, row(5))) === false);
check(
  "and become a gap",
  JSON.stringify(h.gaps.at(-1)) === '{"from_s":1003,"to_s":1013,"reason":"no data received"}',
  h.gaps,
);
view = h.buckets();
check("time passes over them", JSON.stringify(view.covered_s.slice(-2)) === "[3,1]", view);
for (let s = 1014; s < 1200; s++) h.take(tick(s, row(1)));
view = h.buckets();
total = h.sums(k => k.direction).get("in").total;
check(
  "what is older than the range is gone",
  total.value === 60 && view.covered_s.reduce((a, b) => a + b) === 60 && h.gaps.length === 0,
  { total, view, gaps: h.gaps },
);
// --- noise: by hand, over 100 code points ------------------------------------------------------------------
const { measureNoise } = await bundle("noise.ts");
const coverage = mean => ({
  noise: { floor_bytes_per_code_point: mean, unregistered_code_points: 100 },
});
const code = (bytes, samples) => ({
  key: { experiment_id: 77, activity_id: 3 },
  rest: false,
  bytes,
  samples,
});
const folded = (bytes, samples) => ({
  key: { experiment_id: -1, activity_id: -1 },
  rest: false,
  bytes,
  samples,
});
const rest = (bytes, samples) => ({ key: {}, rest: true, bytes, samples });
const near = (a, b) => Math.abs(a - b) < 1e-9 * b;
check(
  "one flow of 1000 bytes: the mean is 10, the deviation sqrt(1000^2 / 100 - 10^2)",
  near(measureNoise(coverage(10), { rows: [code(1000, 5)] }).deviation_bytes, Math.sqrt(9900)),
);
check(
  "200 samples of 10 bytes all over the place: Poisson, sqrt(20 * 10)",
  near(
    measureNoise(coverage(20), { rows: [folded(1500, 150), rest(500, 50)] }).deviation_bytes,
    Math.sqrt(200),
  ),
);
check("nothing unregistered: no noise", measureNoise(coverage(0), { rows: [] }).deviation_bytes === 0);
finish();
