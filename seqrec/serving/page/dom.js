// Elements without markup: every text becomes a text node, whatever it holds.

export const byId = (id) => document.getElementById(id);

/** An element with properties, listeners (`onclick`), attributes (`aria-*`, `role`) and children. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function show(element, isShown) {
  element.hidden = !isShown;
}

export function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => h("option", { value }, text)));
  select.value = chosen;
}

export const number = (value) => value.toLocaleString("en");

export const times = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
