// Names of people, asked for once each, when they are first shown.

export class People extends EventTarget {
  constructor(connection) {
    super();
    this._connection = connection;
    this._known = new Map(); // id -> profile, or null while it is asked for
  }

  learn(profile) {
    this._known.set(profile.user_id, { ...this._known.get(profile.user_id), ...profile });
  }

  /** What to call somebody; empty while that is not known yet: a `change` follows. */
  name(user) {
    if (!this._known.has(user)) this._ask(user);
    const profile = this._known.get(user);
    return profile ? profile.display_name || profile.username || "deleted user" : "";
  }

  /** Somebody by user name, or null. */
  async find(username) {
    try {
      const profile = await this._connection.ask("user.find", { username });
      this.learn(profile);
      return profile.user_id;
    } catch (error) {
      if (error.code === 402) return null;
      throw error;
    }
  }

  async _ask(user) {
    this._known.set(user, null);
    try {
      this.learn(await this._connection.ask("user.get", { user }));
    } catch {
      this._known.set(user, { user_id: user, username: `user ${user.slice(0, 8)}` });
    }
    this.dispatchEvent(new Event("change"));
  }
}
