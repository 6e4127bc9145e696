// Methods compared where their pictures are equally good, or where they succeed equally often.

function levelView(head, [mean, low, high, bound]) {
  if (isMissing(mean)) return MISSING;
  const digits = head.startsWith("PSR") || head.startsWith("PSNR") ? 1 : 3;
  const lower = PERCEPTUAL.some(([, label]) => head.startsWith(label));
  const sign = bound ? (lower ? "≤ " : "≥ ") : "";
  const parts = [make("span", { className: "rate" }, sign + fixed(mean, digits))];
  if (!isMissing(low)) parts.push(make("span", { className: "interval" }, `${fixed(low, digits)}–${fixed(high, digits)}`));
  return parts;
}

/** Draw the board's table, or hide the section if no method has several strengths. */
function showLevels(section, data, board) {
  const own = data.levels.filter((each) => each.suite === board.suite && each.objective === board.objective);
  section.hidden = !own.length;
  section.querySelector(".tables").replaceChildren(...own.map((each) => {
    const holder = make("div", { className: "board levels" });
    const columns = each.heads.map((head) => ({
      key: head, label: head, number: true, value: (method) => method.levels[head][0],
      show: (method) => levelView(head, method.levels[head]),
    }));
    showTable(holder, {
      caption: `${each.suite}, ${each.objective}: at equal quality, and at equal success`,
      columns: [{ key: "name", label: "method", value: (method) => method.name, show: (method) => [method.name] }, ...columns],
      rows: each.methods, sort: { key: each.heads[0] ?? "name", direction: -1 },
    });
    return holder;
  }));
}
