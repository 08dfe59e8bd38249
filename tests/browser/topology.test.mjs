// The page `/topology` in a real browser: the picture is there, moves by every hand, and rests when nothing happens.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { CHAT, House, closeBrowser, keepPicture, openBrowser, plays, shows, until, visit } from './surroundings.mjs';
import { snapshot } from './feed.mjs';

before(openBrowser);
after(closeBrowser);

/** Counts the pictures that are painted, and how long each takes. */
function countPictures() {
  window.painted_ = [];
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (act) => ask((time) => {
    const begun = performance.now();
    act(time);
    window.painted_.push(performance.now() - begun);
  });
}

const painted = (page) => page.evaluate(() => window.painted_.length);
const picture = async (page) => createHash('sha256').update(await page.evaluate(() => document.querySelector('canvas').toDataURL())).digest('hex');
const ready = (page) => page.waitForSelector('canvas[data-ready="1"]');

/** What was asked to be painted, is: a change takes one frame to be composed, one to be painted, and may resize the view. */
const frames = (page) => page.evaluate(async () => {
  for (let count = 0; count < 4; count++) await new Promise((resolve) => requestAnimationFrame(resolve));
});

/** Waits until the picture has come to rest, and gives it. A busy machine paints rarely, so frames are counted, not only time. */
async function resting(page) {
  let [last, same] = ['', 0];
  return until('the picture to rest', async () => {
    await frames(page);
    const now = await picture(page);
    same = now === last ? same + 1 : 0;
    last = now;
    await pause(60);
    return same >= 2 && now;
  });
}

/** A page with so many nodes, as a feed plays them. */
async function withNodes(t, count, { query = '?still', ...habits } = {}) {
  const house = await House.open(t, { asleep: false });
  const relay = await house.relay(t, { '/events': plays(snapshot(count)) });
  const page = await visit(t, `${relay.url}/topology${query}`, { ...habits, before: countPictures });
  await ready(page);
  await until('every node in the table', async () => (await page.locator('#table tbody tr').count()) === count);
  return page;
}

test('picture and table tell the same, and both follow a wake', async (t) => {
  const house = await House.open(t, { entry: { memory_gb: 64, description: 'RTX 4090' } });
  const page = await visit(t, `${house.base}/topology`);
  await ready(page);
  await shows(page, '#table', 'asleep');
  await until('the label', async () => (await page.getAttribute('canvas', 'aria-label')).includes('gaming-pc asleep'));
  for (const fact of ['127.0.0.1', '64 GB memory', 'RTX 4090']) await shows(page, '#table', fact);
  await page.click('#table th button');
  await page.click('#sheet button[data-act=wake]');
  await shows(page, '#sheet [data-is=state]', 'awake');
  await until('the label', async () => (await page.getAttribute('canvas', 'aria-label')).includes('gaming-pc awake'));
  await shows(page, '#sheet [data-is=last]', 'a person');
  await keepPicture(page, 'topology-one-awake');
});

test('dots move while bytes do, and nothing is painted when none do', async (t) => {
  const house = await House.open(t, { asleep: false, slow: true });
  const page = await visit(t, `${house.base}/topology`, { before: countPictures });
  await ready(page);
  await shows(page, '#table', 'awake');
  await until('rest', async () => {
    const before = await painted(page);
    await pause(1500);
    return (await painted(page)) === before;
  });
  const before = await painted(page);
  const chat = house.chat();
  await until('moving dots', async () => (await painted(page)) > before + 30);
  await shows(page, '#dot', 'one dot is');
  await shows(page, '#table', '/s now');
  await shows(page, '#table', '1 running');
  await chat;
  await until('no request', async () => !(await page.textContent('#table')).includes('running'));
  await until('rest', async () => {
    const count = await painted(page);
    await pause(1500);
    return (await painted(page)) === count;
  });
  const rested = await painted(page);
  await pause(3000);
  assert.equal(await painted(page), rested, 'an idle page paints nothing');
  await shows(page, '#table', CHAT);
});

test('with reduced motion nothing moves, and numbers say what dots would', async (t) => {
  const house = await House.open(t, { asleep: false, slow: true });
  const page = await visit(t, `${house.base}/topology`, { calm: true, before: countPictures });
  await ready(page);
  await shows(page, '#table', 'awake');
  const chat = house.chat();
  await shows(page, '#table', '/s now');
  assert.ok(await page.isHidden('#dot'));
  const before = await painted(page);
  await pause(1000);
  assert.ok((await painted(page)) - before < 12, 'only what changed was painted');
  await chat;
});

