// The unmodified `ollama` package: everything it can ask of a server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ollama } from 'ollama';
import { BASE, CHAT, EMBED, HELLO, UNKNOWN, WEATHER, cancels, collect, failNext, throughTheProxy } from './surroundings.mjs';

const client = new Ollama({ host: BASE });
const names = async () => (await client.list()).models.map((model) => model.model);

test('list, show, version and ps answer', async () => {
  assert.ok((await names()).includes(CHAT));
  const shown = await client.show({ model: CHAT });
  assert.ok(shown.capabilities.includes('completion'));
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+/);
  assert.ok(Array.isArray((await client.ps()).models));
});

test('chat answers whole and streams piece by piece', async () => {
  const whole = await client.chat({ model: CHAT, messages: HELLO });
  assert.equal(whole.done, true);
  assert.ok(whole.message.content);
  const parts = await collect(await client.chat({ model: CHAT, messages: HELLO, stream: true }));
  assert.ok(parts.length > 2);
  assert.equal(parts.at(-1).done, true);
});

test('generate answers whole and streams', async () => {
  const whole = await client.generate({ model: CHAT, prompt: 'hello' });
  const parts = await collect(await client.generate({ model: CHAT, prompt: 'hello', stream: true }));
  assert.equal(parts.map((part) => part.response).join(''), whole.response);
});

test('tools, images and formats are accepted', async () => {
  const tool = { type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } };
  const called = await client.chat({ model: CHAT, messages: WEATHER, tools: [tool] });
  assert.equal(called.message.tool_calls[0].function.name, 'get_weather');
  const seen = [{ role: 'user', content: 'What is this?', images: [new Uint8Array([137, 80, 78, 71])] }];
  assert.equal((await client.chat({ model: CHAT, messages: seen })).done, true);
  assert.equal((await client.chat({ model: CHAT, messages: HELLO, format: 'json' })).done, true);
});

test('embed takes one text and many', async () => {
  assert.equal((await client.embed({ model: EMBED, input: 'sky' })).embeddings.length, 1);
  assert.equal((await client.embed({ model: EMBED, input: ['sky', 'sea'] })).embeddings.length, 2);
  assert.ok((await client.embeddings({ model: EMBED, prompt: 'sky' })).embedding.length > 0);
});

test('keep_alive 0 without a prompt unloads', async () => {
  await client.generate({ model: CHAT, prompt: 'hello' });
  assert.equal((await client.generate({ model: CHAT, prompt: '', keep_alive: 0 })).done_reason, 'unload');
  assert.ok(!(await client.ps()).models.some((model) => model.model === CHAT));
});

test('pull reports its progress, copy, create and delete change the list', async () => {
  const steps = await collect(await client.pull({ model: 'pulled-js', stream: true }));
  assert.ok(steps.some((step) => step.total > 0));
  assert.equal(steps.at(-1).status, 'success');
  await client.copy({ source: 'pulled-js', destination: 'copied-js' });
  await client.create({ model: 'created-js', from: CHAT, system: 'Be brief.' });
  const made = ['pulled-js:latest', 'copied-js:latest', 'created-js:latest'];
  const listed = await names();
  for (const name of made) assert.ok(listed.includes(name), `${name} in ${listed}`);
  for (const name of made) await client.delete({ model: name });
  const left = await names();
  for (const name of made) assert.ok(!left.includes(name), `${name} gone from ${left}`);
});

test('an unknown model is 404 in the words of Ollama', async () => {
  const words = `model '${UNKNOWN}' not found`;
  await assert.rejects(client.chat({ model: UNKNOWN, messages: HELLO }), { name: 'ResponseError', status_code: 404, error: words });
  await assert.rejects(client.show({ model: UNKNOWN }), { status_code: 404, error: `model '${UNKNOWN}:latest' not found` });
  const embed = `model "${UNKNOWN}" not found, try pulling it first`;
  await assert.rejects(client.embed({ model: UNKNOWN, input: 'x' }), { status_code: 404, error: embed });
});

test('a full queue is told in the words of Ollama', async () => {
  await failNext('busy_503');
  const words = 'server busy, please try again.  maximum pending requests exceeded';
  await assert.rejects(client.chat({ model: CHAT, messages: HELLO }), { status_code: 503, error: words });
});

test('aborting a stream cancels the generation', async () => {
  await cancels(async () => {
    const stream = await client.chat({ model: CHAT, messages: HELLO, stream: true });
    await assert.rejects(async () => {
      for await (const part of stream) if (part) stream.abort();
    }, { name: 'AbortError' });
  });
});

test('a stream that breaks off or ends early throws', async () => {
  for (const kind of ['reset_mid_stream', 'end_early', 'error_line']) {
    await failNext(kind);
    await assert.rejects(async () => collect(await client.chat({ model: CHAT, messages: HELLO, stream: true })), Error, kind);
  }
});

test('a stream that breaks off says why', throughTheProxy, async () => {
  await failNext('reset_mid_stream');
  const broken = async () => collect(await client.chat({ model: CHAT, messages: HELLO, stream: true }));
  await assert.rejects(broken, (fault) => fault.name !== 'TypeError' && !fault.message.startsWith('Did not receive'));
});

test('a whole answer that breaks off throws', throughTheProxy, async () => {
  await failNext('reset_mid_stream');
  await assert.rejects(client.chat({ model: CHAT, messages: HELLO }));
});
