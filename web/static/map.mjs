// node map.mjs OUTFILE: the outlines of countries for the map of sites, from Natural Earth 1:110m as packed by
// world-atlas. Names are left out and coordinates rounded to about 10 km: a third less to send, the same picture.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { quantize } from "topojson-client";

const STEPS = 4e3;
const atlas = JSON.parse(
  readFileSync(createRequire(import.meta.url).resolve("world-atlas/countries-110m.json"), "utf8"),
);
const { scale, translate } = atlas.transform;
const arcs = atlas.arcs.map(arc => {
  let [x, y] = [0, 0];
  return arc.map(([dx, dy]) => [(x += dx) * scale[0] + translate[0], (y += dy) * scale[1] + translate[1]]);
});
const geometries = atlas.objects.countries.geometries.map(({ type, arcs }) => ({ type, arcs }));
const bare = { type: "Topology", arcs, objects: { countries: { type: "GeometryCollection", geometries } } };
writeFileSync(process.argv[2], JSON.stringify(quantize(bare, STEPS)));
