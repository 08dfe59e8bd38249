// Nodes as the event stream tells of them, in any number: for layouts, and for the picture in the README. All times hang on
// `NOW`, so that two pictures of the same feed are the same.

export const NOW = Math.floor(Date.now() / 1000);
const HOUR = 3600;
const NAMES = ['gaming-pc', 'studio', 'attic-server', 'nas'];
const SPECS = [
  { gpu: 'RTX 4090', memory_gb: 64 },
  { gpu: 'M2 Ultra', memory_gb: 128 },
  { gpu: '2× RTX 3090', memory_gb: 256 },
  { gpu: 'RTX 3060', memory_gb: 32 },
];
const STATES = ['awake', 'asleep', 'waking', 'awake', 'service_down', 'wake_failed', 'unknown', 'asleep', 'suspending'];
const CLIENTS = [
  { client: '192.168.1.7', agent: 'open-webui' },
  { client: '192.168.1.12', agent: 'home-assistant' },
  { client: '192.168.1.9', agent: 'openai-python' },
];
const MODELS = ['llama3.2:3b', 'qwen3:32b', 'nomic-embed-text:latest'];

/** A week of work in the evenings and naps between, another one for each node. */
function week(index, state, since) {
  const spans = [];
  let at = NOW - 7 * 24 * HOUR;
  for (let turn = index; at < since; turn++) {
    const asleep = (3 + ((turn * 7) % 6)) * HOUR;
    const awake = (0.6 + ((turn * 5) % 7) / 4) * HOUR;
    for (const [length, name] of [[asleep, 'asleep'], [20, 'waking'], [awake, 'awake']]) {
      if (at < since) spans.push([at, Math.min(at + length, since), name]);
      at += length;
    }
  }
  return [...spans, [since, null, state]];
}

function node(index) {
  const state = STATES[index % STATES.length];
  const since = NOW - (state === 'waking' ? 9 : 20 * 60 + index * 400);
  const awake = state === 'awake';
  return {
    name: NAMES[index] ?? `node${index + 1}`, state, since, last_seen: since, always_on: false, enabled: true, wakeable: true, sleepable: index % 2 === 0,
    hosts: [`192.168.1.${20 + index}`], address: `192.168.1.${20 + index}`, mac: `a8:a1:59:01:02:${String(10 + index).padStart(2, '0')}`, mac_source: 'learnt',
    spec: SPECS[index % SPECS.length], weight: 1, capacity: 4, active: awake ? 1 : state === 'waking' ? 1 : 0, held: state === 'waking' ? 1 : 0, total: 214 + index,
    failed: 0, sent: 4.1e6, received: 6.2e7, models: MODELS.map((name, at) => ({ name, size: 2e9, loaded: awake && at === index % 2 })),
    wake: { started: state === 'waking' ? since : null, usual_seconds: 14, asked_by: state === 'waking' ? 'home-assistant 192.168.1.12' : null },
    trouble: state === 'wake_failed' ? 'it did not answer within 180 s' : null, advice: null, timeline: week(index, state, since),
    energy: { estimate: true, seconds: { awake: 31 * HOUR, asleep: 134 * HOUR, unknown: 3 * HOUR }, used_kwh: 2.9, saved_kwh: 10.3, saved_cost: 3.09, price_per_kwh: 0.3 },
  };
}

/** A snapshot with so many nodes. */
export function snapshot(count) {
  const nodes = Array.from({ length: count }, (_, index) => node(index));
  const requests = nodes.filter((one) => one.active > 0).map((one, at) => ({
    id: `r${at}`, ...CLIENTS[at % CLIENTS.length], route: '/api/chat', model: MODELS[at % 2], node: one.name, held: one.held > 0, since: NOW - 9,
  }));
  const journal = nodes.slice(0, 4).flatMap((one, index) =>
    one.timeline.filter(([at, , state]) => state === 'waking' && at < NOW - HOUR).map(([at], turn) => ({
      at, kind: 'wake', node: one.name, packets: 3, url_calls: 0, seconds: 12 + ((turn * 3) % 7), result: 'awake',
      cause: { trigger: 'request', ...CLIENTS[(turn + index) % CLIENTS.length], path: '/api/chat', model: MODELS[turn % 2] },
    })));
  journal.sort((a, b) => a.at - b.at).forEach((entry, at) => (entry.seq = at + 1));
  return { now: NOW, proxy: { version: '0.1.0', started: NOW - HOUR, strategy: 'round_robin' }, nodes, requests, journal, energy: nodes[0]?.energy ?? null };
}
