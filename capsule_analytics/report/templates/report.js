"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
// A page of one account has its deals; that of a group has the figures of its accounts.
const { texts = {}, columns = { id: [] }, accounts = null } = data;
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
const make = (tag, content = "", attributes = {}) => {
  const element = document.createElement(tag);
  element.append(...[content].flat());
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const count = columns.id.length;
const PAGE = 25;

// What deals are filtered by: the state of the page, and its address after "#".
const SELECTED = ["owner", "team", "pipeline", "milestone", "tag"];
const CHOSEN = ["period", "reason", "late"];
const LABELS = {
  account: "Account", owner: "Owner", team: "Team", pipeline: "Pipeline", milestone: "Milestone", tag: "Tag",
  period: "Closing in", reason: "Lost for", late: "Overdue", q: "Search",
};
const COLUMN_OF = { reason: "lost_reason" };
const state = {};

const code = (name, row) => (columns[name] ? columns[name][row] : -1);
const text = (name, row) => (code(name, row) < 0 ? data.none : texts[name][code(name, row)]);
const day = (value) => (value === null ? data.none : new Date(value * 864e5).toISOString().slice(0, 10));
const money = (cents, currency) => {
  if (cents === null) return data.none;
  const whole = Math.floor(Math.abs(cents) / 100 + 0.5);
  const sign = cents < 0 && whole ? "-" : "";
  return sign + (data.symbols[currency] ?? "") + whole.toLocaleString("en-GB");
};
const share = (percent) =>
  percent === null ? data.none : percent > 0 && percent < 1 ? "<1%" : `${Math.floor(percent + 0.5)}%`;
const deals = (number) => `${number.toLocaleString("en-GB")} deal${number === 1 ? "" : "s"}`;

// Deals that are meant: by the currency, the filters and the search, or by more conditions.
const test = (name, value) => {
  if (name === "tag") {
    const wanted = texts.tag ? texts.tag.indexOf(value) : -1;
    return (row) => columns.tag !== undefined && columns.tag[row].includes(wanted);
  }
  if (name === "status") {
    const wanted = texts.status.indexOf(value);
    return value === "any" ? () => true : (row) => columns.status[row] === wanted;
  }
  if (name === "late") return (row) => columns.late[row] === 1;
  if (name === "q") {
    const words = value.toLowerCase().split(/\s+/).filter(Boolean);
    return (row) => {
      const told = [columns.name[row], columns.id[row], ...["party", "owner", "milestone"].map((n) => text(n, row))]
        .join(" ").toLowerCase();
      return words.every((word) => told.includes(word));
    };
  }
  const column = COLUMN_OF[name] ?? name;
  if (!columns[column]) return () => false;
  const wanted = value === data.none ? -1 : texts[column].indexOf(value);
  return wanted < 0 && value !== data.none ? () => false : (row) => columns[column][row] === wanted;
};
const meeting = (conditions, rows) => {
  const tests = Object.entries(conditions).filter(([, value]) => value).map(([name, value]) => test(name, value));
  return rows.filter((row) => tests.every((meets) => meets(row)));
};
const everyRow = Array.from({ length: count }, (_, row) => row);
const pick = (names) => Object.fromEntries(names.filter((name) => state[name]).map((name) => [name, state[name]]));
const isFiltered = () => SELECTED.some((name) => state[name]);

// The rows of a table of the group that are of one account, and of its currency where it has one.
const rowsOf = (key, account, currency) => {
  const table = data.tables[key];
  const at = accounts.indexOf(account);
  if (!table || at < 0) return [];
  const rows = Array.from({ length: table.at[at + 1] - table.at[at] }, (_, row) => table.at[at] + row);
  return rows.filter((row) => !currency || !table.columns.currency || textIn(table, "currency", row) === currency);
};
const textIn = (table, name, row) => (table.columns[name][row] < 0 ? data.none : table.texts[name][table.columns[name][row]]);
const currenciesOf = (account) => rowsOf("accounts", account).map((row) => textIn(data.tables.accounts, "currency", row));

const sum = (rows, placed) => {
  const [open, won] = ["open", "won"].map((name) => texts.status.indexOf(name));
  const total = {
    open_deals: 0, open_value: 0, weighted_value: 0, overdue_deals: 0, overdue_value: 0, won_deals: 0,
    won_value: 0, expected_value: 0,
  };
  for (const row of rows) {
    const value = columns.tcv[row] ?? 0;
    const weighted = columns.weighted[row] ?? 0;
    if (columns.status[row] === open) {
      total.open_deals += 1;
      total.open_value += value;
      total.weighted_value += weighted;
      if (columns.late[row]) { total.overdue_deals += 1; total.overdue_value += value; }
      if (placed(row)) total.expected_value += weighted;
    } else if (columns.status[row] === won && placed(row)) {
      total.won_deals += 1;
      total.won_value += value;
      total.expected_value += value;
    }
  }
  return total;
};
const inQuarter = (row) => columns.quarter[row] === 1;

// The address of the page.
const parse = (words) => Object.fromEntries(new URLSearchParams(words.replaceAll("+", "%2B")));
const remember = () => {
  const words = Object.entries(state)
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
};
const KNOWN = ["currency", "account", "status", "q", "sort", ...SELECTED, ...CHOSEN];
const recall = () => {
  if (!location.hash.includes("=")) return;
  const asked = parse(location.hash.slice(1));
  for (const name of KNOWN) delete state[name];
  for (const name of KNOWN) if (asked[name]) state[name] = asked[name];
};

// Tabs: one currency at a time.
const currencies = all(".first").map((section) => section.dataset.currency);
const tabs = one(".tabs");
for (const currency of currencies.length > 1 ? currencies : []) {
  const tab = make("button", currency, { type: "button" });
  tab.addEventListener("click", () => change({ currency }));
  tabs.append(tab);
}
const showCurrency = () => {
  if (!currencies.includes(state.currency)) state.currency = currencies[0];
  const held = state.account ? currenciesOf(state.account) : [];
  if (held.length && !held.includes(state.currency)) state.currency = currencies.find((one) => held.includes(one)) ?? state.currency;
  for (const tab of tabs.children) tab.hidden = held.length > 0 && !held.includes(tab.textContent);
  for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.textContent === state.currency));
  for (const element of all("[data-currency]")) element.hidden = element.dataset.currency !== state.currency;
  for (const note of all(".rest")) note.hidden = currencies.length > 1;
};
for (const row of all("tr[data-tab]")) {
  const name = row.cells[0];
  const button = make("button", name.textContent, { type: "button", class: "link" });
  button.addEventListener("click", () => { change({ currency: row.dataset.tab }); scrollTo(0, 0); });
  name.replaceChildren(button);
}

