// The rollouts that the trainings kept: one group of a step, with its question and what each completion was rewarded for.

let rollouts = null; // made when its tab is first shown
whenShown.training = async () => {
  if (byId("kept-rollouts")) await (rollouts ??= makeRollouts(byId("kept-rollouts")));
};

async function makeRollouts(place) {
  const data = await unpacked("rollouts-data");
  const seed = make("select"), step = make("select"), range = make("input", { type: "range", min: 0, ariaLabel: "Step" });
  const before = make("button", { type: "button" }, "← before"), after = make("button", { type: "button" }, "next →");
  const shown = make("div");
  seed.append(...data.seeds.map((name, at) => make("option", { value: at }, name)));

  function fillSteps() {
    const groups = data.groups[seed.value];
    step.replaceChildren(...groups.map((group, at) => make("option", { value: at }, group.step)));
    range.max = groups.length - 1;
    go(groups.length - 1);
  }

  function go(at) {
    const groups = data.groups[seed.value], group = groups[Math.max(0, Math.min(at, groups.length - 1))];
    step.value = range.value = groups.indexOf(group);
    before.disabled = group === groups[0];
    after.disabled = group === groups.at(-1);
    const rewards = group.rollouts.map((each) => each.reward).filter((reward) => reward !== null);
    const mean = rewards.reduce((a, b) => a + b, 0) / rewards.length;
    const alike = rewards.every((reward) => reward === rewards[0]);
    const unrewarded = group.rollouts.length - rewards.length;
    shown.replaceChildren(
      make("h3", {}, `Step ${group.step}`),
      make("p", { className: "question" }, make("bdi", {}, group.question)),
      make("p", { className: "meta" }, "gold ", make("b", {}, make("bdi", {}, group.gold)),
        ` · ${group.rollouts.length} completions` + (rewards.length ? ` · mean reward ${number(mean)}` : "") +
        (unrewarded ? ` · ${unrewarded} without a reward, left out` : "") +
        (alike ? ": no two rewards differ, so there is nothing to learn from this group" : "")),
      make("div", { className: "group" },
        ...[...group.rollouts].sort((a, b) => worth(b) - worth(a)).map((each) => rollout(each, mean))));
  }

  function rollout(each, mean) {
    const parts = each.parts.map((value, at) => `${data.functions[at]} ${value === null ? "none" : number(value)}`);
    const none = each.reward === null;
    const better = none ? "" : each.reward > mean ? "yes" : each.reward < mean ? "no" : "";
    const apart = none ? "" : ` (${each.reward >= mean ? "+" : "−"}${number(Math.abs(each.reward - mean))} to the mean)`;
    return make("div", { className: "rollout" },
      make("p", { className: "meta" }, make("b", { className: better }, none ? "no reward" : `reward ${number(each.reward)}`),
        `${apart} · ${parts.join(" · ")} · ` +
        `${each.tokens.toLocaleString("en")} tokens${each.tokens < data.limit ? "" : ", the limit"}`),
      textOf([each.text], data.tags));
  }

  const worth = (each) => each.reward ?? -Number.MAX_VALUE; // without a reward: last
  const number = (value) => String(Number(value.toFixed(2))).replace("-", "−");
  seed.addEventListener("input", fillSteps);
  for (const each of [step, range]) each.addEventListener("input", () => go(Number(each.value)));
  before.addEventListener("click", () => go(Number(step.value) - 1));
  after.addEventListener("click", () => go(Number(step.value) + 1));
  const thinned = data.every > 1 ? `Every ${data.every} steps, to keep this page small; train/ has all.` : "";
  place.append(
    make("div", { className: "steps" }, make("label", { hidden: data.seeds.length < 2 }, "Seed ", seed),
      make("label", {}, "Step ", step), before, range, after),
    ...(thinned ? [make("p", { className: "meta" }, thinned)] : []), shown);
  fillSteps();
  place.hidden = false;
}
