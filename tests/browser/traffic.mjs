// Three switches sending sFlow version 5, made here byte by byte, and a storage server sending fireflies,
// with the truth kept beside them: what the page and the API have to show is known before the observer
// has seen a packet.

import dgram from "node:dgram";

const SITE = "20010db8000100000000000000000000"; // 2001:db8:1::, ours
const WORLD = "20010db8000200000000000000000000";
const FRAME_BYTES = 1514 + 4; // frame_length counts the check sequence, which is stripped
const HEADER_BYTES = 96;
const PER_DATAGRAM = 8;
const UNREGISTERED_PER_MILLE = 40;

// experiment, activity, carrier, direction, share: numbers as in the registry of 4 Sep 2025
const TAGS = [
  [2, 17, "label", "in", 90],
  [2, 16, "label", "out", 60],
  [2, 26, "destination", "in", 45],
  [3, 14, "label", "in", 130],
  [3, 13, "label", "in", 60],
  [3, 17, "hop-by-hop", "out", 40],
  [4, 4, "label", "in", 30],
  [5, 10, "label", "in", 45],
  [6, 19, "label", "out", 30],
  [7, 4, "label", "in", 60],
  [8, 3, "label", "out", 20],
  [9, 2, "label", "out", 6],
  [14, 1, "label", "in", 0.1],
];
const AGENTS = [
  { address: [192, 0, 2, 251], rate: 2000, share: 5 },
  { address: [192, 0, 2, 252], rate: 1000, share: 3 },
  { address: [192, 0, 2, 253], rate: 4000, share: 2 },
];

/** A generator that gives the same numbers for the same seed. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The 20 label bits: experiment mirrored in bits 17..9, activity in 7..2, the rest is entropy. */
function label(experiment, activity, entropy) {
  let mirrored = 0;
  for (let bit = 0; bit < 9; bit++) if (experiment & (1 << bit)) mirrored |= 1 << (8 - bit);
  return ((mirrored << 9) | (activity << 2) | (entropy & 0xc0103)) >>> 0;
}

/** Ethernet, IPv6 and the start of TCP, as a switch would cut it off. */
function frame(next, flow_label, extensions, inwards, host) {
  const b = Buffer.alloc(HEADER_BYTES);
  b.write("0200000000020200000000010000", 0, "hex");
  b.writeUInt16BE(0x86dd, 12);
  b.writeUInt32BE((0x60000000 | flow_label) >>> 0, 14);
  b.writeUInt16BE(FRAME_BYTES - 4 - 14 - 40, 18);
  b[20] = next;
  b[21] = 64;
  b.write(inwards ? WORLD : SITE, 22, "hex");
  b.write(inwards ? SITE : WORLD, 38, "hex");
  b[37] = b[53] = host;
  extensions.copy(b, 54);
  b.writeUInt16BE(1094, 54 + extensions.length);
  b.writeUInt16BE(40000 + host, 56 + extensions.length);
  b[54 + extensions.length + 12] = 0x50;
  return b;
}

function ipv4Frame(inwards, host) {
  const b = Buffer.alloc(HEADER_BYTES);
  b.write("0200000000020200000000010000", 0, "hex");
  b.writeUInt16BE(0x0800, 12);
  b[14] = 0x45;
  b.writeUInt16BE(FRAME_BYTES - 4 - 14, 16);
  b[22] = 64;
  b[23] = 6;
  b.set(inwards ? [198, 51, 100, host] : [203, 0, 113, host], 26);
  b.set(inwards ? [203, 0, 113, host] : [198, 51, 100, host], 30);
  b.writeUInt16BE(443, 34);
  b.writeUInt16BE(50000 + host, 36);
  b[46] = 0x50;
  return b;
}

const NO_EXTENSION = Buffer.alloc(0);
// next header TCP, one unit, option 1e of 3 bytes: experiment, activity; Pad1
const option = (experiment, activity) =>
  Buffer.from([6, 0, 0x1e, 3, experiment >> 8, experiment & 255, activity, 0]);

/** Other hosts, or ports, for each switch: no two of them see the same flow. */
function distinguish(b, nth) {
  if (b.readUInt16BE(12) === 0x86dd) b[36] = b[52] = nth;
  else b.writeUInt16BE(b.readUInt16BE(36) + 1000 * nth, 36);
}

/** One sampled header and what the observer has to make of it. */
function draw(next) {
  const host = 1 + Math.floor(next() * 200);
  const entropy = Math.floor(next() * 2 ** 20);
  const kind = next();
  if (kind < 0.14)
    return {
      bytes: ipv4Frame(kind < 0.09, host),
      name: "0 0 untagged",
      direction: kind < 0.09 ? "in" : "out",
    };
  if (kind < 0.24)
    return {
      bytes: frame(6, 0, NO_EXTENSION, kind < 0.2, host),
      name: "0 0 untagged",
      direction: kind < 0.2 ? "in" : "out",
    };
  if (kind < 0.24 + UNREGISTERED_PER_MILLE / 1000) {
    // experiments from 15 on are in no registry, whatever the activity
    const code = label(15 + Math.floor(next() * 497), Math.floor(next() * 64), entropy);
    return {
      bytes: frame(6, code, NO_EXTENSION, true, host),
      name: "-1 -1 unregistered",
      direction: "in",
    };
  }
  const t = Date.now() / 1000;
  const weights = TAGS.map(([, , , , share], i) => share * (1.15 + Math.sin(t / (170 + 45 * i) + 2 * i)));
  let at = next() * weights.reduce((a, b) => a + b, 0);
  const i = Math.max(
    0,
    weights.findIndex(w => (at -= w) < 0),
  );
  const [experiment, activity, carrier, direction] = TAGS[i];
  const inwards = direction === "in";
  const bytes =
    carrier === "label"
      ? frame(6, label(experiment, activity, entropy), NO_EXTENSION, inwards, host)
      : frame(carrier === "hop-by-hop" ? 0 : 60, 0, option(experiment, activity), inwards, host);
  return {
    bytes,
    direction,
    name: `${experiment} ${activity} ${carrier === "label" ? "registered" : "confirmed"}`,
  };
}

