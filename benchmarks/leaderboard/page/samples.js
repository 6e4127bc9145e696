// Before and after: a few photos of the board, each method's result, and what it changed.

function showSamples(section, data, board) {
  const samples = data.samples.filter((sample) => sample.suite === board.suite && sample.objective === board.objective);
  section.hidden = !samples.length;
  if (!samples.length) return;
  const targets = [...new Set(samples.map((sample) => sample.target))].sort((one, two) => compare(one, two, 1));
  const choose = (label, id) => {
    const select = make("select", { id });
    return [select, make("label", {}, `${label} `, select)];
  };
  const [method, methodLabel] = choose("Method", "sample-method");
  const [target, targetLabel] = choose("Target", "sample-target");
  const [image, imageLabel] = choose("Photo", "sample-image");
  const before = make("img");
  const after = make("img");
  const change = make("img", { alt: "ten times the difference, around mid-grey" });
  const [pair, slider] = wipe(before, after, { id: "sample-slider" });
  const words = make("p", { id: "sample-words", className: "hint" });
  slider.setAttribute("aria-describedby", "sample-words");

  const fill = (select, names) => {
    const kept = names.includes(select.value) ? select.value : names[0];
    select.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    select.value = kept;
  };
  const current = () => samples.find((sample) => sample.target === target.value && sample.id === image.value);

  function show() {
    const sample = current();
    fill(method, Object.keys(sample.made));
    const [made, difference] = sample.made[method.value];
    before.src = sample.original;
    after.src = made;
    change.src = difference;
    before.alt = `photo ${sample.id}, unprotected`;
    after.alt = `photo ${sample.id}, protected by ${method.value}`;
    words.textContent = `Left of the line: the unprotected photo; right: protected by ${method.value}. Judged by ${sample.black_box}. `
      + "Compressed for display (WebP, at most 256 pixels); the PNGs that were judged are in the cell's folder, images/.";
  }
  function choosePhotos() {
    fill(image, samples.filter((sample) => sample.target === target.value).map((sample) => sample.id));
    show();
  }
  method.addEventListener("change", show);
  image.addEventListener("change", show);
  target.addEventListener("change", choosePhotos);
  section.replaceChildren(
    make("h2", { id: "samples-title" }, "Before and after"),
    make("div", { className: "choices" }, methodLabel, targetLabel, imageLabel),
    make("div", { className: "pictures" },
      make("figure", {}, pair,
        make("label", {}, "Unprotected to protected ", slider)),
      make("figure", {}, change, make("figcaption", {}, "difference ×10, around mid-grey"))),
    words,
  );
  fill(target, targets);
  choosePhotos();
  const best = board.lines.filter((line) => line.far === board.headline && !line.white && line.name in current().made)
    .sort((one, two) => compare(one.psr[0], two.psr[0], -1))[0];
  if (best) method.value = best.name;
  show();
}
