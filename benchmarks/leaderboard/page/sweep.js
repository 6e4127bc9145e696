// A sweep's page: charts whose marks are trials, and their table. What is pointed at in one is shown in all.

const data = JSON.parse(byId("data").textContent);
const scored = data.trials.filter((trial) => !isMissing(trial.objective));
const complete = scored.filter((trial) => trial.state === "finished");
const label = (trial) => `trial ${trial.name ?? trial.number}`;
const named = (trial) => data.parameters.map((parameter, place) => [parameter.name, short(trial.values[place])]);
const words = (trial) => `${label(trial)}, ${trial.state}: score ${fixed(trial.objective, 1)}, PSR ${fixed(trial.psr, 1)} %, `
  + `${isMissing(trial.psnr) ? "no PSNR" : `${trial.psnr.toFixed(1)} dB`}; ${named(trial).map((pair) => pair.join(" ")).join(", ")}`;
const kind = (trial) => (trial.number === data.best ? "best" : trial.state === "finished" ? "" : "early");

/** Mark a trial in all charts and say what it is. */
function point(trial) {
  for (const each of document.querySelectorAll(".hot")) each.classList.remove("hot");
  for (const each of document.querySelectorAll(`[data-trial="${trial.number}"]`)) {
    each.classList.add("hot");
    if (each.classList.contains("line")) each.parentNode.append(each); // above the others
  }
  say(words(trial));
}

function choose(trial) {
  point(trial);
  byId("chosen-title").textContent = words(trial).split(":")[0];
  byId("chosen").querySelector("dl").replaceChildren(...entries(trial));
  byId("command").textContent = trial.command;
  byId("chosen").hidden = false;
  byId("chosen").focus();
}

function entries(trial) {
  const measured = [["score", fixed(trial.objective, 1)], ["PSR", `${fixed(trial.psr, 1)} %`],
    ["PSNR", isMissing(trial.psnr) ? MISSING : `${trial.psnr.toFixed(1)} dB`], ["seconds per image", seconds(trial.seconds_per_image)]];
  return [...named(trial), ...measured].flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
}

/** Make an element stand for a trial: it can be pointed at, focused and chosen. */
function stand(element, trial, focusable = true) {
  element.dataset.trial = trial.number;
  element.addEventListener("pointerenter", () => point(trial));
  element.addEventListener("click", () => choose(trial));
  if (focusable) {
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", words(trial));
    element.addEventListener("focus", () => point(trial));
    element.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(trial); } });
  }
  return element;
}

function mark(trial, x, y, more = "") {
  const radius = complete.length > 200 ? 3 : 5;
  return stand(draw("g", { class: `mark ${kind(trial)} ${more}` }, draw("circle", { class: "target", cx: x, cy: y, r: radius + 4 }),
    draw("circle", { class: "dot", cx: x, cy: y, r: radius })), trial, scored.length <= 200);
}

function legend(...items) {
  return make("div", { className: "legend" }, ...items.map(([name, text]) => make("span", {}, make("i", { className: name }), text)));
}

const empty = (text) => make("p", { className: "empty" }, text);
const SIZE = { width: 640, height: 330 };

function showHistory() {
  if (!scored.length) return empty("No trial has a score yet.");
  const x = scale(scored.map((trial) => trial.number), [48, 620], { margin: 0.02 });
  const y = scale(scored.map((trial) => trial.objective), [280, 34], { margin: 0.06 });
  const svg = plane({ ...SIZE, x, y, names: ["trial", "score"], title: "Score of each trial" });
  let best = -Infinity;
  let path = "";
  for (const trial of complete) {
    if (path) path += `H${x(trial.number)}`;
    best = Math.max(best, trial.objective);
    path += path ? `V${y(best)}` : `M${x(trial.number)},${y(best)}`;
  }
  if (path) svg.append(draw("path", { class: "best-so-far", d: `${path}H${x(x.high)}` }));
  svg.append(...scored.map((trial) => mark(trial, x(trial.number), y(trial.objective))));
  return [svg, legend(["", "finished"], ["early", "ended early or running"], ["best", "best"], ["step", "best so far"])];
}

