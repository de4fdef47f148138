// The one socket: Centrifuge's own client, which reconnects, refreshes tokens and recovers.

import { Centrifuge, UnauthorizedError } from "../vendor/centrifuge.mjs";
import { newKey } from "./ids.js";

const OF_CHANNELS = ["subscribed", "unsubscribed", "publication", "join", "leave"];
const FOLLOWED = 100; // rooms besides those of the session
const ALREADY_SUBSCRIBED = 105; // by the server, as the room is among the first of the session now

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Whether the same request may succeed later: the client's own codes are below 100 (time-out, connection lost). */
const passing = (error) => error.temporary === true || error.code < 100 || error.code === 111;

/** A WebSocket that takes any of several addresses, another one at each try: gateways come and go. */
function anyOf(sockets) {
  return class extends WebSocket {
    constructor(_address, protocols) {
      super(sockets[Math.floor(Math.random() * sockets.length)], protocols);
    }
  };
}

export class Connection {
  constructor(sockets, account) {
    this._listeners = [];
    let used = null;
    const getToken = async () => {
      used = await account.token(used);
      if (used === null) throw new UnauthorizedError("the session has ended");
      return used;
    };
    this.client = new Centrifuge(sockets[0], {
      websocket: anyOf(sockets), getToken, name: "chattifier-web", timeout: 8000, maxReconnectDelay: 5000,
    });
  }

  /** What goes wrong with one event must not keep the client from the next. */
  on(event, listener) {
    const broken = (error) => console.error(`cannot handle ${event}`, error);
    const guarded = (context) => {
      try {
        Promise.resolve(listener(context)).catch(broken);
      } catch (error) {
        broken(error);
      }
    };
    this.client.on(event, guarded);
    this._listeners.push([event, guarded]);
  }

  /** Subscribe to a room beyond those that the server subscribes a session to by itself. */
  follow(room) {
    const channel = `room:${room}`;
    // All are asked for at once whenever the client comes back: many more would be taken for a flood.
    if (this.client.getSubscription(channel) || Object.keys(this.client.subscriptions()).length >= FOLLOWED) return;
    const subscription = this.client.newSubscription(channel);
    subscription.on("unsubscribed", () => this.client.removeSubscription(subscription));
    for (const [event, listener] of this._listeners) {
      if (!OF_CHANNELS.includes(event)) continue;
      subscription.on(event, (context) => { if (context.code !== ALREADY_SUBSCRIBED) listener(context); });
    }
    subscription.subscribe();
  }

  open() {
    this.client.connect();
  }

  close() {
    this.client.disconnect();
  }

  get ended() {
    return this.client.state === "disconnected";
  }

  /** A read: tried again only when the connection was lost under it. Throws {code, message}. */
  async ask(method, data = {}) {
    for (;;) {
      await this.client.ready();
      try {
        return (await this.client.rpc(method, data)).data;
      } catch (error) {
        if (!passing(error) || this.ended) throw error;
        await pause(500);
      }
    }
  }

  /** A change: repeated under one key until it is answered, so it happens once. Throws {code, message}. */
  change(method, data, key = newKey()) {
    return this.ask(method, { ...data, key });
  }

  /** Nobody answers, and nothing waits. */
  whisper(data) {
    this.client.send(data).catch(() => {});
  }

  presence(room) {
    return this.client.presence(`room:${room}`);
  }
}
