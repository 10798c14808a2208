// What the page shows, kept in the fragment of its address: a link holds all of it.

const FIRST_K = 10;

const initial = () => (
  { history: [], a: "", b: "", genre: "", user: "", at: null, k: FIRST_K, reading: null });

export const state = initial();

const listeners = [];

export const onChange = (listener) => listeners.push(listener);

/** Change some fields, write the address, and tell everybody. */
export function change(fields) {
  Object.assign(state, fields);
  history.replaceState(null, "", write() || location.pathname + location.search);
  for (const listener of listeners) listener();
}

/** Another history; it is no longer that of a user of the data. */
export const changeHistory = (ids) => change({ history: ids, user: "", at: null });

export function write() {
  const parts = [];
  const add = (key, value) => parts.push(`${key}=${value}`);
  if (state.user) {
    add("user", encodeURIComponent(state.user));
    if (state.at !== null) add("at", state.at);
  } else if (state.history.length) {
    add("h", state.history.map(encodeURIComponent).join(","));
  }
  for (const key of ["a", "b", "genre"]) {
    if (state[key]) add(key, encodeURIComponent(state[key]));
  }
  if (state.reading) add("r", encodeURIComponent(JSON.stringify(state.reading)));
  if (state.k !== FIRST_K) add("k", state.k);
  return parts.length ? `#${parts.join("&")}` : "";
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** The reading of a request in words; null for what is none. */
function readReading(text) {
  try {
    const { items, excluded_items, conditions, text: words } = JSON.parse(decode(text));
    const isWhole = [items, excluded_items, conditions].every(Array.isArray);
    return isWhole ? { items, excluded_items, conditions, text: String(words) } : null;
  } catch {
    return null;
  }
}

const wholeNumber = (text) => (/^\d{1,6}$/.test(text) ? Number(text) : null);

/** Read the fields of an address; unknown ones are left out. */
export function read() {
  const fields = initial();
  for (const part of location.hash.slice(1).split("&")) {
    const cut = part.indexOf("=");
    const [key, value] = [part.slice(0, cut), part.slice(cut + 1)];
    if (key === "h") fields.history = value.split(",").map(decode).filter(Boolean);
    else if (key === "r") fields.reading = readReading(value);
    else if (key === "at") fields.at = wholeNumber(value);
    else if (key === "k") fields.k = Math.min(Math.max(wholeNumber(value) ?? FIRST_K, 1), 100);
    else if (["a", "b", "genre", "user"].includes(key)) fields[key] = decode(value);
  }
  Object.assign(state, fields);
}
