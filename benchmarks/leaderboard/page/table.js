// One table: sorted with the buttons in its head, a hundred rows at a time.

const PAGE = 100;

/** Sorts numbers as numbers and text in natural order; missing values come last in both directions. */
function compare(first, second, direction) {
  const [none, other] = [isMissing(first), isMissing(second)];
  if (none || other) return none - other;
  if (typeof first === "number" && typeof second === "number") return direction * (first - second);
  return direction * String(first).localeCompare(String(second), "en", { numeric: true });
}

/**
 * Show rows in a table that can be sorted by every column.
 *
 * columns: {key, label, value(row), show(row) → text, element or list of them, number, hint}; the first is the row's
 * head. sort: {key, direction} changes when the user sorts. open(row): called by a row's button.
 */
function showTable(parent, { caption, columns, rows, sort, open, opened, rowClass }) {
  let first = 0;
  const region = make("div", { className: "scroll", role: "region", tabIndex: 0 });
  region.setAttribute("aria-label", caption);
  const pager = make("div", { className: "pager" });
  parent.replaceChildren(region, pager);

  function sorted() {
    const column = columns.find((each) => each.key === sort.key);
    if (!column) return rows;
    const keyed = rows.map((row) => [column.value(row), row]); // sorting is stable: equal rows keep their order
    return keyed.sort((one, two) => compare(one[0], two[0], sort.direction)).map((pair) => pair[1]);
  }

  function sortBy(column) {
    const again = sort.key === column.key;
    sort.direction = again ? -sort.direction : column.number ? -1 : 1;
    sort.key = column.key;
    first = 0;
    draw();
    region.querySelector(`th[data-key="${CSS.escape(column.key)}"] button`).focus();
    say(`${caption}: sorted by ${column.label}, ${sort.direction > 0 ? "ascending" : "descending"}.`);
  }

  function head(column) {
    const active = sort.key === column.key;
    const button = make("button", { type: "button", title: column.hint ?? "", onclick: () => sortBy(column) }, column.label);
    button.append(make("span", { className: "arrow", "aria-hidden": "true" }, active ? (sort.direction > 0 ? "▲" : "▼") : ""));
    const cell = make("th", { scope: "col", className: column.number ? "number" : "", "data-key": column.key }, button);
    cell.setAttribute("aria-sort", active ? (sort.direction > 0 ? "ascending" : "descending") : "none");
    return cell;
  }

  function body(row) {
    const line = make("tr", { className: rowClass ? rowClass(row) : "" });
    columns.forEach((column, place) => {
      const shown = column.show(row);
      const content = Array.isArray(shown) ? shown : [shown === MISSING ? missingView() : shown];
      if (place > 0) {
        line.append(make("td", { className: column.number ? "number" : "" }, ...content));
      } else if (open) {
        const button = make("button", { type: "button", className: "open", onclick: () => open(row, button) }, ...content);
        button.setAttribute("aria-expanded", String(Boolean(opened?.(row))));
        line.append(make("th", { scope: "row" }, button));
      } else {
        line.append(make("th", { scope: "row" }, ...content));
      }
    });
    return line;
  }

  function draw() {
    const ordered = sorted();
    const table = make("table", {}, make("caption", {}, make("span", {}, caption)),
      make("thead", {}, make("tr", {}, ...columns.map(head))),
      make("tbody", {}, ...ordered.slice(first, first + PAGE).map(body)));
    const place = region.scrollLeft;
    region.replaceChildren(table);
    region.scrollLeft = place;
    pager.replaceChildren();
    if (rows.length > PAGE) {
      const turn = (label, by, possible) => make("button", {
        type: "button", disabled: !possible, onclick: () => { first += by; draw(); region.focus(); },
      }, label);
      pager.append(turn("Previous", -PAGE, first > 0),
        `${first + 1} to ${Math.min(first + PAGE, rows.length)} of ${rows.length.toLocaleString("en")}`,
        turn("Next", PAGE, first + PAGE < rows.length));
    }
  }

  draw();
}

/** Tell all users, also those of screen readers, what a sort or a filter did. */
function say(text) {
  byId("status").textContent = text;
}
