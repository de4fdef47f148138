// Who is signed in. Tokens live in localStorage, so that all tabs are one session.

const KEPT = "chattifier.session";
const EARLY = 60_000; // ms: a token that ends so soon is exchanged first

/** A refusal of user-auth: `code` is stable, `message` is for people. */
export class Refused extends Error {
  constructor(problem, status) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.code = problem.code;
    this.status = status;
    this.fields = problem.errors ?? [];
  }
}

export class Account {
  constructor(auth) {
    this._auth = auth;
    this._user = null; // whom this page is of: another tab may have signed somebody else in
  }

  /** {user, username, access, refresh, expires} or null. */
  get session() {
    return JSON.parse(localStorage.getItem(KEPT) ?? "null");
  }

  /** From here on this page is of the user who is signed in, and of nobody else. Their session. */
  begin() {
    this._user = this.session.user;
    return this.session;
  }

  /** The session, if it is of this page's user. */
  get _own() {
    const { session } = this;
    return session?.user === this._user ? session : null;
  }

  async signUp(username, password, displayName) {
    const name = displayName ? { display_name: displayName } : {};
    await this._post("/user/register", { username, password, ...name });
    return this.signIn(username, password);
  }

  async signIn(username, password) {
    this._keep(username, await this._post("/user/login", { username, password, device: "web" }));
  }

  /** Ends the session here and on the server; offline only here. */
  async signOut() {
    const soon = new Promise((done) => setTimeout(done, 3000, null));
    const access = await Promise.race([this.token(), soon]).catch(() => null); // one that has expired would end nothing
    this.forget();
    if (access) await this._post("/user/logout", null, access).catch(() => {});
  }

  /** Forget a session that the server has ended. */
  forget() {
    if (this._own) localStorage.removeItem(KEPT);
  }

  /** An access token that is not `used` and is good for a while. Null if the session has ended; throws if offline. */
  async token(used) {
    // A refresh token that is used twice ends the session (it looks stolen), so tabs take turns.
    const turn = navigator.locks ? (work) => navigator.locks.request(KEPT, work) : (work) => work();
    return turn(async () => {
      const { access, refresh, expires, username } = this._own ?? {};
      if (!refresh) return null;
      if (access !== used && expires - Date.now() > EARLY) return access;
      try {
        this._keep(username, await this._post("/user/refresh", { refresh_token: refresh }));
      } catch (error) {
        if (error.status === 401) return null;
        throw error;
      }
      return this.session.access;
    });
  }

  _keep(username, tokens) {
    const { access_token: access, refresh_token: refresh, expires_in, user_id: user } = tokens;
    localStorage.setItem(KEPT, JSON.stringify({ user, username, access, refresh, expires: Date.now() + expires_in * 1000 }));
  }

  async _post(path, body, bearer) {
    const headers = bearer ? { Authorization: `Bearer ${bearer}` } : { "Content-Type": "application/json" };
    const answer = await fetch(this._auth + path, { method: "POST", headers, body: body && JSON.stringify(body) })
      .catch(() => { throw new Refused({ detail: "The server cannot be reached." }, 0); });
    if (!answer.ok) throw new Refused(await answer.json().catch(() => ({})), answer.status);
    return answer.status === 204 ? null : answer.json();
  }
}
