// What every browser test needs: the real program in front of a simulated PC that sleeps and wakes, a relay that puts both
// behind a path prefix, and a browser that can reach nothing but this machine.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const TARGET = resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target');
export const PACKAGES = createRequire(join(TARGET, 'browser-node', 'package.json'));
const { chromium } = PACKAGES('playwright-core');
const SHOTS = join(TARGET, 'browser-shots');
const MAC = '02:00:5e:10:00:01';
const PATIENCE = 15_000;
export const PREFIX = '/some/prefix';
export const CHAT = 'llama3.2:3b';

/** Tries until `attempt` gives something true. */
export async function until(what, attempt) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await attempt();
    if (found) return found;
    if (Date.now() > end) assert.fail(`in vain: ${what}`);
    await pause(30);
  }
}

const endings = new WeakMap();

/** Does `act` when the test is over; what was begun last ends first. */
function atTheEnd(t, act) {
  if (!endings.has(t)) {
    endings.set(t, []);
    t.after(async () => {
      for (const ending of endings.get(t).reverse()) await ending();
    });
  }
  endings.get(t).push(act);
}

/** A program that is ended when the test is over. */
class Program {
  constructor(command, args) {
    this.text = '';
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env.PATH, HOME: tmpdir() }, cwd: tmpdir() });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (chunk) => (this.text += chunk));
  }

  /** The first group of `pattern` in what it has written. */
  async says(pattern) {
    return (await until(`${pattern} in\n${this.text}`, () => this.text.match(pattern)))[1];
  }

  async end() {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((done) => this.child.once('exit', done));
    this.child.kill();
    await ended;
  }
}

/** The proxy, the PC behind it, and a relay before it. */
export class House {
  /** `slow`: a token takes 50 ms; `entry`: more of the node's entry in the node file; `more`: further flags. */
  static async open(t, { asleep = true, slow = false, entry = {}, more = [] } = {}) {
    const house = new House();
    atTheEnd(t, () => house.close());
    house.folder = mkdtempSync(join(tmpdir(), 'browser-'));
    const pace = slow ? ['--token-gap', '50ms', '--tokens', '60'] : ['--tokens', '5'];
    house.pc = new Program(join(TARGET, 'debug/examples/simulated_pc'), ['--mac', MAC, '--resume', '1200ms', ...pace]);
    const [port, card] = [await house.pc.says(/listening on \S*?:(\d+)\s/), await house.pc.says(/magic packets on \S*?:(\d+)\s/)];
    const wake = { mac: MAC, broadcast: '127.0.0.1', port: Number(card) };
    const node = { name: 'gaming-pc', hosts: [`127.0.0.1:${port}`], wake, power: { idle_watts: 80, sleep_watts: 3 }, ...entry };
    writeFileSync(join(house.folder, 'nodes.json'), JSON.stringify({ price_per_kwh: 0.3, nodes: [node] }));
    const where = ['--host', '127.0.0.1', '--port', '0', '--data-dir', house.folder, '--node-config', join(house.folder, 'nodes.json'), ...more];
    house.proxy = new Program(join(TARGET, 'debug/ollama-proxy'), where);
    house.base = `http://127.0.0.1:${await house.proxy.says(/listening on \S*?127\.0\.0\.1:(\d+)/)}`;
    await until('the list of models', async () => (await house.ask('/api/tags')).models.length >= 2);
    if (asleep) await house.sleep();
    return house;
  }

  /** The PC falls asleep, and the proxy has noticed. */
  async sleep() {
    this.pc.child.stdin.write('sleep\n');
    await this.pc.says(/(falls asleep)/);
    await until('the proxy to notice', async () => {
      await this.chat({ 'X-Ollama-Proxy-Wake': 'never' }).catch(() => {});
      return (await this.state()) === 'asleep';
    });
  }

  async ask(path, request = {}) {
    return (await fetch(this.base + path, request)).json();
  }

  async state() {
    return (await this.ask('/health')).nodes['gaming-pc'].state;
  }

  /** A chat as a client sends it; resolves when the answer is whole. */
  async chat(headers = {}) {
    const body = JSON.stringify({ model: CHAT, messages: [{ role: 'user', content: 'Why is the sky blue?' }] });
    const answer = await fetch(`${this.base}/api/chat`, { method: 'POST', body, headers: { 'User-Agent': 'Open WebUI (https://github.com/open-webui/open-webui)', ...headers } });
    return answer.text();
  }

  /** Whether any magic packet has come. */
  get wasWoken() {
    return this.pc.text.includes('hears a magic packet');
  }

  /** Everything behind `PREFIX`, as another proxy would put it; `play` answers some paths itself. */
  async relay(t, play = {}) {
    const open = new Set();
    const server = http.createServer((request, response) => {
      const path = request.url.startsWith(PREFIX) ? request.url.slice(PREFIX.length) : null;
      if (path === null) return response.writeHead(404).end();
      if (play[path.split('?')[0]]) return play[path.split('?')[0]](response);
      if (path === '/events') open.add(response);
      response.on('close', () => open.delete(response));
      const headers = { ...request.headers, host: new URL(this.base).host };
      const onward = http.request(this.base + path, { method: request.method, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      response.on('close', () => onward.destroy());
      request.pipe(onward);
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    atTheEnd(t, () => {
      server.closeAllConnections();
      server.close();
    });
    return { url: `http://127.0.0.1:${server.address().port}${PREFIX}`, streams: () => open.size };
  }

  async close() {
    await this.proxy?.end();
    await this.pc?.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** An event stream that begins with this snapshot and then stays open: for numbers of nodes that nobody has at home. */
export const plays = (snapshot) => (response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  response.write(`id: 1\nevent: snapshot\ndata: ${JSON.stringify(snapshot)}\n\n`);
};

let browser = null;

/** One browser for all tests of a file. Whatever is not this machine cannot be reached. */
export async function openBrowser() {
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--host-resolver-rules=MAP evil.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    ],
  });
}

export const closeBrowser = () => browser.close();

/** Opens a page as a person with these habits (`ready`: one of ours, whose scripts say so); the test fails when it errs or asks another origin for anything. */
export async function visit(t, url, { dark = false, calm = false, scripts = true, width = 1280, height = 900, language = 'en-GB', touch = false, forgive = /^$/, ready = true, before } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', reducedMotion: calm ? 'reduce' : 'no-preference', locale: language,
    javaScriptEnabled: scripts, hasTouch: touch,
  });
  const page = await context.newPage();
  const faults = [];
  const fault = (text) => forgive.test(text) || faults.push(text);
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && fault(`${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => fault(error.stack));
  page.on('request', (request) => new URL(request.url()).origin === new URL(url).origin || fault(`asked ${request.url()}`));
  atTheEnd(t, async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  if (before) await page.addInitScript(before);
  await page.goto(url);
  if (scripts && ready) await page.waitForFunction(() => document.documentElement.dataset.ready === '1');
  return page;
}

/** Keeps a picture for people to look at. */
export async function keepPicture(page, name, whole = true) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: whole });
}

/** Waits until the text of an element holds `part`. */
export async function shows(page, selector, part) {
  await until(`${part} in ${selector}`, async () => (await page.locator(selector).first().textContent()).includes(part));
}
