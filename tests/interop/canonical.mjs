// The documents that canonical.py reads with rfc8785, read with the npm package canonicalize.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The package lies beside the script's own cache, not beside this file.
const installed = createRequire(`${process.env.INTEROP_NODE}/package.json`).resolve("canonicalize");
const { default: canonicalize } = await import(pathToFileURL(installed));

const canonical = (text) => canonicalize(JSON.parse(text));
const [folder] = process.argv.slice(2);
const passport = readFileSync(`${folder}/passport.json`, "utf8");
const decoded = (base64) => Buffer.from(base64, "base64").toString("utf8");

const documents = [passport];
for (const { envelope, receipt, leaf } of JSON.parse(passport).statements) {
  documents.push(decoded(envelope.payload), decoded(leaf), ...(receipt ? [decoded(receipt.payload)] : []));
}
for (const { receipt } of JSON.parse(passport).deliveries) documents.push(decoded(receipt));
for (const document of documents) assert.equal(canonical(document), document);
console.log(`ok   ${documents.length} documents are canonical JSON, byte for byte`);
assert.notEqual(canonical(`${passport} `), `${passport} `);

const vectors = JSON.parse(readFileSync(new URL("../../docs/vectors/canonical-json.json", import.meta.url), "utf8"));
for (const vector of vectors.canonical) assert.equal(canonical(vector.text), vector.canonical);
console.log(`ok   canonicalize writes ${vectors.canonical.length} texts as the vectors do`);
