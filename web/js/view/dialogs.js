// Dialogs, all on the browser's own <dialog>: it keeps the focus, and Escape closes it.

import { avatar, field, h, iconButton } from "../dom.js";
import { shortTime } from "../time.js";

/** Open a dialog; `fill(close)` gives its content. */
function open(title, fill) {
  const close = () => dialog.close();
  const dialog = h("dialog", { "aria-label": title, onclose: () => dialog.remove() });
  dialog.append(h("header", {}, h("h2", {}, title), iconButton("close", "Close", close)), ...[fill(close)].flat());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something that cannot be undone. */
export function confirmed(question, verb) {
  return new Promise((answer) => {
    const dialog = open(question, (close) => h("div", { class: "actions" },
      h("button", { type: "button", onclick: close }, "Cancel"),
      h("button", { type: "button", class: "danger", autofocus: true, onclick: () => { answer(true); close(); } }, verb)));
    dialog.addEventListener("close", () => answer(false));
  });
}

const WORDS = {
  permission_denied: "You may not do that here.", not_a_member: "You are not a member of this room.", muted: "You are muted in this room.",
  banned: "You may not be in this room.", room_full: "The room is full.", room_not_found: "There is no such room.",
  user_not_found: "There is nobody of that name.", message_not_found: "This message is gone.", stale_edit: "This message has changed meanwhile.",
  too_many_requests: "That was too fast. Please wait a little.", method_not_found: "This server cannot do that.",
};
const words = (error) => WORDS[error.message] ?? `This did not work: ${String(error.message ?? error).replaceAll("_", " ")}.`;

/** Tell of a failure, for a few seconds. */
export function failed(error) {
  const toast = h("p", { class: "toast", role: "alert" }, words(error));
  document.body.append(toast);
  setTimeout(() => toast.remove(), 5000);
}

/** A form in a dialog. `go` does the work; what it throws is shown. */
function form(button, go, close, ...fields) {
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = h("button", { class: "primary" }, button);
  const onsubmit = async (event) => {
    event.preventDefault();
    submit.disabled = true;
    problem.textContent = "";
    await go().then(close, (error) => { problem.textContent = error.plain ?? words(error); });
    submit.disabled = false;
  };
  return h("form", { onsubmit }, fields, problem, submit);
}

const plain = (text) => Object.assign(new Error(text), { plain: text });

/** Users of these names, separated by commas or spaces. Throws for the first that is not known. */
async function usersOf(chat, text) {
  const names = text.split(/[\s,]+/).filter(Boolean);
  const found = await Promise.all(names.map((name) => chat.people.find(name)));
  const missing = names.find((_, i) => !found[i]);
  if (missing) throw plain(`There is nobody called “${missing}”.`);
  return found;
}

export function newRoom(chat, opened) {
  open("New room", (close) => {
    const kind = h("select", { name: "kind" }, h("option", { value: "direct" }, "Direct: two people"),
      h("option", { value: "group" }, "Group: who is invited"), h("option", { value: "channel" }, "Channel: anyone may join"));
    const name = h("input", { name: "name", maxlength: 200 });
    const people = h("input", { name: "people", autocapitalize: "none", spellcheck: "false", placeholder: "user names" });
    const named = field("Name", name);
    const adapt = () => { named.hidden = kind.value === "direct"; };
    kind.addEventListener("change", adapt);
    adapt();
    const create = async () => {
      const members = await usersOf(chat, people.value);
      if (kind.value === "direct" && members.length !== 1) throw plain("Give one user name.");
      opened(await chat.createRoom(kind.value, { name: kind.value === "direct" ? "" : name.value.trim(), members }));
    };
    const link = h("input", { name: "link", placeholder: "id or link of a channel" });
    const join = async () => {
      const id = link.value.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i)?.[0];
      if (!id) throw plain("This is no link or id of a channel.");
      opened(await chat.joinChannel(id.toLowerCase()));
    };
    return [form("Create", create, close, field("Kind", kind), named, field("With", people)),
      h("hr"), form("Join", join, close, field("Or join a channel", link))];
  });
}

