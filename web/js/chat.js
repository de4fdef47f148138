// Everything this page knows of its user's rooms, and what it does in them. Tells of changes by `change` events.

import { newKey } from "./ids.js";
import { Outbox } from "./outbox.js";
import { People } from "./people.js";
import { Room } from "./room.js";

const PAGE = 50;
const TYPING_EVERY = 3000; // ms between two signals of ours
const TYPING_LASTS = 6000; // ms that somebody's signal is shown

export class Chat extends EventTarget {
  constructor(connection, session) {
    super();
    this.connection = connection;
    this.me = session.user;
    this.people = new People(connection);
    this.people.learn({ user_id: session.user, username: session.username });
    this.people.addEventListener("change", () => this._tell());
    this.rooms = new Map();
    this._kept = new Outbox(session.user);
    this.state = "connecting"; // connecting, connected, offline, ended
    this._typed = 0;
    this._listen();
  }

  _tell() {
    if (this._due) return;
    this._due = true;
    queueMicrotask(() => {
      this._due = false;
      this.dispatchEvent(new Event("change"));
    });
  }

  _listen() {
    const { connection } = this;
    connection.on("connecting", () => this._become(this.state === "connected" ? "offline" : this.state));
    connection.on("disconnected", ({ code, reason }) => {
      this.reason = { code, reason };
      this._become("ended");
    });
    connection.on("connected", ({ data }) => this._snapshot(data));
    connection.on("subscribed", (context) => this._subscribed(context));
    connection.on("unsubscribed", ({ channel }) => this._left(channel));
    connection.on("publication", ({ channel, data }) => this._published(channel, data));
    connection.on("join", ({ channel, info }) => this._present(channel, info, true));
    connection.on("leave", ({ channel, info }) => this._present(channel, info, false));
  }

  _become(state) {
    this.state = state;
    this._tell();
  }

  async _snapshot({ user, rooms, more }) {
    this.people.learn(user);
    for (const summary of rooms) this._enter(summary);
    this._become("connected");
    for (const room of this.rooms.values()) this._pump(room);
    for (let after = rooms.at(-1)?.room; more;) {
      const page = await this.connection.ask("room.list", { after });
      for (const summary of page.rooms) {
        this.connection.follow(summary.room);
        this._pump(this._enter(summary));
      }
      after = page.rooms.at(-1)?.room;
      more = page.more && after;
    }
    this._tell();
  }

  _enter(summary) {
    const { room: id } = summary;
    const known = this.rooms.get(id);
    if (known) {
      known.update(summary);
      return known;
    }
    const room = new Room(summary, (key) => this._kept.drop(id, key));
    room.outbox = this._kept.left(id);
    this.rooms.set(id, room);
    return room;
  }

  /** A room's channel is open: what was missed follows, or (`wasRecovering` without `recovered`) is lost to the socket. */
  _subscribed({ channel, wasRecovering, recovered, data }) {
    if (!channel.startsWith("room:")) return;
    if (data?.room) this._enter(data);
    const room = this.rooms.get(channel.slice(5));
    if (room && wasRecovering && !recovered) this._missed(room);
    if (room?.loaded) this.loadPresence(room);
    this._tell();
  }

  _left(channel) {
    this.rooms.delete(channel.slice("room:".length));
    this._tell();
  }

  _published(channel, data) {
    if (channel.startsWith("user:")) this._news(data);
    const room = this.rooms.get(data.room);
    if (!room) {
      this._tell();
      return;
    }
    if (data.type === "typing") this._typing(room, data.actor);
    else room.apply(data, this.me);
    if (room.stale) this._missed(room);
    if (data.type === "room_updated" && data.presence) this.loadPresence(room);
    this._tell();
  }

  /** On the user's own channel: marks read on another device, which are a room's, and changes of the profile. */
  _news({ type, user, display_name }) {
    if (type === "profile_changed" && display_name !== undefined) this.people.learn({ user_id: user, display_name });
  }

  _typing(room, user) {
    if (user === this.me) return;
    room.typing.set(user, Date.now() + TYPING_LASTS);
    setTimeout(() => {
      if ((room.typing.get(user) ?? 0) <= Date.now()) room.typing.delete(user);
      this._tell();
    }, TYPING_LASTS + 50);
  }

  _present(channel, info, here) {
    const room = this.rooms.get(channel.slice("room:".length));
    if (!room) return;
    if (here) room.present.set(info.client, info.user);
    else room.present.delete(info.client);
    this._tell();
  }

  /** The server cannot give again what was missed: read the messages anew. */
  _missed(room) {
    const wanted = room.loaded || room.loading;
    room.clear();
    if (wanted) this._again(room);
  }

  /** Read a room's messages, whatever comes of the first tries: nobody else asks for an open room again. */
  async _again(room) {
    for (let wait = 1000; !room.loaded && this.rooms.get(room.id) === room && !this.connection.ended; wait *= 2) {
      try {
        await this.load(room);
      } catch {
        await new Promise((done) => setTimeout(done, Math.min(wait, 30_000)));
      }
    }
  }

  // What the user does.

  /** The room's newest messages, unless they are there. Events that come meanwhile are in the answer or follow it. */
  async load(room) {
    if (room.loaded) return;
    await this._page(room, { limit: PAGE }, { tail: true });
    this.loadPresence(room);
  }

