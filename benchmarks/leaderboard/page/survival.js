// What is left of each method's success after countermeasures: a table whose cells are coloured by their rate.

/** A rate in per cent on a ground that is stronger the higher it is; the unprotected photos' rate is in the title. */
function heatView(rate, title) {
  if (isMissing(rate)) return [missingView()];
  const cell = make("span", { className: "heat", title }, (100 * rate).toFixed(0));
  cell.style.setProperty("--share", `${Math.round(100 * rate)}%`);
  return [cell];
}

/** Draw the board's matrix, or hide the section if nothing was done to its pictures. */
function showSurvival(section, data, board) {
  const own = data.survival.filter((each) => each.suite === board.suite && each.objective === board.objective);
  section.hidden = !own.length;
  const holders = own.map((each) => {
    const holder = make("div", { className: "board survival" });
    const cell = (method, name) => method.cells[name] ?? [null, null, null, null];
    const columns = each.countermeasures.map(([name, meaning]) => ({
      key: name, label: name === "none" ? "as published" : name, hint: meaning, number: true,
      value: (method) => cell(method, name)[0],
      show: (method) => {
        const [rate, low, high, clean] = cell(method, name);
        return heatView(rate, `${method.name}, ${meaning}: PSR ${percent(rate)} %`
          + (isMissing(low) ? "" : `, 95 % interval ${percent(low)} to ${percent(high)}`)
          + (isMissing(clean) ? "" : `; unprotected ${percent(clean)} %`));
      },
    }));
    const shares = Object.entries(each.known).filter(([, share]) => !isMissing(share));
    const known = shares.map(([name, share]) =>
      `${name === "none" ? "as published" : name} ${percent(share)} %`).join(", ");
    const over = (key) => ({
      key, label: key, number: true, hint: `${key}: over these countermeasures`, value: (method) => method.over[key],
      show: (method) => heatView(method.over[key], `${method.name}: ${key}`),
    });
    showTable(holder, {
      caption: `${each.white ? "White box: " : ""}PSR in % after each countermeasure, at FAR ${each.far}`,
      columns: [{ key: "name", label: "method", value: (method) => method.name, show: (method) => [method.name] },
        ...each.over.map(over), ...columns],
      rows: each.methods, sort: { key: each.over[1] ?? "none", direction: -1 },
      rowClass: (method) => (method.name.startsWith("none:") ? "none" : ""),
    });
    if (shares.length) holder.append(make("p", { className: "hint" }, `Unprotected photos still matched to their own person: ${known}. `
      + "Where that is low, recognizers know nobody any more."));
    return holder;
  });
  section.querySelector(".matrices").replaceChildren(...holders);
}
