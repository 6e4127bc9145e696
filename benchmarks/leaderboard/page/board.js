// The board: methods × black boxes at one false accept rate; reported and white-box lines in separate tables.

// a perceptual distance of another network is another column, so that the two are never compared
const PERCEPTUAL = [
  ["lpips", "LPIPS", "perceptual distance with AlexNet, lower is better"],
  ["pocket_perceptual", "pocket perceptual", "perceptual distance with pocket's own network, not LPIPS; lower is better"],
];

/** The columns of method × black box; lines: those of the table, boxes: names of the shown ones. */
function boardColumns(lines, boxes, all) {
  const rate = (key, label, hint) => ({
    key, label, hint, number: true, value: (line) => line[key], show: (line) => percent(line[key]),
  });
  const count = (key, label, hint) => ({
    key, label, hint, number: true, value: (line) => line[key], show: (line) => fixed(line[key], 0),
  });
  return [
    { key: "name", label: "method", value: (line) => line.name, show: nameView },
    {
      key: "average", label: "average PSR %", number: true, hint: `over ${all.length} recognizers and their targets`,
      value: (line) => line.psr[0],
      show: (line) => (isMissing(line.psr[0]) ? [missingView(missingCells(line))] : rateView(...line.psr)),
    },
    ...boxes.map((box) => ({
      key: `box ${box}`, label: box, number: true, hint: `PSR % judged by ${box}`,
      value: (line) => line.boxes[box]?.[0] ?? null,
      show: (line) => boxView(line.boxes[box]),
    })),
    rate("psr_clean", "clean %", "the same rate for unprotected photos"),
    rate("dodging", "dodging %", "no longer matched to another photo of the same person"),
    rate("dodging_clean", "clean dodging %", "the same rate for unprotected photos"),
    {
      key: "psnr", label: "PSNR dB", number: true, value: (line) => (line.psnr === "identical" ? Infinity : line.psnr),
      show: (line) => fixed(line.psnr, 1),
    },
    { key: "ssim", label: "SSIM", number: true, value: (line) => line.ssim, show: (line) => fixed(line.ssim, 3) },
    ...PERCEPTUAL.filter(([key]) => lines.some((line) => !isMissing(line[key]))).map(([key, label, hint]) => ({
      key, label, hint, number: true, value: (line) => line[key], show: (line) => fixed(line[key], 3),
    })),
    {
      key: "distance", label: lines[0].distance_name, number: true, hint: "Fréchet distance, lower is better",
      value: (line) => line.distance, show: (line) => fixed(line.distance, 2),
    },
    {
      key: "seconds", label: "s/image", number: true, hint: "time of the method, on the device named in its cells",
      value: (line) => line.seconds_per_image, show: (line) => seconds(line.seconds_per_image),
    },
    count("photos", "photos", "different photos in the rates"),
    count("cells", "cells", "target × recognizer"),
    count("n_undetected", "no face", "protected images in which no face is found; not counted in any rate"),
    count("n_failed", "failed", "images for which the method failed; never counted as a success"),
  ];
}

function nameView(line) {
  return line.white ? [line.name, " ", make("span", { className: "badge white" }, "white box")] : [line.name];
}

function missingCells(line) {
  return line.cells < line.expected ? `missing (${line.cells} of ${line.expected} cells)` : MISSING;
}

function boxView(value) {
  if (!value) return [missingView()];
  const [rate, low, high, cells, expected] = value;
  if (!isMissing(rate)) return rateView(rate, low, high);
  return [missingView(cells < expected ? `missing (${cells} of ${expected} targets)` : MISSING)];
}

const boxesOf = (lines) => [...new Set(lines.flatMap((line) => Object.keys(line.boxes)))].sort();

/** Published lines at a FAR: {name, boxes: box → rate, …}. */
function reportedLines(board, far) {
  const lines = board.reported.map((line) => ({
    ...line, boxes: Object.fromEntries(line.rates.filter((rate) => rate[1] === far).map(([box, , rate]) => [box, rate])),
  }));
  return lines.filter((line) => Object.keys(line.boxes).length || board.fars.length === 1);
}

function reportedColumns(boxes) {
  const value = (key, label, digits) => ({
    key, label, number: true, value: (line) => line[key], show: (line) => fixed(line[key], digits),
  });
  return [
    {
      key: "name", label: "method", value: (line) => line.name,
      show: (line) => [line.name, " ", make("span", { className: "badge reported" }, "reported")],
    },
    ...boxes.map((box) => ({
      key: `box ${box}`, label: box, number: true,
      value: (line) => line.boxes[box] ?? null, show: (line) => percent(line.boxes[box]),
    })),
    value("fid", "FID", 2), value("psnr", "PSNR dB", 2), value("ssim", "SSIM", 3),
    { key: "paper", label: "paper", value: (line) => line.paper, show: (line) => line.paper ?? MISSING },
    { key: "note", label: "note", value: (line) => line.note, show: (line) => line.note ?? MISSING },
  ];
}

/** Whether a line passes the filters. */
function passes(line, view) {
  const wanted = view.find.trim().toLowerCase();
  return !view.hiddenMethods.has(line.name) && line.name.toLowerCase().includes(wanted);
}

/** Draw the tables of a board; view: what the user chose, open(line): what a method's button does. */
function showBoard(parent, board, view, open) {
  const at = board.lines.filter((line) => line.far === view.far);
  const reported = reportedLines(board, view.far);
  const groups = [
    ["measured", at.filter((line) => !line.white), `${board.suite}, ${board.objective}: measured, at FAR ${view.far}`],
    ["white", at.filter((line) => line.white), "White box: the recognizer that judges was attacked"],
    ["reported", reported, "Reported in papers, not measured here"],
  ];
  const tables = [];
  const counts = [];
  for (const [kind, lines, caption] of groups.filter((group) => group[1].length)) {
    const all = boxesOf(lines);
    const boxes = all.filter((box) => !view.hiddenBoxes.has(box));
    const rows = lines.filter((line) => passes(line, view));
    const columns = kind === "reported" ? reportedColumns(boxes) : boardColumns(lines, boxes, all);
    const holder = make("div", { className: `board ${kind}` });
    showTable(holder, {
      caption, columns, rows, sort: view.sorts[kind], rowClass: (line) => (line.name.startsWith("none:") ? "none" : ""),
      open: kind === "reported" ? null : open,
      opened: (line) => view.opened === line.name && view.openedWhite === line.white,
    });
    tables.push(holder);
    counts.push(`${rows.length} of ${plural(lines.length, `${kind === "white" ? "white-box" : kind} line`)}`);
  }
  parent.replaceChildren(...tables);
  return `Shown: ${counts.join(", ")}.`;
}
