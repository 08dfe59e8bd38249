// Paints the scene: ground, lines, then bodies and dots from far to near, labels last.

import { byId } from "./dom.js";
import { HOLLOW } from "./scene.js";
import { circle, prism, shade } from "./solids.js";

const COLORS = ["paper", "card", "ink", "soft", "line", "go", "body", "awake", "asleep", "waking", "suspending", "service_down", "wake_failed", "unknown"];

/** The colours and the type of the style sheet, read again when the system turns dark or light. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const colors = Object.fromEntries(COLORS.map((name) => [name, style.getPropertyValue(`--${name}`).trim().replace(/^#(.)(.)(.)$/, "#$1$1$2$2$3$3")]));
  return { ...colors, font: getComputedStyle(document.body).fontFamily };
}

/** The drawing of a state, the same as in the document. */
const outlines = new Map();
function outline(state) {
  const symbol = byId(`s-${state}`) ?? byId("s-unknown");
  if (!outlines.has(state)) outlines.set(state, new Path2D(symbol.firstElementChild.getAttribute("d")));
  return outlines.get(state);
}

/** Paints all of `world` as `camera` sees it. */
export function paint(context, camera, world, colors) {
  context.clearRect(0, 0, camera.width, camera.height);
  // A canvas that was resized has forgotten its settings: the first picture must not differ from the next.
  Object.assign(context, { lineJoin: "round", textBaseline: "middle" });
  ground(context, camera, world, colors);
  world.bodies.forEach((body) => line(context, camera, body, colors));
  const things = [
    { x: 0, z: 0, draw: () => proxy(context, camera, colors) },
    ...world.bodies.map((body) => ({ ...body, draw: () => node(context, camera, body, colors) })),
    ...world.clients.map((client) => ({ ...client, draw: () => person(context, camera, client, colors) })),
    ...world.dots.map((dot) => ({ ...dot, draw: () => bead(context, camera, dot, colors) })),
  ];
  things.forEach((thing) => (thing.depth = camera.project(thing.x, thing.y ?? 0, thing.z).depth));
  things.sort((a, b) => b.depth - a.depth).forEach((thing) => thing.draw());
  labels(context, camera, world, colors);
}

function ground(context, camera, world, colors) {
  context.lineWidth = 1;
  context.strokeStyle = colors.line;
  for (const radius of [1.6, ...world.radii]) {
    circle(context, camera, 0, 0, radius);
    context.stroke();
  }
}

/** The line from the proxy to a node: as wide as it is busy, broken while nothing can pass. */
function line(context, camera, body, colors) {
  const [from, to] = [camera.project(0, 0.1, 0), camera.project(body.x, 0.1, body.z)];
  const up = body.state === "awake";
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x, to.y);
  context.setLineDash(up ? [] : [5, 6]);
  context.lineWidth = up ? 1.5 + 0.7 * Math.log2(1 + body.rate / 512) : 1.25;
  context.strokeStyle = up ? shade(colors.awake, 1, body.active > 0 ? 0.65 : 0.3) : shade(colors.unknown, 1, 0.45);
  context.stroke();
  context.setLineDash([]);
  if (body.note) write(context, body.note, (from.x + to.x * 2) / 3, (from.y + to.y * 2) / 3, colors);
}

function write(context, text, x, y, colors) {
  context.font = `12px ${colors.font}`;
  context.textAlign = "center";
  const wide = context.measureText(text).width;
  context.fillStyle = colors.card;
  context.fillRect(x - wide / 2 - 3, y - 9, wide + 6, 18);
  context.fillStyle = colors.soft;
  context.fillText(text, x, y);
}

function proxy(context, camera, colors) {
  prism(context, camera, { x: 0, z: 0, low: 0, high: 0.45, radius: 0.95, sides: 8, color: colors.go });
  prism(context, camera, { x: 0, z: 0, low: 0.45, high: 0.62, radius: 0.6, sides: 8, color: colors.go });
}

function node(context, camera, body, colors) {
  const { x, z, angle, state, tall } = body;
  const color = colors[state] ?? colors.unknown;
  if (body.chosen || body.pointed) {
    circle(context, camera, x, z, 0.98);
    context.fillStyle = shade(colors.go, 1, 0.14);
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = colors.go;
    context.stroke();
  }
  const hollow = HOLLOW.has(state);
  if (state === "waking") wakeRing(context, camera, body, color, colors);
  prism(context, camera, { x, z, low: 0, high: tall, radius: 0.62, sides: 4, angle, color: hollow ? color : colors.body, cap: color, hollow });
  for (let disc = 0; disc < body.loaded; disc++) {
    const low = tall + 0.06 + disc * 0.17;
    prism(context, camera, { x, z, low, high: low + 0.1, radius: 0.36, sides: 12, color: colors.go });
  }
}

/** How far a wake has come, against the time it usually takes. */
function wakeRing(context, camera, { x, z, progress, pulse }, color, colors) {
  context.lineWidth = 4;
  context.strokeStyle = colors.line;
  circle(context, camera, x, z, 0.95);
  context.stroke();
  context.strokeStyle = color;
  circle(context, camera, x, z, 0.95, Math.max(0.02, progress));
  context.stroke();
  if (pulse === null) return;
  context.lineWidth = 1.5;
  context.strokeStyle = shade(color, 1, 0.5 * (1 - pulse));
  circle(context, camera, x, z, 0.95 + 0.6 * pulse);
  context.stroke();
}

