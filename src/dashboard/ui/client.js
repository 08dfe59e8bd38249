// The addresses to put into a client, as this browser reaches the proxy, with a button that copies them.

import { byId, make, put, set } from "./dom.js";
import { say } from "./words.js";

/** Corrects what the server could only guess (a path prefix, TLS in front of it) and adds the buttons. */
export function showAddresses() {
  const base = new URL(".", location.href).href;
  for (const code of document.querySelectorAll("code[data-base]")) {
    put(code, code.dataset.base + (code.dataset.path ? base + code.dataset.path : base.replace(/\/$/, "")));
    const button = make("button", "quiet copy", say("copy"));
    button.type = "button";
    set(button, "aria-label", say("copy_of", { text: code.textContent }));
    button.addEventListener("click", () => copy(code, button));
    code.after(" ", button);
  }
}

/** The clipboard is given to secure pages only; elsewhere the text is selected, and the old way is tried. */
async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    if (!document.execCommand("copy")) return;
  }
  put(byId("news"), say("copied"));
  put(button, say("copied"));
  setTimeout(() => put(button, say("copy")), 2000);
}
