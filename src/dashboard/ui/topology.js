// The page `/topology`. It paints when something changes or moves, and at no other time.

import { byId, put, set, show, soon } from "./dom.js";
import { follow, known, now, onChange } from "./feed.js";
import { bytes, list, load, say, stateWord, who } from "./words.js";
import { Camera } from "./camera.js";
import { paint, palette } from "./draw.js";
import { choose, chosenNode, listenOnFacts, showFacts } from "./facts.js";
import { steer } from "./steer.js";
import { clientsOf, seats, stature } from "./scene.js";
import { Traffic } from "./traffic.js";

/** With `?still` two pictures of the same state are the same: no clock, no motion. */
const still = new URLSearchParams(location.search).has("still");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const moves = () => !still && !calm.matches;
const seconds = () => performance.now() / 1000;

const view = byId("view");
const canvas = view.querySelector("canvas");
const context = canvas.getContext("2d");
const camera = new Camera();
const traffic = new Traffic();
const tall = new Map();
let colors = palette();
let scene = seats(0);
let bodies = [];
let pointed = null;
let asked = 0;
let last = 0;

/** Asks for one picture. */
function wish() {
  if (!asked && !document.hidden) asked = requestAnimationFrame(frame);
}

function frame() {
  asked = 0;
  const at = seconds();
  const moving = [steering.step(at), traffic.step(at) && moves(), grow(Math.min(0.1, at - last))].includes(true);
  last = at;
  const wakes = bodies.some((body) => body.state === "waking");
  paint(context, camera, { bodies, radii: scene.radii, clients: clients(), dots: [...dots(at), ...queued()] }, colors);
  set(canvas, "data-ready", "1");
  if (moving || (wakes && moves())) wish();
}

/** Bodies rise when they wake and lie down when they sleep. */
function grow(step) {
  let moving = false;
  for (const body of bodies) {
    const [from, to] = [tall.get(body.name) ?? stature(body.node), stature(body.node)];
    body.tall = !moves() || Math.abs(to - from) < 0.01 ? to : from + (to - from) * Math.min(1, step * 6);
    tall.set(body.name, body.tall);
    moving ||= body.tall !== to;
    if (body.state === "waking") body.pulse = moves() ? (seconds() / 1.6) % 1 : null;
  }
  return moving;
}

function compose() {
  const nodes = [...known.nodes.values()];
  scene = seats(nodes.length);
  bodies = nodes.map((node, at) => {
    const { started, usual_seconds: usual } = node.wake ?? {};
    const waited = started && !still ? Math.max(0, Math.floor(now() - started)) : 0;
    const rate = still ? 0 : traffic.rate(node.name, seconds());
    return {
      ...scene.places[at], node, rate, name: node.name, state: node.enabled === false ? "unknown" : node.state, active: node.active, held: node.held,
      trouble: Boolean(node.trouble), loaded: Math.min(4, node.models.filter((model) => model.loaded).length),
      chosen: node.name === chosenNode(), pointed: node.name === pointed, tall: tall.get(node.name) ?? stature(node),
      progress: usual ? Math.min(0.97, waited / usual) : 0.25, pulse: null, text: words(node, waited, usual),
      note: rate > 0 && !moves() && !still ? say("traffic_rate", { rate: bytes(rate) }) : "",
    };
  });
  resize();
}

function words(node, waited, usual) {
  const wake = node.state === "waking" && !still ? (usual ? say("waking_usual", { n: waited, usual: Math.round(usual) }) : say("unit_s", { n: waited })) : "";
  return [stateWord(node), wake || load(node)].filter(Boolean).join(" · ");
}

const clients = () => clientsOf(known.requests, bodies).map((client) => ({ ...client, label: who({ agent: client.agent }) || client.key }));

/** Bytes on their way, each direction in a lane of its own. */
function dots(at) {
  const place = new Map(bodies.map((body) => [body.name, body]));
  const lane = (body, along, side, color) => {
    const far = Math.hypot(body.x, body.z);
    const [across, reach] = [(side * 0.16) / far, 0.16 + along * 0.78];
    return { x: body.x * reach - body.z * across, y: 0.22, z: body.z * reach + body.x * across, color };
  };
  if (still) {
    return bodies.filter((body) => body.active > body.held).flatMap((body) => [0.2, 0.5, 0.8].flatMap((along) => [lane(body, along, 1, "go"), lane(body, along + 0.1, -1, "awake")]));
  }
  if (!moves()) return [];
  return [...traffic.moving(at)].filter((dot) => place.has(dot.name)).map(({ name, way, along }) =>
    lane(place.get(name), way === 0 ? along : 1 - along, way === 0 ? 1 : -1, way === 0 ? "go" : "awake"));
}

/** Requests that wait stand in a row before the node they wait for. */
const queued = () =>
  bodies.flatMap((body) => Array.from({ length: Math.min(8, body.held) }, (_, place) => {
    const reach = 1 - (1.2 + place * 0.3) / Math.hypot(body.x, body.z);
    return { x: body.x * reach, y: 0.2, z: body.z * reach, color: "waking" };
  }));

function resize() {
  const [width, height] = [view.clientWidth, view.clientHeight];
  const ratio = Math.min(2, devicePixelRatio || 1);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }
  camera.resize(width, height, scene.extent);
  wish();
}

let ticking = 0;

/** Table, labels and picture; each second while a wake or a rate goes on, else once a minute. */
const refresh = soon(() => {
  clearTimeout(ticking);
  compose();
  showFacts((name) => traffic.rate(name, seconds()));
  set(canvas, "aria-label", say("picture_now", { list: list(bodies.slice(0, 12).map((body) => `${body.name} ${body.text}`)) }));
  show(byId("dot"), moves() && [...traffic.lines.values()].some((line) => line.rate > 0));
  put(byId("dot").lastElementChild, say("legend_dot", { bytes: bytes(traffic.quantum) }));
  const live = !still && (bodies.some((body) => body.state === "waking") || traffic.isFading(seconds()));
  ticking = setTimeout(refresh, live ? 1000 : 60000);
});

const under = (x, y) => {
  const within = (box) => box && x >= box.x && x <= box.x + box.wide && y >= box.y && y <= box.y + box.tall;
  const nearest = (a, b) => b.box.tall - a.box.tall;
  return bodies.find((body) => within(body.plate)) ?? bodies.filter((body) => within(body.box)).sort(nearest)[0];
};

const steering = steer(view, camera, {
  wish, moves,
  press: (x, y) => choose(under(x, y)?.name ?? null),
  point(x, y) {
    const name = under(x, y)?.name ?? null;
    view.classList.toggle("pointed", name !== null);
    if (name === pointed) return;
    pointed = name;
    bodies.forEach((body) => (body.pointed = body.name === name));
    wish();
  },
});

onChange((what) => {
  if (what !== "journal") Object.entries(known.traffic).forEach(([name, meter]) => traffic.take(name, meter, seconds()));
  refresh();
});
listenOnFacts(refresh);
const repaint = () => {
  colors = palette();
  refresh();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
calm.addEventListener("change", repaint);
new ResizeObserver(resize).observe(view);
follow();
document.documentElement.dataset.ready = "1";
