// The observer under test: started, stopped and started again on ports and a database of its own.

import { spawn } from "node:child_process";
import dgram from "node:dgram";
import { openSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { until } from "./browser.mjs";

const running = new Set();
process.on("exit", () => running.forEach(child => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

const freeTcp = () =>
  new Promise(done => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
const freeUdp = () =>
  new Promise(done => {
    const socket = dgram.createSocket("udp4").bind(0, "127.0.0.1", () => {
      const { port } = socket.address();
      socket.close(() => done(port));
    });
  });

export class Observer {
  static async open(directory) {
    const o = new Observer();
    o.http = await freeTcp();
    o.sflow = await freeUdp();
    o.firefly = await freeUdp();
    o.origin = `http://127.0.0.1:${o.http}`;
    o.log = join(directory, "observer.log");
    o.conf = join(directory, "observer.yaml");
    writeFileSync(
      o.conf,
      `sflow: {listen: ["127.0.0.1:${o.sflow}"]}
firefly: {listen: ["127.0.0.1:${o.firefly}"]}
http: {listen: "127.0.0.1:${o.http}"}
database: {url: "sqlite:${join(directory, "observer.db")}"}
site: {prefixes: ["2001:db8:1::/48", "203.0.113.0/24"]}
registry: {refresh: 0, cache: ""}
`,
    );
    return o;
  }

  async start() {
    const log = openSync(this.log, "a");
    const child = (this.child = spawn(
      join(process.env.BIN ?? "build", "scitag-observer"),
      ["--conf", this.conf],
      { stdio: ["ignore", log, log] },
    ));
    running.add(child);
    this.gone = new Promise(done =>
      child.on("exit", code => {
        running.delete(child);
        done(code);
      }),
    );
    return until(20, async () => (await fetch(`${this.origin}/readyz`)).ok);
  }

  async stop() {
    this.child.kill("SIGTERM");
    return this.gone;
  }

  async ask(path) {
    const response = await fetch(`${this.origin}${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}
