// Bundle what the player takes from npm into ../static/vendor, with its licences and versions beside it.
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const target = new URL("../static/vendor/", import.meta.url);
const { devDependencies: versions } = JSON.parse(await readFile("package.json"));

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
const { metafile } = await build({
  entryPoints: ["media-chrome.js", "hls.js"],
  outdir: fileURLToPath(target),
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  legalComments: "none", // all are in LICENSES.txt
  metafile: true,
});

const names = Object.keys(metafile.inputs).map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]);
const licences = [...new Set(names)].filter(Boolean).sort().map(async (name) => {
  const { version, license } = JSON.parse(await readFile(`node_modules/${name}/package.json`));
  return `${name} ${version} (${license})\n\n${await readFile(`node_modules/${name}/LICENSE`, "utf8")}`;
});
await writeFile(new URL("LICENSES.txt", target), (await Promise.all(licences)).join(`\n${"-".repeat(80)}\n\n`));
await writeFile(new URL("versions.json", target), JSON.stringify(versions, null, 2) + "\n"); // last: all is there
