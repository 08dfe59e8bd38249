// Turning, tilting, zooming and moving the picture: by pointer, pinch, wheel, keys and buttons.

import { set } from "./dom.js";

const SLIP = 5; // pixels that a click may slip
const TOOK = 0.3; // seconds that a step of the buttons takes

/** Makes `view` steer `camera`. `step(seconds)` moves on and tells whether it goes on moving. */
export function steer(view, camera, { wish, moves, press, point }) {
  const pointers = new Map();
  let course = null;
  let slipped = 0;

  const go = (change) => {
    const from = camera.pose;
    const to = { ...(course?.to ?? from), ...change(course?.to ?? from) };
    course = moves() ? { from, to, begun: null } : null;
    if (!course) camera.pose = to;
    wish();
  };
  const moved = () => {
    course = null;
    wish();
  };
  const flat = view.parentElement.querySelector("[data-do=flat]");
  const tell = () => set(flat, "aria-pressed", String(course ? course.to.pitch > 1.45 : camera.flat));
  const acts = {
    left: () => go((pose) => ({ yaw: pose.yaw - 0.35 })),
    right: () => go((pose) => ({ yaw: pose.yaw + 0.35 })),
    up: () => go((pose) => ({ pitch: Math.min(1.5, pose.pitch + 0.2) })),
    down: () => go((pose) => ({ pitch: Math.max(0.12, pose.pitch - 0.2) })),
    in: () => go((pose) => ({ zoom: Math.min(8, pose.zoom * 1.3) })),
    out: () => go((pose) => ({ zoom: Math.max(0.5, pose.zoom / 1.3) })),
    flat: () => go((pose) => camera.home(pose.pitch < 1.45)),
    reset: () => go(() => camera.home()),
  };
  const act = (name) => {
    acts[name]();
    tell();
  };

  const keys = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", "+": "in", "=": "in", "-": "out", 0: "reset", Home: "reset", f: "flat" };
  view.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(keys[event.key]);
  });
  view.parentElement.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => act(button.dataset.do)));

  const place = (event) => {
    const box = view.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { apart: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  view.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    view.setPointerCapture(event.pointerId);
    if (pointers.size === 1) slipped = 0;
    view.classList.add("dragged");
  });
  view.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return point(...place(event));
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    slipped += Math.abs(dx) + Math.abs(dy);
    const pinch = pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pinch) {
      const after = spread();
      camera.zoomBy(after.apart / Math.max(1, pinch.apart));
      camera.pan(after.x - pinch.x, after.y - pinch.y);
    } else if (event.shiftKey || event.buttons === 2) camera.pan(dx, dy);
    else if (slipped > SLIP) camera.turn(-dx * 0.008, dy * 0.006);
    moved();
    tell();
  });
  const lift = (event) => {
    if (event.type === "pointerup" && pointers.size === 1 && slipped <= SLIP && event.button === 0) press(...place(event));
    pointers.delete(event.pointerId);
    view.classList.toggle("dragged", pointers.size > 0);
  };
  view.addEventListener("pointerup", lift);
  view.addEventListener("pointercancel", lift);
  view.addEventListener("pointerleave", () => point(-1, -1));
  view.addEventListener("contextmenu", (event) => event.preventDefault());
  // The wheel scrolls the page until somebody has taken the picture in hand.
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== view) return;
    event.preventDefault();
    camera.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)));
    moved();
  }, { passive: false });

  return {
    step(at) {
      if (!course) return false;
      course.begun ??= at;
      const part = Math.min(1, (at - course.begun) / TOOK);
      const eased = 1 - (1 - part) ** 3;
      camera.pose = Object.fromEntries(Object.keys(course.to).map((key) => [key, course.from[key] + (course.to[key] - course.from[key]) * eased]));
      if (part === 1) course = null;
      return course !== null;
    },
  };
}
