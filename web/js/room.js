// One room as this page knows it. Pure: events and pages go in, the state is read; nothing here asks a server.

/** What is said where nobody speaks: membership changes and the like, as the event's data. */
const NOTES = new Set([
  "room_created", "room_updated", "member_joined", "member_left", "member_role_changed", "member_muted", "member_banned",
]);

export class Room {
  /** `sent` is called with the key of each message that turns out to have been stored. */
  constructor(summary, sent = () => {}) {
    this.id = summary.room;
    this._whenSent = sent;
    this.messages = new Map(); // seq -> Message: those between `oldest` and `newest`, without a hole
    this.notes = new Map(); // offset -> event, placed behind the message `after`
    this.outbox = []; // {key, text, reply_to?, failed?, seq?}, first to send first
    this.typing = new Map(); // user -> until when, ms
    this.present = new Map(); // client -> user
    this.read = new Map(); // user -> seq
    this.loaded = false;
    this.more = false; // whether the server has older ones
    this.tail = true; // whether the window reaches the newest message; not after a jump into the past
    this.stale = false; // whether something was missed that the server could not give again
    this.life = 0; // counts the times that it was cleared
    this.pending = null; // events that came while a page is under way: they are applied behind it once more
    this.update(summary);
  }

  /** Newer facts about the room. Numbers never go back, so that a late answer does no harm. */
  update(summary) {
    const { head, read_seq: read = 0, last_message: last, members } = summary;
    Object.assign(this, { kind: summary.kind, name: summary.name, topic: summary.topic, role: summary.role });
    this.presence = summary.presence === true;
    this.epoch = head.epoch;
    this.head = Math.max(this.head ?? 0, head.seq);
    this.offset = Math.max(this.offset ?? 0, head.offset);
    this.mark = Math.max(this.mark ?? 0, read);
    this.members = members;
    if (last && last.seq >= (this.last?.seq ?? 0)) this.last = last;
  }

  get unread() {
    return Math.max(0, this.head - this.mark);
  }

  get oldest() {
    return this.messages.size ? Math.min(...this.messages.keys()) : null;
  }

  get newest() {
    return this.messages.size ? Math.max(...this.messages.keys()) : 0;
  }

  /** Begin again from nothing, as after a jump or where events were missed. The outbox stays. */
  clear() {
    this.messages.clear();
    this.notes.clear();
    this.life += 1;
    Object.assign(this, { loaded: false, more: false, tail: true, stale: false, pending: null });
  }

  /** A page is about to be asked for. */
  begin() {
    this.pending ??= [];
  }

  /** A page of `message.list`, read when the room was at `page.head`; what came since is applied to it. */
  add(page, mine, { older = false, tail = this.tail } = {}) {
    for (const message of page.messages) this._put(message, page.head.offset);
    if (older) this.more = page.more;
    else if (!this.loaded) this.more = (page.messages[0]?.seq ?? 1) > 1 && page.more;
    this.loaded = true;
    this.tail = tail;
    this.head = Math.max(this.head, page.head.seq);
    const came = this.pending ?? [];
    this.pending = null;
    for (const event of came) if (!NOTES.has(event.type)) this.apply(event, mine);
  }

  /** An event, live or recovered. Events that come again, or are in a page already, change nothing. */
  apply(event, mine) {
    this.pending?.push(event);
    if (event.offset) this.offset = Math.max(this.offset, event.offset);
    if (event.type === "message_sent") this._said(event, mine);
    else if (event.type === "message_read") this.markRead(event.actor, event.seq, mine);
    else if (event.seq !== undefined) this._changed(event);
    else if (NOTES.has(event.type)) this._noted(event, mine);
  }

  _said(event, mine) {
    const { seq, actor, text, key, time, reply_to, mentions = [], meta } = event;
    const message = { room: this.id, seq, sender: actor, text, key, time, reply_to, mentions, meta, reactions: {} };
    this.head = Math.max(this.head, seq);
    this.typing.delete(actor);
    if (seq >= (this.last?.seq ?? 0)) this.last = message;
    if (actor === mine) this.markRead(mine, seq, mine);
    if (!this.loaded || !this.tail) this._sent(message);
    else if (seq > this.newest + 1 && this.newest > 0) this.stale = true;
    else this._put(message, event.offset);
  }

  /** Messages hold the offset up to which events are in them. */
  _put(message, offset) {
    const known = this.messages.get(message.seq);
    if (!known || known.at < offset) this.messages.set(message.seq, { ...message, at: offset });
    this._sent(message);
  }

  _sent(message) {
    this._whenSent(message.key);
    this.outbox = this.outbox.filter((item) => item.key !== message.key);
  }

  _changed(event) {
    for (const message of [this.messages.get(event.seq), this.last?.seq === event.seq ? this.last : null]) {
      if (!message || (message.at ?? 0) >= event.offset) continue;
      const changed = { ...message, ...edited(message, event), at: event.offset };
      if (message === this.last) this.last = changed;
      else this.messages.set(event.seq, changed);
    }
  }

  /** Marks never go back. */
  markRead(user, seq, mine) {
    this.read.set(user, Math.max(this.read.get(user) ?? 0, seq));
    if (user === mine) this.mark = Math.max(this.mark, seq);
  }

  _noted(event, mine) {
    if (this.loaded) this.notes.set(event.offset, { ...event, after: this.head });
    const own = event.user === mine;
    if (event.type === "room_updated") {
      for (const field of ["name", "topic", "presence"]) if (event[field] !== undefined) this[field] = event[field];
    } else if (event.type === "member_joined") this.members += 1;
    else if (event.type === "member_left" || (event.type === "member_banned" && event.banned)) this.members -= 1;
    else if (event.type === "member_role_changed" && own) this.role = event.role;
  }

  /** Everything to show, in order: messages, notes between them, and what is still being sent. */
  timeline() {
    const said = [...this.messages.values()].sort((one, other) => one.seq - other.seq);
    const notes = [...this.notes.values()].sort((one, other) => one.offset - other.offset);
    const entries = [];
    for (const message of said) {
      while (notes.length && notes[0].after < message.seq) entries.push({ note: notes.shift() });
      entries.push({ message });
    }
    return [...entries, ...notes.map((note) => ({ note })), ...this.outbox.map((sending) => ({ sending }))];
  }
}

function edited(message, event) {
  switch (event.type) {
    case "message_edited":
      return { text: event.text, edited_at: event.time, mentions: event.mentions ?? message.mentions, meta: event.meta ?? message.meta };
    case "message_deleted":
      return { text: "", deleted: true, reactions: {}, mentions: [], meta: undefined };
    case "reaction_added":
    case "reaction_removed":
      return { reactions: reacted(message.reactions ?? {}, event) };
    default:
      return {};
  }
}

function reacted(reactions, { type, emoji, actor }) {
  const had = Object.hasOwn(reactions, emoji) ? reactions[emoji] : []; // an "emoji" may be any word: constructor, too
  const users = had.filter((user) => user !== actor);
  if (type === "reaction_added") users.push(actor);
  const { [emoji]: _, ...others } = reactions;
  return users.length ? { ...reactions, [emoji]: users } : others;
}
