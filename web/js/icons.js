// Line icons of our own, 24 by 24: symbols of fonts are missing on many machines.

const PATHS = {
  plus: "M12 5v14M5 12h14",
  out: "M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M9 16l-4-4 4-4M5 12h11",
  back: "M19 12H5M11 6l-6 6 6 6",
  search: "M11 4a7 7 0 1 1 0 14a7 7 0 1 1 0-14M16 16l4.5 4.5",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  close: "M6 6l12 12M18 6L6 18",
  smile: "M12 3a9 9 0 1 1 0 18a9 9 0 1 1 0-18M8.5 14.5a4.5 4.5 0 0 0 7 0M9 9.5h.01M15 9.5h.01",
  reply: "M9 6L4 11l5 5M4 11h9a7 7 0 0 1 7 7",
  edit: "M4 20l1-4L16.5 4.5a2 2 0 0 1 3 3L8 19zM14 7l3 3",
  bin: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  send: "M4 12l16-8-6 16-3-7z",
};

/** An icon that says nothing to those who listen: what it is on has a name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [attribute, value] of [["viewBox", "0 0 24 24"], ["aria-hidden", "true"], ["class", "symbol"]]) svg.setAttribute(attribute, value);
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
