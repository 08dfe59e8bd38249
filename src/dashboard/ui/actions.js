// What a person does to a node: wake, sleep, refresh. Each is one POST to the proxy; the stream shows what follows.

import { byId, put, set } from "./dom.js";
import { say } from "./words.js";

const DONE = { wake: "wake_sent", sleep: "sleep_sent", refresh: "refreshed" };

/** Sends the wish; says what came of it. */
export async function act(name, action) {
  put(byId("told"), "");
  try {
    const answer = await fetch(`nodes/${encodeURIComponent(name)}/${action}`, { method: "POST" });
    if (answer.status === 401) return location.assign("login");
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) put(byId("news"), say(DONE[action], { name }));
    else put(byId("told"), say("action_failed", { name, why: errorIn(body) ?? `HTTP ${answer.status}` }));
  } catch {
    put(byId("told"), say("proxy_away"));
  }
}

const errorIn = (body) => (typeof body.error === "string" ? body.error : body.error?.message);

/** Makes the buttons of `element` act on the node that `name()` tells. */
export function buttons(element, name) {
  for (const button of element.querySelectorAll("[data-act]")) {
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") act(name(), button.dataset.act);
    });
  }
}

/** Shows the buttons that can do something. One that is busy stays where it is, so that the focus does. */
export function refreshButtons(element, node) {
  for (const button of element.querySelectorAll("[data-act]")) {
    const action = button.dataset.act;
    const busy = action === "wake" ? node.state === "waking" : node.state === "suspending";
    button.hidden = node.enabled === false || (action === "wake" && !node.wakeable) || (action === "sleep" && !node.sleepable);
    set(button, "aria-disabled", String(busy));
    button.classList.toggle("quiet", action !== "wake" || node.state === "awake");
    if (action === "wake") put(button, say(busy ? "wake_again" : "wake"));
    set(button, "aria-label", say("of_node", { what: button.textContent, name: node.name }));
  }
}
