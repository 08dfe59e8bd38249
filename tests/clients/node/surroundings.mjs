// What every suite of real clients needs: where to call, and a look at the simulated PC behind the proxy.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

export const BASE = process.env.OLLAMA_PROXY_URL.replace(/\/$/, '');
const SIMULATOR = process.env.SIMULATOR_URL.replace(/\/$/, '');
export const DIRECT = (process.env.VIA ?? 'direct') === 'direct';
/** Options of a test of what only the proxy does. */
export const throughTheProxy = { skip: DIRECT && 'only the proxy does this' };
export const CHAT = 'llama3.2:3b';
export const EMBED = 'nomic-embed-text:latest';
export const UNKNOWN = 'no-such-model';
export const HELLO = [{ role: 'user', content: 'Why is the sky blue?' }];
export const WEATHER = [{ role: 'user', content: 'What is the weather in Oslo?' }];

/** Asks the simulator's control surface, past the proxy. */
async function simulator(path, body) {
  const request = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  const text = await (await fetch(SIMULATOR + path, request)).text();
  return text ? JSON.parse(text) : null;
}

/** What the simulator has counted so far. */
export const counters = () => simulator('/sim/counters');

/** The next request for the GPU fails in this way. */
export const failNext = (kind, times = 1) => simulator('/sim/fail', { next: kind, times });

/** Runs `test` while answers take ten seconds. */
export async function slowly(test) {
  await simulator('/sim/set', { tokens: 200, token_gap_ms: 50 });
  try {
    await test();
  } finally {
    await simulator('/sim/set', { tokens: 5, token_gap_ms: 2 });
  }
}

/** Asserts that `leave`, which drops an answer half-way, cancels exactly one generation on the PC. */
export async function cancels(leave) {
  await slowly(async () => {
    const before = (await counters()).generations_cancelled;
    await leave();
    for (let tries = 0; tries < 3000 && (await counters()).generations_cancelled === before; tries++) await sleep(20);
    assert.equal((await counters()).generations_cancelled, before + 1);
  });
}

/** The items of an asynchronous stream. */
export async function collect(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}