class Agent {
  sequence = 0;
  samples = 0;
  pool = 0;
  constructor({ address, rate, share }) {
    Object.assign(this, { address, rate, share });
  }

  datagram(frames, uptime_ms) {
    const head = Buffer.alloc(28);
    head.writeUInt32BE(5, 0);
    head.writeUInt32BE(1, 4);
    Buffer.from(this.address).copy(head, 8);
    head.writeUInt32BE(++this.sequence, 16);
    head.writeUInt32BE(uptime_ms >>> 0, 20);
    head.writeUInt32BE(frames.length, 24);
    return Buffer.concat([head, ...frames.map(f => this.sample(f))]);
  }

  sample(bytes) {
    const b = Buffer.alloc(8 + 32 + 8 + 16 + HEADER_BYTES);
    this.pool = (this.pool + this.rate) >>> 0;
    // tag 0:1 and its length; sequence, source, rate, pool, drops, input, output, records
    [
      1,
      b.length - 8,
      ++this.samples,
      3,
      this.rate,
      this.pool,
      0,
      3,
      5,
      1,
      1,
      16 + HEADER_BYTES,
      1,
      FRAME_BYTES,
      4,
      HEADER_BYTES,
    ].forEach((v, i) => b.writeUInt32BE(v, 4 * i));
    bytes.copy(b, 64);
    return b;
  }
}

/** A START or END as XRootD sends it, of a flow of the first tag. */
function firefly(state, started_ms, port) {
  const time = ms => new Date(ms).toISOString().replace("Z", "000+00:00");
  return (
    `<134>1 ${time(Date.now())} se.example.net xrootd - firefly-json - ` +
    JSON.stringify({
      version: 1,
      "flow-lifecycle": {
        state,
        "current-time": time(Date.now()),
        "start-time": time(started_ms),
        ...(state === "end" ? { "end-time": time(Date.now()) } : {}),
      },
      "flow-id": {
        afi: "ipv6",
        "src-ip": "2001:db8:2::1",
        "dst-ip": "2001:db8:1::1",
        protocol: "tcp",
        "src-port": 1094,
        "dst-port": port,
      },
      context: {
        "experiment-id": TAGS[0][0],
        "activity-id": TAGS[0][1],
        application: "xrootd",
      },
      ...(state === "end" ? { usage: { received: 0, sent: 1e9 } } : {}),
    })
  );
}

/** As the load of a link breathes: between 0.5 and 1. */
const level = t => 0.75 + 0.17 * Math.sin(t / 410) + 0.08 * Math.sin(t / 97);

/** Sends about `per_second` samples a second to 127.0.0.1:sflow_port, and a firefly START and END a
 * second to firefly_port, until stopped. */
export class Traffic {
  /** name -> { bytes, packets, samples }, name as in draw() with the direction behind it. */
  truth = new Map();
  fireflies = 0;

  constructor({ sflow_port, firefly_port, per_second, seed = 1 }) {
    this.socket = dgram.createSocket("udp4");
    this.next = random(seed);
    this.agents = AGENTS.map(a => new Agent(a));
    this.started_ms = this.last_ms = Date.now();
    this.owed = 0;
    this.timers = [
      setInterval(() => {
        const now_ms = Date.now();
        this.owed += (per_second * level(now_ms / 1000) * (now_ms - this.last_ms)) / 1000;
        this.last_ms = now_ms;
        for (; this.owed >= PER_DATAGRAM; this.owed -= PER_DATAGRAM) this.sendOne(sflow_port);
      }, 20),
      setInterval(() => {
        const port = 20000 + (this.fireflies % 10000);
        for (const state of ["start", "end"])
          this.socket.send(
            firefly(state, Date.now() - (state === "end" ? 20_000 : 0), port),
            firefly_port,
            "127.0.0.1",
          );
        this.fireflies += 2;
      }, 1000),
    ];
  }

  sendOne(port) {
    let at = this.next() * 10;
    const agent = this.agents.find(a => (at -= a.share) < 0) ?? this.agents[0];
    const drawn = Array.from({ length: PER_DATAGRAM }, () => draw(this.next));
    for (const d of drawn) {
      distinguish(d.bytes, this.agents.indexOf(agent));
      const name = `${d.name} ${d.direction}`;
      const sum = this.truth.get(name) ?? { bytes: 0, packets: 0, samples: 0 };
      sum.bytes += agent.rate * FRAME_BYTES;
      sum.packets += agent.rate;
      sum.samples++;
      this.truth.set(name, sum);
    }
    this.socket.send(
      agent.datagram(
        drawn.map(d => d.bytes),
        Date.now() - this.started_ms,
      ),
      port,
      "127.0.0.1",
    );
  }

  /** Sums of the truth by a part of the name: ([experiment, activity, grade, direction]) => key. */
  by(key) {
    const out = new Map();
    for (const [name, sum] of this.truth) {
      const k = key(name.split(" "));
      out.set(k, (out.get(k) ?? 0) + sum.bytes);
    }
    return out;
  }

  async stop() {
    this.timers.forEach(clearInterval);
    await new Promise(done => setTimeout(done, 100));
    this.socket.close();
  }
}
