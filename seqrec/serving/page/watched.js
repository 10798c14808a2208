// The history: what was watched, most recent first, and how it changes.

import { byId, h, show, times } from "./dom.js";
import { changeHistory, state } from "./state.js";

const SHOWN = 15;
const SHOWN_OF_USER = 6;
const titles = new Map();
let isWhole = false;

/** Remember the titles of items that an answer named. */
export function learnTitles(items) {
  for (const { item_id, title } of items) titles.set(item_id, title);
}

export const getTitle = (id) => titles.get(id) ?? id;

const without = (place) => state.history.filter((_, number) => number !== place);

function remove(place) {
  const list = byId("history");
  const row = state.history.length - 1 - place;
  changeHistory(without(place));
  const buttons = list.querySelectorAll("button.remove");
  (buttons[Math.min(row, buttons.length - 1)] ?? byId("search")).focus();
}

function chip(id, place) {
  const title = getTitle(id);
  return h(
    "li",
    { className: titles.has(id) ? "" : "unknown" },
    h("span", {}, title),
    h("button", {
      type: "button",
      className: "remove",
      "aria-label": `Remove ${title}`,
      title: "Remove",
      onclick: () => remove(place),
    }, "×"),
  );
}

export function showWatched() {
  const { history } = state;
  const shown = isWhole ? history.length : state.user ? SHOWN_OF_USER : SHOWN;
  const chips = history.map(chip).reverse();
  const rest = history.length - shown;
  if (rest > 0) {
    const more = h("button", { type: "button", className: "quiet", onclick: () => {
      isWhole = true;
      showWatched();
    } }, `${times(rest, "earlier title")}`);
    chips.splice(shown, rest, h("li", { className: "rest" }, more));
  }
  byId("history").replaceChildren(...chips);
  byId("watched-count").textContent = history.length ? times(history.length, "title") : "";
  show(byId("clear"), history.length > 0);
  show(byId("watched-hint"), history.length === 0);
}

export function startWatched() {
  byId("clear").addEventListener("click", () => {
    isWhole = false;
    changeHistory([]);
    byId("search").focus();
  });
}
