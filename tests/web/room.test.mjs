// web/js/room.js: what a page shows is right however events and pages come. Run by test_modules.py, with Node's own runner.
import assert from "node:assert/strict";
import { test } from "node:test";
import { newKey } from "../../web/js/ids.js";
import { Room } from "../../web/js/room.js";

const ME = "me";
const head = (seq, offset, epoch = "1") => ({ seq, offset, epoch });
const summary = (over = {}) => ({ room: "r", kind: "group", role: "owner", head: head(0, 1), read_seq: 0, unread: 0, members: 2, ...over });
const message = (seq, offset = seq + 1, over = {}) =>
  ({ room: "r", seq, offset, sender: "ada", key: `k${seq}`, text: `text ${seq}`, time: seq, mentions: [], reactions: {}, ...over });
const said = (seq, offset = seq + 1, actor = "ada") =>
  ({ type: "message_sent", room: "r", seq, offset, actor, key: `k${seq}`, text: `text ${seq}`, time: seq });
const texts = (room) => room.timeline().filter((one) => one.message).map((one) => one.message.text);

function loaded(...messages) {
  const room = new Room(summary({ head: head(messages.length, messages.length + 1) }));
  room.add({ messages, head: head(messages.length, messages.length + 1), more: false }, ME);
  return room;
}

test("an event that comes twice is one message, and messages stand in order", () => {
  const room = loaded(message(1));
  for (const seq of [2, 3, 2, 3, 1]) room.apply(said(seq), ME);
  assert.deepEqual(texts(room), ["text 1", "text 2", "text 3"]);
});

test("unread counts what is behind the mark; a send of one's own moves it, and it never goes back", () => {
  const room = loaded();
  room.apply(said(1), ME);
  room.apply(said(2), ME);
  assert.equal(room.unread, 2);
  room.apply(said(3, 4, ME), ME);
  assert.equal(room.unread, 0);
  room.apply({ type: "message_read", room: "r", actor: ME, seq: 1 }, ME);
  room.update(summary({ head: head(3, 4), read_seq: 1 }));
  assert.equal(room.unread, 0);
});

test("what is pushed while a page is under way is behind the page", () => {
  const room = new Room(summary({ head: head(1, 2) }));
  room.begin();
  room.apply(said(2), ME);
  room.apply({ type: "message_edited", room: "r", seq: 1, offset: 4, actor: "ada", text: "better", time: 9 }, ME);
  room.add({ messages: [message(1)], head: head(1, 2), more: false }, ME);
  assert.deepEqual(texts(room), ["better", "text 2"]);
});

test("an edit that is in the page already does no harm, nor does an older one", () => {
  const room = new Room(summary({ head: head(1, 4) }));
  room.begin();
  room.apply({ type: "message_edited", room: "r", seq: 1, offset: 3, actor: "ada", text: "old", time: 8 }, ME);
  room.add({ messages: [message(1, 2, { text: "new" })], head: head(1, 4), more: false }, ME);
  assert.deepEqual(texts(room), ["new"]);
});

test("an emoji may be any word, and those that objects have by themselves are none yet", () => {
  const room = loaded(message(1));
  const words = ["constructor", "__proto__", "toString", "hasOwnProperty"];
  words.forEach((emoji, place) => {
    room.apply({ type: "reaction_added", room: "r", seq: 1, offset: 3 + place, actor: "ada", emoji, time: 1 }, ME);
  });
  const [{ message: { reactions } }] = room.timeline();
  assert.deepEqual(Object.entries(reactions), words.map((emoji) => [emoji, ["ada"]]));
});

test("reactions are sets, and a deleted message is a tombstone", () => {
  const room = loaded(message(1));
  const react = (type, offset, actor) => room.apply({ type, room: "r", seq: 1, offset, actor, emoji: "👍", time: 1 }, ME);
  react("reaction_added", 3, "ada");
  react("reaction_added", 4, "bob");
  react("reaction_added", 4, "bob");
  assert.deepEqual(room.messages.get(1).reactions, { "👍": ["ada", "bob"] });
  react("reaction_removed", 5, "ada");
  react("reaction_removed", 6, "bob");
  assert.deepEqual(room.messages.get(1).reactions, {});
  room.apply({ type: "message_deleted", room: "r", seq: 1, offset: 7, actor: "ada", time: 2 }, ME);
  assert.equal(room.messages.get(1).deleted, true);
  assert.deepEqual(texts(room), [""]);
});

test("what is being sent stands behind the rest until its event or a page brings it, once", () => {
  const room = loaded(message(1));
  room.outbox.push({ key: "k2", text: "text 2" }, { key: "k3", text: "text 3" });
  assert.deepEqual(room.timeline().map((one) => one.sending?.key ?? one.message.key), ["k1", "k2", "k3"]);
  room.apply(said(2, 3, ME), ME);
  assert.deepEqual(room.timeline().map((one) => one.sending?.key ?? one.message.key), ["k1", "k2", "k3"]);
  assert.deepEqual(room.outbox.map((one) => one.key), ["k3"]);
  room.add({ messages: [message(3)], head: head(3, 4), more: false }, ME);
  assert.deepEqual(room.outbox, []);
});

test("a message beyond a hole makes the room stale instead of showing a part", () => {
  const room = loaded(message(1));
  room.apply(said(3), ME);
  assert.equal(room.stale, true);
  assert.deepEqual(texts(room), ["text 1"]);
});

test("after a jump into the past, new messages are counted but not put behind a hole", () => {
  const room = loaded(message(1));
  room.clear();
  room.add({ messages: [message(1)], head: head(9, 10), more: true }, ME, { tail: false });
  room.apply(said(10, 11), ME);
  assert.deepEqual(texts(room), ["text 1"]);
  assert.equal(room.head, 10);
});

test("keys are version 7 and have the time in them", () => {
  const key = newKey(0x0123456789ab);
  assert.match(key, /^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(newKey(1), newKey(1));
});
