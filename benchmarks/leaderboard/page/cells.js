// The details: a method's cells, a cell's provenance and settings, its images.

const STATES = { u: "source unusable", f: "failed", n: "no face found", i: "identical", k: "" };

/** Indices of the cells of a line of a board. */
function cellsOf(data, board, line) {
  const { ids, columns } = data.cells;
  const places = [];
  for (let place = 0; place < ids.length; place++) {
    const is = (column, value) => unpack(columns[column], place) === value;
    if (is("name", line.name) && is("suite", board.suite) && is("objective", board.objective)
      && is("white_box", line.white)) places.push(place);
  }
  return places;
}

function openSection(section, title, back) {
  const heading = make("h2", { id: `${section.id}-title`, tabIndex: -1 }, title);
  const close = make("button", {
    type: "button", className: "close",
    onclick: () => { section.hidden = true; back(); },
  }, "Close");
  section.replaceChildren(make("div", { className: "title" }, heading, close));
  section.hidden = false;
  return heading;
}

/** All cells of a method: target × black box. */
function showCells(section, data, board, line, view, back) {
  const { columns } = data.cells;
  const rates = data.cells.rates.find((each) => each.far === view.far).columns;
  const heading = openSection(section, `Cells of ${line.name}${line.white ? " (white box)" : ""}`, back);
  const of = (column) => (place) => unpack(columns[column], place);
  const at = (column) => (place) => unpack(rates[column], place);
  const text = (key, label) => ({ key, label, value: of(key), show: (place) => of(key)(place) ?? MISSING });
  const numeric = (key, label, show, value = of(key)) => ({
    key, label, number: true, value, show: (place) => show(value(place)),
  });
  const rate = (key, label, column = key) => ({
    key, label, number: true, value: at(column),
    show: (place) => (isMissing(at(column)(place)) ? MISSING
      : rateView(at(column)(place), at(`${column}_low`)(place), at(`${column}_high`)(place))),
  });
  const shown = [
    {
      key: "cell", label: "target × black box", value: (place) => `${of("target")(place)} × ${of("black_box")(place)}`,
      show: (place) => [`${of("target")(place)} × ${of("black_box")(place)}`],
    },
    rate("psr", "PSR %"),
    numeric("n_psr", "n", (value) => fixed(value, 0), at("n_psr")),
    numeric("psr_clean", "clean %", percent, at("psr_clean")),
    rate("dodging", "dodging %"), rate("joint", "joint %"),
    numeric("threshold", "threshold", (value) => fixed(value, 4), at("threshold")),
    {
      key: "psnr", label: "PSNR dB", number: true,
      value: (place) => of("psnr")(place) ?? (of("n_identical")(place) > 0 ? Infinity : null),
      show: (place) => (isMissing(of("psnr")(place)) && of("n_identical")(place) > 0 ? "identical" : fixed(of("psnr")(place), 1)),
    },
    numeric("ssim", "SSIM", (value) => fixed(value, 3)),
    numeric("seconds_per_image", "s/image", seconds),
    numeric("n_undetected", "no face", (value) => fixed(value, 0)),
    numeric("n_failed", "failed", (value) => fixed(value, 0)),
    text("device", "device"), text("date", "date"),
  ];
  const holder = make("div");
  section.append(holder, make("p", { className: "hint" }, "A cell's name opens its images, settings and provenance."));
  showTable(holder, {
    caption: `Cells of ${line.name} at FAR ${view.far}`, columns: shown, rows: cellsOf(data, board, line),
    sort: { key: "cell", direction: 1 },
    open: (place, button) => openCell(data, place, view, button), opened: (place) => view.openedCell === place,
  });
  heading.focus();
}

/** Handler of a cell's button: opens the cell, or closes it again. */
function openCell(data, place, view, button) {
  const again = view.openedCell === place;
  closeCell(view);
  if (again) return;
  view.openedCell = place;
  button.setAttribute("aria-expanded", "true");
  showCell(byId("cell"), data, place, view, () => {
    // sorting draws new buttons, and the cell's button may be on another page of the table
    const current = document.querySelector('#cells .open[aria-expanded="true"]') ?? byId("cells-title");
    closeCell(view);
    current.focus();
  });
}

