// A user of the prepared data: the history up to a point, and what was watched next.

import { get, getOptional } from "./api.js";
import { byId, h, show, times } from "./dom.js";
import { change, state } from "./state.js";
import { learnTitles } from "./watched.js";

const SHOWN_NEXT = 15;
let loaded = null;

/** The user's events: loaded once per user; null for a user that is not in the data. */
async function load(user) {
  if (loaded?.user_id !== user) loaded = await getOptional("log/user", { id: user });
  return loaded;
}

function firstHeldOut(watched) {
  const place = watched.findIndex((one) => one.part === "test");
  return place > 0 ? place : Math.max(watched.length - 1, 0);
}

/** Set the history of the user, if one is chosen; returns the ids of what came next. */
export async function readUser() {
  if (!state.user) {
    loaded = null;
    show(byId("user-view"), false);
    byId("user").value = "";
    return new Set();
  }
  const found = await load(state.user);
  byId("user").value = state.user;
  if (!found) {
    show(byId("user-view"), false);
    throw new Error(`User ${state.user} is not in the data.`);
  }
  const { watched } = found;
  learnTitles(watched);
  state.at = Math.min(state.at ?? firstHeldOut(watched), watched.length);
  state.history = watched.slice(0, state.at).map((one) => one.item_id);
  return new Set(watched.slice(state.at).map((one) => one.item_id));
}

function cutNote(watched) {
  const read = `${times(state.at, "title")} of ${watched.length}.`;
  const part = watched[state.at]?.part;
  if (part === "training") return `${read} The model was trained on what came next.`;
  if (part === "validation") return `${read} Validation saw what came next.`;
  if (part === "test") return `${read} What came next is held out.`;
  return `${read} Nothing came next.`;
}

/** Show the user's slider and what came next; `listed` holds the ids of the lists. */
export function showUser(listed) {
  if (!loaded || !state.user) return;
  const { watched } = loaded;
  show(byId("user-view"), true);
  byId("cut").max = watched.length;
  byId("cut").value = state.at;
  byId("cut-note").textContent = cutNote(watched);
  const next = watched.slice(state.at);
  const rows = next.slice(0, SHOWN_NEXT).map((one) => {
    const isHit = listed.has(one.item_id);
    const mark = isHit ? h("span", { className: "badge hit", "aria-label": "is listed" }, "✓") : null;
    return h("li", { className: isHit ? "is-hit" : "" }, h("span", {}, one.title), mark);
  });
  if (next.length > SHOWN_NEXT) {
    rows.push(h("li", { className: "faint" }, `and ${times(next.length - SHOWN_NEXT, "other")}`));
  }
  byId("next").replaceChildren(...rows);
}

export async function startUsers() {
  const known = await get("log/users");
  if (!known.num_users) return;
  show(byId("user-form"), true);
  byId("user").placeholder = known.examples[0] ?? "";
  byId("user-examples").replaceChildren(...known.examples.map((value) => h("option", { value })));
  byId("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ user: byId("user").value.trim(), at: null });
  });
  byId("cut").addEventListener("input", () => change({ at: Number(byId("cut").value) }));
}
