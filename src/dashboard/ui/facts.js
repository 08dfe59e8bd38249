// The facts of the picture as a table, and a sheet about the node that was chosen.

import { byId, keep, make, parts, put, set, shape, show } from "./dom.js";
import { known, now } from "./feed.js";
import { bytes, headline, list, load, moment, say, span, stateWord } from "./words.js";
import { buttons, refreshButtons } from "./actions.js";
import { hardware } from "./card.js";
import { lastWake } from "./timeline.js";

let chosen = null;
let tell = () => {};

/** The name of the node that is looked at more closely. */
export const chosenNode = () => chosen;

const rows = () => [...byId("table").tBodies[0].rows];
const buttonIn = (row) => row.querySelector("button");

function create(node) {
  const button = make("button", "", make("span", "", node.name), make("small"));
  button.type = "button";
  button.tabIndex = -1;
  set(button, "aria-controls", "sheet");
  button.addEventListener("click", () => choose(chosen === node.name ? null : node.name, true));
  const head = make("th", "", button);
  set(head, "role", "rowheader");
  const cells = ["state", "hardware", "loaded_models", "load"].map((name) => {
    const cell = make("td", "", make("span"), make("small"));
    set(cell, "role", "cell");
    cell.dataset.label = say(name);
    return cell;
  });
  const row = make("tr", "", head, ...cells);
  set(row, "role", "row");
  return row;
}

const loaded = (node) => list(node.models.filter((model) => model.loaded).map((model) => model.name));

function update(row, node, rate) {
  const said = [
    [stateWord(node), node.state === "unknown" || node.enabled === false || !node.since ? "" : say("for_long", { for: span(now() - node.since) })],
    [hardware(node) || "–", ""],
    [loaded(node) || say("none"), ""],
    [load(node) || say("connections_idle"), rate > 0 ? say("traffic_rate", { rate: bytes(rate) }) : totals(node)],
  ];
  put(buttonIn(row).lastElementChild, node.address ?? "");
  said.forEach(([text, small], at) => {
    put(row.cells[at + 1].firstElementChild, text);
    put(row.cells[at + 1].lastElementChild, small);
  });
  row.classList.toggle("chosen", node.name === chosen);
  set(buttonIn(row), "aria-expanded", String(node.name === chosen));
}

const totals = (node) => {
  const { sent, received } = known.traffic[node.name] ?? node;
  return say("traffic_totals", { sent: bytes(sent), received: bytes(received) });
};

/** Brings table and sheet up to date; `rateOf` tells the bytes a second of a node. */
export function showFacts(rateOf) {
  const nodes = [...known.nodes.values()];
  keep(byId("table").tBodies[0], nodes, (node) => node.name, create, (row, node) => update(row, node, rateOf(node.name)));
  if (!rows().some((row) => buttonIn(row).tabIndex === 0) && rows().length > 0) buttonIn(rows()[0]).tabIndex = 0;
  const [active, held] = ["active", "held"].map((what) => nodes.reduce((sum, node) => sum + node[what], 0));
  put(byId("sum"), list([headline(nodes), load({ active, held })].filter(Boolean)));
  if (chosen && !known.nodes.has(chosen)) choose(null);
  if (chosen) sheet(known.nodes.get(chosen));
}

function sheet(node) {
  const element = byId("sheet");
  const is = parts(element);
  put(byId("sheet-title"), node.name);
  shape(element.querySelector(".shape"), node.state);
  put(is.state, stateWord(node));
  put(is.since, node.state === "unknown" || node.enabled === false || !node.since ? "" : say("since_at", { at: moment(node.since), for: span(now() - node.since) }));
  put(is.trouble, list([...new Set([node.trouble, node.hindrance, node.advice])].filter(Boolean)));
  show(is.trouble, is.trouble.textContent !== "");
  put(is.address, list([node.address, node.mac].filter(Boolean)) || "–");
  put(is.hardware, hardware(node) || "–");
  put(is.loaded, loaded(node) || say("none"));
  put(is.models, list(node.models.map((model) => model.name)) || say("unknown"));
  put(is.traffic, totals(node));
  put(is.last, lastWake(node.name)?.textContent ?? say("never"));
  refreshButtons(element, node);
  set(element.querySelector("[data-card]"), "href", `./#node-${encodeURIComponent(node.name)}`);
}

/** Opens the sheet of a node, or closes it. */
export function choose(name, byKeys = false) {
  const before = chosen;
  chosen = name;
  show(byId("sheet"), name !== null);
  rows().forEach((row) => {
    const button = buttonIn(row);
    if (name !== null) button.tabIndex = row.dataset.key === name ? 0 : -1;
    if (name === null && byKeys && row.dataset.key === before) button.focus();
  });
  tell();
  if (name !== null && byKeys) byId("sheet-title").focus({ preventScroll: innerWidth > 1088 });
}

/** Keys and buttons; calls back when another node is chosen. */
export function listenOnFacts(onChoose) {
  tell = onChoose;
  byId("table").addEventListener("keydown", (event) => {
    const all = rows().map(buttonIn);
    const at = all.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = all[(to + all.length) % all.length];
    all.forEach((button) => (button.tabIndex = button === next ? 0 : -1));
    next.focus();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && chosen && choose(null, true));
  document.querySelector("[data-close]").addEventListener("click", () => choose(null, true));
  buttons(byId("sheet"), () => chosen);
}