// Filters.
const form = one(".filters");
const controls = {};
const field = (name, label, control) => {
  control.name = name;
  controls[name] = control;
  form.append(make("label", [make("span", label), control]));
  control.addEventListener(control.type === "search" ? "input" : "change", () => change({ [name]: control.value }));
};
for (const name of SELECTED) {
  if (!columns[name] || !texts[name].length) continue;
  const names = [...texts[name]].sort((a, b) => a.localeCompare(b));
  const missing = name !== "tag" && columns[name].includes(-1) ? [data.none] : [];
  const select = make("select", [make("option", "all", { value: "" }),
    ...[...names, ...missing].map((value) => make("option", value === data.none ? "none" : value, { value }))]);
  field(name, LABELS[name], select);
}
if (accounts) {
  const name = (value) => make("option", value || data.none, { value, dir: "auto" });
  field("account", LABELS.account, make("select", [make("option", "all together", { value: "" }), ...accounts.map(name)]));
}
if (!accounts) field("status", "Deals", make("select", [["", "open"], ["won", "won"], ["lost", "lost"], ["any", "open, won and lost"]]
  .map(([value, words]) => make("option", words, { value }))));
if (!accounts) field("q", "Search", make("input", "", { type: "search", placeholder: "name, party, id", size: 14 }));
const reset = make("button", "Show all", { type: "button" });
reset.addEventListener("click", () => change(Object.fromEntries(KNOWN.filter((name) => name !== "currency").map((name) => [name, ""]))));
const chips = make("span", "", { class: "chips" });
form.append(chips, reset);
form.addEventListener("submit", (event) => event.preventDefault());
const showFilters = () => {
  for (const [name, control] of Object.entries(controls)) {
    if (control.value !== (state[name] ?? "")) control.value = state[name] ?? "";
  }
  chips.replaceChildren(...CHOSEN.filter((name) => state[name]).map((name) => {
    const chip = make("button", [`${LABELS[name]} `, make("bdi", state[name]), " \u00d7"], { type: "button", "aria-label": `Remove ${LABELS[name]} ${state[name]}` });
    chip.addEventListener("click", () => change({ [name]: "" }));
    return chip;
  }));
  reset.hidden = accounts !== null || !KNOWN.some((name) => name !== "currency" && name !== "sort" && state[name]);
};

