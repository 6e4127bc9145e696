// Puts the page together: which board, which FAR, which filters.

const data = JSON.parse(byId("data").textContent);

const view = {
  far: null, find: "", hiddenMethods: new Set(), hiddenBoxes: new Set(), opened: null, openedWhite: false,
  openedCell: null, sorts: {},
};
let board = null;

function summarise() {
  const { ids, columns } = data.cells;
  const different = (name) => new Set(columns[name]?.values ?? []);
  const dates = [...different("date")].filter(Boolean).sort();
  const when = dates.length ? `, judged ${[...new Set([dates[0], dates.at(-1)])].join(" to ")}` : "";
  const photos = data.boards.map((each) => Math.max(0, ...each.lines.map((line) => line.photos))).filter(Boolean);
  const methods = new Set(data.boards.flatMap((each) => each.lines.map((line) => line.name)));
  const reported = data.boards.reduce((sum, each) => sum + each.reported.length, 0);
  byId("summary").textContent = `Do recognizers still recognize people in protected photos? ${plural(ids.length, "cell")} of `
    + `${plural(methods.size, "method")} and ${plural(different("black_box").size, "recognizer")}, `
    + `${photos.map((count) => plural(count, "photo")).join(" and ")}${when}`
    + `${reported ? `; ${plural(reported, "reported line")}` : ""}.`;
}

function checks(details, title, names, hidden) {
  const field = details.querySelector("fieldset");
  const count = () => {
    const shown = names.filter((name) => !hidden.has(name)).length;
    details.querySelector("summary").textContent = `${title}: ${shown} of ${names.length}`;
  };
  const boxes = names.map((name) => {
    const box = make("input", { type: "checkbox", checked: !hidden.has(name), value: name });
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(name);
      else hidden.add(name);
      count();
      draw();
    });
    return make("label", {}, box, ` ${name}`);
  });
  field.replaceChildren(field.querySelector("legend"), ...boxes);
  count();
}

function chooseBoard(place) {
  board = data.boards[place];
  Object.assign(view, {
    far: board.headline, opened: null, hiddenMethods: new Set(), hiddenBoxes: new Set(),
    sorts: { measured: { key: "average", direction: -1 }, white: { key: "average", direction: -1 },
      reported: { key: "name", direction: 1 } },
  });
  byId("far").replaceChildren(...board.fars.map((far) => make("option", { value: String(far) }, String(far))));
  byId("far").value = String(board.headline);
  const lines = [...board.lines, ...reportedLines(board, board.headline)];
  checks(byId("methods"), "Methods", [...new Set(lines.map((line) => line.name))], view.hiddenMethods);
  checks(byId("boxes"), "Recognizers", boxesOf(lines), view.hiddenBoxes);
  byId("board-title").textContent = `${board.suite}, ${board.objective}`;
  byId("interval").textContent = `Interval: ${board.interval}.`;
  closeDetails();
  showLevels(byId("levels"), data, board);
  showSurvival(byId("survival"), data, board);
  showSamples(byId("samples"), data, board);
  showPlots();
  draw();
}

function closeDetails() {
  view.opened = null;
  byId("cells").hidden = true;
  closeCell(view);
}

function showPlots() {
  const own = data.plots.filter((plot) => plot.suite === board.suite && plot.objective === board.objective);
  byId("plots").hidden = !own.length;
  byId("plots").querySelector(".plots").replaceChildren(...own.map(plotView));
}

function showSubmissions() {
  byId("submissions").hidden = !data.submissions.length;
  byId("submissions").querySelector("ul").replaceChildren(...data.submissions.map((each) => make("li", {},
    make("b", {}, each.method), ` by ${each.authors}. Paper: ${each.paper}. Code: ${each.code}, commit ${each.commit}. `
    + `Tuned on: ${each.tuned_on}. Saw photos of the suite before: ${each.saw_suite ? "yes" : "no"}.`)));
}

function plotView(plot) {
  const alt = `${plot.alt}: ${board.suite}, ${board.objective}. The numbers are in the tables.`;
  const button = make("button", { type: "button", title: "Larger or smaller" }, make("img", { src: plot.source, alt }));
  const figure = make("figure", {}, button, make("figcaption", {}, plot.alt));
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => button.setAttribute("aria-pressed", String(figure.classList.toggle("wide"))));
  return figure;
}

function draw() {
  say(showBoard(byId("board-tables"), board, view, openLine));
}

function openLine(line, button) {
  const [name, white] = [line.name, line.white];
  const again = view.opened === name && view.openedWhite === white;
  closeDetails();
  for (const each of document.querySelectorAll("#board-tables .open")) each.setAttribute("aria-expanded", "false");
  if (again) return;
  Object.assign(view, { opened: name, openedWhite: white });
  button.setAttribute("aria-expanded", "true");
  showCells(byId("cells"), data, board, line, view, () => {
    const current = document.querySelector('#board-tables .open[aria-expanded="true"]') ?? byId("board");
    closeDetails();
    current.setAttribute("aria-expanded", "false");
    current.focus();
  });
}

byId("suite").replaceChildren(...data.boards.map((each, place) => make("option", { value: String(place) }, `${each.suite}, ${each.objective}`)));
byId("suite").addEventListener("change", (event) => chooseBoard(Number(event.target.value)));
byId("far").addEventListener("change", (event) => { view.far = Number(event.target.value); closeDetails(); draw(); });
byId("find").addEventListener("input", (event) => { view.find = event.target.value; draw(); });
byId("controls").addEventListener("submit", (event) => event.preventDefault());
summarise();
showSubmissions();
const measured = data.boards.findIndex((each) => each.lines.length);
byId("suite").value = String(Math.max(0, measured));
if (data.boards.length) chooseBoard(Math.max(0, measured));
