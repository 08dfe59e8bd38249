// The unmodified `openai` package against Ollama's OpenAI routes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { BASE, CHAT, EMBED, HELLO, UNKNOWN, WEATHER, cancels, collect, failNext, throughTheProxy } from './surroundings.mjs';

const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: 'ollama', maxRetries: 0 });
const asked = { model: CHAT, messages: HELLO };

test('models are listed and retrieved', async () => {
  const ids = (await collect(await client.models.list())).map((model) => model.id);
  assert.ok(ids.includes(CHAT));
  assert.equal((await client.models.retrieve(CHAT)).id, CHAT);
});

test('chat answers whole and streams', async () => {
  assert.ok((await client.chat.completions.create(asked)).choices[0].message.content);
  const chunks = await collect(await client.chat.completions.create({ ...asked, stream: true }));
  assert.ok(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''));
  assert.ok(chunks.some((chunk) => chunk.choices[0]?.finish_reason === 'stop'));
});

test('tools are passed and a call comes back', async () => {
  const tool = { type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } };
  const answer = await client.chat.completions.create({ model: CHAT, messages: WEATHER, tools: [tool] });
  assert.equal(answer.choices[0].message.tool_calls[0].function.name, 'get_weather');
});

test('completions and embeddings answer', async () => {
  assert.ok((await client.completions.create({ model: CHAT, prompt: 'hello' })).choices[0].text);
  const answer = await client.embeddings.create({ model: EMBED, input: ['sky', 'sea'] });
  assert.equal(answer.data.length, 2);
  assert.ok(answer.data[0].embedding.length > 0);
});

test('responses answer whole and stream until completed', async () => {
  const whole = await client.responses.create({ model: CHAT, input: 'Why is the sky blue?' });
  assert.equal(whole.status, 'completed');
  assert.ok(whole.output_text);
  const events = await collect(await client.responses.create({ model: CHAT, input: 'hello', stream: true }));
  assert.equal(events.at(-1).type, 'response.completed');
});

test('an unknown model is 404 in the words of Ollama', async () => {
  const words = `model '${UNKNOWN}' not found`;
  await assert.rejects(client.chat.completions.create({ ...asked, model: UNKNOWN }), (fault) => {
    return fault instanceof OpenAI.NotFoundError && fault.error.message === words;
  });
});

test('a full queue is 503', async () => {
  await failNext('busy_503');
  await assert.rejects(client.chat.completions.create(asked), { status: 503 });
});

test('aborting a stream cancels the generation', async () => {
  await cancels(async () => {
    const stream = await client.chat.completions.create({ ...asked, stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.choices);
      break;
    }
  });
});

test('a stream that breaks off throws with the reason', throughTheProxy, async () => {
  for (const kind of ['reset_mid_stream', 'end_early']) {
    await failNext(kind);
    const broken = async () => collect(await client.chat.completions.create({ ...asked, stream: true }));
    await assert.rejects(broken, OpenAI.APIError, kind);
  }
});
