// The few things the pages do to the document. Whatever is data goes in as text.

/** The one element of that id. */
export const byId = (id) => document.getElementById(id);

/** Writes a text where it differs: an unchanged page costs no layout. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows or hides; the attribute is written only when it changes. */
export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Sets an attribute where it differs. */
export function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A new element with a class and children (texts or elements). */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** The parts of an element that are named by `data-is`. */
export function parts(element) {
  return Object.fromEntries([...element.querySelectorAll("[data-is]")].map((part) => [part.dataset.is, part]));
}

/** Lets a shape stand for a state: the drawing and the colour. */
export function shape(svg, state) {
  const known = byId(`s-${state}`) ? state : "unknown";
  svg.setAttribute("class", `shape ${known}`);
  set(svg.firstElementChild, "href", `#s-${known}`);
  set(svg, "aria-hidden", "true");
}

/** Makes `container` hold one child for each item, kept by key: focus and open details stay. */
export function keep(container, items, keyOf, create, update) {
  const old = new Map([...container.children].map((child) => [child.dataset.key, child]));
  let place = container.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    if (child !== place) container.insertBefore(child, place);
    else place = place.nextElementSibling;
    update(child, item);
  }
  old.forEach((child) => child.remove());
}

/** At most one call per painted frame, and none while the page is hidden. */
export function soon(act) {
  let asked = false;
  const ask = () => {
    if (asked || document.hidden) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      act();
    });
  };
  document.addEventListener("visibilitychange", ask);
  return ask;
}
