// Times as people read them, in the browser's own language.

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long" });
const date = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat([], { dateStyle: "full", timeStyle: "medium" });

const sameDay = (one, other) => new Date(one).toDateString() === new Date(other).toDateString();

export const clockTime = (ms) => clock.format(ms);
export const fullTime = (ms) => full.format(ms);
export const dayName = (ms) => (sameDay(ms, Date.now()) ? "Today" : sameDay(ms, Date.now() - 864e5) ? "Yesterday" : day.format(ms));
export const shortTime = (ms) => (sameDay(ms, Date.now()) ? clock.format(ms) : date.format(ms));
export const isNewDay = (ms, before) => before === undefined || !sameDay(ms, before);
