"use strict";
// Filters the questions; without it all of them are there. The filter lives in the address: #outcome=lost&text=apples
const filters = document.getElementById("filters");
const items = [...document.querySelectorAll(".item")];
const groups = [...document.querySelectorAll(".group")];
const outcome = () => filters.querySelector("[name=outcome]:checked").value;
const field = (name) => filters.querySelector(`[name=${name}]`);
const words = new Map();

// Search only the question and the answers, not the page's own words about them.
function text(item) {
  if (!words.has(item)) {
    const parts = [...item.querySelectorAll(".question, pre")].map((part) => part.textContent.toLowerCase());
    words.set(item, parts.join("\n"));
  }
  return words.get(item);
}

function wanted(of) {
  const chosen = outcome();
  return chosen === "all" || chosen === of || (chosen === "changed" && (of === "gained" || of === "lost"));
}

function show() {
  const rule = field("rule").value, searched = field("text").value.toLowerCase();
  let shown = 0;
  for (const item of items) {
    const fits = wanted(item.dataset.outcome) && (!rule || item.dataset.rules.split(" ").includes(rule)) &&
      (!searched || text(item).includes(searched));
    item.hidden = !fits;
    shown += fits;
  }
  for (const group of groups) {
    const inside = [...group.querySelectorAll(".item")];
    group.hidden = !wanted(group.dataset.outcome) || (inside.length > 0 && inside.every((item) => item.hidden));
  }
  const total = Number(document.getElementById("items").dataset.total), missing = total - items.length;
  const [some, all, absent] = [shown, total, missing].map((count) => count.toLocaleString("en"));
  filters.querySelector("output").textContent =
    `${some} of ${all} question${total === 1 ? "" : "s"} shown` + (missing ? `; ${absent} not in this page` : "");
}

function remember() {
  const asked = new URLSearchParams({ outcome: outcome() });
  for (const name of ["rule", "text"]) if (field(name).value) asked.set(name, field(name).value);
  history.replaceState(null, "", "#" + asked);
  show();
}

function recall() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (!["outcome", "rule", "text"].some((name) => asked.has(name))) return show();
  const radio = [...filters.querySelectorAll("[name=outcome]")].find((each) => each.value === (asked.get("outcome") ?? "all"));
  if (radio) radio.checked = true;
  for (const name of ["rule", "text"]) field(name).value = asked.get(name) ?? "";
  show();
  filters.scrollIntoView();
}

function visible() {
  return items.filter((item) => !item.hidden);
}

filters.addEventListener("input", remember);
field("open").addEventListener("click", () => visible().forEach((item) => (item.open = true)));
field("close").addEventListener("click", () => items.forEach((item) => (item.open = false)));
addEventListener("hashchange", recall);

// j and k move from question to question, as in a pager, and only while the focus is in the list.
document.getElementById("items").addEventListener("keydown", (event) => {
  if (!["j", "k"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
  const listed = visible(), at = listed.indexOf(event.target.closest(".item"));
  if (at >= 0) listed[at + (event.key === "j" ? 1 : -1)]?.querySelector("summary").focus();
});

// The focused element must not be hidden under the filter bar, whose height depends on its number of lines.
new ResizeObserver(() => {
  const covers = getComputedStyle(filters).position === "sticky" ? filters.offsetHeight : 0;
  document.documentElement.style.setProperty("--bar", `${covers + 8}px`);
}).observe(filters);

// Open folded parts for printing.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")].filter((each) => !each.hidden);
  folded.forEach((each) => (each.open = true));
});
addEventListener("afterprint", () => folded.forEach((each) => (each.open = false)));

filters.hidden = document.getElementById("keys").hidden = false;
recall();
