// Who may do what, in a real browser: pages of other origins, and the owner who logs in.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { House, closeBrowser, openBrowser, shows, until, visit } from './surroundings.mjs';

before(openBrowser);
after(closeBrowser);

const OWNER = 'key-of-the-owner-canary';

/** A server whose page sends to `base` whatever a page can: it keeps what came of each. */
async function elsewhere(t, base) {
  const page = `<!doctype html><title>elsewhere</title><script>
    const tried = {};
    const attempt = async (name, path, request) => {
      tried[name] = await fetch('${base}' + path, request).then((answer) => answer.type === 'opaque' ? 'opaque' : answer.status, () => 'refused');
    };
    (async () => {
      await attempt('look', '/nodes');
      await attempt('use', '/api/chat', { method: 'POST', body: '{"model":"llama3.2:3b","messages":[{"role":"user","content":"x"}]}' });
      await attempt('act', '/nodes/gaming-pc/wake', { method: 'POST' });
      await attempt('act blindly', '/nodes/gaming-pc/wake', { method: 'POST', mode: 'no-cors', credentials: 'include' });
      document.title = JSON.stringify(tried);
    })();
  </script><form method="post" action="${base}/nodes/gaming-pc/wake"><button>win a prize</button></form>`;
  const server = http.createServer((request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(page));
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => server.close());
  return server.address().port;
}

test('a page of another origin can neither read, nor use, nor wake anything', async (t) => {
  const house = await House.open(t);
  // By a name that is not in Ollama's own list, though the browser finds it on this machine.
  const url = `http://evil.example:${await elsewhere(t, house.base)}/`;
  const page = await visit(t, url, { forgive: /./, ready: false });
  const told = await until('the page to have tried all', async () => (await page.title()).startsWith('{') && page.title());
  assert.deepEqual(JSON.parse(told), { look: 'refused', use: 'refused', act: 'refused', 'act blindly': 'opaque' });
  const [answer] = await Promise.all([page.waitForResponse(/wake$/), page.click('button')]);
  assert.equal(answer.status(), 403);
  assert.equal(await house.state(), 'asleep');
  assert.ok(!house.wasWoken, house.pc.text);
});

for (const scripts of [true, false]) {
  const name = 'the owner logs in by the form, wakes the PC, and logs out';
  test(scripts ? name : `${name}, without scripts`, async (t) => {
    const house = await House.open(t, { more: ['--admin-key', OWNER] });
    // A browser tells in its console when it was shown a 401.
    const page = await visit(t, `${house.base}/`, { scripts, forgive: /401/ });
    await page.click(scripts ? 'button[data-act=wake]' : '.plain form button');
    await page.waitForURL(/\/login$/);
    assert.ok(!house.wasWoken);
    await page.fill('#key', 'not-the-key');
    await page.click('.login button');
    assert.ok(await page.isVisible('[role=alert]'));
    await page.fill('#key', OWNER);
    await page.click('.login button');
    await page.waitForURL(`${house.base}/`);
    if (scripts) assert.equal(await page.evaluate(() => document.cookie), '');
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict']);
    if (scripts) await page.waitForFunction(() => document.documentElement.dataset.ready === '1');
    await page.click(scripts ? 'button[data-act=wake]' : '.plain form button');
    await until('the PC to be up', async () => (await house.state()) === 'awake');
    assert.ok(house.wasWoken);
    if (scripts) await shows(page, '[data-is=state]', 'awake');
    await page.click('form[action=logout] button');
    await page.waitForSelector('a[href=login]');
    assert.deepEqual(await page.context().cookies(), []);
  });
}
