// A comparison: tables that can be sorted, a baseline to choose, and every question with the answers of all runs.

// A button in every header of the runs' tables sorts by that column; a second click reverses the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  headers.forEach((header, column) => {
    const button = make("button", { type: "button" }, ...header.childNodes);
    header.append(button);
    const key = (row) => row.cells[column].dataset.key;
    button.addEventListener("click", () => {
      const falling = header.getAttribute("aria-sort") === "ascending";
      for (const each of headers) each.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        return x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y, "en", { numeric: true });
      });
      body.append(...(falling ? rows.reverse() : rows));
    });
  });
}

for (const choice of document.querySelectorAll(".baseline")) {
  const figures = [...choice.nextElementSibling.children];
  choice.hidden = false;
  choice.querySelector("select").addEventListener("input", (event) =>
    figures.forEach((figure, at) => (figure.hidden = at !== Number(event.target.value))));
}

// --- one question across the runs; the base stands before them

const STANDS = { right: (share) => share === 1, wrong: (share) => share === 0, partly: (share) => share > 0 && share < 1 };
const MARKS = { right: ["✓", "yes"], wrong: ["✗", "no"], partly: ["◐", ""] };
const standing = (share) => Object.keys(STANDS).find((name) => STANDS[name](share));

async function makeAcross(place) {
  const data = await unpacked(place.dataset.of), names = ["base", ...data.runs];
  const seeds = [[], ...data.seeds], several = names.filter((_, at) => seeds[at].length > 1);
  const selects = names.map((name, at) => make("select", { ariaLabel: name, data: { at } }));
  const text = make("input", { type: "search", placeholder: "in questions and answers" });
  const output = make("output"), list = make("div"), more = make("button", { type: "button", hidden: true }, "Show more");
  selects.forEach((select, at) => {
    const found = Object.keys(STANDS).filter((name) => data.items.some((item) => STANDS[name](item.sides[at].right)));
    select.append(make("option", { value: "" }, "any"), ...found.map((name) => make("option", {}, name)));
  });

  const mark = (share) => make("span", { className: MARKS[standing(share)][1] }, MARKS[standing(share)][0]);
  const head = (item) => [
    make("span", { className: "mark", title: names.join(", ") }, ...item.sides.map((side) => mark(side.right))),
    make("bdi", { className: "question" }, item.question),
    make("span", { className: "answers" }, "gold ", make("bdi", {}, item.gold))];
  const body = (item) => [make("div", { className: "group" }, ...item.sides.map((side, at) => {
    const verdict = side.correct ? "yes" : "no";
    const share = STANDS.partly(side.right) ? `${Math.round(100 * side.right)}% of its answers are right; the first: ` : "";
    const whose = seeds[at].length > 1 ? `, seed ${seeds[at][0]}` : "";
    return make("div", { className: "side" }, make("h4", {}, names[at] + whose),
      make("p", { className: "meta" }, share, make("b", { className: verdict }, `${side.correct ? "✓" : "✗"} ${side.why}`),
        " · answer ", make("b", { className: `decided ${verdict}` }, make("bdi", {}, side.answer ?? "none")),
        ` · ${side.tokens.toLocaleString("en")} tokens`),
      textOf(side.text, data.tags, verdict));
  }))];
  const rows = makeList(list, more, head, body, { step: 20, grows: false });
  const textsOf = (item) => (item.searched ??=
    [item.id, item.question, ...item.sides.map((side) => side.text.join(""))].join("\n").toLowerCase());

  function filter() {
    const searched = text.value.toLowerCase(), chosen = selects.filter((select) => select.value);
    const shown = data.items.filter((item) => chosen.every((select) =>
      STANDS[select.value](item.sides[select.dataset.at].right)) && (!searched || textsOf(item).includes(searched)));
    rows.show(shown);
    const said = chosen.map((select) => `${names[select.dataset.at]} ${select.value}`).join(", ");
    const missing = data.total - data.items.length;
    output.textContent = `${shown.length.toLocaleString("en")} of ${data.total.toLocaleString("en")} questions` +
      (said ? `: ${said}` : "") +
      (missing ? `; ${missing.toLocaleString("en")} on which the runs agree are not in this page, to keep it small` : "");
  }

  const legend = ["Marks: ", ...Object.entries(MARKS).flatMap(([name, [symbol, look]]) =>
    [make("span", { className: look }, symbol), ` ${name === "partly" ? "right in some of its answers" : name} · `]),
    `in this order: ${names.join(", ")}.` + (several.length ?
      ` Of ${several.join(", ")} the answers of all training seeds count, and the text shown is that of the first seed.` : "") +
      " The keys j and k go to the next and the previous question, Enter opens it."];
  place.addEventListener("input", filter);
  place.append(
    make("div", { className: "standings" }, ...selects.map((select, at) => make("label", {}, `${names[at]} `, select))),
    make("label", { className: "search" }, "Search ", text), make("p", { className: "meta" }, ...legend),
    make("p", { className: "found" }, output), list, more);
  filter();
}

document.querySelectorAll(".across").forEach(makeAcross);
