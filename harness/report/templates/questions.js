// The questions: a list that is filtered, sorted and searched. The address has all of that: #outcome=lost&text=apples,
// or one question: #q=40c374ea90760ff2

const CHANGED = ["gained", "lost"];
const SORTS = {
  "": ["what became of it", null],
  data: ["order in the data", (view) => view.item.at],
  longest: ["longest tuned answer", (view) => -view.tokens],
  shortest: ["shortest tuned answer", (view) => view.tokens],
  grew: ["grew most", (view) => view.baseTokens - view.tokens],
  shrank: ["shrank most", (view) => view.tokens - view.baseTokens],
};
const FORMATS = { "false,true": "gained", "true,false": "lost", "true,true": "kept", "false,false": "never had it" };
const BOUNDS = [50, 100, 200, 400];

// What a question can be filtered by: a label, and the values that a view of it has.
const FACETS = {
  format: ["Exact format", (view) => view.pairs.map(([a, b]) => FORMATS[[a.format, b.format]])],
  base: ["The base said", (view) => view.base.map((answer) => answer.why)],
  tuned: ["The tuned model said", (view) => view.tuned.map((answer) => answer.why)],
  rule: ["Rule that decided", (view) => view.answers.map((answer) => answer.rule ?? "none")],
  cut: ["Cut at the token limit", (view) => ["base", "tuned"].filter((side) => view[side].some((answer) => answer.cut))],
  disputed: ["Scorers of others disagree", (view) => view.answers.flatMap((answer) => answer.disputed)],
  tokens: ["Tokens of the tuned answer", (view) => {
    const above = BOUNDS.findIndex((bound) => view.tokens < bound);
    return [above < 0 ? `${BOUNDS.at(-1)} or more` : `${above ? BOUNDS[above - 1] : 0} to ${BOUNDS[above] - 1}`];
  }],
};

let gallery = null; // made when its tab is first shown
whenShown.questions = async (fields) => {
  gallery ??= makeGallery(await unpacked("questions-data"));
  return (await gallery).recall(fields);
};

