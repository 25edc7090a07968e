// What the Flows and Sites pages compute before they draw: which part of a filter a table knows, sites summed up,
// places on a scale. Expected values by hand. Run: node tests/browser/pairs.mjs

import { check, finish } from "./browser.mjs";
import { bundle } from "./bundle.mjs";

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const expect = (what, got, wanted) => check(what, same(got, wanted), { got, wanted });

// --- filters ---------------------------------------------------------------------------------------------
const { narrowed, TAG_DIMS, CLAIM_DIMS } = await bundle("knows.ts");
expect("what is known stays", narrowed("experiment=cms and activity=14", TAG_DIMS), {
  filter: "experiment=cms and activity=14",
  without: "",
});
expect(
  "what is not is left out, and said",
  narrowed('experiment=cms and grade=confirmed and not site="A B"', TAG_DIMS),
  { filter: "experiment=cms", without: "regardless of grade and site" },
);
expect(
  "an alternative stays whole or goes whole",
  narrowed("(family=6 or grade=claimed) and application=eos", CLAIM_DIMS),
  { filter: "application=eos", without: "regardless of grade" },
);
expect("or at the top is one condition", narrowed("experiment=cms or family=6", TAG_DIMS), {
  filter: "",
  without: "regardless of family",
});
expect(
  "a kept alternative keeps its meaning",
  narrowed("experiment=cms or experiment=atlas", TAG_DIMS).filter,
  "(experiment=cms or experiment=atlas)",
);
expect("no filter, nothing left out", narrowed("", TAG_DIMS), { filter: "", without: "" });

// --- sites -----------------------------------------------------------------------------------------------
const { fold, largest, OTHERS, sumOf } = await bundle("pairs.ts");
const lane = (src, dst, experiment_id, bytes, error_bytes = 0) => ({
  src,
  dst,
  key: { experiment_id },
  bytes,
  error_bytes,
  samples: 1,
});
const lanes = [
  lane("A", "X", 2, 50),
  lane("B", "X", 2, 30, 3),
  lane("C", "X", 2, 20, 4),
  lane("C", "X", 3, 7),
  lane("", "X", 2, 1000),
];
expect("the largest first, the unknown last", largest(lanes, "src"), ["A", "B", "C", ""]);
const folded = fold(lanes, 2);
expect(
  "beyond two names the rest is one, the unknown stays apart",
  largest(folded, "src").map(n => (n === OTHERS ? "others" : n)),
  ["others", "A", ""], // 30 + 20 + 7 = 57 against 50
);
const merged = folded.find(l => l.src === OTHERS && l.key.experiment_id === 2);
expect(
  "what falls together is added, errors as squares",
  [merged.bytes, merged.error_bytes, merged.samples],
  [50, 5, 2],
);
expect("nothing is lost", sumOf(folded).bytes, 1107);

// --- scales ----------------------------------------------------------------------------------------------
const { linearScale, logScale } = await bundle("scale.ts");
const words = String;
expect(
  "from 0 in round steps to above the greatest",
  linearScale(230, 5, words).ticks.map(t => t.words),
  ["0", "50", "100", "150", "200", "250"],
);
expect("so many percent", linearScale(230, 5, words).at(125), 50);
expect(
  "counts have no half steps",
  linearScale(2, 5, words).ticks.map(t => t.words),
  ["0", "1", "2"],
);
const log = logScale(1, 10_000, [1, 10, 100, 1000, 10_000], 30, words);
expect(
  "a decade is as wide as the next",
  [1, 100, 10_000].map(v => Math.round(log.at(v))),
  [0, 50, 100],
);
expect(
  "marks keep their distance",
  log.ticks.map(t => t.words),
  ["1", "100", "10000"],
);
finish();
