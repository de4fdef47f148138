// The scrolling list of one room: builds what has changed, reads older messages at the top, stays at the bottom.

import { arrange, h } from "../dom.js";
import { entries } from "./message.js";

const NEAR = 80; // px from an end that count as being there

export class Timeline {
  constructor(chat, room, actions) {
    this._chat = chat;
    this._room = room;
    this._actions = actions;
    this._built = new Map(); // id -> {version, element}
    this._atEnd = true;
    this.editing = null; // seq
    this._list = h("ol", { class: "timeline" });
    this._older = h("p", { class: "hint" });
    this.element = h("div", { class: "scroll", role: "log", "aria-live": "polite", "aria-label": "Messages", tabindex: 0 }, this._older, this._list);
    this.element.addEventListener("scroll", () => this._scrolled(), { passive: true });
    new ResizeObserver(() => this._settle()).observe(this.element);
  }

  get atEnd() {
    return this._atEnd && this._room.tail;
  }

  render() {
    const { element } = this;
    const fromEnd = element.scrollHeight - element.scrollTop;
    const oldest = this._room.oldest;
    const grown = this._oldest && oldest < this._oldest;
    this._oldest = oldest;
    arrange(this._list, entries(this._chat, this._room, this._actions, this.editing).map((entry) => this._element(entry)));
    this._older.textContent = !this._room.loaded ? "Loading…" : this._room.more ? "" : "This is where the room begins.";
    if (grown) element.scrollTop = element.scrollHeight - fromEnd; // what one reads stays where it is
    this._settle();
  }

  _element({ id, version, build }) {
    const known = this._built.get(id);
    if (known?.version === version) return known.element;
    const element = build();
    if (known?.element.contains(document.activeElement)) queueMicrotask(() => element.isConnected && !element.contains(document.activeElement) && element.focus());
    this._built.set(id, { version, element });
    return element;
  }

  _settle() {
    if (this._atEnd && this._room.tail) this.toEnd();
  }

  toEnd() {
    this._atEnd = true;
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** Show a message, if it is here. */
  reveal(seq) {
    const found = this._list.querySelector(`[data-seq="${Number(seq)}"]`);
    if (!found) return false;
    this._atEnd = false;
    found.scrollIntoView({ block: "center" });
    found.classList.add("found");
    found.focus();
    setTimeout(() => found.classList.remove("found"), 2000);
    return true;
  }

  _scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    this._atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    const room = this._room;
    if (!room.loaded || room.loading) return;
    if (scrollTop < NEAR * 4 && room.more) this._chat.loadOlder(room).catch(() => {});
    else if (this._atEnd && !room.tail) this._chat.loadNewer(room).catch(() => {});
    this._actions.scrolled();
  }
}
