// The table of wakes: what keeps waking my PC?

import { byId, keep, make, put, set, show } from "./dom.js";
import { known } from "./feed.js";
import { moment, say } from "./words.js";
import { ending, wokenBy, wokenFor } from "./timeline.js";

const MORE = 90;
let limit = matchMedia("(max-width: 44rem)").matches ? 4 : 10;

const COLUMNS = [
  ["when", (entry) => moment(entry.at)],
  ["node", (entry) => entry.node],
  ["woken_by", wokenBy],
  ["woken_for", (entry) => wokenFor(entry) || "–"],
  ["result", ending],
];

function row() {
  const cells = COLUMNS.map(([name]) => {
    const cell = make("td");
    set(cell, "role", "cell");
    cell.dataset.label = say(name);
    return cell;
  });
  const line = make("tr", "", ...cells);
  set(line, "role", "row");
  return line;
}

/** Shows the latest wakes, newest first. */
export function showWakes() {
  const all = known.journal.filter((entry) => entry.kind === "wake").reverse();
  show(byId("wakes"), all.length > 0);
  show(byId("no-wakes"), all.length === 0);
  show(byId("more-wakes"), all.length > limit);
  keep(byId("wakes").tBodies[0], all.slice(0, limit), (entry) => entry.seq, row, (line, entry) => {
    COLUMNS.forEach(([, text], at) => put(line.children[at], text(entry) ?? ""));
    line.classList.toggle("bad", entry.result !== "awake");
  });
}

byId("more-wakes").addEventListener("click", () => {
  limit += MORE;
  showWakes();
});
