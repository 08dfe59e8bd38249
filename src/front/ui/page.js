// Keeps the cards current while somebody looks. Asks the proxy only; the proxy asks nobody.
"use strict";

const every = 2000;
let told;

function show(node) {
  const card = [...document.querySelectorAll("article")].find((one) => one.dataset.node === node.name);
  if (!card) return;
  const power = node.power;
  card.className = `card ${power.state} ${node.stats.is_healthy ? "well" : "ill"}`;
  const put = (part, text) => {
    const place = card.querySelector(`[data-${part}]`);
    if (place.textContent !== text) place.textContent = text;
  };
  put("state", power.state);
  const usual = power.wake_seconds === null ? "not known yet" : `${Math.round(power.wake_seconds)} s`;
  const progress = power.waking_for === null ? null : `waking for ${Math.round(power.waking_for)} s (usually ${usual})`;
  put("told", [progress, power.trouble, power.hindrance, power.advice].filter(Boolean).join("; "));
  put("mac", power.mac === null ? "not known yet" : `${power.mac} (${power.mac_source})`);
  put("usual", usual);
  put("load", `${node.stats.active_connections}, ${power.held}`);
  put("models", node.models.length ? node.models.join(", ") : "not known yet");
}

async function look() {
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch("nodes");
      const { nodes, config_error } = await answer.json();
      // Other nodes, or another word on the node file, than when the page was drawn.
      const drawn = [...document.querySelectorAll("article")].map((card) => card.dataset.node);
      const error = config_error ?? null;
      if (drawn.join() !== nodes.map((node) => node.name).join() || (told !== undefined && told !== error)) return location.reload();
      told = error;
      nodes.forEach(show);
    } catch (error) {
      // The proxy is away for a moment; the next look tells.
    }
  }
  setTimeout(look, every);
}

document.querySelectorAll("form").forEach((form) =>
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const told = form.closest("article").querySelector("[data-told]");
    const answer = await fetch(form.getAttribute("action"), { method: "POST" });
    const body = await answer.json();
    if (body.error) told.textContent = body.error;
  }),
);
look();
