// The page `/` in a real browser, in front of a PC that really sleeps and wakes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { CHAT, House, closeBrowser, keepPicture, openBrowser, shows, until, visit } from './surroundings.mjs';

before(openBrowser);
after(closeBrowser);

const STATE = '[data-is=state]';
const tabTo = async (page, selector) => {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
  }
  assert.fail(`the Tab key never comes to ${selector}`);
};

test('a sleeping PC is shown asleep, and looking at it sends it nothing', async (t) => {
  const house = await House.open(t);
  const page = await visit(t, `${house.base}/`);
  await shows(page, STATE, 'asleep');
  assert.equal(await page.textContent('#headline'), 'gaming-pc is asleep');
  await page.goto(`${house.base}/topology`);
  await shows(page, '#table', 'asleep');
  for (const path of ['/events', '/journal', '/summary', '/nodes', '/health', '/metrics', '/topology.json']) {
    const answer = await fetch(house.base + path);
    assert.equal(answer.status, 200, path);
    await answer.body.cancel();
  }
  await pause(1500);
  assert.equal(await house.state(), 'asleep');
  assert.ok(!house.wasWoken, house.pc.text);
});

test('the Wake button wakes the PC, and the page follows it live until it is awake', async (t) => {
  const house = await House.open(t);
  const page = await visit(t, `${house.base}/`);
  await shows(page, STATE, 'asleep');
  await page.click('button[data-act=wake]');
  await shows(page, STATE, 'waking');
  assert.ok(await page.isVisible('progress'));
  await shows(page, STATE, 'awake');
  await shows(page, '#news', 'gaming-pc: awake');
  await shows(page, '#wakes tbody', 'a person');
  assert.ok(house.wasWoken && (await page.isHidden('progress')));
  assert.equal(await page.textContent('#link'), 'live');
});

test('a request that waits for the PC is shown with who asks, and the wake with its cause', async (t) => {
  const house = await House.open(t, { slow: true });
  const page = await visit(t, `${house.base}/`);
  await shows(page, STATE, 'asleep');
  const chat = house.chat();
  await shows(page, '.requests', CHAT);
  await shows(page, '.requests .held', 'open-webui');
  assert.equal(await page.textContent('#sum-held'), '1');
  await keepPicture(page, 'status-waiting');
  await until('the request to run', async () => (await page.locator('.requests li:not(.held)').count()) === 1);
  await chat;
  await until('no request', () => page.isHidden('.requests'));
  await shows(page, '#wakes tbody', 'open-webui');
  await shows(page, '[data-is=readout]', CHAT);
  await shows(page, '[data-is=loaded]', CHAT);
});

test('all of it can be done with the keyboard alone', async (t) => {
  const house = await House.open(t);
  const page = await visit(t, `${house.base}/`);
  await shows(page, STATE, 'asleep');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await tabTo(page, 'input[name=span]');
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.inputValue('input[name=span]:checked'), '604800');
  await tabTo(page, '.bar');
  assert.match(await page.textContent('[data-is=readout]'), /asleep/);
  await page.keyboard.press('Home');
  assert.equal(await page.getAttribute('.bar', 'aria-valuenow'), '0');
  assert.notEqual(await page.getAttribute('.bar', 'aria-valuetext'), '');
  await tabTo(page, 'button[data-act=wake]');
  await page.keyboard.press('Enter');
  await shows(page, STATE, 'awake');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.act), 'wake', 'the focus stays');
  await tabTo(page, 'summary');
  await page.keyboard.press('Enter');
  assert.ok(await page.isVisible('[data-is=mac]'));
});

test('pointing at the timeline says when and why', async (t) => {
  const house = await House.open(t);
  await house.chat();
  const page = await visit(t, `${house.base}/`);
  await shows(page, '#wakes tbody', 'open-webui');
  const box = await page.locator('.bar').boundingBox();
  await page.mouse.move(box.x + box.width - 2, box.y + box.height / 2);
  await shows(page, '[data-is=readout]', 'open-webui');
});

test('where event streams do not get through, the page asks every few seconds', async (t) => {
  const house = await House.open(t);
  const relay = await house.relay(t, { '/events': (response) => response.writeHead(404).end() });
  const page = await visit(t, `${relay.url}/`, { forgive: /events|404/ });
  await shows(page, '#link', 'updated every 3 s');
  await shows(page, STATE, 'asleep');
  await page.click('button[data-act=wake]');
  await shows(page, STATE, 'awake');
  await shows(page, '#wakes tbody', 'a person');
});

test('a proxy that goes away is told, and the page is current again when it is back', async (t) => {
  const house = await House.open(t);
  let away = false;
  const gone = (path) => (response) => (away ? response.destroy() : fetch(house.base + path).then(async (answer) => response.end(await answer.text())));
  const relay = await house.relay(t, { '/events': (response) => response.destroy(), '/nodes': gone('/nodes'), '/journal': gone('/journal') });
  const page = await visit(t, `${relay.url}/`, { forgive: /ERR_|Failed to load/ });
  await shows(page, STATE, 'asleep');
  away = true;
  await shows(page, '#link', 'does not answer');
  away = false;
  await shows(page, '#link', 'updated every 3 s');
});

test('an idle page paints nothing, and a hidden one holds no stream open', async (t) => {
  const house = await House.open(t);
  const relay = await house.relay(t);
  const page = await visit(t, `${relay.url}/`, { before: countFrames });
  await shows(page, STATE, 'asleep');
  await pause(500);
  const painted = await page.evaluate(() => window.frames_);
  await pause(2500);
  assert.equal(await page.evaluate(() => window.frames_), painted);
  await until('one stream', () => relay.streams() === 1);
  await page.evaluate(() => window.hide_(true));
  await until('no stream', () => relay.streams() === 0);
  const hidden = await page.evaluate(() => window.frames_);
  await house.chat();
  await pause(500);
  assert.equal(await page.evaluate(() => window.frames_), hidden);
  await page.evaluate(() => window.hide_(false));
  await shows(page, STATE, 'awake');
});

test('a request to sleep says why it cannot be done', async (t) => {
  const house = await House.open(t, { asleep: false });
  const answer = await fetch(`${house.base}/nodes/gaming-pc/sleep`, { method: 'POST' });
  assert.equal(answer.status, 409);
  const page = await visit(t, `${house.base}/`, { forgive: /409/ });
  await shows(page, STATE, 'awake');
  assert.ok(await page.isHidden('button[data-act=sleep]'), 'no means, no button');
});

/** Counts frames, and lets a test hide the page as a person does by looking at another tab. */
function countFrames() {
  window.frames_ = 0;
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (act) => ask((time) => {
    window.frames_ += 1;
    act(time);
  });
  let hidden = false;
  Object.defineProperty(document, 'hidden', { get: () => hidden });
  window.hide_ = (value) => {
    hidden = value;
    document.dispatchEvent(new Event('visibilitychange'));
  };
}