// A click on a column, a milestone, an owner or a reason shows the deals behind it.
const choose = (words) => {
  const wanted = parse(words);
  change({ status: "", period: "", reason: "", ...wanted });
  if (accounts) {
    scrollTo(0, 0);
    one("h2", sums).focus({ preventScroll: true });
    return;
  }
  const section = document.getElementById("deals");
  section.scrollIntoView({ block: "start" });
  one("h2", section).setAttribute("tabindex", "-1");
  one("h2", section).focus({ preventScroll: true });
};
for (const cell of all("tr[data-choose] td.choose")) {
  const button = make("button", [...cell.childNodes], { type: "button", class: "link", title: accounts ? "Show this account" : "Show these deals" });
  button.addEventListener("click", () => choose(cell.parentElement.dataset.choose));
  cell.append(button);
}

// Charts: one stop of the tab key each, arrows from column to column, figures on hover and focus.
const tip = one(".tip");
let pointed = null;
const hideTip = () => { pointed = null; tip.hidden = true; };
const showTip = (slot) => {
  pointed = slot;
  tip.textContent = slot.getAttribute("aria-label");
  tip.hidden = false;
  const [place, room] = [slot.getBoundingClientRect(), tip.getBoundingClientRect()];
  const left = Math.min(Math.max(8, place.left + place.width / 2 - room.width / 2), innerWidth - room.width - 8);
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${(place.top > room.height + 12 ? place.top - room.height - 6 : place.bottom + 6) + scrollY}px`;
};
for (const chart of all("figure.chart")) {
  const slots = all(".slot", chart);
  slots.forEach((slot, place) => {
    one("title", slot)?.remove();
    slot.setAttribute("tabindex", place === slots.length - 1 ? "0" : "-1");
    if (slot.dataset.choose) slot.setAttribute("role", "button");
    slot.addEventListener("pointerenter", () => showTip(slot));
    slot.addEventListener("pointerleave", hideTip);
    slot.addEventListener("focus", () => showTip(slot));
    slot.addEventListener("blur", hideTip);
    slot.addEventListener("click", () => { if (slot.dataset.choose) { hideTip(); choose(slot.dataset.choose); } });
    slot.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: slots.length - 1 }[event.key];
      if (to !== undefined && slots[to]) {
        event.preventDefault();
        slots.forEach((other, at) => other.setAttribute("tabindex", at === to ? "0" : "-1"));
        slots[to].focus();
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        if (slot.dataset.choose) choose(slot.dataset.choose);
      } else if (event.key === "Escape") hideTip();
    });
  });
}
addEventListener("scroll", () => { if (pointed) showTip(pointed); }, { passive: true, capture: true });

// Sums of a selection: tiles, and the tables and chart whose figures are sums.
const SUMMED = ["forecast", "milestones", "owners"];
const sums = one(".sums");
const tile = (name, figure, more = "", late = false) => make("div", [make("dt", name), make("dd", figure, { class: late ? "figure late" : "figure" }),
  ...(more ? [make("dd", more, { class: "muted" })] : [])], { class: "tile" });
const whole = new Map(); // what the cells hold when nothing is filtered
const before = (element, name) => {
  if (!element.hasAttribute(`data-whole-${name}`)) element.setAttribute(`data-whole-${name}`, element.getAttribute(name));
  return element.getAttribute(`data-whole-${name}`);
};
const showSums = () => {
  if (accounts) { showAccount(); return; }
  const filtered = isFiltered();
  const rows = meeting({ currency: state.currency, ...pick(SELECTED) }, everyRow);
  document.body.classList.toggle("filtered", filtered);
  sums.hidden = !filtered;
  if (filtered) {
    const total = sum(rows, inQuarter);
    const month = sum(meeting({ period: data.month }, rows), () => true);
    const written = (cents) => money(cents, state.currency);
    one(".tiles", sums).replaceChildren(
      tile("Open", written(total.open_value), deals(total.open_deals)),
      tile("Weighted", written(total.weighted_value), "all open deals"),
      ...(texts.period.includes(data.month) && data.now === data.month
        ? [tile(`Won in ${data.names.month}`, written(month.won_value))] : []),
      tile(`Won in ${data.names.quarter}`, written(total.won_value), deals(total.won_deals)),
      tile(`Won and weighted in ${data.names.quarter}`, written(total.expected_value)),
      tile("Overdue", written(total.overdue_value), deals(total.overdue_deals)),
    );
  }
  const ids = new Set(filtered ? rows.map((row) => String(columns.id[row])) : []);
  for (const row of all("#needs tr[data-deal]")) {
    row.hidden = row.dataset.currency !== state.currency || (filtered && !ids.has(row.dataset.deal));
  }
  for (const key of SUMMED) {
    const table = one(`#${key} table`);
    if (!table) continue;
    const names = [...table.tHead.rows[0].cells].map((head) => head.dataset.name);
    for (const row of table.tBodies[0].rows) {
      if (row.dataset.currency !== state.currency) continue;
      const wanted = parse(row.dataset.choose);
      const total = filtered ? sum(meeting(wanted, rows), key === "owners" ? inQuarter : () => true) : null;
      names.forEach((name, place) => {
        const cell = row.cells[place];
        if (!cell.classList.contains("num")) return;
        if (!whole.has(cell)) whole.set(cell, { nodes: [...cell.childNodes], order: cell.dataset.order });
        if (!filtered) {
          cell.replaceChildren(...whole.get(cell).nodes);
          cell.dataset.order = whole.get(cell).order;
        } else if (name in total) {
          cell.textContent = name.endsWith("_deals") ? total[name].toLocaleString("en-GB") : money(total[name], state.currency);
          cell.dataset.order = String(total[name]);
        } else {
          cell.textContent = data.none;
          cell.dataset.order = "";
        }
      });
    }
  }
  for (const chart of all("#forecast figure.chart")) {
    if (chart.closest("[data-currency]").dataset.currency === state.currency) drawSums(chart, filtered ? rows : null);
  }
};

