// What holds for both pages: languages, no scripts, path prefix, phones, dark, hostile names, people who see or point badly.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { House, PACKAGES, closeBrowser, keepPicture, openBrowser, plays, shows, until, visit } from './surroundings.mjs';
import { snapshot } from './feed.mjs';

before(openBrowser);
after(closeBrowser);

const PAGES = { status: '/', topology: '/topology' };
const ROWS = { status: '#cards > article', topology: '#table tbody tr' };
const AXE = readFileSync(PACKAGES.resolve('axe-core/axe.min.js'), 'utf8');

/** A relay that plays a feed in front of a real proxy. */
async function played(t, feed) {
  const house = await House.open(t, { asleep: false });
  return house.relay(t, { '/events': plays(feed), '/journal': (response) => response.end(JSON.stringify({ now: feed.now, last: 0, entries: [] })) });
}

const filled = (page, name, count) => until(`${count} nodes`, async () => (await page.locator(ROWS[name]).count()) === count);

test('the page speaks the language that the browser likes best', async (t) => {
  const house = await House.open(t);
  for (const [language, tag, word] of [['en-GB', 'en', 'asleep'], ['zh-CN', 'zh-Hans', '休眠'], ['zh-TW', 'zh-Hant', '休眠'], ['fr', 'en', 'asleep']]) {
    const page = await visit(t, `${house.base}/`, { language });
    await shows(page, '[data-is=state]', word);
    assert.equal(await page.getAttribute('html', 'lang'), tag);
  }
  const traditional = await visit(t, `${house.base}/topology`, { language: 'zh-TW' });
  await shows(traditional, '#facts-title', '節點');
  const simplified = await visit(t, `${house.base}/topology`, { language: 'zh-CN' });
  await shows(simplified, '#facts-title', '节点');
});

test('without JavaScript there is a table of states, and its Wake button wakes', async (t) => {
  const house = await House.open(t);
  const page = await visit(t, `${house.base}/topology`, { scripts: false });
  await shows(page, '.plain table', 'asleep');
  await page.goto(`${house.base}/`);
  await shows(page, '.plain table', 'gaming-pc');
  assert.ok(await page.isHidden('.figures') && (await page.isVisible('.plain svg.asleep')));
  await keepPicture(page, 'status-no-scripts');
  await page.click('.plain form button');
  assert.equal(page.url(), `${house.base}/`, 'the page again, not JSON');
  await until('a magic packet', () => house.wasWoken);
  await until('awake', async () => {
    await page.reload();
    return (await page.textContent('.plain table')).includes('awake');
  });
});

test('behind a path prefix everything works', async (t) => {
  const house = await House.open(t);
  const relay = await house.relay(t);
  const page = await visit(t, `${relay.url}/`);
  await shows(page, '#link', 'live');
  await shows(page, 'code[data-path=v1]', `${relay.url}/v1`);
  await page.click('button[data-act=wake]');
  await shows(page, '[data-is=state]', 'awake');
  await page.click('nav a:not([aria-current])');
  await page.waitForSelector('canvas[data-ready="1"]');
  await shows(page, '#table', 'awake');
  for (const link of await page.$$eval('a[href]', (links) => links.map((one) => one.href))) assert.ok(link.startsWith(`${relay.url}/`), link);
  assert.equal((await page.goto(`${relay.url}/static/topology-3d.html`)).url(), `${relay.url}/topology`);
});

test('every link of the page leads to something', async (t) => {
  const house = await House.open(t, { asleep: false });
  const page = await visit(t, `${house.base}/`);
  for (const link of await page.$$eval('.links a', (links) => links.map((one) => one.href))) {
    const answer = await fetch(link);
    assert.equal(answer.status, 200, link);
    await answer.body.cancel();
  }
});

test('no page scrolls sideways on phones, tablets and desktops, light or dark, with 0, 1, 4 or 50 nodes', async (t) => {
  for (const count of [0, 1, 4, 50]) {
    const relay = await played(t, snapshot(count));
    for (const [name, path] of Object.entries(PAGES)) {
      const page = await visit(t, `${relay.url}${path}`, { dark: count % 2 === 1 });
      await filled(page, name, count);
      for (const [width, height] of [[320, 640], [390, 844], [820, 1100], [1280, 900]]) {
        await page.setViewportSize({ width, height });
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${name}, ${count} nodes, ${width} px`);
        await keepPicture(page, `${name}-${count}-${width}`, count < 50);
      }
    }
  }
});

test('names, models, clients and troubles that look like markup are shown as text', async (t) => {
  const bad = '<img src=x onerror="window.hit_=1"><script>window.hit_=1</script>{{VERSION}}';
  const feed = snapshot(1);
  Object.assign(feed.nodes[0], { name: bad, spec: { description: bad }, trouble: bad, advice: bad, address: bad, models: [{ name: bad, loaded: true }] });
  Object.assign(feed.requests[0], { node: bad, model: bad, agent: bad, client: bad });
  feed.journal.forEach((entry) => Object.assign(entry, { node: bad, cause: { trigger: 'request', client: bad, agent: bad, path: bad, model: bad } }));
  const relay = await played(t, feed);
  for (const [name, path] of Object.entries(PAGES)) {
    const page = await visit(t, `${relay.url}${path}`, { width: 390 });
    await filled(page, name, 1);
    if (name === 'topology') await page.click('#table th button');
    await shows(page, ROWS[name], bad);
    assert.equal(await page.evaluate(() => window.hit_), undefined);
    assert.equal(await page.locator('main img, main script').count(), 0);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, name);
  }
  const house = await House.open(t, { entry: { description: bad } });
  const real = await visit(t, `${house.base}/topology`);
  await shows(real, '#table', bad);
});

test('axe finds nothing serious, light or dark, on a phone or a desktop', async (t) => {
  const relay = await played(t, snapshot(4));
  for (const [name, path] of Object.entries(PAGES)) {
    for (const habits of [{ dark: false }, { dark: true, width: 390, height: 844 }]) {
      const page = await visit(t, relay.url + path, habits);
      await filled(page, name, 4);
      if (name === 'topology') await page.click('#table th button');
      else await page.click('summary');
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
      const said = violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`);
      if (said.length) t.diagnostic(`${name}: ${said.join('; ')}`);
      assert.deepEqual(said.filter((text) => /^(serious|critical)/.test(text)), [], `${name} ${JSON.stringify(habits)}`);
    }
  }
});

test('what can be pressed is at least 44 pixels high and wide', async (t) => {
  const relay = await played(t, snapshot(4));
  for (const [name, path] of Object.entries(PAGES)) {
    const page = await visit(t, relay.url + path, { width: 390, height: 844 });
    await filled(page, name, 4);
    if (name === 'topology') await page.click('#table th button');
    const small = await page.$$eval('button, summary, nav a, .brand, .bar, .button, .links a, .switch span', (all) =>
      all.map((one) => [one.textContent.trim().slice(0, 20), one.getBoundingClientRect()])
        .filter(([, box]) => box.width > 0 && (box.height < 44 || box.width < 44))
        .map(([text, box]) => `${text}: ${box.width}×${box.height}`));
    assert.deepEqual(small, [], name);
  }
});

test('a browser that comes again is sent the parts of the page once only', async (t) => {
  const house = await House.open(t, { asleep: false });
  const first = await fetch(`${house.base}/ui/base.css`);
  const again = await fetch(`${house.base}/ui/base.css`, { headers: { 'If-None-Match': first.headers.get('etag') } });
  assert.deepEqual([first.status, again.status, await again.text()], [200, 304, '']);
  assert.match(first.headers.get('content-security-policy'), /default-src 'self'/);
});
