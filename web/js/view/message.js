// One entry of the timeline: a message, a note, or what is being sent.

import { avatar, h, iconButton } from "../dom.js";
import { clockTime, dayName, fullTime, isNewDay } from "../time.js";

export const EMOJI = ["👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "👀"];
const TOGETHER = 5 * 60_000; // ms: messages of one person closer than this are one group
const LINK = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g;

/** The entries of a room as {id, version, build}, so that the caller builds only what has changed. */
export function entries(chat, room, actions, editing) {
  let before;
  return room.timeline().flatMap((entry) => {
    if (entry.note) return [note(chat, entry.note)];
    const message = entry.message ?? pending(chat, entry.sending);
    const found = [];
    if (isNewDay(message.time, before?.time)) found.push(daySeparator(message.time));
    found.push(bubble(chat, room, message, before, actions, editing === message.seq));
    before = message;
    return found;
  });
}

const pending = (chat, item) => ({ ...item, sender: chat.me, sending: true, seen: item.seq });

function daySeparator(time) {
  const text = dayName(time);
  return { id: `day ${text}`, version: text, build: () => h("li", { class: "day", role: "separator" }, h("span", {}, text)) };
}

function note(chat, event) {
  const text = noteText(chat, event);
  return { id: `note ${event.offset}`, version: text, build: () => h("li", { class: "note" }, text) };
}

function noteText({ people }, { type, actor, user, role, name, banned, until, time }) {
  const [by, whom] = [people.name(actor) || "…", user ? people.name(user) || "…" : ""];
  const self = actor === user;
  switch (type) {
    case "room_created": return `${by} created the room`;
    case "room_updated": return name ? `${by} named the room “${name}”` : `${by} changed the room`;
    case "member_joined": return self ? `${whom} joined` : `${by} added ${whom}`;
    case "member_left": return self ? `${whom} left` : `${by} removed ${whom}`;
    case "member_role_changed": return `${by} made ${whom} ${role}`;
    case "member_muted": return `${by} ${until > time ? "muted" : "unmuted"} ${whom}`;
    case "member_banned": return `${by} ${banned ? "banned" : "unbanned"} ${whom}`;
    default: return "";
  }
}

function bubble(chat, room, message, before, actions, isEdited) {
  const name = chat.people.name(message.sender);
  const joined = before && before.sender === message.sender && message.time - before.time < TOGETHER && !isNewDay(message.time, before.time);
  const reply = message.reply_to ? quoted(chat, room, message.reply_to) : null;
  const readers = lastRead(chat, room, message);
  // What is being edited is not built anew under the user's fingers.
  const version = isEdited ? "editing" : JSON.stringify([message, name, joined, reply, readers, room.role]);
  const id = `key ${message.key ?? message.seq}`; // one element from sending to sent
  return { id, version, build: () => build(chat, { message, name, joined, reply, readers, isEdited }, room, actions) };
}

function quoted(chat, room, seq) {
  const message = room.messages.get(seq);
  if (!message) return { seq, name: "", text: `message ${seq}` };
  return { seq, name: chat.people.name(message.sender), text: message.deleted ? "message deleted" : message.text.slice(0, 140) };
}

/** Who has read up to exactly here, besides its sender and me. */
function lastRead(chat, room, message) {
  if (message.sending) return [];
  return [...room.read].filter(([user, seq]) => seq === message.seq && user !== chat.me && user !== message.sender)
    .map(([user]) => chat.people.name(user)).filter(Boolean).slice(0, 5);
}

function build(chat, { message, name, joined, reply, readers, isEdited }, room, actions) {
  const own = message.sender === chat.me;
  const classes = ["message", own && "own", joined && "joined", message.sending && "sending", message.failed && "failed"];
  return h("li", { class: classes.filter(Boolean).join(" "), "data-seq": message.seq, tabindex: -1 },
    joined ? h("span", { class: "gutter" }) : avatar(message.sender, name || "·"),
    h("div", { class: "content" },
      !joined && h("header", {}, h("strong", {}, name || "…"), stamp(message)),
      reply && h("button", { type: "button", class: "quote", onclick: () => actions.jump(reply.seq) }, reply.name && h("strong", {}, reply.name), ` ${reply.text}`),
      isEdited ? editor(message, actions) : body(message),
      reactions(chat, room, message, actions),
      message.failed && failure(message, actions),
      readers.length > 0 && h("p", { class: "readers" }, `Seen by ${readers.join(", ")}`)),
    !message.sending && !message.deleted && !isEdited && tools(room, message, own, actions));
}

const stamp = ({ time, edited_at }) =>
  h("time", { datetime: new Date(time).toISOString(), title: fullTime(time) }, clockTime(time), edited_at ? " · edited" : "");

function body(message) {
  if (message.deleted) return h("p", { class: "text deleted" }, "This message was deleted");
  return h("p", { class: "text" }, ...linked(message.text), message.edited_at ? h("small", { class: "edited" }, " (edited)") : null);
}

/** Text with its addresses as links; all of it as text nodes. */
function linked(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    parts.push(text.slice(end, match.index), h("a", { href: match[0], target: "_blank", rel: "noopener noreferrer nofollow" }, match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

function reactions(chat, room, message, actions) {
  const all = Object.entries(message.reactions ?? {}).filter(([, users]) => users.length);
  if (!all.length) return null;
  return h("div", { class: "reactions" }, all.map(([emoji, users]) =>
    h("button", {
      type: "button", "aria-pressed": String(users.includes(chat.me)), title: users.map((user) => chat.people.name(user)).join(", "),
      "aria-label": `${emoji}, ${users.length}`, onclick: () => actions.react(message, emoji),
    }, `${emoji} ${users.length}`)));
}

function failure(message, actions) {
  return h("p", { class: "problem" }, `Not sent: ${message.failed.replaceAll("_", " ")}. `,
    h("button", { type: "button", class: "link", onclick: () => actions.retry(message.key) }, "Try again"), " ",
    h("button", { type: "button", class: "link", onclick: () => actions.discard(message.key) }, "Discard"));
}

function tools(room, message, own, actions) {
  const mayDelete = own || room.role === "owner" || room.role === "moderator";
  const picker = h("div", { class: "picker", hidden: true },
    EMOJI.map((emoji) => h("button", { type: "button", onclick: () => { picker.hidden = true; actions.react(message, emoji); } }, emoji)));
  const element = h("div", { class: "tools", role: "group", "aria-label": "What to do with the message" },
    iconButton("smile", "React", () => { picker.hidden = !picker.hidden; }),
    iconButton("reply", "Reply", () => actions.reply(message)),
    own && iconButton("edit", "Edit", () => actions.edit(message)),
    mayDelete && iconButton("bin", "Delete", () => actions.remove(message)), picker);
  element.addEventListener("keydown", ({ key }) => { if (key === "Escape") picker.hidden = true; });
  element.addEventListener("mouseleave", () => { picker.hidden = true; });
  return element;
}

function editor(message, actions) {
  const input = h("textarea", { rows: 2, "aria-label": "Edit the message" });
  input.value = message.text;
  const save = () => actions.save(message, input.value.trim());
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") actions.edit(null);
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); save(); }
  });
  queueMicrotask(() => { input.focus(); input.setSelectionRange(input.value.length, input.value.length); });
  return h("div", { class: "editor" }, input,
    h("button", { type: "button", class: "primary", onclick: save }, "Save"),
    h("button", { type: "button", onclick: () => actions.edit(null) }, "Cancel"));
}
