// What the page knows, kept current by one event stream; by asking every few seconds where streams do not get through.
// Nothing is open while the page is hidden.

import { byId, put, set } from "./dom.js";
import { say, stateWord } from "./words.js";

const EVERY = 3000; // between two looks without the stream
const GIVE_UP = 2; // failed streams in a row before looking instead
const TRY_AGAIN = 60000; // until the stream is tried again
const KEPT = 2000; // entries of the journal
const LEARNING = 20; // the last entries may still learn more
const RENEW = 600000; // until a fresh snapshot corrects what no event tells, such as the energy account

/** What is known now. `now()` goes by the proxy's clock. */
export const known = { nodes: new Map(), requests: [], journal: [], energy: null, traffic: {}, strategy: "", skew: 0, seq: 0 };
export const now = () => Date.now() / 1000 + known.skew;

const listeners = new Set();
/** Calls back with what changed: `nodes`, `requests`, `traffic`, `journal`. */
export const onChange = (listener) => listeners.add(listener);
const tell = (what) => listeners.forEach((listener) => listener(what));

let stream = null;
let failures = 0;
let timer = 0;
let looks = false;

/** Takes entries in their order; one that comes again has learnt more. Of requests only their number is shown. */
function take(entries) {
  for (const entry of entries) {
    known.seq = Math.max(known.seq, entry.seq);
    if (entry.kind === "request") continue;
    const at = known.journal.findLastIndex((held) => held.seq <= entry.seq);
    known.journal.splice(at + 1, 0, entry);
    if (known.journal[at]?.seq === entry.seq) known.journal.splice(at, 1);
  }
  known.journal.splice(0, known.journal.length - KEPT);
}

function node(fresh) {
  if (fresh.gone) {
    known.nodes.delete(fresh.name);
    return;
  }
  const before = known.nodes.get(fresh.name);
  known.nodes.set(fresh.name, fresh);
  // Only a change is news; what stood there when the page opened is not.
  if (before && before.state !== fresh.state) put(byId("news"), say("changed", { name: fresh.name, state: stateWord(fresh) }));
}

function meter(time, name, sent, received) {
  const one = known.nodes.get(name);
  if (one && received > (known.traffic[name]?.received ?? Infinity)) one.last_seen = time;
  known.traffic[name] = { time, sent, received };
}

/** What runs and waits is told as one list, not with each node. */
function count() {
  for (const one of known.nodes.values()) {
    const mine = known.requests.filter((request) => request.node === one.name);
    Object.assign(one, { active: mine.length, held: mine.filter((request) => request.held).length });
  }
}

const events = {
  snapshot(data) {
    known.skew = data.now - Date.now() / 1000;
    known.strategy = data.proxy?.strategy ?? "";
    const names = new Set(data.nodes.map((fresh) => fresh.name));
    [...known.nodes.keys()].filter((name) => !names.has(name)).forEach((name) => known.nodes.delete(name));
    data.nodes.forEach(node);
    data.nodes.forEach((fresh) => meter(data.now, fresh.name, fresh.sent, fresh.received));
    Object.assign(known, { requests: data.requests, energy: data.energy });
    count();
    if ((data.journal[0]?.seq ?? 0) > known.seq + 1) backlog(known.seq);
    take(data.journal);
    ["nodes", "requests", "journal"].forEach(tell);
  },
  node(data) {
    node(data);
    count();
    tell("nodes");
  },
  requests(data) {
    known.requests = data;
    count();
    tell("requests");
  },
  traffic(data) {
    for (const [name, one] of Object.entries(data.nodes)) meter(data.now, name, one.sent, one.received);
    tell("traffic");
  },
  journal(data) {
    take([data]);
    const one = known.nodes.get(data.node);
    if (data.kind !== "request") tell("journal");
    else if (one) one.total += 1;
  },
};

/** Reads the journal from there on: the stream begins with the last entries only. */
async function backlog(since) {
  try {
    const answer = await fetch(`journal?since=${since}`);
    if (!answer.ok) return;
    take((await answer.json()).entries);
    tell("journal");
  } catch {
    // The proxy is away for a moment; what is known stays.
  }
}

function listen() {
  stream = new EventSource("events");
  stream.onopen = () => {
    failures = 0;
    says("live");
  };
  stream.onerror = () => {
    says("connecting");
    // A stream that was refused ends for good; one that broke comes back by itself.
    if (stream?.readyState === EventSource.CLOSED || ++failures >= GIVE_UP) look();
  };
  for (const [name, handle] of Object.entries(events)) {
    stream.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  }
}

/** `/nodes` says the same as the stream in the words of the seed. */
function fromList(one) {
  const { power, stats } = one;
  return {
    ...one, ...power, address: one.hosts?.[0], active: stats.active_connections, total: stats.total_requests,
    failed: stats.failed_requests, spec: one.config, models: one.models.map((name) => ({ name, loaded: false })),
    wake: { started: power.waking_for === null ? null : now() - power.waking_for, usual_seconds: power.wake_seconds },
    timeline: known.nodes.get(one.name)?.timeline ?? [], sent: known.nodes.get(one.name)?.sent ?? 0,
    received: known.nodes.get(one.name)?.received ?? 0,
  };
}

async function look() {
  stop();
  looks = true;
  known.requests = []; // told by the stream only
  try {
    const answer = await fetch("nodes");
    if (!answer.ok) throw new Error(String(answer.status));
    const { nodes } = await answer.json();
    const names = new Set(nodes.map((one) => one.name));
    [...known.nodes.keys()].filter((name) => !names.has(name)).forEach((name) => known.nodes.delete(name));
    nodes.map(fromList).forEach(node);
    says("polling");
    tell("nodes");
    await backlog(Math.max(0, known.seq - LEARNING));
  } catch {
    says("proxy_away");
  }
  if (!looks) return; // hidden meanwhile
  const again = Date.now() - started > TRY_AGAIN;
  timer = setTimeout(again ? start : look, EVERY);
}

let started = 0;

function start() {
  stop();
  started = Date.now();
  failures = 0;
  timer = setTimeout(start, RENEW);
  listen();
}

function stop() {
  stream?.close();
  stream = null;
  looks = false;
  clearTimeout(timer);
}

function says(word) {
  put(byId("link"), say(word));
  set(byId("link"), "data-link", word);
}

/** Begins; from now on the page is current whenever it is seen. */
export function follow() {
  const turn = () => (document.hidden ? stop() : start());
  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => event.persisted && turn());
  says("connecting");
  turn();
}
