// The unmodified `@anthropic-ai/sdk` package against Ollama's Messages route.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { BASE, CHAT, HELLO, UNKNOWN, cancels, collect, failNext, throughTheProxy } from './surroundings.mjs';

const client = new Anthropic({ baseURL: BASE, apiKey: 'ollama', maxRetries: 0 });
const asked = { model: CHAT, max_tokens: 64, messages: HELLO };

test('a message is answered whole', async () => {
  const answer = await client.messages.create(asked);
  assert.equal(answer.content[0].type, 'text');
  assert.ok(answer.content[0].text);
});

test('a message is streamed to its stop', async () => {
  const stream = client.messages.stream(asked);
  let text = '';
  stream.on('text', (piece) => (text += piece));
  const final = await stream.finalMessage();
  assert.equal(final.content[0].text, text);
  const kinds = (await collect(await client.messages.create({ ...asked, stream: true }))).map((event) => event.type);
  assert.equal(kinds[0], 'message_start');
  assert.equal(kinds.at(-1), 'message_stop');
});

test('an unknown model is 404 in the words of Ollama', async () => {
  await assert.rejects(client.messages.create({ ...asked, model: UNKNOWN }), (fault) => {
    return fault instanceof Anthropic.NotFoundError && fault.error.error.message === `model '${UNKNOWN}' not found`;
  });
});

test('a full queue is 503', async () => {
  await failNext('busy_503');
  await assert.rejects(client.messages.create(asked), { status: 503 });
});

test('aborting a stream cancels the generation', async () => {
  await cancels(async () => {
    const stream = await client.messages.create({ ...asked, stream: true });
    for await (const event of stream) if (event.type === 'content_block_delta') break;
  });
});

test('a stream that breaks off throws with the reason', throughTheProxy, async () => {
  for (const kind of ['reset_mid_stream', 'end_early']) {
    await failNext(kind);
    const broken = async () => collect(await client.messages.create({ ...asked, stream: true }));
    await assert.rejects(broken, Anthropic.APIError, kind);
  }
});
