// Runs the browser tests, one file after the other: `node tests/browser/run.mjs [FILE]…`. `tests/all browser` fetches what
// they need and calls this. The last line is `browser: N passed, N failed`.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const all = readdirSync(here).filter((name) => name.endsWith('.test.mjs')).sort();
const wanted = process.argv.slice(2);
const LONGEST = 240_000;

/** Runs one file; how many tests passed and failed. */
function runFile(name) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--test-reporter=spec', '--test', name], { cwd: here, stdio: ['ignore', 'pipe', 'inherit'] });
    const watch = setTimeout(() => child.kill('SIGTERM'), LONGEST);
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      process.stdout.write(chunk);
    });
    child.on('close', (code) => {
      clearTimeout(watch);
      const [passed, failed] = ['pass', 'fail'].map((word) => Number(text.match(new RegExp(`^. ${word} (\\d+)$`, 'm'))?.[1] ?? 0));
      resolve([passed, code !== 0 && failed === 0 ? 1 : failed]);
    });
  });
}

const sums = [0, 0];
for (const name of wanted.length ? wanted : all) {
  console.log(`--- ${name}`);
  (await runFile(name)).forEach((count, at) => (sums[at] += count));
}
console.log(`browser: ${sums[0]} passed, ${sums[1]} failed`);
process.exitCode = sums[1] || sums[0] === 0 ? 1 : 0;