export function searchRoom(chat, room, jump) {
  open(`Search in ${chat.title(room)}`, (close) => {
    const words = h("input", { type: "search", name: "query", "aria-label": "Words", required: true });
    const results = h("ul", { class: "results" });
    const go = async () => {
      const { messages } = await chat.search(room, words.value.trim());
      results.replaceChildren(...messages.map((message) => h("li", {},
        h("button", { type: "button", onclick: () => { close(); jump(message.seq); } },
          h("strong", {}, chat.people.name(message.sender)), ` ${message.text} `, h("time", {}, shortTime(message.time))))));
      if (!messages.length) results.replaceChildren(h("li", { class: "hint" }, "Nothing found."));
    };
    return [form("Search", go, () => {}, words), results];
  });
}

export function roomDetails(chat, room) {
  open(chat.title(room), (close) => {
    const list = h("ul", { class: "members" }, h("li", { class: "hint" }, "Loading…"));
    const refresh = async () => list.replaceChildren(...(await chat.members(room)).map((member) => memberRow(chat, room, member, refresh)));
    refresh().catch((error) => list.replaceChildren(h("li", { class: "problem" }, words(error))));
    const parts = [h("h3", {}, "Members"), list];
    if (room.kind !== "direct") parts.push(...manage(chat, room, refresh, close));
    return parts;
  });
}

const leads = (room) => room.role === "owner" || room.role === "moderator";

function manage(chat, room, refresh, close) {
  const link = h("code", {}, `${location.origin}${location.pathname}#${room.id}`);
  const parts = [];
  if (leads(room)) {
    const who = h("input", { name: "who", autocapitalize: "none", spellcheck: "false", placeholder: "user name" });
    const add = async () => {
      for (const user of await usersOf(chat, who.value)) await chat.connection.change("member.add", { room: room.id, user });
      who.value = "";
      await refresh();
    };
    parts.push(form("Add", add, () => {}, field("Add somebody", who)), settings(chat, room));
  }
  if (room.kind === "channel") parts.push(h("p", { class: "hint" }, "Link to this channel: ", link));
  const leave = async () => {
    if (await confirmed(`Leave ${chat.title(room)}?`, "Leave")) chat.leave(room).then(close, failed);
  };
  return [...parts, h("div", { class: "actions" }, h("button", { type: "button", class: "danger", onclick: leave }, "Leave the room"))];
}

function settings(chat, room) {
  const name = h("input", { name: "name", maxlength: 200, value: room.name ?? "" });
  const topic = h("input", { name: "topic", maxlength: 1000, value: room.topic ?? "" });
  const presence = h("input", { name: "presence", type: "checkbox", checked: room.presence });
  const save = async () => {
    const wished = { name: name.value.trim() || room.name, topic: topic.value.trim(), presence: presence.checked };
    const now = { name: room.name, topic: room.topic ?? "", presence: room.presence };
    const changed = Object.fromEntries(Object.entries(wished).filter(([field, value]) => value !== undefined && value !== now[field]));
    if (Object.keys(changed).length) await chat.connection.change("room.update", { room: room.id, ...changed });
  };
  return form("Save", save, () => {}, field("Name", name), field("Topic", topic), field("Show who is here now", presence));
}

function memberRow(chat, room, { user, role }, refresh) {
  const name = chat.people.name(user) || "…";
  const here = [...room.present.values()].includes(user);
  const act = (method, more = {}) => chat.connection.change(method, { room: room.id, user, ...more }).then(refresh).catch(failed);
  const mayAct = leads(room) && user !== chat.me && role !== "owner" && room.kind !== "direct";
  return h("li", {}, avatar(user, name), h("span", {}, name, user === chat.me ? " (you)" : ""),
    h("small", {}, [role !== "member" && role, here && "here now"].filter(Boolean).join(", ")),
    mayAct && room.role === "owner" && h("button", { type: "button", class: "link", onclick: () => act("member.role", { role: role === "moderator" ? "member" : "moderator" }) },
      role === "moderator" ? "Make member" : "Make moderator"),
    mayAct && h("button", { type: "button", class: "link", onclick: () => act("member.remove") }, "Remove"));
}
