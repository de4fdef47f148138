// The list of rooms: newest talk first, with what is unread.

import { arrange, avatar, h, iconButton } from "../dom.js";
import { shortTime } from "../time.js";

export class RoomList {
  constructor(chat, { open, create, signOut }) {
    this._chat = chat;
    this._open = open;
    this._items = new Map();
    this._list = h("ul", { class: "rooms", "aria-label": "Rooms" });
    this._me = h("span", { class: "me" });
    this.element = h("nav", { class: "sidebar", "aria-label": "Rooms" },
      h("header", {}, this._me,
        iconButton("plus", "New room", create, { id: "new-room" }), iconButton("out", "Sign out", signOut)),
      this._list,
      h("p", { class: "hint" }, "Alt + ↑ ↓ changes the room"));
  }

  render(current) {
    const { people, me } = this._chat;
    this._me.replaceChildren(avatar(me, people.name(me)), h("strong", {}, people.name(me)));
    const rooms = this.sorted();
    const items = rooms.map((room) => this._item(room, room === current));
    arrange(this._list, items.length ? items : [this._nothing()]);
  }

  sorted() {
    return [...this._chat.rooms.values()].sort((one, other) => latest(other) - latest(one) || (one.id < other.id ? -1 : 1));
  }

  _nothing() {
    return (this._empty ??= h("li", { class: "hint" }, "No rooms yet. Start one with +."));
  }

  _item(room, isCurrent) {
    const title = this._chat.title(room);
    const unread = isCurrent && document.hasFocus() ? 0 : room.unread;
    const parts = [title, unread, this._last(room), room.last?.time ? shortTime(room.last.time) : "", isCurrent];
    const known = this._items.get(room.id);
    if (known && known.parts.every((part, i) => part === parts[i])) return known.element;
    const element = known?.element ?? h("li");
    const hadFocus = element.contains(document.activeElement);
    const button = h("button", { type: "button", "aria-current": isCurrent && "true", "data-room": room.id, onclick: () => this._open(room.id) },
      avatar(room.other ?? room.id, room.kind === "channel" ? "#" : title),
      h("span", { class: "title" }, room.kind === "channel" ? `# ${title}` : title),
      h("time", {}, parts[3]),
      h("span", { class: "last" }, parts[2]),
      unread > 0 && h("span", { class: "badge", "aria-label": `${unread} unread` }, unread > 99 ? "99+" : String(unread)));
    element.replaceChildren(button);
    if (hadFocus) button.focus();
    this._items.set(room.id, { parts, element });
    return element;
  }

  _last(room) {
    if (!room.last) return room.topic ?? "";
    if (room.last.deleted) return "message deleted";
    const by = room.last.sender === this._chat.me ? "You" : this._chat.people.name(room.last.sender);
    return room.kind === "direct" ? room.last.text : `${by}: ${room.last.text}`;
  }
}

const latest = (room) => room.last?.time ?? 0;
