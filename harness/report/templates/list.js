// A list of questions whose rows are made when they are to be seen, so that a search is as fast among thousands.

// head and body: of one entry, the children of its <summary>, and what is shown when it is open. An entry has an id.
// step: the rows that are added at a time, when the button `more` is clicked or, if the list `grows`, comes into view.
function makeList(place, more, head, body, { step = 100, grows = true } = {}) {
  const rows = new Map(), opened = new Set(); // by id: the rows, and the questions that are open
  let entries = [], made = 0;

  function rowOf(entry) {
    const { id } = entry;
    if (!rows.has(id)) {
      const row = make("details", { className: "item", open: opened.has(id), data: { id } },
        make("summary", {}, ...head(entry)), make("div"));
      row.addEventListener("toggle", () => {
        if (row.open) row.lastChild.replaceChildren(...body(entry));
        opened[row.open ? "add" : "delete"](id);
      });
      rows.set(id, row);
    }
    return rows.get(id);
  }

  function render(upTo) {
    made = upTo;
    place.replaceChildren(...entries.slice(0, upTo).map(rowOf));
    more.hidden = upTo >= entries.length;
  }

  more.addEventListener("click", () => render(made + step));
  if (grows) new IntersectionObserver(([seen]) => seen.isIntersecting && more.click(), { rootMargin: "1000px" }).observe(more);

  // j and k move from question to question, as in a pager: from the one with the focus, or while nothing has it from
  // the first in sight, so that letters typed into a field stay letters.
  addEventListener("keydown", (event) => {
    if (!["j", "k"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const row = place.contains(event.target) ? event.target.closest(".item") : null;
    const bars = parseFloat(document.documentElement.style.getPropertyValue("--bars")) || 0;
    const near = (each) => each.getBoundingClientRect().top >= bars && each.getBoundingClientRect().top < innerHeight;
    const next = row ? (event.key === "j" ? row.nextElementSibling : row.previousElementSibling)
      : event.target === document.body && place.offsetParent ? [...place.children].find(near) : null;
    if (!next) return;
    next.firstChild.focus();
    event.preventDefault();
  });

  return {
    show(wanted) {
      entries = wanted;
      render(step);
    },
    // Make all rows anew, for entries that are shown otherwise than before.
    renew() {
      rows.clear();
      render(made);
    },
    forget: () => rows.clear(),
    openAll() {
      render(entries.length);
      for (const row of place.children) row.open = true;
    },
    closeAll() {
      for (const row of rows.values()) row.open = false;
    },
    // Open one and go to it.
    reveal(entry) {
      render(Math.max(step, entries.indexOf(entry) + 1));
      const row = rowOf(entry);
      row.open = true;
      row.lastChild.replaceChildren(...body(entry)); // now, since it is to be scrolled to
      row.firstChild.focus({ preventScroll: true });
      row.scrollIntoView();
      requestAnimationFrame(() => row.scrollIntoView()); // the rows above it have their real heights only now
    },
  };
}
