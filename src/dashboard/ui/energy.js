// What sleeping saved: an estimate, and said to be one.

import { byId, make, put, set, show } from "./dom.js";
import { known } from "./feed.js";
import { number, say, span } from "./words.js";

const SHARES = ["asleep", "awake", "unknown"];

/** Shows the account of all nodes. */
export function showEnergy() {
  const energy = sum();
  if (!energy) return;
  const saved = energy.saved_kwh;
  put(byId("sum-saved"), saved == null ? "–" : `${number(saved)} kWh`);
  put(byId("saved"), saved == null ? "–" : number(saved));
  show(byId("saved-unit"), saved != null);
  put(byId("saved-cost"), cost(energy));
  const seconds = energy.seconds ?? {};
  const share = byId("share");
  if (share.children.length === 0) share.append(...SHARES.map((name) => make("i", name)));
  SHARES.forEach((name, at) => (share.children[at].style.flexGrow = String(Math.max(0, seconds[name] ?? 0))));
  const words = say("energy_share", Object.fromEntries(SHARES.map((name) => [name, span(seconds[name] ?? 0)])));
  put(byId("share-words"), words);
  set(share, "aria-label", words);
}

/** The accounts of the nodes arrive one by one; the price is the same for all. */
function sum() {
  const all = [...known.nodes.values()].map((node) => node.energy).filter(Boolean);
  if (!known.energy || all.length === 0) return known.energy;
  const total = (of) => (all.some((one) => of(one) != null) ? all.reduce((sofar, one) => sofar + (of(one) ?? 0), 0) : null);
  const seconds = Object.fromEntries(SHARES.map((name) => [name, total((one) => one.seconds?.[name])]));
  return { ...known.energy, seconds, saved_kwh: total((one) => one.saved_kwh), saved_cost: total((one) => one.saved_cost) };
}

function cost({ saved_kwh: saved, saved_cost: money, price_per_kwh: price }) {
  if (saved == null) return say("energy_unset");
  return money == null ? "" : say("energy_cost", { cost: number(money), price: number(price ?? 0) });
}
