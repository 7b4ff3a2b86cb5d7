"use strict";
// What every page uses: elements, packed data, hints, copying.

const byId = (id) => document.getElementById(id);

// An element with properties (data-* as data: {…}) and children; text is only ever text.
function make(name, { data = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  Object.assign(made.dataset, data);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// The record in a <template> that harness.report.page.packed made; null if the page has none of that name.
async function unpacked(id) {
  const packed = byId(id)?.content.textContent;
  if (!packed) return null;
  const characters = atob(packed), bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// --- hints: what a word or a point of a chart means, beside it while it is pointed at or has the focus

const hint = make("div", { id: "hint", role: "tooltip", ariaLive: "polite", hidden: true });
document.body.append(hint);

function hintAt(element) {
  const text = element?.dataset.hint;
  hint.hidden = !text;
  if (!text) return;
  hint.textContent = text;
  const { left, top, bottom, width } = element.getBoundingClientRect();
  const right = document.documentElement.clientWidth - hint.offsetWidth - 8;
  hint.style.left = `${Math.max(8, Math.min(left + width / 2 - hint.offsetWidth / 2, right))}px`;
  hint.style.top = `${top > hint.offsetHeight + 16 ? top - hint.offsetHeight - 6 : bottom + 6}px`;
}

for (const term of document.querySelectorAll(".term")) {
  term.dataset.hint = term.title; // the browser's own hint needs a mouse and a second
  term.setAttribute("aria-description", term.title);
  term.removeAttribute("title");
}
for (const column of document.querySelectorAll(".chart .column")) {
  column.dataset.hint = column.textContent;
  column.replaceChildren();
}
for (const [begin, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  addEventListener(begin, (event) => hintAt(event.target.closest?.("[data-hint]")));
  addEventListener(end, () => hintAt(null));
}
addEventListener("keydown", (event) => event.key === "Escape" && hintAt(null));

// A curve can have the focus; the arrow keys then go from step to step.
for (const chart of document.querySelectorAll(".chart:has(.column)")) {
  const columns = [...chart.querySelectorAll(".column")];
  let at = -1;
  const point = (to) => {
    columns[at]?.classList.remove("pointed");
    at = to;
    columns[at]?.classList.add("pointed");
    hintAt(columns[at]);
  };
  chart.setAttribute("tabindex", "0");
  chart.addEventListener("blur", () => point(-1));
  chart.addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    point(Math.max(0, Math.min(columns.length - 1, at + (event.key === "ArrowRight" ? 1 : -1))));
  });
}

// --- copying, also where a page of a file or of another machine may not use the clipboard

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1500);
}

addEventListener("click", (event) => {
  const button = event.target.closest("[data-copies]");
  if (button) copy(byId(button.dataset.copies).textContent, button);
});