function closeCell(view) {
  view.openedCell = null;
  byId("cell").hidden = true;
  for (const each of document.querySelectorAll("#cells .open")) each.setAttribute("aria-expanded", "false");
}

/** Rows of names and values; nested values are indented. */
function valueTable(caption, pairs) {
  const rows = pairs.map(([name, value, hint]) => make("tr", {},
    make("th", { scope: "row", title: hint ?? "" }, name),
    make("td", {}, valueView(value))));
  return make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
    make("table", { className: "values" }, make("caption", {}, make("span", {}, caption)), make("tbody", {}, ...rows)));
}

function valueView(value) {
  if (isMissing(value)) return missingView("–");
  if (typeof value === "object" && !Array.isArray(value)) {
    return make("dl", {}, ...Object.entries(value).flatMap(([name, each]) => [make("dt", {}, name), make("dd", {}, valueView(each))]));
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** One cell: its images first, then settings and provenance. */
function showCell(section, data, place, view, back) {
  const { ids, columns, provenance, about } = data.cells;
  const of = (column) => unpack(columns[column], place);
  const title = `${of("name")}, target ${of("target")}, judged by ${of("black_box")}`;
  const heading = openSection(section, title, back);
  const settings = Object.entries(unpack(provenance.settings, place) ?? {});
  const rows = Object.keys(columns).filter((name) => name !== "name").map((name) => [name, of(name), about[name]]);
  const found = ["thresholds", "weights", "torch"].map((name) => [name, unpack(provenance[name], place)]);
  const holder = make("div");
  section.append(holder, make("div", { className: "pair" },
    valueTable("Settings", settings),
    valueTable("Provenance", [...rows, ...found])));
  showImages(holder, readRecords(), place, ids[place], view, of("objective"));
  heading.focus();
}

let records = null;

/** The block of records is parsed when it is first needed. */
function readRecords() {
  records ??= JSON.parse(byId("records").textContent);
  return records;
}

function showImages(parent, all, place, runId, view, objective) {
  const cell = all.cells[place];
  const of = (key) => (image) => (isMissing(cell[key][image]) ? null : cell[key][image] / all.scales[key]);
  const column = (key, label, digits, hint) => ({
    key, label, hint, number: true, value: of(key), show: (image) => fixed(of(key)(image), digits),
  });
  const letters = cell.won.find((pair) => pair[0] === view.far)?.[1];
  const won = (image) => ({ 1: "success", 0: "no", "-": "in no rate" })[letters?.[image]] ?? MISSING;
  const remark = (image) => cell.errors[image] ?? STATES[cell.state[image]];
  const holder = make("div", { className: "images" });
  const count = cell.id.length;
  const part = count < cell.n ? `First ${count} of ${plural(cell.n, "image")}; all` : `All ${plural(cell.n, "image")}; also`;
  const [protection, countermeasure, judge] = runId.split("/");
  const records = `protections/${protection}/judgements/${countermeasure}/${judge}/records.jsonl`;
  parent.append(holder, make("p", { className: "hint" }, `${part} in ${records}.`));
  showTable(holder, {
    caption: `Images, ${objective} at FAR ${view.far}`, rows: [...Array(count).keys()],
    sort: { key: "", direction: 1 },
    columns: [
      { key: "id", label: "image", value: (image) => all.ids[cell.id[image]], show: (image) => [all.ids[cell.id[image]]] },
      {
        key: "won", label: "success", value: won,
        show: (image) => [make("span", { className: `mark ${won(image) === "success" ? "yes" : "no"}` }, won(image))],
      },
      column("target", "cosine to target", 4, "between the protected image and the target's test photo"),
      column("target_clean", "clean", 4, "the same for the unprotected image"),
      column("self", "cosine to self", 4, "between the protected image and another photo of the person"),
      column("self_clean", "clean self", 4, "the same for the unprotected image"),
      column("psnr", "PSNR dB", 2), column("ssim", "SSIM", 4), column("seconds", "seconds", 3),
      { key: "error", label: "remark", value: (image) => remark(image) || null, show: (image) => remark(image) || "" },
    ],
  });
}