/** Somebody who asks: a small gem above the proxy, on a line that is broken while they wait. */
function person(context, camera, client, colors) {
  const [at, down] = [camera.project(client.x, client.y, client.z), camera.project(0, 0.3, 0)];
  const size = Math.max(4, 0.16 * at.scale);
  context.beginPath();
  context.moveTo(at.x, at.y);
  context.lineTo(down.x, down.y);
  context.setLineDash(client.running ? [] : [3, 4]);
  context.lineWidth = 1.25;
  context.strokeStyle = shade(client.running ? colors.go : colors.waking, 1, 0.7);
  context.stroke();
  context.setLineDash([]);
  context.beginPath();
  [[0, -1.3], [1, 0], [0, 1.3], [-1, 0]].forEach(([x, y]) => context.lineTo(at.x + x * size, at.y + y * size));
  context.closePath();
  context.fillStyle = client.running ? colors.go : colors.waking;
  context.fill();
}

function bead(context, camera, dot, colors) {
  const at = camera.project(dot.x, dot.y, dot.z);
  context.beginPath();
  context.arc(at.x, at.y, Math.max(2, 0.085 * at.scale), 0, 7);
  context.fillStyle = colors[dot.color];
  context.fill();
}

/** Names and states. What matters most is placed first; a label that would cover another, or in a crowd a body, is left out. */
function labels(context, camera, world, colors) {
  const order = world.bodies.map((body) => ({ body, at: camera.project(body.x, 0, body.z) }));
  for (const { body, at } of order) {
    const crown = camera.project(body.x, body.tall + 0.17 * body.loaded, body.z);
    const half = 0.6 * at.scale;
    Object.assign(body, { plate: null, box: { x: at.x - half, y: crown.y - half / 2, wide: 2 * half, tall: at.y - crown.y + half } });
  }
  const middle = camera.project(0, 0, 0);
  const half = 0.95 * middle.scale;
  const solid = [...world.bodies.map((body) => body.box), { x: middle.x - half, y: middle.y - half, wide: 2 * half, tall: 1.4 * half }];
  const crowd = world.bodies.length > 16;
  const taken = [];
  label(context, { x: middle.x, y: middle.y + 0.55 * middle.scale, title: "ollama-proxy" }, { taken, solid: [], crowd }, colors);
  const weight = (body) => (body.chosen || body.pointed ? 8 : 0) + (body.state === "waking" ? 4 : 0) + (body.active + body.held > 0 ? 2 : 0) + (body.trouble ? 1 : 0);
  order.sort((a, b) => weight(b.body) - weight(a.body) || a.at.depth - b.at.depth);
  for (const { body, at } of order) {
    const loud = !crowd || weight(body) >= 4;
    const text = { title: body.name, text: loud ? body.text : "", state: body.state, chosen: body.chosen };
    const place = { x: at.x, y: at.y + 0.5 * at.scale, above: body.box.y - (loud ? 42 : 26) };
    body.plate = label(context, { ...text, ...place }, { taken, solid: solid.filter((box) => box !== body.box), crowd: crowd && !loud }, colors);
  }
  for (const client of world.clients) {
    const at = camera.project(client.x, client.y, client.z);
    label(context, { x: at.x, y: at.y + 0.25 * at.scale, above: at.y - 0.25 * at.scale - 24, title: "", text: client.label }, { taken, solid, crowd: true }, colors);
  }
}

function label(context, { x, y, above, title, text, state, chosen }, { taken, solid, crowd }, colors) {
  context.font = `600 13px ${colors.font}`;
  const first = context.measureText(title).width + (state ? 17 : 0);
  context.font = `12px ${colors.font}`;
  const wide = Math.max(first, text ? context.measureText(text).width : 0) + 14;
  const tall = (title ? 18 : 0) + (text ? 16 : 0) + 6;
  const clear = (top, boxes) => !boxes.some((box) => x - wide / 2 < box.x + box.wide && box.x < x + wide / 2 && top < box.y + box.tall && box.y < top + tall);
  const tops = [y, above].filter((one) => one !== undefined && clear(one, taken));
  const top = tops.find((one) => clear(one, solid)) ?? (crowd ? undefined : tops[0]);
  if (top === undefined) return null;
  const box = { x: x - wide / 2, y: top, wide, tall };
  taken.push(box);
  context.beginPath();
  context.roundRect(box.x, box.y, wide, tall, 6);
  context.fillStyle = shade(colors.card, 1, 0.92);
  context.fill();
  if (chosen) {
    context.lineWidth = 1.5;
    context.strokeStyle = colors.go;
    context.stroke();
  }
  context.textAlign = "center";
  if (title) {
    context.font = `600 13px ${colors.font}`;
    context.fillStyle = colors.ink;
    context.fillText(title, x + (state ? 8 : 0), top + 12);
  }
  if (state) icon(context, state, x - first / 2, top + 5, colors);
  if (text) {
    context.font = `12px ${colors.font}`;
    context.fillStyle = colors[state] ?? colors.soft;
    context.fillText(text, x, top + tall - 11);
  }
  return box;
}

function icon(context, state, x, y, colors) {
  context.save();
  context.translate(x, y);
  context.scale(13 / 24, 13 / 24);
  context.fillStyle = colors[state] ?? colors.unknown;
  context.fill(outline(state), "evenodd");
  context.restore();
}