function makeGallery(data) {
  const filters = byId("filters"), output = document.querySelector(".found output");
  const field = (name) => filters.querySelector(`[name=${name}]`) ?? document.querySelector(`.found [name=${name}]`);
  const chosen = (name) => filters.querySelector(`[name=${name}]:checked`)?.value;
  const several = data.seeds.length > 1;
  let seed = 0, ordered = [], fits = 0;

  // A question with the answers of one training seed, once for each; the texts for the search are made when needed.
  const views = data.seeds.map((_, of) => data.items.map((item) => {
    const base = item.base.answers, tuned = item.tuned[of].answers;
    const mean = (answers) => answers.reduce((sum, answer) => sum + answer.tokens, 0) / answers.length;
    return { id: item.id, item, base, tuned, outcome: item.outcomes[of], answers: [...base, ...tuned], tokens: mean(tuned),
      baseTokens: mean(base), pairs: base.map((answer, at) => [answer, tuned[at]]) };
  }));
  for (const each of views.flat()) {
    each.has = Object.fromEntries(Object.entries(FACETS).map(([name, [, values]]) => [name, new Set(values(each))]));
  }
  const textsOf = (view) => (view.searched ??=
    [view.item.id, view.item.question, ...view.answers.map((answer) => answer.text.join(""))].join("\n").toLowerCase());

  // --- the bar

  const radios = (name, values) => values.map((value) => make("label", {},
    make("input", { type: "radio", name, value }), make("span", { data: { value } })));
  byId("outcomes").append(...radios("outcome", ["changed", ...Object.keys(data.outcomes), "all"]));
  byId("seeds").append(...radios("seed", data.seeds.map(String)));
  byId("seeds").hidden = !several;
  for (const label of byId("seeds").querySelectorAll("span")) label.textContent = `seed ${label.dataset.value}`;
  field("sort").append(...Object.entries(SORTS).map(([value, [label]]) => make("option", { value }, label)));
  byId("facets").lastElementChild.append(...Object.entries(FACETS).map(([name, [label]]) =>
    make("label", {}, `${label} `, make("select", { name }))));

  // The values of a facet with the number of questions that have each.
  function fillFacets() {
    for (const name of Object.keys(FACETS)) {
      const counts = new Map(), before = field(name).value;
      for (const view of views[seed]) for (const value of view.has[name]) counts.set(value, (counts.get(value) ?? 0) + 1);
      const values = [...counts].sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
      const options = values.map(([value, count]) => make("option", { value }, `${value} (${count.toLocaleString("en")})`));
      field(name).replaceChildren(make("option", { value: "" }, "any"), ...options);
      field(name).value = counts.has(before) ? before : "";
      field(name).parentElement.hidden = !values.length;
    }
  }

  // --- one question

  const mark = (outcome) => make("span", { className: `mark ${outcome}` }, data.outcomes[outcome].join(" "));
  const said = (side) => side.of > 1 ? `${side.right} of ${side.of} right` : make("bdi", {}, side.answers[0].answer ?? "none");

  const headOf = ({ item, outcome }) => [mark(outcome), make("bdi", { className: "question" }, item.question),
    make("span", { className: "answers" }, "gold ", make("bdi", {}, item.gold), " · base ", said(item.base), " · tuned ",
      said(item.tuned[seed]))];

  function bodyOf(view) {
    const { item } = view;
    const link = make("a", { href: `#q=${item.id}` + (several ? `&seed=${data.seeds[seed]}` : "") }, "Link to this question");
    const button = make("button", { type: "button" }, "Copy as Markdown");
    button.addEventListener("click", () => copy(markdown(view), button));
    const differ = field("diff").checked && view.base.length === 1 &&
      difference(view.base[0].text.join(""), view.tuned[0].text.join(""));
    return [
      ...(several ? [seedsOf(item)] : []),
      make("div", { className: "pair" },
        side("base", item.base, item, differ ? differ[0] : []),
        side(several ? `tuned, seed ${data.seeds[seed]}` : "tuned", item.tuned[seed], item, differ ? differ[1] : [])),
      make("p", { className: "meta actions" }, `problem ${item.id} · `, link, " · ", button)];
  }

  // What became of the question with every seed; a click shows that seed's answers.
  function seedsOf(item) {
    const buttons = data.seeds.map((name, of) => {
      const made = make("button", { type: "button", ariaPressed: String(of === seed) },
        `seed ${name} `, mark(item.outcomes[of]), " ", said(item.tuned[of]));
      made.addEventListener("click", () => { pick("seed", String(name)); remember(); });
      return made;
    });
    return make("p", { className: "seeds" }, ...buttons);
  }

  function side(name, { of, answers }, item, differing) {
    const judged = answers.flatMap((answer) => {
      const verdict = answer.correct ? "yes" : "no";
      const notes = [answer.rule ? `rule ${answer.rule}` : "no rule", answer.format ? "exact format" : "not the exact format",
        `${answer.tokens.toLocaleString("en")} tokens${answer.cut ? ", cut at the limit" : ""}`,
        ...(answer.disputed.length ? [`judged otherwise by ${answer.disputed.join(", ")}`] : [])];
      return [
        make("p", { className: "meta" }, make("b", { className: verdict }, `${answer.correct ? "✓" : "✗"} ${answer.why}`),
          " · answer ", make("b", { className: `decided ${verdict}` }, make("bdi", {}, answer.answer ?? "none")),
          " · gold ", make("b", {}, make("bdi", {}, item.gold)), ` · ${notes.join(" · ")}`),
        textOf(answer.text, data.tags, verdict, differing)];
    });
    const first = of > answers.length ? [make("p", { className: "meta" }, `The first ${answers.length} of ${of} samples.`)] : [];
    return make("div", { className: "side" }, make("h4", {}, name), ...first, ...judged);
  }

  function markdown({ item, base, tuned }) {
    const whose = several ? `Tuned (seed ${data.seeds[seed]})` : "Tuned";
    const blocks = [["Base", base], [whose, tuned]].flatMap(([name, answers]) => answers.map((answer) => {
      const text = answer.text.join("");
      const fence = "`".repeat(Math.max(3, ...(text.match(/`+/g) ?? []).map((ticks) => ticks.length + 1)));
      return `**${name}** (${answer.why}; answer ${answer.answer ?? "none"}):\n\n${fence}text\n${text}\n${fence}`;
    }));
    return [`**Question** ${item.id}: ${item.question}`, `**Gold:** ${item.gold}`, ...blocks].join("\n\n") + "\n";
  }

  const list = makeList(byId("items"), byId("more"), headOf, bodyOf);

  // --- filtering

  const wanted = (outcome, of) => outcome === "all" || outcome === of || (outcome === "changed" && CHANGED.includes(of));

  function filter() {
    const outcome = chosen("outcome"), text = field("text").value.toLowerCase();
    const facets = Object.keys(FACETS).filter((name) => field(name).value);
    const fitting = ordered.filter((view) =>
      facets.every((name) => view.has[name].has(field(name).value)) && (!text || textsOf(view).includes(text)));
    const shown = fitting.filter((view) => wanted(outcome, view.outcome));
    list.show(shown);
    const count = (value) => fitting.filter((view) => wanted(value, view.outcome)).length;
    for (const label of byId("outcomes").querySelectorAll("span")) {
      const { value } = label.dataset, words = data.outcomes[value]?.join(" ") ?? (value === "changed" ? "▲▼ changed" : "all");
      label.replaceChildren(`${words} `, make("b", {}, count(value).toLocaleString("en")));
      label.parentElement.hidden = value === "partly" && !views[seed].some((view) => view.outcome === value);
    }
    byId("facets").firstElementChild.lastElementChild.textContent = facets.length ? ` (${facets.length})` : "";
    fits = fitting.length;
    report(outcome, shown.length);
  }

  function report(outcome, shown) {
    const some = shown.toLocaleString("en"), missing = data.total - data.items.length;
    const elsewhere = !shown && fits && outcome !== "all";
    output.textContent = !fits ? "No question fits the search and the filters." : elsewhere ? `0 in ${data.outcomes[outcome]?.[1] ?? outcome}, ${fits.toLocaleString("en")} in all →` :
      `${some} of ${data.total.toLocaleString("en")} question${data.total === 1 ? "" : "s"} shown` +
      (missing ? `; ${missing.toLocaleString("en")} are not in this page, to keep it small` : "");
    field("all").hidden = !elsewhere && fits > 0;
    field("all").textContent = fits ? "show" : "clear them";
  }

  function sort() {
    const rank = Object.keys(data.outcomes), value = SORTS[field("sort").value][1] ?? ((view) => rank.indexOf(view.outcome));
    ordered = [...views[seed]].sort((a, b) => value(a) - value(b) || a.item.at - b.item.at);
  }

  // --- the address

  const NAMED = ["text", "sort", ...Object.keys(FACETS)];

  function pick(name, value) {
    const radio = [...filters.querySelectorAll(`[name=${name}]`)].find((each) => each.value === value);
    if (radio) radio.checked = true;
    const of = data.seeds.map(String).indexOf(chosen("seed"));
    if (name === "seed" && of !== seed) draw(of);
  }

  function draw(of) {
    seed = of;
    list.forget();
    fillFacets();
    sort();
  }

  function remember() {
    filter();
    note();
  }

  function note() {
    const asked = new URLSearchParams({ outcome: chosen("outcome") });
    if (several) asked.set("seed", chosen("seed"));
    for (const name of NAMED) if (field(name).value) asked.set(name, field(name).value);
    if (field("diff").checked) asked.set("diff", "1");
    history.replaceState(null, "", `#${asked}`);
  }

  // Show what an address asks for; true if that has scrolled to a place of its own. Without fields nothing changes.
  function recall(fields) {
    if (!fields) return false;
    pick("seed", fields.get("seed") ?? String(data.seeds[0]));
    const one = views[seed].find((view) => view.item.id === fields.get("q"));
    pick("outcome", fields.get("outcome") ?? "all");
    for (const name of NAMED) field(name).value = fields.get(name) ?? "";
    for (const name of Object.keys(FACETS)) if (field(name).selectedIndex < 0) field(name).value = "";
    field("diff").checked = fields.has("diff");
    sort();
    filter();
    if (!one) return false;
    measureBars();
    list.reveal(one);
    return true;
  }

  filters.addEventListener("input", (event) => {
    if (event.target.name === "seed") draw(data.seeds.map(String).indexOf(chosen("seed")));
    if (event.target.name === "sort") sort();
    if (event.target.name !== "diff") return remember();
    list.renew();
    note();
  });
  field("all").addEventListener("click", () => {
    if (!fits) for (const name of ["text", ...Object.keys(FACETS)]) field(name).value = "";
    else pick("outcome", "all");
    remember();
  });
  // The panel of filters lies over the questions, and closes as a menu does.
  addEventListener("keydown", (event) => { if (event.key === "Escape") byId("facets").open = false; });
  addEventListener("click", (event) => { if (!byId("facets").contains(event.target)) byId("facets").open = false; });
  field("open").addEventListener("click", list.openAll);
  field("close").addEventListener("click", list.closeAll);

  filters.querySelector("[name=seed]").checked = filters.querySelector("[value=changed]").checked = true;
  draw(0);
  filter();
  byId("gallery").hidden = false;
  measureBars();
  return { recall };
}
