// One open room: who is there, what is said, and where one writes.

import { h, iconButton } from "../dom.js";
import { Composer } from "./composer.js";
import { confirmed, failed } from "./dialogs.js";
import { Timeline } from "./timeline.js";

export class RoomView {
  constructor(chat, room, { back, details, search }) {
    this.room = room;
    this._chat = chat;
    this.timeline = new Timeline(chat, room, this._actions());
    this._composer = new Composer(chat, room, {
      send: (text, replyTo) => this._say(text, replyTo),
      editLast: () => this._editLast(),
    });
    this._title = h("h2", {});
    this._subtitle = h("p", {});
    this._newest = h("button", { type: "button", class: "newest", hidden: true, onclick: () => this._toNewest() });
    this.element = h("section", { class: "room", "aria-label": "Room" },
      h("header", {}, iconButton("back", "Back to the rooms", back, { class: "icon back" }),
        h("div", { class: "heading" }, this._title, this._subtitle),
        iconButton("search", "Search", () => search(room)), iconButton("more", "About this room", () => details(room), { id: "about" })),
      this.timeline.element, this._newest, this._composer.element);
    chat.load(room).catch(failed);
  }

  focus() {
    this._composer.focus();
  }

  render() {
    const { _chat: chat, room } = this;
    this._title.textContent = room.kind === "channel" ? `# ${chat.title(room)}` : chat.title(room);
    this._subtitle.textContent = this._about();
    this.timeline.render();
    this._composer.render();
    const below = room.loaded && !this.timeline.atEnd;
    this._newest.hidden = !below;
    this._newest.textContent = room.unread ? `${room.unread} new ↓` : "Newest ↓";
    this.look();
  }

  /** What is on the screen counts as read. */
  look() {
    if (document.hasFocus() && this.timeline.atEnd && this.room.loaded) this._chat.seen(this.room);
  }

  _about() {
    const { room } = this;
    const people = new Set(room.present.values());
    const here = room.presence && people.size ? ` · ${people.size} here now` : "";
    const size = room.kind === "direct" ? (people.size > 1 ? "here now" : "") : `${room.members} member${room.members === 1 ? "" : "s"}${here}`;
    return [size, room.topic].filter(Boolean).join(" · ");
  }

  _say(text, replyTo) {
    this._chat.say(this.room, text, replyTo);
    this._toNewest();
  }

  async _toNewest() {
    await this._chat.newest(this.room).catch(failed);
    this.timeline.toEnd();
    this.look();
  }

  async jump(seq) {
    if (this.timeline.reveal(seq)) return;
    await this._chat.jump(this.room, seq).catch(failed);
    this.timeline.render();
    this.timeline.reveal(seq);
  }

  _edit(seq) {
    this.timeline.editing = seq;
    this.timeline.render();
    if (seq === null) this.focus();
  }

  _editLast() {
    const mine = [...this.room.messages.values()].filter((one) => one.sender === this._chat.me && !one.deleted);
    if (mine.length) this._edit(Math.max(...mine.map((one) => one.seq)));
  }

  _actions() {
    const { _chat: chat, room } = this;
    const sending = (key) => room.outbox.find((item) => item.key === key);
    return {
      jump: (seq) => this.jump(seq),
      scrolled: () => this.render(),
      reply: (message) => this._composer.reply(message),
      react: (message, emoji) => chat.react(room, message, emoji).catch(failed),
      edit: (message) => this._edit(message?.seq ?? null),
      save: (message, text) => {
        this._edit(null);
        if (text && text !== message.text) chat.edit(room, message.seq, text).catch(failed);
      },
      remove: async (message) => {
        if (await confirmed("Delete this message for everybody?", "Delete")) chat.remove(room, message.seq).catch(failed);
      },
      retry: (key) => chat.retry(room, sending(key)),
      discard: (key) => chat.discard(room, sending(key)),
    };
  }
}
