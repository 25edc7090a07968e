"""Flow events a second: lines into the pipe, posts down kept TCP connections and down Unix ones, and all at once;
without announcements and with them. The generator (tests/e2e/flood.c) and the marker share the machine's CPUs."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import marker_inputs
from marker_inputs import Net, cpu_s, flood_program, json, marker_net

SECONDS = int(os.environ.get("SECONDS_EACH", "3"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
FIREFLY = '  firefly: {sendToDestination: false, collectors: ["[fd00::2]:10514"]}\n'


def median(v):
    return sorted(v)[len(v) // 2]


def measure(net, program, what, kinds):
    """kinds: the arguments of each generator; they run at the same time."""
    rates, costs = [], []
    for _ in range(ROUNDS):
        before = cpu_s(net.daemon.pid)
        running = [marker_net.subprocess.Popen(["nsenter", "--net=/run/netns/" + net.a, program] + k + [str(SECONDS)], stdout=marker_net.subprocess.PIPE, text=True) for k in kinds]
        sent = [json.loads(g.communicate()[0])["sent"] for g in running]
        rates.append([n / SECONDS for n in sent])
        costs.append((cpu_s(net.daemon.pid) - before) / sum(sent) * 1e6)
    print("%-44s %s a second, %.1f us of the marker's CPU each" % (what, " + ".join("%d" % median([r[i] for r in rates]) for i in range(len(kinds))), median(costs)), flush=True)


if __name__ == "__main__":
    for name, backends in (("", ""), (", announced", FIREFLY)):
        with Net() as net:
            marker_inputs.start(net, "  api: {socketPath: %s/api}\n" % net.dir, backends, "    mapSize: 100000\n")
            program = flood_program(net.dir)
            pipe, tcp, unix = ["pipe", net.dir + "/np"], ["post", "127.0.0.1:7777", "8"], ["post", net.dir + "/api", "8"]
            measure(net, program, "pipe lines" + name, [pipe])
            measure(net, program, "posts over TCP" + name, [tcp])
            measure(net, program, "posts over a Unix socket" + name, [unix])
            measure(net, program, "pipe lines + posts over TCP" + name, [pipe, tcp])