  loadOlder(room) {
    return this._page(room, { before: room.oldest, limit: PAGE }, { older: true });
  }

  async loadNewer(room) {
    const page = await this._page(room, { after: room.newest, limit: PAGE });
    if (!page.more) room.tail = room.newest >= room.head;
  }

  /** Show the messages around one of them, as after a search. */
  async jump(room, seq) {
    const page = await this.connection.ask("message.list", { room: room.id, around: seq, limit: PAGE });
    room.clear();
    room.add(page, this.me, { tail: (page.messages.at(-1)?.seq ?? 0) >= page.head.seq });
    this._tell();
  }

  async newest(room) {
    if (!room.tail) room.clear();
    await this.load(room);
  }

  /** Only one page of a room is under way at a time; what is pushed meanwhile waits, and is applied behind it. */
  async _page(room, wish, how) {
    if (room.loading) return room.loading;
    room.loading = this._read(room, wish, how).finally(() => { room.loading = null; });
    return room.loading;
  }

  async _read(room, wish, how) {
    const { life } = room;
    room.begin();
    const page = await this.connection.ask("message.list", { room: room.id, ...wish });
    if (life !== room.life) return room.loaded ? page : this._read(room, { limit: PAGE }, { tail: true }); // it was cleared
    room.add(page, this.me, how);
    this._tell();
    return page;
  }

  /** Say something: it is shown at once, and sent in order, again and again under its key, until the server has it. */
  say(room, text, replyTo) {
    const item = { key: newKey(), text, ...(replyTo ? { reply_to: replyTo } : {}), time: Date.now() };
    this._kept.put(room.id, item);
    room.outbox.push(item);
    this._tell();
    this._pump(room);
  }

  async _pump(room) {
    if (room.sending) return;
    room.sending = true;
    for (let item; (item = room.outbox.find((one) => !one.seq && !one.failed));) {
      const { key, text, reply_to } = item;
      try {
        item.seq = (await this.connection.change("message.send", { room: room.id, text, reply_to }, key)).seq;
        this._kept.drop(room.id, key);
        if (room.messages.has(item.seq) || !room.tail) room.outbox = room.outbox.filter((one) => one !== item);
      } catch (error) {
        if (this.connection.ended) break;
        item.failed = error.message;
      }
      this._tell();
    }
    room.sending = false;
  }

  forgetUnsent() {
    this._kept.clear();
  }

  discard(room, item) {
    this._kept.drop(room.id, item.key);
    room.outbox = room.outbox.filter((one) => one !== item);
    this._tell();
  }

  retry(room, item) {
    item.failed = null;
    this._tell();
    this._pump(room);
  }

  edit(room, seq, text) {
    return this.connection.change("message.edit", { room: room.id, seq, text });
  }

  remove(room, seq) {
    return this.connection.change("message.delete", { room: room.id, seq });
  }

  react(room, message, emoji) {
    const { reactions = {} } = message;
    const mine = Object.hasOwn(reactions, emoji) && reactions[emoji].includes(this.me);
    const method = mine ? "reaction.remove" : "reaction.add";
    return this.connection.change(method, { room: room.id, seq: message.seq, emoji });
  }

  typed(room) {
    if (Date.now() - this._typed < TYPING_EVERY || this.state !== "connected") return;
    this._typed = Date.now();
    this.connection.whisper({ type: "typing", room: room.id });
  }

  /** Everything up to the newest has been seen. */
  seen(room) {
    const seq = room.newest;
    if (seq <= room.mark || !room.tail || this.state !== "connected") return;
    room.mark = seq;
    this._tell();
    this.connection.ask("message.read", { room: room.id, seq }).catch(() => {});
  }

  async createRoom(kind, { name, members }) {
    const wish = { kind, members, ...(name ? { name } : {}) };
    return this._enter(await this.connection.change("room.create", wish)).id;
  }

  async joinChannel(id) {
    await this.connection.change("room.join", { room: id });
    return id;
  }

  async leave(room) {
    await this.connection.change("room.leave", { room: room.id });
  }

  async loadPresence(room) {
    if (!room.presence) return;
    const { clients } = await this.connection.presence(room.id).catch(() => ({ clients: {} }));
    room.present = new Map(Object.values(clients).map((info) => [info.client, info.user]));
    this._tell();
  }

  /** All of a room's members, a page at a time. */
  async members(room) {
    const found = [];
    for (let after; ;) {
      const page = await this.connection.ask("member.list", { room: room.id, limit: 100, ...(after ? { after } : {}) });
      found.push(...page.members);
      after = page.members.at(-1)?.user;
      if (!page.more || !after) break;
    }
    for (const { user, read_seq } of found) room.markRead(user, read_seq);
    this._tell();
    return found;
  }

  search(room, query) {
    return this.connection.ask("message.search", { room: room.id, query, limit: 50 });
  }

  /** What a room is called. A direct one is called like the other person. */
  title(room) {
    if (room.name) return room.name;
    if (room.kind !== "direct") return "Unnamed room";
    if (room.other) return this.people.name(room.other) || "…";
    if (!room.asked) this._askOther(room);
    return "…";
  }

  async _askOther(room) {
    room.asked = true;
    const members = await this.members(room).catch(() => []);
    room.other = members.find((member) => member.user !== this.me)?.user ?? this.me;
    this._tell();
  }
}
