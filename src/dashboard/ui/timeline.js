// The bar of states over a day or a week. One stop for the Tab key; arrows and the pointer go through states and wakes,
// and the line below says when and why.

import { make, parts, put, set } from "./dom.js";
import { known, now } from "./feed.js";
import { list, moment, say, span, who } from "./words.js";

const WIDTH = 1000;
/** Awake stands tall, asleep lies low: the states can be told without colours. */
const HEIGHT = { awake: 40, waking: 30, suspending: 22, asleep: 12, service_down: 30, wake_failed: 30 };
const bars = new WeakMap();

/** Who asked for a wake, in words. */
export function wokenBy(entry) {
  const { trigger = "request" } = entry.cause ?? {};
  const by = who(entry.cause ?? {});
  return trigger === "request" && by ? by : list([say(`trigger_${trigger}`), by].filter(Boolean));
}

/** What a wake was for, in words. */
export const wokenFor = ({ cause }) => [cause?.model, cause?.path].filter(Boolean).join(" · ");

/** How a wake ended, in words. */
export const ending = (entry) => say(`result_${entry.result}`, { for: span(entry.seconds ?? 0) });

/** Draws the last `length` seconds of a node. */
export function drawTimeline(card, node, length) {
  const until = now();
  const from = until - length;
  const items = [...states(node, from, until), ...wakes(node, from)].sort((a, b) => a.at - b.at);
  const bar = card.querySelector(".bar");
  const svg = bar.firstElementChild;
  const x = (time) => Math.max(0, ((time - from) / length) * WIDTH);
  svg.replaceChildren(...items.map((item) => rectangle(svg, item, x)));
  put(parts(card).from, moment(from));
  const held = bars.get(bar);
  const chosen = held && items.findIndex((item) => item.key === held.key);
  bars.set(bar, { items, from, length, at: chosen >= 0 ? chosen : -1, key: held?.key });
  set(bar, "aria-valuemax", String(Math.max(0, items.length - 1)));
  choose(card, bars.get(bar).at, false);
}

function states(node, from, until) {
  // What was told last goes on until now.
  return (node.timeline ?? [])
    .map(([start, end, state], at, all) => [start, at === all.length - 1 ? until : end, state])
    .filter(([start, end]) => end > from && start < until)
    .map(([start, end, state]) => {
      const last = Math.min(end, until);
      const text = say("segment", { state: say(state), from: moment(start), to: moment(last), for: span(last - start) });
      return { key: `s${start}`, at: Math.max(start, from), until: last, state, text };
    });
}

function wakes(node, from) {
  return known.journal
    .filter((entry) => entry.kind === "wake" && entry.node === node.name && entry.at > from)
    .map((entry) => {
      const told = { at: moment(entry.at), who: wokenBy(entry), what: wokenFor(entry), result: ending(entry) };
      return { key: `w${entry.seq}`, at: entry.at, wake: true, text: say(told.what ? "woken_at" : "woken_by_hand", told) };
    });
}

function rectangle(svg, item, x) {
  const rect = document.createElementNS(svg.namespaceURI, "rect");
  const left = x(item.at);
  const tall = item.wake ? 40 : (HEIGHT[item.state] ?? 6);
  const wide = item.wake ? 3 : Math.max(1, x(item.until) - left);
  const place = { x: Math.min(left, WIDTH - wide), y: 40 - tall, width: wide, height: tall, class: item.wake ? "mark" : item.state };
  Object.entries(place).forEach(([name, value]) => rect.setAttribute(name, String(value)));
  return rect;
}

/** Says what stands at this place of the bar; with -1 the last wake, which is what people come to see. */
function choose(card, at, byHand = true) {
  const bar = card.querySelector(".bar");
  const held = bars.get(bar);
  if (!held) return;
  const item = held.items[at];
  Object.assign(held, { at, key: byHand ? item?.key : held.key });
  [...bar.firstElementChild.children].forEach((rect, index) => rect.classList.toggle("chosen", index === at));
  const last = held.items.findLast((one) => one.wake)?.text ?? (held.items.length ? "" : say("timeline_empty"));
  put(parts(card).readout, item?.text ?? last);
  parts(card).readout.classList.toggle("rest", !item);
  set(bar, "aria-valuenow", String(Math.max(0, at < 0 ? held.items.length - 1 : at)));
  set(bar, "aria-valuetext", item?.text ?? held.items.at(-1)?.text ?? say("timeline_empty"));
}

/** The pointer and the keys. */
export function listenOnTimeline(card) {
  const bar = card.querySelector(".bar");
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -Infinity, End: Infinity };
  bar.addEventListener("keydown", (event) => {
    const held = bars.get(bar);
    const last = (held?.items.length ?? 0) - 1;
    if (!(event.key in steps) || last < 0) return;
    event.preventDefault();
    const begin = held.at < 0 ? last + (steps[event.key] < 0 ? 1 : 0) : held.at;
    choose(card, Math.min(last, Math.max(0, begin + steps[event.key])));
  });
  bar.addEventListener("focus", () => bars.get(bar)?.at < 0 && choose(card, bars.get(bar).items.length - 1));
  bar.addEventListener("blur", () => choose(card, -1));
  bar.addEventListener("pointermove", (event) => choose(card, under(bar, event)));
  bar.addEventListener("pointerdown", (event) => choose(card, under(bar, event)));
  bar.addEventListener("pointerleave", () => document.activeElement !== bar && choose(card, -1));
}

/** The wake near the pointer, else the state below it. */
function under(bar, event) {
  const { items, from, length } = bars.get(bar) ?? { items: [] };
  const box = bar.getBoundingClientRect();
  const time = from + ((event.clientX - box.left) / box.width) * length;
  const near = (8 / box.width) * length;
  const distance = (item) => Math.abs(item.at - time);
  const wake = items.filter((item) => item.wake && distance(item) < near).sort((a, b) => distance(a) - distance(b))[0];
  return items.indexOf(wake ?? items.findLast((item) => !item.wake && item.at <= time && item.until >= time));
}

/** The last wake of a node, in words. */
export function lastWake(name) {
  const entry = known.journal.findLast((one) => one.kind === "wake" && one.node === name);
  return entry ? make("span", "", `${[moment(entry.at), wokenBy(entry), wokenFor(entry)].filter(Boolean).join(", ")}: ${ending(entry)}`) : null;
}
