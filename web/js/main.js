// Puts the page together: sign in, then the rooms, then the open one, whose id is in the address.

import { Account } from "./account.js";
import { Chat } from "./chat.js";
import { Connection } from "./connection.js";
import { h } from "./dom.js";
import { confirmed, failed, newRoom, roomDetails, searchRoom } from "./view/dialogs.js";
import { RoomView } from "./view/room.js";
import { RoomList } from "./view/rooms.js";
import { signIn } from "./view/signin.js";

const app = document.getElementById("app");
const config = await (await fetch("config.json")).json();
const account = new Account(config.auth);

const show = (...elements) => app.replaceChildren(...elements);

function start(message) {
  if (account.session) enter();
  else show(signIn(account, () => start(), message));
}

function enter() {
  const connection = new Connection(config.sockets, account);
  const chat = new Chat(connection, account.begin());
  const page = new Page(chat, connection);
  chat.addEventListener("change", () => page.render());
  connection.open();
  page.render();
}

/** What is seen while signed in. */
class Page {
  constructor(chat, connection) {
    this._chat = chat;
    this._connection = connection;
    this._banner = h("p", { class: "banner", role: "status" });
    this._main = h("main", { class: "main" });
    this._empty = h("p", { class: "hint center" }, "Choose a room, or start one with +.");
    this._list = new RoomList(chat, { open, create: () => newRoom(chat, open), signOut: () => this._leave() });
    this._layout = h("div", { class: "layout" }, this._list.element, this._main);
    this._listeners = new AbortController();
    this._listen("hashchange", () => this._turned());
    this._listen("focus", () => this.render());
    this._listen("keydown", (event) => this._key(event));
    show(this._banner, this._layout);
  }

  _listen(event, listener) {
    addEventListener(event, listener, { signal: this._listeners.signal });
  }

  get _current() {
    return this._chat.rooms.get(location.hash.slice(1));
  }

  render() {
    const { _chat: chat } = this;
    if (this._over) return;
    if (chat.state === "ended") {
      this._ended(chat.reason);
      return;
    }
    this._tell(chat.state);
    this._show(this._current);
    this._list.render(this._current);
    const unread = [...chat.rooms.values()].reduce((sum, room) => sum + room.unread, 0);
    document.title = unread ? `(${unread}) Chattifier` : "Chattifier";
  }

  _tell(state) {
    const texts = { connecting: "Connecting…", offline: "You are offline. What you write is sent as soon as you are back." };
    this._banner.textContent = texts[state] ?? "";
    this._banner.hidden = state === "connected";
    this._layout.dataset.state = state;
  }

  _show(room) {
    this._layout.classList.toggle("inside", room !== undefined);
    if (room !== this._view?.room) {
      this._view = room && new RoomView(this._chat, room, {
        back: () => { location.hash = ""; },
        details: (one) => roomDetails(this._chat, one),
        search: (one) => searchRoom(this._chat, one, (seq) => this._view.jump(seq)),
      });
      this._main.replaceChildren(this._view?.element ?? this._empty);
      this._view?.focus();
    }
    this._view?.render();
  }

  /** The address names another room: one's own, or a channel that one may join; any page can lead here, so we ask. */
  _turned() {
    const id = location.hash.slice(1);
    if (id && !this._chat.rooms.has(id) && this._chat.state === "connected") this._invited(id).catch(failed);
    this.render();
  }

  async _invited(id) {
    if (await confirmed("Join this channel? Its members will see your name.", "Join")) await this._chat.joinChannel(id);
  }

  _key(event) {
    if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    const rooms = this._list.sorted();
    const next = rooms[rooms.indexOf(this._current) + (event.key === "ArrowDown" ? 1 : -1)];
    if (next) open(next.id);
  }

  _ended({ code, reason }) {
    const signedOut = [1, 3500, 3503].includes(code); // no more tokens, a token that is no good, revoked
    if (signedOut) account.forget();
    this._close();
    if (signedOut) start("You have been signed out.");
    else show(stopped(reason));
  }

  async _leave() {
    this._close();
    this._chat.forgetUnsent();
    await account.signOut();
    start();
  }

  _close() {
    this._over = true;
    this._listeners.abort();
    this._connection.close();
    document.title = "Chattifier";
  }
}

/** The server does not want this client back by itself. */
const stopped = (reason) => h("main", { class: "signin" }, h("div", { class: "card" },
  h("h1", {}, "Disconnected"), h("p", {}, `The server closed the connection: ${reason}.`),
  h("button", { type: "button", class: "primary", onclick: () => start() }, "Connect again")));

function open(room) {
  location.hash = room;
}

start();
