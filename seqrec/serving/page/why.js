// Why a title is listed: each title of the history left out, what followed it, how near it is.

import { h, number, times } from "./dom.js";

const SHOWN = 6;
const NOTABLE = 1.02;
const WIDEST = Math.log(4);

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const factorText = (factor) => `${factor.toFixed(factor >= 9.95 ? 0 : 2)}×`;

function strength(title) {
  if (title.factor !== null) return Math.log(title.factor);
  return title.followed?.share ?? title.cosine ?? 0;
}

const byStrength = (titles) => [...titles].sort((one, other) => strength(other) - strength(one));

/** The strongest reason in one line, as nodes. */
export function summarize(evidence) {
  if (!evidence?.titles.length) return [];
  const best = byStrength(evidence.titles)[0];
  const name = h("b", {}, best.title);
  if (best.factor !== null && best.factor > NOTABLE) {
    return [`${factorText(best.factor)} as likely because of `, name];
  }
  if (best.factor === null && best.followed) {
    return [`${percent(best.followed.share)} of what followed `, name];
  }
  return [];
}

function bar(share, kind) {
  const fill = h("span", { className: `fill ${kind}` });
  fill.style.width = `${Math.min(Math.max(share, 0), 1) * 100}%`;
  return h("span", { className: "track", "aria-hidden": "true" }, fill);
}

function factorCell(title) {
  const label = { "data-label": "Likelihood" };
  if (title.factor === null) return h("td", { className: "faint", ...label }, "–");
  const share = Math.abs(Math.log(title.factor)) / WIDEST;
  const kind = title.factor >= 1 ? "for" : "against";
  return h("td", { className: kind, ...label }, h("span", {}, factorText(title.factor)), bar(share, kind));
}

function followedCell(title, counting) {
  const label = { "data-label": "Followed it" };
  if (!title.followed) return h("td", { className: "faint", ...label }, "–");
  const { weight, share } = title.followed;
  const text = counting.is_weighted ? percent(share) : `${number(weight)}× · ${percent(share)}`;
  return h("td", label, text);
}

function cosineCell(title) {
  const label = { "data-label": "Similarity" };
  if (title.cosine === null) return h("td", { className: "faint", ...label }, "–");
  return h("td", label, h("span", {}, title.cosine.toFixed(2)), bar(title.cosine, "near"));
}

function rankCell(title, rank) {
  const steps = title.rank_without - rank;
  const text = steps ? `${number(rank)} → ${number(title.rank_without)}` : `stays ${number(rank)}`;
  const className = steps > 0 ? "for" : steps < 0 ? "against" : "faint";
  return h("td", { className, "data-label": "Rank without it" }, text);
}

function legend(counting, rest) {
  const parts = ["Each line leaves one watched title out and asks the model again: how many times as likely the title makes this one, and its rank among all unwatched titles with and without it."];
  if (counting) {
    parts.push(`“Followed it” is how often this title was among the next ${times(counting.max_steps, "title")} in training, and its share of them.`);
  }
  if (rest) parts.push(`${times(rest, "other title")} of the history did less.`);
  return h("p", { className: "faint" }, parts.join(" "));
}

/** The table of evidence for one listed title. */
export function whyPanel(row, evidence) {
  if (!evidence) return h("p", { className: "faint" }, "Asking the model …");
  const found = evidence.byItem.get(row.item_id);
  if (!found) return h("p", { className: "faint" }, "Only the first titles are explained.");
  const strong = [...found.titles].sort(
    (one, other) => Math.abs(strength(other)) - Math.abs(strength(one)),
  );
  const shown = byStrength(strong.slice(0, SHOWN));
  const heads = ["Watched", "Likelihood", "Rank without it", "Followed it", "Similarity"];
  return h("div", { className: "proof" },
    h("div", { className: "wide" },
      h("table", {},
        h("caption", {}, `Why ${row.title}`),
        h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, ...shown.map((title) =>
          h("tr", {},
            h("th", { scope: "row" }, title.title),
            factorCell(title),
            rankCell(title, found.rank),
            followedCell(title, evidence.counting),
            cosineCell(title),
          ))),
      )),
    legend(evidence.counting, found.titles.length - shown.length),
  );
}
