// The tabs of a report: one is shown at a time. An address names a tab, a place in one, or what the questions' filters say.

const tabs = [...document.querySelectorAll(".tab")];
const whenShown = {}; // by the tab's id: what is done each time it is shown, with the address's fields

function show(tab) {
  for (const each of tabs) each.hidden = each !== tab;
  for (const link of document.querySelectorAll(".tabs a")) {
    if (link.hash === `#${tab.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function follow() {
  const address = location.hash.slice(1), filtered = address.includes("=");
  const target = filtered ? byId("questions") : byId(address);
  const tab = target?.closest(".tab") ?? tabs[0];
  show(tab);
  const placed = await whenShown[tab.id]?.(filtered ? new URLSearchParams(address) : null);
  if (!address || placed) return;
  measureBars();
  if (!target || target === tab) { // the header stays in sight if it is
    if (tab.getBoundingClientRect().top < 0) tab.scrollIntoView();
    return;
  }
  target.closest("details")?.setAttribute("open", "");
  target.scrollIntoView();
}

// Headings must not come to lie under the bars that stick to the top, whose heights depend on their numbers of lines.
function measureBars() {
  const heights = [document.querySelector(".tabs"), byId("filters")].map((bar) =>
    bar?.offsetParent && getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0);
  document.documentElement.style.setProperty("--tabs", `${heights[0]}px`);
  document.documentElement.style.setProperty("--bars", `${heights[0] + heights[1]}px`);
}

addEventListener("hashchange", follow);
addEventListener("DOMContentLoaded", () => {
  for (const contents of document.querySelectorAll(".contents")) contents.open = matchMedia("(min-width: 42rem)").matches;
  new ResizeObserver(measureBars).observe(document.querySelector(".tabs"));
  if (byId("filters")) new ResizeObserver(measureBars).observe(byId("filters"));
  document.documentElement.classList.add("scripted");
  follow();
});
