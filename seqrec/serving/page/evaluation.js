// The table of an evaluation, in a dialog.

import { get } from "./api.js";
import { byId, h, show } from "./dom.js";

const isNumber = (text) => /^[\d.,+-]+( \(.*\))?$/.test(text);

function tableCell(text, place) {
  if (place === 0) return h("th", { scope: "row" }, text);
  const [, value, spread] = text.match(/^(.*?)(?: \((.*)\))?$/s);
  const className = isNumber(text) ? "number" : "";
  return h("td", { className }, value, spread ? h("small", {}, spread) : null);
}

export async function startEvaluation() {
  const found = await get("evaluation");
  if (!found.rows.length) return;
  const dialog = byId("evaluation");
  byId("evaluation-table").replaceChildren(
    h("table", {},
      h("thead", {}, h("tr", {}, ...found.columns.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...found.rows.map((row) => h("tr", {}, ...row.map(tableCell)))),
    ),
  );
  const notes = found.notes.map((text) => h("p", { className: "faint" }, text));
  byId("evaluation-notes").replaceChildren(...notes);
  show(byId("show-evaluation"), true);
  byId("show-evaluation").addEventListener("click", () => dialog.showModal());
  byId("close-evaluation").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
