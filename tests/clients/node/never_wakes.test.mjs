// What the unmodified packages make of a PC that cannot be woken: one readable error, and no second try of the wake.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { BASE, CHAT, HELLO } from './surroundings.mjs';

/** A `fetch` that counts how often it was called. */
function counting() {
  const counted = (...request) => {
    counted.calls += 1;
    return fetch(...request);
  };
  counted.calls = 0;
  return counted;
}

const inVain = (fault) => {
  assert.ok([503, 504].includes(fault.status ?? fault.status_code), `${fault}`);
  assert.match(`${fault}`, /node1/);
  return true;
};

test('ollama throws the words of the proxy', async () => {
  await assert.rejects(new Ollama({ host: BASE }).chat({ model: CHAT, messages: HELLO }), inVain);
});

test('openai throws without trying again', async () => {
  const fetch = counting();
  const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: 'ollama', fetch });
  await assert.rejects(client.chat.completions.create({ model: CHAT, messages: HELLO, stream: true }), inVain);
  assert.equal(fetch.calls, 1);
});

test('anthropic throws without trying again', async () => {
  const fetch = counting();
  const client = new Anthropic({ baseURL: BASE, apiKey: 'ollama', fetch });
  await assert.rejects(client.messages.create({ model: CHAT, max_tokens: 8, messages: HELLO }), inVain);
  assert.equal(fetch.calls, 1);
});
