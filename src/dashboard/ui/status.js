// The page `/`: a card for each node, who woke what, what sleeping saved.

import { byId, keep, put, soon } from "./dom.js";
import { follow, known, onChange } from "./feed.js";
import { headline } from "./words.js";
import { createCard, updateCard, tickCard } from "./card.js";
import { drawTimeline } from "./timeline.js";
import { showWakes } from "./wakes.js";
import { showEnergy } from "./energy.js";
import { showAddresses } from "./client.js";

const MINUTE = 60000;
const changed = new Set();
let ticking = 0;

const shown = () => Number(document.querySelector("input[name=span]:checked").value);
const nodes = () => [...known.nodes.values()];
const cardOf = (node) => [...byId("cards").children].find((card) => card.dataset.key === node.name);

const draw = soon(() => {
  if (changed.has("nodes") || changed.has("requests")) {
    keep(byId("cards"), nodes(), (node) => node.name, createCard, updateCard);
    put(byId("headline"), headline(nodes()));
    const sum = (of) => String(nodes().reduce((sofar, node) => sofar + of(node), 0));
    put(byId("sum-held"), sum((node) => node.held));
    put(byId("sum-running"), sum((node) => Math.max(0, node.active - node.held)));
    showEnergy();
  }
  if (changed.has("nodes") || changed.has("journal")) {
    nodes().forEach((node) => drawTimeline(cardOf(node), node, shown()));
    showWakes();
  }
  changed.clear();
  tick();
});

/** Ages and progress go on while nothing happens: each second while somebody waits, else once a minute. */
function tick() {
  clearTimeout(ticking);
  if (document.hidden) return;
  nodes().forEach((node) => tickCard(cardOf(node), node));
  const waits = nodes().some((node) => node.active > 0 || node.state === "waking");
  ticking = setTimeout(waits ? tick : minute, waits ? 1000 : MINUTE);
}

function minute() {
  changed.add("nodes");
  draw();
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(ticking) : minute()));
document.querySelectorAll("input[name=span]").forEach((choice) => choice.addEventListener("change", minute));
onChange((what) => {
  changed.add(what);
  draw();
});
showAddresses();
follow();
document.documentElement.dataset.ready = "1";
