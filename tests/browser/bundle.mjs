// One TypeScript file of the page with what it imports, as a module for these tests.

import { createRequire } from "node:module";

const { buildSync } = createRequire(new URL("../../web/static/package.json", import.meta.url))("esbuild");

export async function bundle(name) {
  const { outputFiles } = buildSync({
    entryPoints: [new URL(`../../web/static/${name}`, import.meta.url).pathname],
    bundle: true,
    format: "esm",
    write: false,
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString("base64")}`);
}