// The bars of the forecast for a selection, at a scale of their own; null for all deals as drawn.
const compact = (amount) => {
  const [size, unit] = [[1e9, "B"], [1e6, "M"], [1e3, "K"]].find(([least]) => amount >= least) ?? [1, ""];
  return `${Number((amount / size).toPrecision(3))}${unit}`;
};
const drawSums = (chart, rows) => draw(chart, rows && all(".slot", chart).map((slot) => {
  const total = sum(meeting(parse(slot.dataset.choose), rows), () => true);
  return {
    won: [0, total.won_value], weighted: [total.won_value, total.expected_value],
    words: `selected deals: ${money(total.won_value, state.currency)} won, ${deals(total.open_deals)} open of ${money(total.open_value, state.currency)}, weighted ${money(total.weighted_value, state.currency)}`,
  };
}));
// Draw other marks: for each slot the ends of its marks in cents, by their kinds, and its words.
const draw = (chart, marks) => {
  const slots = all(".slot", chart);
  const labels = all(".axis span", chart);
  // Bars of a selection stand on the bottom line: those of negative amounts are not drawn.
  const lines = Math.max(labels.length - 1, 1);
  const highest = (slot) => Math.max(0, ...Object.values(slot).filter(Array.isArray).flat());
  const wanted = marks ? Math.max(...marks.map(highest), 0) / 100 / lines : 0;
  const power = 10 ** Math.floor(Math.log10(wanted || 1));
  const step = [1, 2, 2.5, 5, 10].map((size) => size * power).find((size) => size >= wanted * 0.9999);
  labels.forEach((label, place) => {
    label.dataset.whole ??= label.textContent;
    label.textContent = marks ? compact(step * place) : label.dataset.whole;
  });
  slots.forEach((slot, at) => {
    const ends = marks?.[at];
    const words = before(slot, "aria-label");
    const place = (cents) => 100 - Math.max(0, cents / step / lines);
    for (const bar of all("rect:not(.hit)", slot)) {
      const [y, height, kind] = ["y", "height", "class"].map((name) => before(bar, name));
      const [from, to] = (ends?.[kind] ?? ends?.bar ?? [0, 0]).map(place);
      bar.setAttribute("y", ends ? `${Math.min(from, to)}%` : y);
      bar.setAttribute("height", ends ? `${Math.abs(to - from)}%` : height);
      bar.setAttribute("class", ends?.as ?? kind);
    }
    for (const line of all(".range", slot)) {
      const [from, to] = [before(line, "y1"), before(line, "y2")];
      line.style.display = ends && !ends.range ? "none" : "";
      line.setAttribute("y1", ends?.range ? `${place(ends.range[1])}%` : from);
      line.setAttribute("y2", ends?.range ? `${place(ends.range[0])}%` : to);
    }
    slot.setAttribute("aria-label", ends ? `${words.split(":")[0]}, ${ends.words}` : words);
  });
};

