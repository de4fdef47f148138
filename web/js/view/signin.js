// Sign in, or sign up.

import { field, h } from "../dom.js";

const WORDS = {
  bad_credentials: "User name or password is wrong.",
  username_taken: "This user name is taken.",
  too_many_requests: "Too many attempts. Please wait a little.",
};

/** The page for who is not signed in. `done` is called after success. */
export function signIn(account, done, message = "") {
  let isNew = false;
  const username = h("input", { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, minlength: 3, maxlength: 32 });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true, minlength: 8, maxlength: 128 });
  const display = h("input", { name: "display", autocomplete: "name", maxlength: 64 });
  const shown = field("Display name (optional)", display);
  const problem = h("p", { class: "problem", role: "alert" }, message);
  const submit = h("button", { class: "primary" });
  const swap = h("button", { type: "button", class: "link", onclick: () => set(!isNew) });
  const title = h("h1", {});

  function set(fresh) {
    isNew = fresh;
    shown.hidden = !fresh;
    title.textContent = fresh ? "Create your account" : "Welcome back";
    submit.textContent = fresh ? "Sign up" : "Sign in";
    swap.textContent = fresh ? "I have an account" : "I am new here";
    password.setAttribute("autocomplete", fresh ? "new-password" : "current-password");
    username.focus();
  }

  async function go(event) {
    event.preventDefault();
    submit.disabled = true;
    problem.textContent = "";
    try {
      if (isNew) await account.signUp(username.value.trim(), password.value, display.value.trim());
      else await account.signIn(username.value.trim(), password.value);
      done();
    } catch (error) {
      const wrong = error.fields?.map((one) => one.field).join(", ");
      problem.textContent = WORDS[error.code] ?? (wrong ? `Please check: ${wrong}.` : error.message);
    }
    submit.disabled = false;
  }

  const form = h("form", { class: "card", onsubmit: go, novalidate: false },
    h("img", { src: "icon.svg", alt: "", width: 44, height: 44 }), title,
    field("User name", username), field("Password", password), shown, problem, submit, swap);
  queueMicrotask(() => set(false));
  return h("main", { class: "signin" }, form);
}
