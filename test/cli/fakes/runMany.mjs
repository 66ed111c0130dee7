// Runs several command lines in one process: `node runMany.mjs <root> '[{ "args": ["--help"], "variables": {} }, ...]'`. After each, its
// exit code stands on stdout and stderr between two NULs.
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [root, commands] = process.argv.slice(2);
const { main } = await import(pathToFileURL(`${root}/dist/cli/main.js`));
const environment = { ...process.env };
for (const { args, variables } of JSON.parse(commands)) {
  process.env = { ...environment, ...variables };
  const code = await main(args);
  for (const descriptor of [1, 2]) writeSync(descriptor, `\0${code}\0`);
}