// One account of a group: its figures in place of the group's, in the same tables and charts.
const projected = (get) => get("p90") !== null;
const READ = { // how the marks of a chart are read from the rows of its table
  forecast: (get) => ({
    won: [0, get("won_value")], weighted: [get("won_value"), get("won_value") + get("weighted_value")],
    ...(get("p90") === null ? {} : { range: [get("p10"), get("p90")] }),
    words: `${money(get("won_value"), state.currency)} won, ${deals(get("open_deals"))} open of ${money(get("open_value"), state.currency)}, weighted ${money(get("weighted_value"), state.currency)}`,
  }),
  projection: (get) => ({
    won: [0, get("won_value")], open: [get("won_value"), get("won_value") + get("open_value")],
    new: [get("won_value") + get("open_value"), get("expected_value")],
    ...(projected(get) ? { range: [get("p10"), get("p90")] } : {}),
    words: projected(get)
      ? `${money(get("expected_value"), state.currency)} expected: ${money(get("won_value"), state.currency)} won so far, ${money(get("open_value"), state.currency)} from open deals, ${money(get("new_value"), state.currency)} from business not yet in the list; P10 to P90 ${money(get("p10"), state.currency)} to ${money(get("p90"), state.currency)}`
      : `${money(get("won_value"), state.currency)} won`,
  }),
  revenue: (get) => ({
    won: [0, get("won_value")], weighted: [get("won_value"), get("won_value") + get("weighted_value")],
    words: `${money(get("won_value"), state.currency)} from won deals, ${money(get("weighted_value"), state.currency)} from open ones, weighted`,
  }),
};
const marksOf = (key, chart) => {
  const table = data.tables[key];
  const rows = new Map(rowsOf(key, state.account, state.currency).map((row) => [textIn(table, "key", row), row]));
  let running = 0;
  return all(".slot", chart).map((slot) => {
    const row = rows.get(slot.dataset.key);
    const get = (name) => {
      if (!table.columns[name] || (row === undefined && key === "projection" && name === "p90")) return null;
      return row === undefined ? 0 : table.columns[name][row];
    };
    if (key !== "changes") return READ[key](get);
    const end = ["opening", "closing"].includes(slot.dataset.key);
    const from = end ? 0 : running;
    running = end ? get("value") : running + get("value");
    return {
      bar: [from, running], as: end ? "total" : get("value") < 0 ? "less" : "more",
      words: `${money(get("value"), state.currency)}, ${deals(get("deals"))}`,
    };
  });
};
const groupRows = new Map(!accounts ? [] : Object.keys(data.tables) // the rows of a table as the page came
  .map((key) => [key, one(`#${key} table`)]).filter(([, table]) => table)
  .map(([key, table]) => [key, [...table.tBodies[0].rows]]));
