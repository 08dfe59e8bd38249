// Makes the picture in the README: `node tests/browser/picture.mjs docs/page.png`. Run `tests/all browser` once before it,
// which fetches what it needs. The nodes in the picture are made up (feed.mjs); the page and the proxy are real.

import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { House, closeBrowser, openBrowser, plays, until, visit } from './surroundings.mjs';
import { snapshot } from './feed.mjs';

const LARGEST = 120 * 1024;
const into = process.argv[2] ?? 'page.png';

/** A test of its own, as far as the surroundings need one. */
const acts = [];
const scene = { after: (act) => acts.push(act) };

/** Debian's own type is broad; where Inter is installed (fonts-inter), the picture is set in it. */
if (execFileSync('fc-list', [':family=Inter']).length > 0) {
  const fonts = join(tmpdir(), `fonts-${process.pid}.conf`);
  const prefer = (family) => `<match target="pattern"><test name="family"><string>${family}</string></test><edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>`;
  writeFileSync(fonts, `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><include>/etc/fonts/fonts.conf</include>${['system-ui', 'sans-serif', 'sans'].map(prefer).join('')}</fontconfig>`);
  process.env.FONTCONFIG_FILE = fonts;
}

await openBrowser();
const house = await House.open(scene, { asleep: false });
const relay = await house.relay(scene, { '/events': plays(snapshot(3)), '/journal': (response) => response.end('{"entries":[]}') });
const page = await visit(scene, `${relay.url}/`, { width: 1080, height: 784 });
await until('the cards', async () => (await page.locator('#cards > article').count()) === 3);
await page.screenshot({ path: into });
for (const act of acts) await act();
await closeBrowser();
const { size } = statSync(into);
console.log(`${into}: ${size} bytes`);
process.exitCode = size > LARGEST ? 1 : 0;
