// Elements without a framework. Text always goes in as text: nothing here, or anywhere, parses HTML.

import { icon } from "./icons.js";

/** An element. `on…` properties are listeners; true and false set and leave out an attribute; null children are skipped. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** A small button with an icon and a name that is read aloud. */
export const iconButton = (symbol, label, onclick, properties = {}) =>
  h("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...properties }, icon(symbol));

/** A labelled field. */
export const field = (label, input) => h("label", { class: "field" }, h("span", {}, label), input);

/** The same picture for the same person, everywhere. */
export function avatar(id, name) {
  const tint = [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 8, 0);
  return h("span", { class: `avatar tint-${tint}`, "aria-hidden": "true" }, (name.match(/[\p{L}\p{N}]/u) ?? ["·"])[0].toUpperCase());
}

/** Show `children` in `parent`, moving as little as possible, so that focus and scrolling stay where they are. */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let place = parent.firstElementChild;
  for (const child of children) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}