const accountCell = (head, table, row) => {
  const { name, kind } = head.dataset;
  if (kind === "currency") return make("td", state.currency, { class: kind, "data-order": state.currency });
  const value = table.columns[name]?.[row] ?? null;
  if (kind === "text" || kind === "period") {
    const written = value === null ? data.none : textIn(table, name, row);
    return make("td", written, { class: kind, ...(kind === "text" ? { dir: "auto" } : {}), "data-order": written === data.none ? "" : written });
  }
  const written = value === null ? data.none
    : kind === "money" ? money(value, state.currency) : kind === "percent" ? share(value) : value.toLocaleString("en-GB");
  return make("td", written, { class: "num", "data-order": value === null ? "" : String(value) });
};
// What will probably be won by an account in the currency that is shown, in words; empty where it is not projected.
const said = (account) => (data.tables.outlook ? rowsOf("outlook", account, state.currency).map((row) => textIn(data.tables.outlook, "sentence", row)) : []);
const showAccount = () => {
  const { account } = state;
  const chosen = account !== undefined && accounts.includes(account);
  sums.hidden = !chosen;
  document.body.classList.toggle("filtered", chosen);
  // Of the group: what stands beside its accounts, and what its charts say in words.
  all(".currencies, #exceptions, .chart .words, .chart > .note").forEach((part) => { part.hidden = chosen; });
  for (const row of groupRows.get("accounts") ?? []) {
    const is = chosen && parse(row.dataset.choose).account === account;
    row.classList.toggle("chosen", is);
    if (is) row.setAttribute("aria-current", "true"); else row.removeAttribute("aria-current");
  }
  for (const first of all(".first")) {
    const room = chosen ? one(".drawn") : one(".card", first);
    const chart = document.getElementById(first.dataset.chart);
    const drawn = !chart?.id.endsWith("-projection") || said(account).length > 0;
    if (chart) chart.hidden = chosen && !drawn;
    if (chart && first.dataset.currency === state.currency) room.append(chart);
    else if (chart) one(".card", first).append(chart);
    first.hidden = chosen || first.dataset.currency !== state.currency;
  }
  for (const key of Object.keys(data.tables)) {
    for (const chart of all("figure.chart")) {
      if (chart.id === `c${currencies.indexOf(state.currency)}-${key}`) draw(chart, chosen ? marksOf(key, chart) : null);
    }
    const table = one(`#${key} table`);
    if (!table || key === "accounts") continue;
    const body = table.tBodies[0];
    const held = data.tables[key];
    const rows = chosen ? rowsOf(key, account, state.currency).filter((row) => !held.columns.past?.[row]) : [];
    body.replaceChildren(...(chosen
      ? rows.map((row) => make("tr", [...table.tHead.rows[0].cells].map((head) => accountCell(head, held, row))))
      : groupRows.get(key)));
  }
  if (!chosen) return;
  one("h2", sums).textContent = account || data.none;
  one(".lead", sums).textContent = said(account).join(" ");
  one(".selection", sums).textContent = data.problems[accounts.indexOf(account)];
  const [row] = rowsOf("accounts", account, state.currency);
  const get = (name) => data.tables.accounts.columns[name]?.[row] ?? null;
  const written = (name) => money(get(name), state.currency);
  const range = (low, high) => (get(low) === null ? "" : `if all stated is right ${written(low)} to ${written(high)}`);
  const first = said(account).length > 0
    ? [["month", "month_"], ["quarter", ""]].map(([period, before]) => tile(
      `Projected for ${data.projected[period]}`, written(`${before}projected_value`),
      `P10 to P90: ${written(`${before}projected_p10`)} to ${written(`${before}projected_p90`)}`,
    )) : [
      tile(`Weighted for ${data.names.month}`, written("month_expected_value"), range("month_p10", "month_p90")),
      tile(`Weighted for ${data.names.quarter}`, written("expected_value"), range("p10", "p90")),
    ];
  one(".tiles", sums).replaceChildren(...(row === undefined ? [] : [
    ...first,
    tile(`Won in ${data.names.month}`, written("month_won_value")),
    tile(`Won in ${data.names.quarter}`, written("won_value")),
    tile("Open", written("open_value"), `${deals(get("open_deals"))}, weighted ${written("weighted_value")}`),
    tile("Overdue", written("overdue_value"), `${deals(get("overdue_deals"))} open past the close date`, get("overdue_deals") > 0),
  ]));
};
if (accounts) {
  const back = make("button", "Back to the group", { type: "button", class: "screen" });
  back.addEventListener("click", () => { change({ account: "" }); scrollTo(0, 0); });
  one(".tools", sums).append(back);
}

