// Says `valid`, or what the official parser finds wrong with an AsyncAPI document.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
const errors = diagnostics.filter(({ severity }) => severity === 0);
for (const { message, path } of errors.slice(0, 20)) console.log(`${path.join("/")}: ${message}`);
console.log(document && errors.length === 0 ? "valid" : "invalid");
