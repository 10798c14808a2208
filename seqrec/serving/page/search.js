// The search box: titles while one types, chosen by arrow keys and Enter or by a click.

import { get } from "./api.js";
import { byId, h, show } from "./dom.js";
import { changeHistory, state } from "./state.js";

const PAUSE_MS = 120;
const LIMIT = 8;

const input = byId("search");
const list = byId("found");
let found = [];
let active = -1;
let timer = 0;
let pending = null;

function mark(number) {
  active = number;
  [...list.children].forEach((option, place) => {
    option.setAttribute("aria-selected", String(place === active));
    if (place === active) option.scrollIntoView({ block: "nearest" });
  });
  if (active >= 0) input.setAttribute("aria-activedescendant", `found-${active}`);
  else input.removeAttribute("aria-activedescendant");
}

function open(isOpen) {
  show(list, isOpen);
  input.setAttribute("aria-expanded", String(isOpen));
  if (!isOpen) mark(-1);
}

function choose(item) {
  changeHistory([...state.history, item.item_id]);
  input.value = "";
  found = [];
  open(false);
  input.focus();
}

function render() {
  list.replaceChildren(
    ...found.map((item, place) =>
      h(
        "li",
        { id: `found-${place}`, role: "option", onmousedown: (event) => event.preventDefault(),
          onclick: () => choose(item) },
        h("span", {}, item.title),
        h("small", {}, describe(item)),
      ),
    ),
  );
  if (!found.length) list.append(h("li", { className: "faint", role: "option", "aria-disabled": "true" }, "No such title"));
  open(true);
  mark(found.length ? 0 : -1);
}

/** Genres and the year of an item, if it has them and its title does not say them. */
export function describe(item) {
  const year = String(item.year ?? item.release_year ?? "");
  const parts = Array.isArray(item.genres) ? [...item.genres] : [];
  if (year && !item.title.includes(year)) parts.push(year);
  return parts.join(" · ");
}

async function search() {
  pending?.abort();
  const words = input.value.trim();
  if (!words) {
    open(false);
    return;
  }
  pending = new AbortController();
  try {
    const answer = await get("items", { q: words, limit: LIMIT, model: state.a }, pending.signal);
    found = answer.items;
    render();
  } catch (error) {
    if (error.name !== "AbortError") open(false);
  }
}

export function startSearch() {
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, PAUSE_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") open(false);
    if (list.hidden || !found.length) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      mark((active + step + found.length) % found.length);
    }
    if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      choose(found[active]);
    }
  });
  input.addEventListener("blur", () => open(false));
  input.addEventListener("focus", () => found.length && input.value && open(true));
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea, dialog");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      input.focus();
    }
  });
}