// The table of deals.
const COLUMNS = [
  { name: "id", label: "Id", value: (row) => columns.id[row], numeric: true },
  { name: "name", label: "Deal", value: (row) => columns.name[row] },
  ...["party", "owner", "team", "pipeline", "milestone", "lost_reason", "status"].filter((name) => columns[name]).map((name) => ({
    name, label: { party: "Party", lost_reason: "Lost for", status: "Status" }[name] ?? LABELS[name],
    value: (row) => (code(name, row) < 0 ? "" : text(name, row)), hidden: ["team", "pipeline", "lost_reason", "status"].includes(name),
  })),
  ...(columns.tag ? [{ name: "tag", label: "Tags", value: (row) => columns.tag[row].map((at) => texts.tag[at]).join(", "), hidden: true }] : []),
  { name: "close", label: "Expected close", value: (row) => columns.close[row], written: (row) => day(columns.close[row]), day: true },
  { name: "closed", label: "Closed", value: (row) => columns.closed[row], written: (row) => day(columns.closed[row]), day: true, hidden: true },
  { name: "late", label: "Note", value: (row) => (columns.late[row] ? "overdue" : "") },
  { name: "probability", label: "Probability", value: (row) => columns.probability[row], written: (row) => share(columns.probability[row]), numeric: true },
  ...(columns.likely ? [{ name: "likely", label: "Won this quarter", value: (row) => columns.likely[row], written: (row) => share(columns.likely[row]), numeric: true }] : []),
  { name: "tcv", label: "TCV", value: (row) => columns.tcv[row], written: (row) => money(columns.tcv[row], text("currency", row)), numeric: true, cents: true },
  { name: "weighted", label: "Weighted", value: (row) => columns.weighted[row], written: (row) => money(columns.weighted[row], text("currency", row)), numeric: true, cents: true },
];
const dealSection = document.getElementById("deals");
let shownRows = PAGE;
let sortBy = { name: "tcv", down: true };
const matching = () => {
  const conditions = { currency: state.currency, status: state.status || (state.reason ? "lost" : "open"), ...pick(["q", ...SELECTED, ...CHOSEN]) };
  const rows = meeting(conditions, everyRow);
  const column = COLUMNS.find((other) => other.name === sortBy.name);
  const empty = (value) => value === null || value === "";
  return rows.sort((a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    const order = typeof x === "number" ? x - y : x.localeCompare(y);
    return sortBy.down ? -order : order;
  });
};
const visible = () => COLUMNS.filter((column) => !column.hidden);
const dealCell = (column, row) => {
  const value = column.value(row);
  const written = column.written ? column.written(row) : value === "" || value === null ? data.none : String(value);
  if (column.name === "name" && data.link) {
    return make("td", make("a", value || String(columns.id[row]), { href: data.link + columns.id[row], target: "_blank", rel: "noopener noreferrer" }), { dir: "auto", class: "text name" });
  }
  return make("td", written, column.numeric ? { class: "num" } : column.day ? { class: "day" } : { class: `text${column.name === "name" ? " name" : ""}`, dir: "auto" });
};
// As in the CSV files beside the page: no cell runs as a formula, wherever a program parts cells and
// lines, and control characters are their pictures.
const SIGN = "[\\s\\u0085\\u00ad\\u034f\\u061c\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff\"]*"
  + "[=+\\-@\\uff1d\\uff0b\\uff0d\\uff20\\ufe66\\ufe62\\ufe63\\ufe6b\\u2212\\u207a-\\u207c\\u208a-\\u208c]";
