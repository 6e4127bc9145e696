// A card for each photo: before and after, and what recognizers say about its faces.

const data = JSON.parse(byId("data").textContent);

const similarity = (value) => (isMissing(value) ? "no face found" : value.toFixed(2));

function summarise() {
  const done = data.photos.filter((photo) => !photo.error).length;
  byId("summary").textContent = `${done} of ${plural(data.photos.length, "photo")} protected.`;
}

/** What a method was to achieve, in words. */
function aim(photo) {
  const goal = photo.objective === "obfuscation"
    ? "so that recognizers no longer match its faces to their people"
    : `so that recognizers take its faces for target ${photo.target}`;
  const against = photo.attacked.length
    ? `Made against ${photo.attacked.join(", ")}; other recognizers may differ.`
    : "This method attacks no recognizer.";
  return `Protected by ${photo.method}, ${goal}. ${against}`;
}

/** A similarity before and after, and whether a judge says that the faces match. */
function change(pair, matches, still) {
  const text = `${similarity(pair[0])} → ${similarity(pair[1])}`;
  if (isMissing(matches)) return [text];
  const words = { true: `${still}matched`, false: still ? "no longer matched" : "not matched" };
  return [`${text} `, make("span", { className: "badge" }, words[matches])];
}

function facesTable(photo) {
  const sides = [
    ["similarity to the original", (row) => change(row.original, row.matches_original, "still ")],
    [`similarity to target ${photo.target}`, (row) => change(row.to_target, row.matches_target, "")],
  ];
  if (photo.objective === "impersonation") sides.reverse();
  const columns = [["recognizer", (row) => [row.name]], ["role", (row) => [row.role]], ...sides];
  if (photo.n_protected > 1) columns.unshift(["face", (row) => [String(row.face)]]);
  const cell = (row) => ([, show], place) => make(place ? "td" : "th", place ? {} : { scope: "row" }, ...show(row));
  const caption = photo.n_protected > 1 ? "Faces, the largest first: before → after" : "The face: before → after";
  const region = { className: "scroll", role: "region", tabIndex: 0, "aria-label": `${photo.name}, ${caption}` };
  return make("div", region, make("table", {}, make("caption", {}, make("span", {}, caption)),
    make("thead", {}, make("tr", {}, ...columns.map(([label]) => make("th", { scope: "col" }, label)))),
    make("tbody", {}, ...photo.rows.map((row) => make("tr", {}, ...columns.map(cell(row)))))));
}

function facts(photo) {
  const entries = [
    ["faces", `${photo.n_protected} of ${photo.n_faces} protected${photo.n_too_small ? `, ${photo.n_too_small} too small` : ""}`],
    ["PSNR", isMissing(photo.psnr) ? "identical" : `${photo.psnr.toFixed(1)} dB`],
    ["seconds", seconds(photo.seconds)],
    ["file", photo.here ? make("a", { href: photo.link }, photo.result) : `${photo.result} (no longer here)`],
  ];
  return make("dl", {}, ...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function pictures(photo) {
  const [original, made] = photo.previews.map((key) => data.previews[key]);
  if (!made) return make("p", { className: "hint" }, photo.here ? "This page has no room for more pictures." : "");
  const after = make("img", { src: made, alt: `${photo.name}, protected`, loading: "lazy", decoding: "async" });
  const figure = make("figure");
  figure.style.setProperty("--ratio", photo.size[0] / photo.size[1]);
  if (!original) {
    figure.append(make("div", { className: "compare" }, after),
      make("figcaption", {}, "Only the protected photo: the original is no longer where it was, or there is no room."));
    return figure;
  }
  const before = make("img", { src: original, alt: `${photo.name}, unprotected`, loading: "lazy", decoding: "async" });
  const [pair, slider] = wipe(before, after, {});
  figure.append(pair, make("label", {}, "Unprotected to protected ", slider));
  return figure;
}

function card(photo) {
  const section = make("section", { className: "photo" }, make("h2", {}, photo.name));
  if (photo.error) section.append(make("p", { className: "error" }, `Not protected: ${photo.error}`));
  else section.append(make("p", { className: "hint" }, aim(photo)), make("div", { className: "pictures" },
    pictures(photo), make("div", { className: "facts" }, facts(photo), facesTable(photo))));
  return section;
}

summarise();
byId("photos").replaceChildren(...data.photos.map(card));