/** The trials that no other complete one beats in both PSR and PSNR. */
function front(trials) {
  const ordered = [...trials].sort((one, two) => two.psnr - one.psnr || two.psr - one.psr);
  let highest = -Infinity;
  return ordered.filter((trial) => trial.psr > highest && ((highest = trial.psr), true));
}

function showPareto() {
  const known = scored.filter((trial) => !isMissing(trial.psnr) && !isMissing(trial.psr));
  if (!known.length) return empty("No trial has both a PSR and a PSNR yet.");
  const x = scale(known.map((trial) => trial.psnr), [48, 620], { margin: 0.05 });
  const y = scale(known.map((trial) => trial.psr), [280, 34], { margin: 0.06 });
  const svg = plane({ ...SIZE, x, y, names: ["PSNR, dB (better pictures to the right)", "PSR, %"], title: "Success and quality" });
  const best = front(known.filter((trial) => trial.state === "finished"));
  svg.append(draw("path", { class: "front", d: best.map((trial, place) => `${place ? "L" : "M"}${x(trial.psnr)},${y(trial.psr)}`).join("") }));
  svg.append(...known.map((trial) => mark(trial, x(trial.psnr), y(trial.psr), best.includes(trial) ? "on-front" : "")));
  return [svg, legend(["", "finished"], ["early", "ended early or running"], ["on-front", "no other is better in both"], ["best", "best score"])];
}

/** The name of an axis in two lines, the method and its setting; the first and last axis have room on one side only. */
function heads(axis, width) {
  const dot = axis.name.indexOf(".");
  const anchor = axis.x < 100 ? "start" : axis.x > width - 100 ? "end" : "middle";
  const x = anchor === "start" ? 8 : anchor === "end" ? width - 8 : axis.x;
  const lines = dot < 0 ? ["", axis.name] : [axis.name.slice(0, dot + 1), axis.name.slice(dot + 1)];
  return lines.map((text, place) => draw("text", { class: place ? "name" : "", x, y: 22 + 17 * place, "text-anchor": anchor }, text));
}

/** An axis for each parameter, and the score; a line is a trial. */
function showParallel() {
  if (!scored.length) return empty("No trial has a score yet.");
  const axes = [...data.parameters.map((parameter, place) => ({ ...parameter, value: (trial) => trial.values[place] })),
    { name: "score", log: false, choices: null, value: (trial) => trial.objective }];
  const width = Math.max(1240, 150 * axes.length);
  const [left, right, top, bottom] = [70, width - 60, 64, 330];
  const svg = draw("svg", { viewBox: `0 0 ${width} 350`, role: "group", "aria-label": "Settings and scores" });
  svg.style.minWidth = `${Math.max(700, 110 * axes.length)}px`;
  axes.forEach((axis, place) => {
    axis.x = left + (place / (axes.length - 1)) * (right - left);
    if (axis.choices) {
      const gap = axis.choices.length > 1 ? (bottom - top) / (axis.choices.length - 1) : 0;
      axis.y = (value) => bottom - Math.max(0, axis.choices.indexOf(String(value))) * gap;
      axis.labels = axis.choices.map((choice) => [choice, axis.y(choice)]);
    } else {
      axis.y = scale(scored.map(axis.value), [bottom, top], { log: axis.log });
      axis.labels = ticks(axis.y.low, axis.y.high, axis.y.log).map((value) => [short(value), axis.y(value)]);
    }
  });
  const ordered = [...scored].sort((one, two) => one.objective - two.objective);
  const path = (trial) => axes.map((axis, place) => `${place ? "L" : "M"}${axis.x.toFixed(1)},${axis.y(axis.value(trial)).toFixed(1)}`).join("");
  const lines = draw("g");
  ordered.forEach((trial, place) => {
    const line = draw("path", { class: `line ${kind(trial)}`, d: path(trial) });
    line.style.setProperty("--share", `${Math.round((100 * place) / Math.max(1, ordered.length - 1))}%`);
    line.dataset.trial = trial.number;
    lines.append(line);
  });
  svg.append(lines, ...ordered.map((trial) => stand(draw("path", { class: "reach", d: path(trial) }), trial, false)));
  for (const axis of axes) {
    svg.append(draw("line", { class: "grid", x1: axis.x, x2: axis.x, y1: top, y2: bottom }),
      ...heads(axis, width),
      ...axis.labels.map(([text, y]) => draw("text", { x: axis.x - 7, y: y + 4, "text-anchor": "end" }, text)));
  }
  return [svg, legend(["best", "best"], ["", "the stronger the colour, the higher the score"])];
}

