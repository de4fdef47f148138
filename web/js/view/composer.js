// Where one writes.

import { h, iconButton } from "../dom.js";
import { icon } from "../icons.js";

export class Composer {
  constructor(chat, room, { send, editLast }) {
    this._chat = chat;
    this._room = room;
    this._send = send;
    this._editLast = editLast;
    this._input = h("textarea", { rows: 1, placeholder: "Write a message", "aria-label": "Message", enterkeyhint: "send", id: "composer" });
    this._quote = h("div", { class: "replying", hidden: true });
    this._typing = h("p", { class: "typing", "aria-live": "polite" });
    this.element = h("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); this._go(); } },
      this._typing, this._quote, h("div", { class: "row" }, this._input, h("button", { class: "primary", "aria-label": "Send" }, icon("send"))));
    this._input.addEventListener("keydown", (event) => this._key(event));
    this._input.addEventListener("input", () => {
      this._fit();
      if (this._input.value) chat.typed(room);
    });
  }

  focus() {
    this._input.focus();
  }

  reply(message) {
    this._replyTo = message;
    this._quote.hidden = !message;
    if (message) {
      this._quote.replaceChildren(h("span", {}, `Reply to ${this._chat.people.name(message.sender)}: ${message.text.slice(0, 80)}`),
        iconButton("close", "Do not reply", () => this.reply(null)));
    }
    this.focus();
  }

  render() {
    const names = [...this._room.typing.keys()].map((user) => this._chat.people.name(user)).filter(Boolean);
    this._typing.textContent = names.length ? `${names.slice(0, 3).join(", ")} ${names.length > 1 ? "are" : "is"} typing…` : "";
  }

  _key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this._go();
    } else if (event.key === "ArrowUp" && !this._input.value && !event.altKey) {
      event.preventDefault();
      this._editLast();
    } else if (event.key === "Escape") this.reply(null);
  }

  _go() {
    const text = this._input.value.trim();
    if (!text) return;
    this._send(text, this._replyTo?.seq);
    this._input.value = "";
    this._fit();
    this.reply(null);
  }

  _fit() {
    this._input.rows = Math.min(8, this._input.value.split("\n").length);
  }
}
