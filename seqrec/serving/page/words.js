// A request in words: asked once, then kept as its reading, which is edited part by part.

import { post } from "./api.js";
import { byId, h, show } from "./dom.js";
import { change, state } from "./state.js";
import { getTitle, learnTitles } from "./watched.js";

const OPERATORS = { contains: "has", "=": "is", "<": "<", "<=": "≤", ">": ">", ">=": "≥" };
let shown = [];
let notes = [];

/** The fields of a reading that say what is wished; null if nothing is. */
function clean({ items = [], excluded_items = [], conditions = [], text = "" }) {
  const isEmpty = !items.length && !excluded_items.length && !conditions.length && !text;
  return isEmpty ? null : { items, excluded_items, conditions, text };
}

const edit = (fields) => change({ reading: clean({ ...state.reading, ...fields }) });

function removeFrom(key, place) {
  edit({ [key]: state.reading[key].filter((_, number) => number !== place) });
  byId("words").focus();
}

function field(value, label, onchange) {
  const isNumber = typeof value === "number";
  const size = Math.min(Math.max(String(value).length, 4), 24);
  return h("input", {
    value: String(value), size, "aria-label": label, spellcheck: false, autocomplete: "off",
    inputMode: isNumber ? "decimal" : "text",
    onchange: ({ target }) => {
      const entered = isNumber ? Number(target.value) : target.value.trim();
      if (entered === "" || (isNumber && (target.value.trim() === "" || !Number.isFinite(entered)))) {
        target.value = String(value);
        return;
      }
      onchange(entered);
    },
  });
}

function part(words, input, name, onremove) {
  return h("li", {},
    h("span", {}, words), input,
    h("button", {
      type: "button", className: "remove", title: "Remove", "aria-label": `Remove ${name}`,
      onclick: onremove,
    }, "×"));
}

function conditionPart(condition, place) {
  const words = `${condition.is_excluded ? "not " : ""}${condition.column} ${OPERATORS[condition.operator]}`;
  const input = field(condition.value, words, (value) => edit({
    conditions: state.reading.conditions.map((one, number) => number === place ? { ...one, value, words: "" } : one),
  }));
  return part(words, input, `${words} ${condition.value}`, () => removeFrom("conditions", place));
}

/** Show how the last request was understood. */
export function showReading() {
  const { reading } = state;
  show(byId("reading"), reading !== null);
  byId("reading-notes").textContent = notes.join("; ");
  if (!reading) return;
  const named = (words, key) => reading[key].map((id, place) =>
    part(`${words} ${getTitle(id)}`, null, getTitle(id), () => removeFrom(key, place)));
  const about = reading.text
    ? [part("about", field(reading.text, "about", (text) => edit({ text })), reading.text, () => edit({ text: "" }))]
    : [];
  byId("reading-parts").replaceChildren(
    ...named("like", "items"), ...named("not", "excluded_items"),
    ...reading.conditions.map(conditionPart), ...about,
  );
}

/** Remember what is listed, so that the next turn can say "the second one". */
export function rememberShown(list) {
  shown = list.recommendations.map((row) => row.item_id);
}

function forget() {
  notes = [];
  change({ reading: null });
  byId("words").focus();
}

export function startWords(tell) {
  byId("forget").addEventListener("click", forget);
  byId("words-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = byId("words").value.trim();
    if (!text) return;
    const body = { model: state.a, history: state.history, k: state.k, text };
    if (state.reading) Object.assign(body, { previous: state.reading, shown });
    document.body.classList.add("is-busy");
    try {
      const [list] = (await post("recommend", body)).lists;
      learnTitles(list.history);
      notes = list.request.notes;
      byId("words").value = "";
      change({ reading: clean(list.request) });
    } catch (error) {
      document.body.classList.remove("is-busy");
      tell(error.message, true);
    }
  });
}
