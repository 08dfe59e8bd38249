// Runs before the first paint: with scripts the live parts show and the plain table goes. When the modules could not
// run (an old browser, a broken load), the plain table comes back.
"use strict";

document.documentElement.classList.add("scripted");
addEventListener("load", () => {
  if (!document.documentElement.dataset.ready) document.documentElement.classList.remove("scripted");
});