function showImportance() {
  byId("importance-section").hidden = !data.importance.length;
  const svg = draw("svg", { viewBox: `0 0 640 ${20 + 34 * data.importance.length}`, role: "img",
    "aria-label": data.importance.map(([name, share]) => `${name} ${Math.round(100 * share)} %`).join(", ") });
  data.importance.forEach(([name, share], place) => {
    const y = 14 + 34 * place;
    svg.append(draw("text", { class: "name", x: 232, y: y + 15, "text-anchor": "end" }, name),
      draw("rect", { class: "bar", x: 240, y, width: Math.max(1, 320 * share), height: 22, rx: 3 }),
      draw("text", { x: 248 + 320 * share, y: y + 15 }, `${Math.round(100 * share)} %`));
  });
  return svg;
}

function showTrials() {
  const measure = (key, text, digits) => ({ key, label: text, number: true, value: (trial) => trial[key],
    show: (trial) => (key === "psnr" && isMissing(trial.psnr) ? MISSING : fixed(trial[key], digits)) });
  const columns = [
    { key: "number", label: "trial", value: (trial) => trial.number, show: (trial) => String(trial.name ?? trial.number) },
    { key: "state", label: "state", value: (trial) => trial.state, show: (trial) => trial.state },
    measure("objective", "score", 1), measure("psr", "PSR %", 1), measure("psnr", "PSNR dB", 1), measure("seconds_per_image", "s per image", 2),
    ...data.parameters.map((parameter, place) => ({ key: `=${parameter.name}`, label: parameter.name,
      number: !parameter.choices, value: (trial) => trial.values[place], show: (trial) => short(trial.values[place]) })),
    ...(data.trials.some((trial) => !isMissing(trial.took)) ? [{ key: "took", label: "took s", number: true, value: (trial) => trial.took, show: (trial) => seconds(trial.took) }] : []),
  ];
  showTable(byId("trials"), { caption: "Trials: choose one for its command", columns, rows: data.trials,
    sort: { key: "objective", direction: -1 }, open: choose, opened: () => false, rowClass: (trial) => (trial.number === data.best ? "best" : "") });
}

function showBest() {
  const best = data.trials.find((trial) => trial.number === data.best);
  if (!best) return;
  byId("best").hidden = false;
  byId("best-title").textContent = `Best: ${label(best)}, score ${best.objective.toFixed(1)}`;
  byId("best").querySelector("dl").replaceChildren(...entries(best));
  byId("again").textContent = data.again;
}

function summarise() {
  const count = (state) => data.trials.filter((trial) => trial.state === state).length;
  const others = [...new Set(data.trials.map((trial) => trial.state))]
    .filter((state) => !["finished", "ended early"].includes(state)).sort();
  byId("title").textContent = `Sweep: ${data.title}`;
  byId("description").textContent = data.description;
  document.title = `${data.title}, a sweep of facecloak`;
  byId("summary").textContent = `${data.method} search of ${plural(data.parameters.length, "parameter")} (${data.file}): `
    + `${plural(count("finished"), "finished trial")}, ${count("ended early")} ended early${others.map((state) => `, ${count(state)} ${state}`).join("")}.`;
}

byId("close").addEventListener("click", () => { byId("chosen").hidden = true; byId("trials").querySelector(".scroll").focus(); });
summarise();
showBest();
byId("history").replaceChildren(...[showHistory()].flat());
byId("pareto").replaceChildren(...[showPareto()].flat());
byId("parallel").replaceChildren(...[showParallel()].flat());
byId("importance").replaceChildren(showImportance());
showTrials();