const FIRST = new RegExp(`^(?:${SIGN}|[\\t\\n])`);
const LATER = new RegExp(`([\\n\\t;\\u0085\\u2028\\u2029])(?=${SIGN})`, "g");
const picture = (found) => String.fromCharCode(found === "\x7f" ? 0x2421 : 0x2400 + found.charCodeAt(0));
const withoutFormulas = (value) => {
  const readable = value.replace(/\r\n?/g, "\n").replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/g, picture);
  return (FIRST.test(readable) ? "'" : "") + readable.replace(LATER, "$1'");
};
const quoted = (value, numeric = false) => {
  const safe = numeric ? String(value ?? "") : withoutFormulas(String(value ?? ""));
  return /[",;\t\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};
const csv = () => {
  const shown = [...visible(), { label: "Currency", value: (row) => text("currency", row) }];
  const plain = (column, row) => {
    const value = column.value(row);
    if (column.day) return value === null ? "" : day(value);
    return column.cents && value !== null ? (value / 100).toFixed(2) : value;
  };
  const lines = matching().map((row) => shown.map((column) => quoted(plain(column, row), column.numeric)).join(","));
  return [shown.map((column) => quoted(column.label)).join(","), ...lines].join("\r\n");
};
const copy = async (words) => {
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    const area = make("textarea", "", { "aria-hidden": "true", class: "aside" });
    area.value = words;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};
const tools = make("div", "", { class: "tools screen" });
const told = make("p", "", { class: "note", role: "status" });
const more = make("button", "", { type: "button", class: "screen" });
if (dealSection) {
  all(":scope > :not(h2)", dealSection).forEach((element) => element.remove());
  const chooser = make("details", make("summary", "Columns"));
  for (const column of COLUMNS) {
    const box = make("input", "", { type: "checkbox" });
    box.checked = !column.hidden;
    box.addEventListener("change", () => { column.hidden = !box.checked; showDeals(); });
    chooser.append(make("label", [box, ` ${column.label}`]));
  }
  const button = make("button", "Copy as CSV", { type: "button", class: "csv" });
  button.addEventListener("click", async () => {
    await copy(csv());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy as CSV"; }, 2000);
  });
  tools.append(chooser, button);
  const room = make("div", make("table"), { class: "scroll", role: "region", tabindex: "0", "aria-label": "Deals, table" });
  more.addEventListener("click", () => { shownRows += 4 * PAGE; showDeals(); });
  dealSection.append(told, tools, room, more);
}
const showDeals = () => {
  if (!dealSection) return;
  const rows = matching();
  const shown = visible();
  const head = make("tr", shown.map((column) => {
    const sorted = column.name === sortBy.name;
    const button = make("button", column.label, { type: "button" });
    button.addEventListener("click", () => {
      sortBy = { name: column.name, down: sorted ? !sortBy.down : Boolean(column.numeric) };
      showDeals();
      one("th[aria-sort] button", dealSection)?.focus();
    });
    return make("th", button, { scope: "col", ...(column.numeric ? { class: "num" } : {}), ...(sorted ? { "aria-sort": sortBy.down ? "descending" : "ascending" } : {}) });
  }));
  const body = rows.slice(0, shownRows).map((row, place) => make("tr", shown.map((column) => dealCell(column, row)), place >= 6 ? { class: "more" } : {}));
  one("table", dealSection).replaceChildren(make("thead", head), make("tbody", body));
  const total = (name) => money(rows.reduce((before, row) => before + (columns[name][row] ?? 0), 0), state.currency);
  told.textContent = !rows.length ? "No deals meet the filters." : `${deals(rows.length)}, TCV ${total("tcv")}, weighted ${total("weighted")}.`;
  more.hidden = rows.length <= shownRows;
  more.textContent = `Show ${Math.min(4 * PAGE, rows.length - shownRows)} more of ${(rows.length - shownRows).toLocaleString("en-GB")}`;
};

// Long tables are folded until they are asked for.
const SEEN = 10;
const fold = (table) => {
  const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const folds = !table.dataset.open && rows.length > SEEN + 3;
  const printed = Number(table.dataset.printed);
  rows.forEach((row, place) => {
    row.classList.toggle("folded", folds && place >= SEEN);
    row.classList.toggle("more", place >= printed);
  });
  const note = one(".print", table.closest("section"));
  if (note) note.textContent = rows.length > printed ? `${rows.length - printed} more rows.` : "";
  const button = table.parentElement.nextElementSibling;
  button.hidden = !folds;
  button.textContent = `Show all ${rows.length} rows`;
};

// Sorting of the other tables.
for (const table of all("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = make("button", [...head.childNodes], { type: "button" });
    head.append(button);
    const numeric = head.classList.contains("num");
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const down = before === null ? numeric : before === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[place].dataset.order;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = numeric ? x - y : x.localeCompare(y);
        return down ? -order : order;
      });
      body.append(...rows);
      fold(table);
    });
  });
  const button = make("button", "", { type: "button", class: "unfold screen" });
  button.addEventListener("click", () => { table.dataset.open = "yes"; fold(table); });
  table.parentElement.after(button);
}

const show = () => {
  showCurrency();
  showFilters();
  showSums();
  // The coming months stand at the right end.
  for (const scroll of all("[id$='-projection'] .scroll, [id$='-track'] .scroll")) scroll.scrollLeft = scroll.scrollWidth;
  all("table.sortable").forEach(fold);
  showDeals();
};
function change(more) {
  Object.assign(state, more);
  shownRows = PAGE;
  show();
  remember();
}
one(".filter").open = innerWidth > 700;
recall();
one(".bar").hidden = !count && !accounts?.length;
show();
addEventListener("hashchange", () => { recall(); show(); });
})();
