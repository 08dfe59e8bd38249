// The words of this page in the reader's language, and figures said in it.

const texts = JSON.parse(document.getElementById("words").textContent);
const language = document.documentElement.lang;

/** The text of that name with its places filled in. */
export function say(name, places = {}) {
  return (texts[name] ?? name).replace(/\{(\w+)\}/g, (whole, place) => String(places[place] ?? whole));
}

/** What the proxy says, in the reader's language where that is known; else as it was said. */
export const said = (text) => texts[`said ${text}`] || text;

/** The word for a state; a state of a newer proxy is shown as it is called. */
export const stateWord = (node) => (node.enabled === false ? say("disabled") : say(node.state));

const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });

/** A number with as many digits as help. */
export const number = (value) => (Math.abs(value) < 100 ? fine : whole).format(value);

/** A span of time in its two largest units. */
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const unit = (name, n) => say(name, { n: whole.format(n) });
  if (s < 60) return unit("unit_s", s);
  if (s < 3600) return unit("unit_min", Math.floor(s / 60));
  const [first, rest] =
    s < 86400
      ? [unit("unit_h", Math.floor(s / 3600)), [Math.floor((s % 3600) / 60), "unit_min"]]
      : [unit("unit_d", Math.floor(s / 86400)), [Math.floor((s % 86400) / 3600), "unit_h"]];
  return rest[0] === 0 ? first : `${first} ${unit(rest[1], rest[0])}`;
}

// English is written with other clocks in other countries: the browser knows which.
const place = navigator.languages.find((one) => one.split("-")[0] === language.split("-")[0]) ?? language;
const clock = new Intl.DateTimeFormat(place, { hour: "2-digit", minute: "2-digit" });
const dated = new Intl.DateTimeFormat(place, { weekday: "short", hour: "2-digit", minute: "2-digit" });

/** A moment as people say it: the hour, with the day when it is not today. */
export function moment(unix) {
  const then = new Date(unix * 1000);
  const near = Math.abs(Date.now() - then) < 12 * 3600e3 || then.toDateString() === new Date().toDateString();
  return (near ? clock : dated).format(then);
}

/** Bytes in binary units. */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  for (; count >= 1024 && step < units.length - 1; step++) count /= 1024;
  return `${(count < 10 && step > 0 ? fine : whole).format(step > 0 && count < 10 ? Math.round(count * 10) / 10 : count)} ${units[step]}`;
}

/** Texts one after the other. */
export const list = (items) => items.join(say("comma"));

/** What a node does now: how many requests run and wait; empty when none do. */
export function load({ active, held }) {
  const counts = [["n_running", Math.max(0, active - held)], ["n_waiting", held]];
  return list(counts.filter(([, n]) => n > 0).map(([name, n]) => say(name, { n })));
}

/** Who is awake, in one sentence. */
export function headline(all) {
  const nodes = all.filter((node) => node.enabled !== false);
  const count = (state) => nodes.filter((node) => node.state === state).length;
  const [one] = nodes;
  if (!one) return say("headline_none");
  if (nodes.length === 1) return say(one.state === "asleep" ? "headline_one_asleep" : "headline_one", { name: one.name, state: stateWord(one) });
  return say(count("asleep") === nodes.length ? "headline_asleep" : "headline", { awake: count("awake"), total: nodes.length });
}

/** Who asks: the program, as far as it tells, and its address. */
export const who = ({ agent, client }) => [agent, client].filter((part) => part && part !== "other" && part !== "unknown").join(" ");
