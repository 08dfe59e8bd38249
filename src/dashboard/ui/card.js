// One node as a card: how it stands, what it does, what it holds, and what can be done.

import { byId, keep, make, parts, put, set, shape, show } from "./dom.js";
import { known, now } from "./feed.js";
import { bytes, list, moment, number, said, say, span, stateWord, who } from "./words.js";
import { buttons, refreshButtons } from "./actions.js";
import { listenOnTimeline } from "./timeline.js";

/** An empty card from the page's template. */
export function createCard(node) {
  const card = byId("card").content.firstElementChild.cloneNode(true);
  const title = card.querySelector("h3");
  title.id = `node-${node.name}`;
  put(title, node.name);
  set(card, "aria-labelledby", title.id);
  set(card.querySelector("summary"), "aria-label", say("details_of", { name: node.name }));
  set(card.querySelector(".bar"), "aria-label", say("timeline_of", { name: node.name }));
  buttons(card, () => node.name);
  listenOnTimeline(card);
  return card;
}

/** Brings a card up to date. */
export function updateCard(card, node) {
  const is = parts(card);
  card.dataset.state = node.state;
  shape(card.querySelector(".shape"), node.state);
  put(is.state, stateWord(node));
  refreshButtons(card, node);
  // That a sleeping machine does not answer is no trouble.
  const troubles = new Set([node.state === "asleep" ? null : node.trouble, node.hindrance]);
  put(is.trouble, list([...troubles].filter(Boolean).map(said)));
  show(is.trouble, is.trouble.textContent !== "");
  put(is.advice, node.advice ? said(node.advice) : cannotWake(node) ? say("no_means") : "");
  show(is.advice, is.advice.textContent !== "");
  const loaded = node.models.filter((model) => model.loaded);
  put(is.loaded, loaded.length ? say("loaded_now", { list: list(loaded.map((model) => model.name)) }) : "");
  show(is.loaded, loaded.length > 0);
  facts(is, node);
  tickCard(card, node);
}

/** Whether it sleeps, and nothing here could wake it. */
const cannotWake = (node) => node.enabled !== false && !node.always_on && !node.wakeable && node.state === "asleep";

function facts(is, node) {
  const usual = node.wake?.usual_seconds;
  put(is.address, list([node.address ?? "", ...(node.hosts ?? [])].filter((one, at, all) => one && all.indexOf(one) === at)));
  put(is.hardware, hardware(node) || "–");
  put(is.mac, node.mac ? `${node.mac} (${say(`mac_${node.mac_source}`)})` : say("unknown"));
  put(is.usual, usual ? span(usual) : say("unknown"));
  put(is.saved, node.energy?.saved_kwh == null ? "–" : `${number(node.energy.saved_kwh)} kWh`);
  put(is.models, node.models.length ? list(node.models.map((model) => model.name)) : say("unknown"));
}

/** What the owner says of the machine, in one line. */
export function hardware(node) {
  return Object.entries(node.spec ?? {})
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => (name === "memory_gb" ? say("memory", { n: number(value) }) : String(value)))
    .join(", ");
}

/** What changes by itself: ages and progress. */
export function tickCard(card, node) {
  if (!card) return;
  const is = parts(card);
  const since = node.since ? say("since_at", { at: moment(node.since), for: span(now() - node.since) }) : "";
  put(is.since, [node.state === "unknown" || node.enabled === false ? "" : since, node.always_on && node.enabled !== false ? say("always_on") : ""].filter(Boolean).join(" · "));
  put(is.seen, node.last_seen ? say("ago", { for: span(now() - node.last_seen) }) : say("never"));
  const { sent, received } = known.traffic[node.name] ?? node;
  put(is.traffic, say("traffic_totals", { sent: bytes(sent), received: bytes(received) }));
  put(is.served, say("served_failed", { total: number(node.total), failed: number(node.failed) }));
  progress(card, is, node);
  const mine = known.requests.filter((request) => request.node === node.name);
  const requests = card.querySelector(".requests");
  show(requests, mine.length > 0);
  keep(requests, mine, (request) => request.id, requestLine, updateRequest);
}

function progress(card, is, node) {
  const { started, usual_seconds: usual, asked_by: by } = node.wake ?? {};
  const wakes = node.state === "waking" && Boolean(started);
  show(card.querySelector(".wake"), wakes);
  if (!wakes) return;
  const seconds = Math.max(0, Math.floor(now() - started));
  const meter = card.querySelector("progress");
  // Never full before it is awake; without a learnt time the bar says only that something goes on.
  if (usual) meter.value = Math.min(seconds / usual, 0.97);
  else meter.removeAttribute("value");
  const text = usual ? say("waking_usual", { n: seconds, usual: Math.round(usual) }) : say("waking_for", { n: seconds });
  put(is.progress, by ? `${text} · ${say("asked_by", { who: by })}` : text);
}

function requestLine() {
  return make("li", "", make("b"), " ", make("span"));
}

function updateRequest(line, request) {
  line.classList.toggle("held", request.held);
  put(line.firstElementChild, request.model || request.route);
  const age = say(request.held ? "held_since" : "runs_since", { for: span(now() - request.since) });
  put(line.lastElementChild, [who(request), age].filter(Boolean).join(" · "));
}