test('a picture asked to be still is the same each time', async (t) => {
  const page = await withNodes(t, 4);
  const first = await resting(page);
  await page.reload();
  await ready(page);
  await until('the nodes', async () => (await page.locator('#table tbody tr').count()) === 4);
  assert.equal(await resting(page), first);
});

test('an untouched picture of one size is the same, whatever size the window had before', async (t) => {
  const page = await withNodes(t, 4);
  const first = await resting(page);
  await page.setViewportSize({ width: 500, height: 700 });
  await page.reload();
  await ready(page);
  await until('the nodes', async () => (await page.locator('#table tbody tr').count()) === 4);
  assert.notEqual(await resting(page), first);
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.evaluate(() => scrollTo(0, 0));
  await until('the first picture', async () => (await resting(page)) === first);
});

test('keys, buttons, wheel and pointer turn and zoom the picture, and Reset brings it back', async (t) => {
  const page = await withNodes(t, 4);
  const home = await resting(page);
  const box = await page.locator('#view').boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height * 0.9];
  const hands = {
    keys: async () => {
      await page.focus('#view');
      await page.keyboard.press('ArrowLeft');
    },
    plus: async () => {
      await page.focus('#view');
      await page.keyboard.press('+');
    },
    button: () => page.click('[data-do=right]'),
    flat: () => page.click('[data-do=flat]'),
    wheel: async () => {
      await page.focus('#view');
      await page.mouse.move(x, y);
      await page.mouse.wheel(0, -240);
    },
    drag: async () => {
      await page.mouse.move(x, y);
      await page.mouse.down();
      await page.mouse.move(x + 80, y - 20, { steps: 4 });
      await page.mouse.up();
    },
  };
  for (const [name, hand] of Object.entries(hands)) {
    await hand();
    await page.mouse.move(1, 1);
    assert.notEqual(await resting(page), home, name);
    await page.click('[data-do=reset]');
    await page.mouse.move(1, 1);
    assert.equal(await resting(page), home, `${name}, then Reset`);
  }
});

test('two fingers zoom the picture', async (t) => {
  const page = await withNodes(t, 4, { touch: true, width: 390, height: 844 });
  const home = await resting(page);
  const box = await page.locator('#view').boundingBox();
  const devtools = await page.context().newCDPSession(page);
  const touch = (type, ...spread) => devtools.send('Input.dispatchTouchEvent', {
    type, touchPoints: spread.map((dx, id) => ({ x: box.x + box.width / 2 + dx, y: box.y + box.height / 2, id })),
  });
  await touch('touchStart', -20, 20);
  for (const apart of [30, 45, 60]) await touch('touchMove', -apart, apart);
  await touch('touchEnd');
  assert.notEqual(await resting(page), home);
  assert.equal(await page.evaluate(() => visualViewport.scale), 1, 'the picture zooms, not the page');
});

test('a node is chosen in the picture or by keys in the table, and Escape leads back', async (t) => {
  const page = await withNodes(t, 4);
  await resting(page);
  await page.focus('#table th button');
  await page.keyboard.press('ArrowDown');
  await until('the next node to have the focus', () => page.evaluate(() => document.activeElement.firstChild?.textContent === 'studio'));
  await page.keyboard.press('Enter');
  await until('the sheet of the node', async () => (await page.textContent('#sheet-title')) === 'studio');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'sheet-title');
  const chosen = await resting(page);
  await page.keyboard.press('Escape');
  assert.ok(await page.isHidden('#sheet'));
  assert.equal(await page.evaluate(() => document.activeElement.firstChild.textContent), 'studio');
  assert.notEqual(await resting(page), chosen);
  // Somewhere on a line down through the middle of each quarter of the picture there is a node.
  const box = await page.locator('#view').boundingBox();
  await until('a node below the pointer', async () => {
    for (let step = 0.1; step < 0.95; step += 0.05) {
      await page.mouse.click(box.x + box.width * 0.25, box.y + box.height * step);
      if (await page.isVisible('#sheet')) return true;
    }
    return false;
  });
});

test('fifty nodes are painted fast enough to be turned smoothly', async (t) => {
  const page = await withNodes(t, 50, { query: '' });
  await page.focus('#view');
  await page.evaluate(() => (window.painted_ = []));
  for (let turn = 0; turn < 8; turn++) {
    await page.keyboard.press('ArrowRight');
    await pause(250);
  }
  const times = (await page.evaluate(() => window.painted_)).sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)];
  t.diagnostic(`${times.length} pictures in 2 s, median ${median.toFixed(1)} ms, longest ${times.at(-1).toFixed(1)} ms`);
  assert.ok(times.length > 20 && median < 60, `${times.length} pictures, median ${median} ms`);
  await keepPicture(page, 'topology-50');
});
