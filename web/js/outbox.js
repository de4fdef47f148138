// What is not sent yet, kept in localStorage: closing the page does not lose it. Two tabs may send the same item:
// its key makes that one message.

const PREFIX = "chattifier.outbox";

export class Outbox {
  constructor(user) {
    this._prefix = `${PREFIX}.${user}.`;
  }

  /** The items of a room that an earlier page has left, oldest first. */
  left(room) {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(`${this._prefix}${room}.`));
    return names.sort().map((name) => JSON.parse(localStorage.getItem(name))); // keys begin with their time
  }

  put(room, item) {
    localStorage.setItem(`${this._prefix}${room}.${item.key}`, JSON.stringify(item));
  }

  /** All of it: whoever signs out leaves nothing on the machine. */
  clear() {
    for (const name of Object.keys(localStorage)) if (name.startsWith(this._prefix)) localStorage.removeItem(name);
  }

  drop(room, key) {
    localStorage.removeItem(`${this._prefix}${room}.${key}`);
  }
}
