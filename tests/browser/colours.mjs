// The palette's promises, computed anew: contrast to the ground, distance to each other, and that an
// activity's step of lightness loses neither. Run: node tests/browser/colours.mjs

import { readFileSync } from "node:fs";
import { check, finish } from "./browser.mjs";
import { bundle } from "./bundle.mjs";

const { PALETTE, GROUND, paint, contrast, toOklab } = await bundle("colour.ts");

// expected values by hand: WCAG 2 says 21 for black on white, and 1 for a colour on itself
check("contrast of black on white is 21", Math.abs(contrast("#000000", "#FFFFFF") - 21) < 1e-9);
check("contrast of a colour to itself is 1", contrast("#336699", "#336699") === 1);
// WCAG's own example: #777777 on white is 4.48:1
check("contrast of #777777 on white is 4.48", Math.abs(contrast("#777777", "#FFFFFF") - 4.48) < 0.005);

const distance = (a, b) => Math.hypot(...toOklab(a).map((v, i) => v - toOklab(b)[i]));
const { experiments } = JSON.parse(
  readFileSync(new URL("../../registry/scitags.json", import.meta.url), "utf8"),
);
for (const theme of ["light", "dark", "contrast"]) {
  const low = PALETTE[theme].map(c => [c, contrast(c, GROUND[theme])]).filter(([, ratio]) => ratio < 3);
  check(`${theme}: every slot has 3:1 to its ground`, !low.length, low);
  const pairs = PALETTE[theme].flatMap((a, i) =>
    PALETTE[theme].slice(i + 1).map(b => [a, b, distance(a, b)]),
  );
  const nearest = pairs.sort((a, b) => a[2] - b[2])[0];
  check(
    `${theme}: the nearest two slots are ${nearest[2].toFixed(3)} apart in OKLab (at least 0.1)`,
    nearest[2] >= 0.1,
    nearest,
  );
  const faint = [],
    confused = [];
  for (let experiment = 2; experiment <= 8; experiment++)
    for (let activity = 0; activity < 64; activity++) {
      const { colour } = paint(theme, experiment, activity);
      if (contrast(colour, GROUND[theme]) < 3) faint.push([experiment, activity, colour]);
      const own = PALETTE[theme][experiment - 2];
      const other = PALETTE[theme]
        .filter(c => c !== own)
        .sort((a, b) => distance(a, colour) - distance(b, colour))[0];
      if (distance(colour, own) >= distance(colour, other))
        confused.push([experiment, activity, colour, other]);
    }
  check(`${theme}: every activity's step keeps 3:1`, !faint.length, faint);
  check(
    `${theme}: every activity's step is nearest to its own experiment's slot`,
    !confused.length,
    confused,
  );
  // side by side in the picture lie activities with neighbouring numbers
  const alike = [],
    told_apart = [];
  for (const { expId, activities } of experiments) {
    const ids = activities.map(a => a.activityId).sort((a, b) => a - b);
    const colours = ids.map(a => paint(theme, expId, a).colour);
    colours.forEach((c, i) => {
      if (i && distance(c, colours[i - 1]) < 0.02) alike.push([expId, ids[i - 1], ids[i], c, colours[i - 1]]);
    });
    told_apart.push(new Set(colours).size / ids.length);
  }
  check(`${theme}: no two neighbouring activities of the registry look alike`, !alike.length, alike);
  const least = Math.min(...told_apart);
  check(
    `${theme}: of each experiment's activities at least ${Math.floor(least * 100)} % have a colour of their own (at least 33)`,
    least >= 0.33,
    told_apart,
  );
  const textures = new Set(
    Array.from({ length: 14 }, (_, i) => paint(theme, i + 1, 0)).map(p => `${p.colour} ${p.texture}`),
  );
  check(`${theme}: the 14 experiments of the registry look different`, textures.size === 14, [...textures]);
}
finish();
